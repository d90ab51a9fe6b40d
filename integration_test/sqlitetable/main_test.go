// Package sqlitetable_test adds and removes CHECK constraints in SQLite databases,
// with both engines, with and without a write-ahead log.
package sqlitetable_test

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// constraint and condition are those of most tests: no value is 'bad'.
const (
	constraint = "gormcrypt_encrypted_0123456789abcdef"
	condition  = "c IS NULL OR c <> 'bad'"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		fmt.Fprintln(os.Stderr, changeAsChild(text))
		os.Exit(1)
	}
	testdb.Main(m)
}

// each runs a test with and without a write-ahead log.
func each(t *testing.T, test func(t *testing.T, where testdb.Database)) {
	t.Helper()
	for name, mode := range map[string]string{"log ahead": "WAL", "rollback journal": "DELETE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, with(testdb.SQLite(t), "WAL", mode))
		})
	}
}

// with changes a setting of a database's DSN.
func with(where testdb.Database, from, to string) testdb.Database {
	path, settings, _ := strings.Cut(where.DSN, "?")
	where.DSN = path + "?" + strings.Replace(settings, from, to, 1)
	return where
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func add(t testing.TB, db *sql.DB, table string) {
	t.Helper()
	if err := sqlitetable.AddCheck(t.Context(), db, table, constraint, condition); err != nil {
		t.Errorf("%s: %v", table, err)
	}
}

func drop(t testing.TB, db *sql.DB, table string) {
	t.Helper()
	if err := sqlitetable.DropCheck(t.Context(), db, table, constraint); err != nil {
		t.Errorf("%s: %v", table, err)
	}
}

func wantCheck(t testing.TB, db *sql.DB, table string, want bool) {
	t.Helper()
	has, err := sqlitetable.HasCheck(t.Context(), db, table, constraint)
	if err != nil || has != want {
		t.Errorf("%s has the constraint: %t: %v", table, has, err)
	}
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// texts returns the first column of a query.
func texts(t testing.TB, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// snapshot returns all that a database holds: what SQLite keeps of its schema, with
// the pages where tables begin, and each row with its rowid and the types and bytes
// of its values.
func snapshot(t testing.TB, db *sql.DB) []string {
	t.Helper()
	all := append(texts(t, db, "PRAGMA integrity_check"),
		texts(t, db, "SELECT json_array(type, name, tbl_name, rootpage, sql) FROM sqlite_master ORDER BY rowid")...)
	for _, table := range texts(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name") {
		columns := texts(t, db, "SELECT name FROM pragma_table_xinfo(?) ORDER BY cid", table)
		expressions := make([]string, len(columns))
		for i, column := range columns {
			c := quote(column)
			expressions[i] = fmt.Sprintf("typeof(%s) || ' ' || CASE WHEN typeof(%s) IN ('text', 'blob') THEN hex(%s) ELSE quote(%s) END", c, c, c, c)
		}
		query := "SELECT json_array(%s" + strings.Join(expressions, ", ") + ") FROM " + quote(table)
		if texts(t, db, "SELECT wr FROM pragma_table_list(?)", table)[0] == "1" {
			query = fmt.Sprintf(query, "")
		} else {
			query = fmt.Sprintf(query, "_rowid_, ")
		}
		for _, row := range texts(t, db, query) {
			all = append(all, table+" "+row)
		}
	}
	return all
}
