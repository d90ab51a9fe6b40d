package rotation_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/rotation"
)

func TestUsesAreNamed(t *testing.T) {
	t.Parallel()
	for want, use := range map[string]rotation.Use{
		"users.name: 1 row":                             {Table: "users", Column: "name", Rows: 1},
		"users.name: 3 rows in the quarantine of job x": {Table: "users", Column: "name", Rows: 3, Job: "x"},
		"job x is not finished":                         {Job: "x"},
	} {
		if got := use.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
