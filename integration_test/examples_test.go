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
	testExample(t, "quickstart", []string{"-rows", "50"}, "all as written", "gc1:2:", "\nSecrets found: 0\n")
}

// The rotation is killed and goes on, and nothing that was written meanwhile is
// lost.
func TestRotationExample(t *testing.T) {
	t.Parallel()
	testExample(t, "rotation", []string{"-rows", "9000"}, "was killed:\n", "Version 1 is retired.", "All 9000 customers have what the application wrote last.")
}

// A column is encrypted under a running application, and made plaintext again.
func TestMigrateExample(t *testing.T) {
	t.Parallel()
	testExample(t, "migrate", []string{"-rows", "2000"}, "0 are ciphertext", "Finish: DROP INDEX", "\nBackfill ", "in SQL: ", "stored as gc1:%", "stored as customer%", "None failed, and none gave a wrong value.")
}

// testExample runs an example on both databases, and looks for texts in its output.
func testExample(t *testing.T, name string, args []string, want ...string) {
	program := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", program, "./"+name)
	build.Dir = "../examples"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for on, dsn := range map[string]string{"sqlite": "", "postgres": testdb.Postgres(t).DSN} {
		out, err := exec.Command(program, append([]string{"-dsn", dsn}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", on, err, out)
		}
		for _, want := range want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: the output does not say %q:\n%s", on, want, out)
			}
		}
	}
}
