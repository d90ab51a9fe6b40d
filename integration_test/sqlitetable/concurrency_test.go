package sqlitetable_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// Programs that read and write meanwhile, with statements that they prepared before,
// see no error but the constraint's own, and lose no write.
func TestInUse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		const rows, workers, rounds = 20000, 4, 20
		db := where.Plain(t)
		execute(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, n INT NOT NULL DEFAULT 0)", "CREATE INDEX i ON t (c)",
			fmt.Sprintf("INSERT INTO t (id, c) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) SELECT i, 'c' || i FROM n", rows))
		prepare := func(query string) *sql.Stmt {
			prepared, err := db.Prepare(query)
			if err != nil {
				t.Fatal(err)
			}
			return prepared
		}
		update, insert := prepare("UPDATE t SET n = n + 1, c = ? WHERE id = ?"), prepare("INSERT INTO t (c) VALUES (?)")
		bad := prepare("UPDATE t SET c = 'bad' WHERE id = ?")
		count, point := prepare("SELECT count(*) FROM t WHERE c <> 'bad'"), prepare("SELECT c FROM t WHERE id = ?")

		var updated, inserted, read, refused, accepted atomic.Int64
		write := func() error {
			id := rand.IntN(rows) + 1
			if _, err := update.Exec(fmt.Sprintf("u%d", id), id); err != nil {
				return err
			}
			updated.Add(1)
			if _, err := insert.Exec("new"); err != nil {
				return err
			}
			inserted.Add(1)
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			switch _, err := tx.Stmt(bad).Exec(id); {
			case err == nil:
				accepted.Add(1)
			case strings.Contains(err.Error(), "CHECK constraint failed: "+constraint):
				refused.Add(1)
			default:
				return err
			}
			return nil
		}
		look := func() error {
			var n int
			if err := count.QueryRow().Scan(&n); err != nil {
				return err
			}
			if n < rows {
				return fmt.Errorf("only %d rows are there", n)
			}
			var c string
			read.Add(1)
			return point.QueryRow(rand.IntN(rows) + 1).Scan(&c)
		}
		stop := make(chan struct{})
		var group sync.WaitGroup
		end := sync.OnceFunc(func() { close(stop); group.Wait() })
		defer end()
		for range workers {
			for what, work := range map[string]func() error{"a write": write, "a read": look} {
				group.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond):
						}
						if err := work(); err != nil {
							t.Errorf("%s: %v", what, err)
							return
						}
					}
				})
			}
		}
		began, longest := time.Now(), time.Duration(0)
		for range rounds {
			for _, change := range []func(testing.TB, *sql.DB, string){add, drop} {
				start := time.Now()
				change(t, db, "t")
				longest = max(longest, time.Since(start))
				time.Sleep(20 * time.Millisecond)
			}
		}
		end()
		t.Logf("in %v: %d rows were updated, %d inserted, %d queries, violations refused %d times and accepted %d times; a change took up to %v",
			time.Since(began), updated.Load(), inserted.Load(), read.Load(), refused.Load(), accepted.Load(), longest)
		if refused.Load() == 0 || accepted.Load() == 0 {
			t.Error("the constraint was never there, or always")
		}
		want := []string{"ok", fmt.Sprint(rows + inserted.Load()), fmt.Sprint(updated.Load()), "0"}
		got := append(texts(t, db, "PRAGMA integrity_check"), texts(t, db, "SELECT count(*) FROM t UNION ALL SELECT sum(n) FROM t UNION ALL SELECT count(*) FROM t WHERE c = 'bad'")...)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A connection that is open already, and a statement that it has prepared, know of
// the constraint from the moment on when it is there.
func TestOthersSeeItAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db, other := where.Plain(t), where.Plain(t)
		other.SetMaxOpenConns(1)
		execute(t, db, "CREATE TABLE t (c)")
		insert, err := other.Prepare("INSERT INTO t VALUES ('bad')")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			execute(t, other, "SELECT * FROM t")
			add(t, db, "t")
			if _, err := insert.Exec(); err == nil {
				t.Error("the constraint is not checked")
			}
			drop(t, db, "t")
			if _, err := insert.Exec(); err != nil {
				t.Error(err)
			}
			execute(t, other, "DELETE FROM t")
		}
	})
}

// Nobody writes between the count of the rows and the constraint.
func TestNobodyWritesMeanwhile(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db, other := where.Plain(t), with(where, "10000", "0").Plain(t)
		execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30) SELECT i FROM n")
		before, locked := texts(t, other, "PRAGMA schema_version")[0], time.Time{}
		added := make(chan error, 1)
		go func() {
			added <- sqlitetable.AddCheck(t.Context(), db, "t", constraint, "length(hex(zeroblob(2000000 + c))) > 0")
		}()
		for {
			select {
			case err := <-added:
				if err != nil || locked.IsZero() {
					t.Errorf("a writer was kept out: %t: %v", !locked.IsZero(), err)
				}
				return
			default:
			}
			_, err := other.Exec("INSERT INTO t VALUES (1)")
			switch {
			case err != nil && locked.IsZero():
				locked = time.Now()
			case err == nil && !locked.IsZero() && texts(t, other, "PRAGMA schema_version")[0] == before:
				t.Errorf("a row was written %v after the lock was taken", time.Since(locked))
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Those who add or remove the same constraint at once do not disturb each other.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		execute(t, db, "CREATE TABLE t (c)")
		before := snapshot(t, db)
		for range 5 {
			for _, change := range []func(testing.TB, *sql.DB, string){add, drop} {
				var group sync.WaitGroup
				for range 6 {
					pool := where.Plain(t)
					group.Go(func() {
						if err := pool.PingContext(t.Context()); err != nil {
							t.Error(err)
						}
						change(t, pool, "t")
					})
				}
				group.Wait()
			}
			if d := cmp.Diff(before, snapshot(t, db)); d != "" {
				t.Fatalf("(-before +after)\n%s", d)
			}
		}
	})
}
