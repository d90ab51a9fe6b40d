package backfill

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"
)

// Guard refuses values of a column that are under a key version, whoever writes
// them.
type Guard struct {
	Table, Column string
	// Version is that of the key, and Prefix what values under it start with.
	Version, Prefix string
}

// Name is the name of the guard in the database: of the constraint in PostgreSQL;
// in SQLite two triggers have it, with "_insert" and "_update" behind. It is short
// enough for every database, whatever the names of the table and the column are.
func (g Guard) Name() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q.%q", g.Table, g.Column))
	return fmt.Sprintf("gormcrypt_retired_%s_%x", g.Version, sum[:8])
}

// eachTable cuts guards, which come by table, into those of each.
func eachTable(guards []Guard) [][]Guard {
	var all [][]Guard
	for i, guard := range guards {
		if i == 0 || guards[i-1].Table != guard.Table {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], guard)
	}
	return all
}

// Refused returns how many values there are that each guard refuses, by counting
// all rows. Guards come by table.
func (c *Counter) Refused(ctx context.Context, guards []Guard) ([]int64, error) {
	var counts []int64
	err := c.whole(ctx, c.pool, func(on querier) error {
		var err error
		counts, err = refused(ctx, on, c.dialect, guards)
		return err
	})
	return counts, err
}

func refused(ctx context.Context, on querier, d dialect, guards []Guard) ([]int64, error) {
	var counts []int64
	for _, guards := range eachTable(guards) {
		columns := list(guards, func(_ int, g Guard) string {
			return "count(CASE WHEN " + d.startsWith("t."+quote(g.Column), g.Prefix) + " THEN 1 END)"
		})
		err := scan(ctx, on, "SELECT "+columns+" FROM "+quoteTable(guards[0].Table)+" AS t", nil, len(guards), func(values []any) error {
			for _, value := range values {
				n, _ := value.(int64)
				counts = append(counts, n)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("counting the values of %s: %w", guards[0].Table, err)
		}
	}
	return counts, nil
}

// Standing returns the guards that are in the database.
func (c *Counter) Standing(ctx context.Context, guards []Guard) ([]Guard, error) {
	var all []Guard
	for _, guards := range eachTable(guards) {
		standing, err := c.standing(ctx, c.pool, guards)
		if err != nil {
			return nil, fmt.Errorf("looking for guards of %s: %w", guards[0].Table, err)
		}
		all = append(all, standing...)
	}
	return all, nil
}

// Guard puts guards into the database, and then counts what they refuse. If that
// is nothing, they stay. Otherwise, and after an error, those that were not there
// before are removed, even if ctx is done; the error says what could not be.
// Guards come by table. In PostgreSQL nobody waits for a lock behind it for longer
// than wait at a time; in SQLite, writers wait while it counts.
func (c *Counter) Guard(ctx context.Context, guards []Guard, wait time.Duration) ([]int64, error) {
	return c.guarded(ctx, c.pool, guards, wait)
}

func isZero(counts []int64) bool {
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

// lockTries is how often a lock on a table is asked for.
const lockTries = 5

// tryLocked runs f again while it fails for a lock that others have. Between, those
// who wait for it have their turn.
func tryLocked(ctx context.Context, d dialect, wait time.Duration, f func() error) error {
	return tryAgain(ctx, d, lockTries, func(int) time.Duration { return wait }, f)
}

// inTx runs f in a transaction of a connection or a pool.
func inTx(ctx context.Context, on interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, f func(tx *sql.Tx) error) error {
	tx, err := on.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
