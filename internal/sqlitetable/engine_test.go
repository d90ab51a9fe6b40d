//go:build cgo

package sqlitetable

import (
	"database/sql"
	"strings"
	"testing"

	"gorm.io/driver/sqlite"
)

// FuzzEditAsSQLiteReads: what SQLite understands it also understands after the edit,
// and then it has the constraint: it is no part of a comment, a name or a string.
func FuzzEditAsSQLiteReads(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, ";\x00") { // one statement
			return
		}
		if d, err := read(text); err != nil || len(d.list) == 0 {
			return
		}
		stored, has, err := create(t, text)
		if err != nil || has {
			return
		}
		d, err := read(stored)
		if err != nil {
			t.Fatalf("SQLite made %q of %q: %v", stored, text, err)
		}
		if _, err := d.has(name); err != nil {
			return // it is something else
		}
		edited, err := d.with(name, "0")
		if err != nil {
			t.Fatalf("%q: %v", stored, err)
		}
		again, has, err := create(t, edited)
		if err != nil || again != edited || !has {
			t.Fatalf("%q became %q, which SQLite keeps as %q, with the constraint: %t: %v", stored, edited, again, has, err)
		}
	})
}

// create returns a CREATE TABLE text as an empty database keeps it, and whether rows
// of the table are subject to the constraint.
func create(t *testing.T, text string) (stored string, has bool, err error) {
	t.Helper()
	db, err := sql.Open(sqlite.DriverName, ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(text); err != nil {
		return "", false, err
	}
	var table string
	if err := db.QueryRow("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'").Scan(&table, &stored); err != nil {
		return "", false, err
	}
	// A program that inserts names the constraints that it tests.
	rows, err := db.Query("EXPLAIN INSERT INTO " + quote(table) + " DEFAULT VALUES")
	if err != nil {
		return "", false, err
	}
	defer rows.Close()
	for rows.Next() {
		var p4 sql.NullString
		var other any
		if err := rows.Scan(&other, &other, &other, &other, &other, &p4, &other, &other); err != nil {
			t.Fatal(err)
		}
		has = has || strings.EqualFold(p4.String, name)
	}
	return stored, has, rows.Err()
}

// An edit that SQLite reads as more than a constraint is taken back.
func TestRedefineChangesNothingElse(t *testing.T) {
	t.Parallel()
	db, err := sql.Open(sqlite.DriverName, ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	const before = "CREATE TABLE t (a INT, b TEXT REFERENCES t, UNIQUE (a))"
	if _, err := db.Exec(before); err != nil {
		t.Fatal(err)
	}
	for _, edited := range []string{
		"CREATE TABLE t (a INT, b TEXT REFERENCES t, c, UNIQUE (a))", "CREATE TABLE t (b TEXT REFERENCES t, UNIQUE (a))",
		"CREATE TABLE t (a TEXT, b TEXT REFERENCES t, UNIQUE (a))", "CREATE TABLE t (a INT, b TEXT, UNIQUE (a))",
		"CREATE TABLE t (a INT, b TEXT REFERENCES t)", "CREATE TABLE t (a INT, b TEXT REFERENCES t, UNIQUE (a)) STRICT", "CREATE TABLE t (a",
	} {
		err := connect(t.Context(), db, func(conn *connection) error {
			return conn.transaction("BEGIN IMMEDIATE", func() error {
				table, err := conn.describe("t")
				if err != nil {
					return err
				}
				return conn.redefine(table, edited, "")
			})
		})
		var after string
		if e := db.QueryRow("SELECT sql FROM sqlite_master WHERE name = 't'").Scan(&after); err == nil || e != nil || after != before {
			t.Errorf("%s: %v; it is now %s: %v", edited, err, after, e)
		}
	}
}
