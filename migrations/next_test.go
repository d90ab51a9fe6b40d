package migrations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/migrations"
)

// From each state there is a next step, but from the last one, and its deployments are
// those that the errors of steps name. That they lead there is tested on databases.
func TestNextOfEachState(t *testing.T) {
	t.Parallel()
	for state, want := range map[migrations.State]string{
		migrations.None: "Expand", migrations.Expanding: "Expand", migrations.Expanded: "migrating=read, migrating=write, Backfill", migrations.Backfilling: "Backfill",
		migrations.Backfilled: "Verify", migrations.Verified: "Enforce", migrations.Enforcing: "Enforce", migrations.Enforced: "without migrating=, Finish", migrations.Finished: "",
		migrations.Reverting: "Revert", migrations.Reverted: "without the tag, Revert", "of a newer version": "",
	} {
		deploy, step := state.Next()
		var all []string
		for _, deployment := range deploy {
			all = append(all, string(deployment))
		}
		if got := strings.Join(append(all, step), ", "); got != want {
			t.Errorf("%q: got %q, want %q", state, got, want)
		}
		if len(deploy) > 0 {
			deploy[0] = "changed"
			if again, _ := state.Next(); again[0] == "changed" {
				t.Errorf("%q: who gets its deployments changes them for others", state)
			}
		}
	}
}

// What a command line needs to say the same by its own names.
func TestErrorsOfSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err, is error
		want    string
	}{
		{&migrations.DeploymentError{Step: "Enforce", Why: "has the database refuse plaintext", Admitted: []migrations.Deployment{migrations.Writing, migrations.Settled}}, migrations.ErrDeployment,
			"gormcrypt: programs may still run that this step would break: Enforce has the database refuse plaintext; when every running program is deployed so, set Config.Deployed to migrations.Writing (migrating=write) or migrations.Settled (without migrating=)"},
		{&migrations.OrderError{Step: "Verify", Column: "users.email", State: migrations.Expanded, Next: "run Backfill"}, migrations.ErrOrder,
			"gormcrypt: it is not the turn of this step: Verify of users.email; run Backfill"},
	} {
		if !errors.Is(c.err, c.is) || c.err.Error() != c.want {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
}
