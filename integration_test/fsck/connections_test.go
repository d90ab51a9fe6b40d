package fsck_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// A pool with one connection is enough, as that of a database in memory has; and all
// connections are given back.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, &shared{})
		exec(t, where, "INSERT INTO shareds (id, other) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15000) SELECT i, 'SECRET' FROM n")
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		for _, config := range []fsck.Config{{Workers: 3}, {Workers: 1, Sample: 0.9}, {Workers: 3, Sample: 0.9}} {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			report, err := fsck.Check(ctx, db, config)
			cancel()
			if n := report.Totals[fsck.Plaintext]; err != nil || n < 10_000 || report.Columns[1].Column != "other" || n != report.Columns[1].Rows {
				t.Errorf("%+v: %v, %+v", config, err, report.Columns)
			}
			if busy := pool.Stats().InUse; busy > 0 {
				t.Fatalf("%d connections were not given back", busy)
			}
		}
	})
}

// A check ends soon after it is cancelled, however long its values take.
func TestCancelledBetweenSlowTerms(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, &guessed{})
		if err := db.Create(&guessed{ID: 1, PIN: "SECRET"}).Error; err != nil {
			t.Fatal(err)
		}
		exec(t, where, "INSERT INTO guesseds (id, pin, pin_index) WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 250) SELECT i, pin, pin_index FROM n, guesseds")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(200*time.Millisecond, cancel)
		report, err := fsck.Check(ctx, db, fsck.Config{SlowTerms: true, Workers: 1})
		if !errors.Is(err, context.Canceled) || report.Columns[0].Rows >= 200 {
			t.Errorf("%v, after %d of 250 rows", err, report.Columns[0].Rows)
		}
	})
}
