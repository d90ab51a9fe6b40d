package owntables

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// dialect is what the databases say differently.
type dialect struct {
	options *sql.TxOptions
	// lock is what a transaction begins with, so that there is one at a time.
	lock []string
	// has is a query for the number of tables of a name.
	has func(name string) string
	// lacksRights reports whether an error is one that another role would not get.
	lacksRights func(err error) bool
	// lockTable is a statement after which nobody else reads or writes a table until
	// the end of the transaction, empty if the lock is enough.
	lockTable func(name string) string
}

var dialects = map[string]dialect{
	"postgres": {
		// In READ COMMITTED, whatever the default is: a transaction that waited for the
		// lock has to see what the one before it has written.
		options: &sql.TxOptions{Isolation: sql.LevelReadCommitted},
		lock: []string{
			// The number is "gormcryp" in ASCII, which no other program will take.
			"SELECT pg_advisory_xact_lock(7453301722466908528)",
			// If the tables are there, but not in the first schema of the search path,
			// they are changed where they are, and new ones stand beside them.
			`SELECT set_config('search_path', quote_ident(nspname), true) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = coalesce(to_regclass('` + schemaTable + `'), to_regclass('` + ledgerTable + `'))`,
		},
		has: func(name string) string {
			return "SELECT count(*) FROM pg_class WHERE oid = to_regclass('" + name + "')"
		},
		lacksRights: func(err error) bool {
			var state interface{ SQLState() string }
			// No privilege, no schema to create in, and a transaction that may only read.
			return errors.As(err, &state) && slices.Contains([]string{"42501", "3F000", "25006"}, state.SQLState())
		},
		lockTable: func(name string) string { return "LOCK TABLE " + name + " IN ACCESS EXCLUSIVE MODE" },
	},
	"sqlite": {
		// A transaction that has read cannot write any more when another one has written
		// since. So the first statement is one that writes, whatever is there.
		lock: []string{"CREATE TABLE gormcrypt_lock (n integer)", "DROP TABLE gormcrypt_lock"},
		has: func(name string) string {
			return "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '" + name + "'"
		},
		lacksRights: func(err error) bool { return strings.Contains(err.Error(), "readonly database") },
	},
}

func dialectOf(name string) (dialect, error) {
	d, ok := dialects[name]
	if !ok {
		return dialect{}, fmt.Errorf("gormcrypt: its own tables can be in SQLite and PostgreSQL, not in %s", name)
	}
	return d, nil
}
