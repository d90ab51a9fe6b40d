package sqlitetable_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// Rows that violate the constraint are counted, and nothing is changed.
func TestViolated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t VALUES ('a'), ('bad'), (NULL), ('bad'), (5)")
		before := snapshot(t, db)
		err := sqlitetable.AddCheck(t.Context(), db, "t", constraint, condition)
		if !errors.Is(err, sqlitetable.ErrViolated) || !strings.HasPrefix(err.Error(), "gormcrypt: ") || !strings.Contains(err.Error(), " 2 rows ") {
			t.Error(err)
		}
		if d := cmp.Diff(before, snapshot(t, db)); d != "" {
			t.Errorf("(-before +after)\n%s", d)
		}
		execute(t, db, "DELETE FROM t WHERE c = 'bad'")
		add(t, db, "t")
	})
}

// What cannot have the constraint is refused, and nothing is changed.
func TestRefused(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, "CREATE TABLE t (c INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE VIEW v AS SELECT * FROM t",
		"CREATE VIRTUAL TABLE r USING rtree(id, a, b)", "CREATE TABLE named (c CONSTRAINT "+constraint+" NOT NULL)")
	before := snapshot(t, db)
	for table, says := range map[string]string{
		"gone": "no such table", "main.gone": "no such table", "other.t": "no such table", "": "no such table",
		"v": "(view)", "r": "(virtual)", "r_node": "(shadow)", "sqlite_sequence": "ordinary", "sqlite_schema": "ordinary", "named": "of its own",
	} {
		_, err := sqlitetable.HasCheck(t.Context(), db, table, constraint)
		for _, err := range []error{err, sqlitetable.AddCheck(t.Context(), db, table, constraint, condition), sqlitetable.DropCheck(t.Context(), db, table, constraint)} {
			if err == nil || !strings.HasPrefix(err.Error(), "gormcrypt: ") || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v", table, err)
			}
		}
	}
	for _, bad := range []string{"", "c >", "d > 0", "c > ?", "c > 0 -- x", "count(c) > 0", "(SELECT 1)", "1), CHECK (2"} {
		if err := sqlitetable.AddCheck(t.Context(), db, "t", constraint, bad); err == nil {
			t.Errorf("the condition %q is taken", bad)
		}
	}
	if d := cmp.Diff(before, snapshot(t, db)); d != "" {
		t.Errorf("(-before +after)\n%s", d)
	}
	wantSettings(t, db)
}

// A disk that is full leaves the table as it was.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		db.SetMaxOpenConns(1)
		execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t VALUES ('a')")
		before := snapshot(t, db)
		execute(t, db, "PRAGMA max_page_count = 2")
		long := condition + " OR c <> '" + strings.Repeat("x", 20000) + "'"
		if err := sqlitetable.AddCheck(t.Context(), db, "t", constraint, long); err == nil || !strings.Contains(err.Error(), "full") {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, snapshot(t, db)); d != "" {
			t.Errorf("(-before +after)\n%s", d)
		}
		wantSettings(t, db)
		execute(t, db, "PRAGMA max_page_count = 1000000")
		if err := sqlitetable.AddCheck(t.Context(), db, "t", constraint, long); err != nil {
			t.Fatal(err)
		}
		drop(t, db, "t")
		if d := cmp.Diff(before[1:], snapshot(t, db)[1:]); d != "" {
			t.Errorf("(-before +after)\n%s", d)
		}
	})
}

// A context that is over leaves the table as it was, at once.
func TestCancelled(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n")
	before := snapshot(t, db)
	const slow = "length(hex(zeroblob(1000000 + c))) > 0" // for each row
	for _, patience := range []time.Duration{0, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		began := time.Now()
		err := sqlitetable.AddCheck(ctx, db, "t", constraint, slow)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		wantSettings(t, db)
	}
	if d := cmp.Diff(before, snapshot(t, db)); d != "" {
		t.Errorf("(-before +after)\n%s", d)
	}
}
