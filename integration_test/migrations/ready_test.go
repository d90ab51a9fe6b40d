package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// Ready says of each step, in each state and for each deployment, by each program, what
// the step itself then says, if that is about its turn or what is deployed; and it says
// so without the table.
func TestReadyIsWhatTheStepSays(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		steps := map[string]func(*migrations.Migration, migrations.Config) error{
			"Expand":           func(m *migrations.Migration, c migrations.Config) error { return m.Expand(ctx, c) },
			"Backfill":         func(m *migrations.Migration, c migrations.Config) error { _, err := m.Backfill(ctx, c); return err },
			"TakeForPlaintext": func(m *migrations.Migration, c migrations.Config) error { return m.TakeForPlaintext(ctx, c, 1) },
			"Verify":           func(m *migrations.Migration, c migrations.Config) error { _, err := m.Verify(ctx, c); return err },
			"Enforce":          func(m *migrations.Migration, c migrations.Config) error { return m.Enforce(ctx, c) },
			"Finish":           func(m *migrations.Migration, c migrations.Config) error { return m.Finish(ctx, c) },
		}
		c := newCustomers(t, where)
		c.fill(30)
		programs := map[string]*migrations.Migration{
			"reading": c.as(&readingCustomer{}), "writing": c.as(&writingCustomer{}), "settled": c.as(&settledCustomer{}),
		}
		refused := 0
		for i := -1; i < len(wayThere); i++ {
			if i >= 0 {
				must(t, wayThere[i].run(c))
			}
			for name, step := range steps {
				for _, deployed := range []migrations.Deployment{"", migrations.WithoutTag, migrations.Reading, migrations.Writing, migrations.Settled} {
					for program, m := range programs {
						what := fmt.Sprintf("%s after %d steps with %q by the program %s", name, i+1, deployed, program)
						ready := m.Ready(ctx, name, fast(deployed))
						if ready == nil {
							continue // to run it would be the next state
						}
						refused++
						if err := step(m, fast(deployed)); err == nil || err.Error() != ready.Error() || !errors.Is(err, migrations.ErrOrder) && !errors.Is(err, migrations.ErrDeployment) {
							t.Errorf("%s: Ready says %v, and the step %v", what, ready, err)
						}
					}
				}
			}
			if i+1 < len(wayThere) {
				next := wayThere[i+1]
				program, deployed := programs["writing"], migrations.Writing
				if next.name == "Finish" {
					program, deployed = programs["settled"], migrations.Settled
				}
				if err := program.Ready(ctx, next.name, fast(deployed)); err != nil {
					t.Errorf("%s when it is its turn: %v", next.name, err)
				}
			}
		}
		if refused < 200 {
			t.Errorf("only %d were refused", refused)
		}
		if err := programs["writing"].Ready(ctx, "Reverse", fast("")); err == nil {
			t.Error("there is a step Reverse")
		}
	})
}
