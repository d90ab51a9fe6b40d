package cli_test

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// role [STATEMENT...] has gormcrypt be a new role of PostgreSQL from then on, which may
// use the schema and nothing else. In the statements, which are executed by the owner,
// ROLE is its name, and HERE that of the schema.
func role(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if neg || w.where.Name != "postgres" {
		ts.Fatalf("usage, on postgres: role [STATEMENT...]")
	}
	where, name := w.where.AsNewRole(w)
	schema, err := w.query("SELECT current_schema()")
	ts.Check(err)
	names := strings.NewReplacer("ROLE", name, "HERE", strings.TrimSpace(schema))
	for _, statement := range append([]string{"GRANT USAGE ON SCHEMA HERE TO ROLE"}, args...) {
		w.exec(names.Replace(statement))
	}
	ts.Setenv("GORMCRYPT_DATABASE", where.DSN)
}
