package cli_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

const worldKey = "world"

// world is the database and the directory of a script.
type world struct {
	testing.TB
	where testdb.Database
	pool  *sql.DB
	dir   string
	// command is the path of gormcrypt.
	command string
	// started is what start has started.
	started *started
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey).(*world) }

func (w *world) exec(statements ...string) {
	w.Helper()
	for _, statement := range statements {
		if _, err := w.pool.ExecContext(context.Background(), statement); err != nil {
			w.Fatalf("%s: %v", statement, err)
		}
	}
}

// sql STATEMENT... runs statements in the database, past the plugin. The rows that the
// last one returns are what it prints, their columns separated by blanks.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	for i, statement := range args {
		if i < len(args)-1 {
			_, err := w.pool.ExecContext(context.Background(), statement)
			ts.Check(err)
			continue
		}
		lines, err := w.query(statement)
		if neg != (err != nil) {
			ts.Fatalf("%s: %v", statement, err)
		}
		fmt.Fprint(ts.Stdout(), lines)
	}
}

// query returns the rows of a statement as text.
func (w *world) query(statement string) (string, error) {
	rows, err := w.pool.QueryContext(context.Background(), statement)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return "", err
		}
		texts := make([]string, len(values))
		for i, v := range values {
			if texts[i] = v.String; !v.Valid {
				texts[i] = "NULL"
			}
		}
		fmt.Fprintln(&b, strings.Join(texts, " "))
	}
	return b.String(), rows.Err()
}
