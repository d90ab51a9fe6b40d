package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// silentWire opens a database over a wire that looks for SECRET and records.
func silentWire(t *testing.T, where testdb.Database) (*gormcrypttest.Wire, *sql.DB) {
	t.Helper()
	wire := gormcrypttest.NewSilentWire(t)
	wire.Secret("SECRET")
	return wire, wire.Open(where.Driver(), where.DSN)
}

// What a real driver answers is the same over the wire as without it.
func TestWireChangesNothing(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, wired := silentWire(t, where)
		if bare, got := answers(t, where.Plain(t)), answers(t, wired); !slices.Equal(bare, got) {
			t.Errorf("over the wire:\n%s\nwithout it:\n%s", strings.Join(got, "\n"), strings.Join(bare, "\n"))
		}
	})
}

// answers are what a database says to various statements.
func answers(t *testing.T, db *sql.DB) []string {
	t.Helper()
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	exec := func(statement string, args ...any) {
		t.Helper()
		result, err := db.Exec(statement, args...)
		if err != nil {
			say("%s: %v", statement, err)
			return
		}
		n, err := result.RowsAffected()
		say("%s: %d, %v", statement, n, err)
	}
	exec("DROP TABLE IF EXISTS answers")
	exec("CREATE TABLE answers (id integer PRIMARY KEY, t varchar(20) NOT NULL, n numeric(9,2), r real, at timestamp, b text)")
	moment := time.Date(2026, 11, 21, 12, 30, 0, 123456000, time.UTC)
	for _, args := range [][]any{
		{1, "text", "12.50", 1.5, moment, "b"}, {2, []byte("bytes"), nil, float32(2), &moment, sql.NullString{}},
		{int8(3), sql.NullString{String: "null", Valid: true}, 7, nil, sql.NullTime{}, new("pointer")},
		{3, "twice", nil, nil, nil, nil}, {4, nil, nil, nil, nil, nil}, {5, struct{}{}, nil, nil, nil, nil}, {6, "too few"},
	} {
		exec("INSERT INTO answers VALUES ($1, $2, $3, $4, $5, $6)", args...)
	}
	exec("no statement")
	for _, prepare := range []bool{false, true} {
		rows, err := db.Query("SELECT * FROM answers WHERE id < $1 ORDER BY id", 10)
		if prepare {
			stmt, prepareErr := db.Prepare("SELECT * FROM answers WHERE id < $1 ORDER BY id")
			if prepareErr != nil {
				t.Fatal(prepareErr)
			}
			defer stmt.Close()
			rows, err = stmt.Query(10)
		}
		if err != nil {
			t.Fatal(err)
		}
		types, err := rows.ColumnTypes()
		say("types: %v", err)
		for _, column := range types {
			length, hasLength := column.Length()
			nullable, hasNullable := column.Nullable()
			precision, scale, ok := column.DecimalSize()
			say("%s %s %v %d %t %t %t %d %d %t", column.Name(), column.DatabaseTypeName(), column.ScanType(), length, hasLength, nullable, hasNullable, precision, scale, ok)
		}
		for rows.Next() {
			row := make([]any, len(types))
			into := make([]any, len(types))
			for i := range row {
				into[i] = &row[i]
			}
			err := rows.Scan(into...)
			say("%#v %v", row, err)
		}
		say("rows: %v, %t, %v", rows.Err(), rows.NextResultSet(), rows.Close())
	}
	cancelled, cancel := context.WithCancel(context.Background())
	tx, err := db.BeginTx(cancelled, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
	say("begin: %v", err)
	if tx != nil {
		_, err := tx.Exec("INSERT INTO answers VALUES (8, 'x', NULL, NULL, NULL, NULL)")
		say("write in a transaction for reading: %v", err)
	}
	cancel()
	_, err = db.ExecContext(cancelled, "SELECT 1")
	say("too late: %v", err)
	return said
}

func TestWireFindsSecretsOnTheWay(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		wire, db := silentWire(t, where)
		if _, err := db.Exec("CREATE TABLE notes (id integer, text text UNIQUE)"); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			run  func() error
			want string
		}{
			"text":     {func() error { _, err := db.Exec("INSERT INTO notes VALUES (1, 'a SECRET')"); return err }, "the SQL text"},
			"comment":  {func() error { _, err := db.Exec("SELECT 1 -- a SECRET"); return err }, "the SQL text"},
			"argument": {func() error { _, err := db.Exec("INSERT INTO notes VALUES (2, $1)", "2 SECRET"); return err }, "argument 1"},
			"bytes":    {func() error { _, err := db.Exec("INSERT INTO notes VALUES (2, $1)", []byte("3 SECRET")); return err }, "argument 1"},
			"a Valuer": {func() error { _, err := db.Exec("INSERT INTO notes VALUES ($1, $2)", 3, new("4 SECRET")); return err }, "argument 2"},
			"result": {func() error {
				return db.QueryRow("SELECT 1 AS id, 'SEC' || 'RET' AS joined").Scan(new(int), new(string))
			}, "column joined"},
			"as bytes":  {func() error { return db.QueryRow("SELECT CAST('SEC' || 'RET' AS blob) AS b").Scan(new([]byte)) }, "column b"},
			"prepared":  {func() error { return prepared(db, "INSERT INTO notes VALUES (4, $1)", "5 SECRET") }, "argument 1"},
			"preparing": {func() error { return prepared(db, "INSERT INTO notes VALUES (5, '6 SECRET')") }, "the SQL text"},
			"in a transaction": {func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				defer tx.Rollback()
				_, err = tx.Exec("INSERT INTO notes VALUES (6, $1)", "7 SECRET")
				return err
			}, "argument 1"},
			"sealed": {func() error {
				_, err := db.Exec("INSERT INTO notes VALUES (7, $1)", "gc1:1:")
				return err
			}, ""},
		} {
			if name == "as bytes" && where.Name == "postgres" {
				continue
			}
			before := len(wire.Leaks())
			if err := c.run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			leaks := wire.Leaks()[before:]
			if c.want == "" && len(leaks) == 0 {
				continue
			}
			if len(leaks) != 1 || leaks[0].Where != c.want {
				t.Errorf("%s: leaks %v, want one in %s", name, leaks, c.want)
			}
		}
	})
}

func prepared(db *sql.DB, statement string, args ...any) error {
	stmt, err := db.Prepare(statement)
	if err != nil {
		return err
	}
	defer stmt.Close()
	_, err = stmt.Exec(args...)
	return err
}

// pgx is handed values that database/sql has not converted, and its errors have
// details that they do not say.
func TestWireOverPgx(t *testing.T) {
	t.Parallel()
	wire, db := silentWire(t, testdb.Postgres(t))
	for name, c := range map[string]struct {
		query string
		arg   any
		want  string
	}{
		"array":           {"SELECT cardinality($1::text[])::text", []string{"x", "a SECRET"}, "argument 1"},
		"map":             {"SELECT jsonb_typeof($1::jsonb)", map[string]any{"k": []any{"SECRET"}}, "argument 1"},
		"struct":          {"SELECT jsonb_typeof($1::jsonb)", struct{ K string }{"SECRET"}, "argument 1"},
		"pgtype":          {"SELECT length($1::text)::text", pgtype.Text{String: "SECRET", Valid: true}, "argument 1"},
		"named":           {"SELECT length(@a::text)::text", pgx.NamedArgs{"a": "SECRET"}, "argument 1"},
		"array in result": {"SELECT ARRAY['x', 'SEC' || $1]", "RET", "column array"},
		"jsonb in result": {"SELECT jsonb_build_object('k', 'SEC' || $1::text) AS j", "RET", "column j"},
		"bytea in result": {"SELECT convert_to('SEC' || $1, 'UTF8') AS b", "RET", "column b"},
		"bytea as text":   {"SELECT convert_to('SEC' || $1, 'UTF8')::text AS b", "RET", "column b"},
		"base64":          {"SELECT encode(convert_to('xSEC' || $1, 'UTF8'), 'base64') AS b", "RETy", "column b"},
	} {
		before := len(wire.Leaks())
		var answer any
		if err := db.QueryRow(c.query, c.arg).Scan(&answer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		leaks := wire.Leaks()[before:]
		if len(leaks) != 1 || leaks[0].Where != c.want {
			t.Errorf("%s: leaks %v, want %q", name, leaks, c.want)
		}
	}

	if _, err := db.Exec("CREATE TABLE u (a text CHECK (a <> 'x')); CREATE FUNCTION f(s text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO u VALUES ('x'); RETURN s; EXCEPTION WHEN check_violation THEN RAISE EXCEPTION 'refused' USING DETAIL = 'SEC' || s; END $$"); err != nil {
		t.Fatal(err)
	}
	before := len(wire.Leaks())
	_, err := db.Exec("SELECT f($1)", "RET")
	if leaks := wire.Leaks()[before:]; err == nil || strings.Contains(err.Error(), "SECRET") || len(leaks) != 1 || leaks[0].Where != "the error" {
		t.Errorf("error %v, leaks %v, want one in the error", err, leaks)
	}

	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(conn any) error {
		inner, ok := conn.(interface{ Unwrap() driver.Conn }).Unwrap().(*stdlib.Conn)
		if !ok || inner.Conn().PgConn().PID() == 0 {
			t.Errorf("%T has not the connection of pgx", conn)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, ok := db.Driver().(*stdlib.Driver); !ok {
		t.Errorf("the driver is %T", db.Driver())
	}
}

// The columns of each kind, and the files: past everything.
func TestSealedAtRest(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &everything{}, &letter{})
		if err := db.AutoMigrate(&plainNote{}); err != nil {
			t.Fatal(err)
		}
		written := rows()
		written[0].String = "SECRET at rest"
		written[0].Bytes, written[0].Binary = []byte("SECRET bytes"), []byte("SECRET binary")
		if err := db.Create(&written).Error; err != nil {
			t.Fatal(err)
		}
		createLetters(t, db)
		gormcrypttest.AssertSealed(t, db.DB, &everything{})
		gormcrypttest.AssertSealed(t, db.DB, &letter{}, "Email", "Binary", "Payout")
		if err := db.Create(&plainNote{Text: "not a secret, and found"}).Error; err != nil {
			t.Fatal(err)
		}

		path := where.Path
		if where.Name == "postgres" {
			if err := db.plain.QueryRow("SHOW data_directory").Scan(&path); err != nil {
				t.Fatal(err)
			}
			if _, err := os.ReadDir(path); err != nil {
				t.Skip("the server's files are not ours to read: ", err)
			}
		}
		gormcrypttest.ScanFiles(t, path, "SECRET at rest", "SECRET bytes", "SECRET binary", "SECRET iban")
		found := &failures{TB: t}
		gormcrypttest.ScanFiles(found, path, "not a secret, and found")
		if len(found.messages) == 0 {
			t.Error("the search does not even find what is not encrypted")
		}

		db.execute(t, `UPDATE letters SET "binary" = ?, email = ? WHERE id = 2`, []byte(planted), planted)
		found = &failures{TB: t}
		gormcrypttest.AssertSealed(found, db.DB, &letter{})
		if len(found.messages) != 2 || !strings.Contains(found.messages[0], "letters.email: the row id=2") || !strings.Contains(found.messages[1], "letters.binary: the row id=2") {
			t.Errorf("failures %q, want one for each column", found.messages)
		}
	})
}

type plainNote struct {
	ID   uint
	Text string
}

// failures collects how a test would fail.
type failures struct {
	testing.TB
	messages []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
}
