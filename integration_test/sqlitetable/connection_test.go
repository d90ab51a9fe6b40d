package sqlitetable_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// wantSettings wants that the only connection of a pool is as it was opened.
func wantSettings(t *testing.T, db *sql.DB) {
	t.Helper()
	for setting, want := range map[string]string{"busy_timeout": "10000", "foreign_keys": "1", "legacy_alter_table": "0", "writable_schema": "0"} {
		if got := texts(t, db, "PRAGMA "+setting); cmp.Diff(got, []string{want}) != "" {
			t.Errorf("%s is %v, was %s", setting, got, want)
		}
	}
	execute(t, db, "BEGIN IMMEDIATE; ROLLBACK") // nothing is open
}

// The settings of a connection are its owner's, and a prepared statement of it goes
// on, in a database in memory too, which is gone with its connection.
func TestSettingsAreKept(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	for _, dsn := range []string{where.DSN, strings.Replace(where.DSN, where.Path, ":memory:", 1)} {
		db, err := sql.Open(where.Driver(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		execute(t, db, "CREATE TABLE t (c)")
		insert, err := db.Prepare("INSERT INTO t VALUES (?)")
		if err != nil {
			t.Fatal(err)
		}
		defer insert.Close()
		for range 2 {
			add(t, db, "t")
			if _, err := insert.Exec("bad"); err == nil {
				t.Error("a statement that was prepared before does not check the constraint")
			}
			drop(t, db, "t")
			if _, err := insert.Exec("bad"); err != nil {
				t.Error(err)
			}
			wantSettings(t, db)
			execute(t, db, "DELETE FROM t")
		}
		execute(t, db, "PRAGMA busy_timeout = 123", "PRAGMA foreign_keys = OFF", "PRAGMA writable_schema = ON", "PRAGMA legacy_alter_table = ON")
		add(t, db, "t")
		for setting, want := range map[string]string{"busy_timeout": "123", "foreign_keys": "0", "legacy_alter_table": "1", "writable_schema": "1"} {
			if got := texts(t, db, "PRAGMA "+setting); cmp.Diff(got, []string{want}) != "" {
				t.Errorf("%s is %v, was %s", setting, got, want)
			}
		}
	}
}

// hold keeps a lock on a database until it is called.
func hold(t *testing.T, where testdb.Database, statements ...string) (release func()) {
	t.Helper()
	db := where.Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, statements...)
	return func() { db.Close() }
}

// While another holds the lock to write, it waits, and says so after a while.
func TestWaitsForWriters(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := with(where, "10000", "1").Plain(t)
		db.SetMaxOpenConns(1)
		execute(t, db, "CREATE TABLE t (c)")
		release := hold(t, where, "BEGIN IMMEDIATE")
		time.AfterFunc(3*time.Second, release)
		add(t, db, "t")

		defer hold(t, where, "BEGIN IMMEDIATE")()
		began := time.Now()
		err := sqlitetable.DropCheck(t.Context(), db, "t", constraint)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "database is locked") || took < 9*time.Second || took > 15*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		err = sqlitetable.DropCheck(ctx, db, "t", constraint)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 4*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		wantCheck(t, db, "t", true)
	})
}

// Without a write-ahead log, one that reads for long is waited for. What was taken
// back meanwhile, the connection forgets, even if another changes the schema.
func TestWaitsForReaders(t *testing.T) {
	t.Parallel()
	where := with(testdb.SQLite(t), "WAL", "DELETE")
	db := where.Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t VALUES ('a')")
	release := hold(t, where, "BEGIN", "SELECT * FROM t")
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := sqlitetable.AddCheck(ctx, db, "t", constraint, condition); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	release()
	execute(t, where.Plain(t), "CREATE TABLE another (c)")
	execute(t, db, "INSERT INTO t VALUES ('bad')", "DELETE FROM t", "INSERT INTO another VALUES (1)")

	time.AfterFunc(3*time.Second, hold(t, where, "BEGIN", "SELECT * FROM another"))
	add(t, db, "t")
	wantCheck(t, db, "t", true)
	wantSettings(t, db)
}

// A million rows are checked within a moment.
func TestAMillionRows(t *testing.T) {
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		execute(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, d BLOB)",
			"INSERT INTO t (c, d) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT 'gc1:7:' || hex(randomblob(20)), randomblob(20) FROM n")
		measure := func(what string, change func() error) {
			began := time.Now()
			if err := change(); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			t.Logf("%s took %v", what, took)
			if took > 5*time.Second {
				t.Errorf("%s took %v", what, took)
			}
		}
		measure("adding", func() error {
			return sqlitetable.AddCheck(t.Context(), db, "t", constraint, "c IS NULL OR substr(c, 1, 4) = 'gc1:'")
		})
		measure("removing", func() error { return sqlitetable.DropCheck(t.Context(), db, "t", constraint) })
	})
}
