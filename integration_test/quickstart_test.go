package integration_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// The quickstart does what the README says, on either database, and finds none
// of its secrets afterwards.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "quickstart")
	build := exec.Command("go", "build", "-o", program, "./quickstart")
	build.Dir = "../examples"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, args := range map[string][]string{
		"sqlite": {}, "postgres": {"-dsn", testdb.Postgres(t).DSN, "-rows", "50"},
	} {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, want := range []string{"all as written", "gc1:2:", "\nSecrets found: 0\n"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: the output does not say %q:\n%s", name, want, out)
			}
		}
	}
}
