package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// guarded adds the constraints, counts in another transaction, and removes them if
// there is something. What it does with tables takes it a moment, but for the count,
// which locks nothing.
//
// Nothing escapes it: ADD CONSTRAINT takes an ACCESS EXCLUSIVE lock, for which it
// waits until all transactions that have written to the table are over, also those
// that began with a keyring of old. So the count, which begins later, sees what
// they have written, and what is written later is checked.
func (d postgres) guarded(ctx context.Context, pool *sql.DB, guards []Guard, wait time.Duration) (counts []int64, err error) {
	if pool.Stats().MaxOpenConnections == 1 {
		return nil, errors.New("it takes two connections to the database; let the pool have more than one")
	}
	held, err := d.hold(ctx, pool, guards)
	if err != nil {
		return nil, err
	}
	defer held.release()
	var made []Guard
	defer func() {
		if err == nil && isZero(counts) {
			if err = held.check(); err == nil {
				return
			}
		}
		err = errors.Join(err, d.remove(held, pool, made, wait))
	}()
	for _, guards := range eachTable(guards) {
		standing, err := d.standing(ctx, pool, guards)
		if err != nil {
			return nil, fmt.Errorf("looking for guards of %s: %w", guards[0].Table, err)
		}
		missing := slices.DeleteFunc(slices.Clone(guards), func(g Guard) bool { return slices.Contains(standing, g) })
		if len(missing) == 0 {
			continue
		}
		made = append(made, missing...) // also if it fails: a commit may happen, and its answer be lost
		// NOT VALID: what is there is not looked at now, under the lock.
		err = d.alter(ctx, pool, missing, wait, func(g Guard) string {
			return fmt.Sprintf("ADD CONSTRAINT %s CHECK (NOT (%s)) NOT VALID", quote(g.Name()), d.startsWith(quote(g.Column), g.Prefix))
		})
		if err != nil {
			return nil, fmt.Errorf("guarding %s: %w", guards[0].Table, err)
		}
	}
	err = d.whole(ctx, pool, func(on querier) error {
		counts, err = refused(ctx, on, d, guards)
		return err
	})
	return counts, err
}

// holding are locks by which two that guard the same tables take turns. Otherwise
// one could remove what the other relies on. Applications do not meet them. They
// are those of a transaction and not of a session, which a pool of connections
// between here and the database would share.
type holding struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// lockClass is the first half of the locks' names: "gc1" and a zero byte.
const lockClass = 0x67633100

func (d postgres) hold(ctx context.Context, pool *sql.DB, guards []Guard) (*holding, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// The transaction is not that of ctx, so that it is there until the end. In READ
	// COMMITTED it has no snapshot meanwhile, which would keep old rows alive.
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		conn.Close()
		return nil, err
	}
	held := &holding{conn, tx}
	if _, err := tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		held.release()
		return nil, err
	}
	for _, guards := range eachTable(guards) {
		name := guards[0].Table
		var exists bool
		err := tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", quoteTable(name)).Scan(&exists)
		if err == nil && !exists {
			err = missing("there is no table " + name)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, to_regclass($1)::oid::int4)", lockClass), quoteTable(name))
		}
		if err != nil {
			held.release()
			return nil, err
		}
	}
	return held, nil
}

// check returns an error if the locks are lost.
func (h *holding) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := h.tx.ExecContext(ctx, "SELECT 1"); err != nil {
		return fmt.Errorf("the connection was lost that kept others from guarding the same tables: %w", err)
	}
	return nil
}

func (h *holding) release() {
	_ = h.tx.Rollback()
	_ = h.conn.Close()
}

// alter changes a table, and waits for it only so long at a time: whoever comes
// later waits behind it.
func (d postgres) alter(ctx context.Context, pool *sql.DB, guards []Guard, wait time.Duration, action func(Guard) string) error {
	actions := list(guards, func(_ int, g Guard) string { return action(g) })
	err := tryLocked(ctx, d, wait, func() error {
		return inTx(ctx, pool, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", max(wait.Milliseconds(), 1))); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "ALTER TABLE "+quoteTable(guards[0].Table)+" "+actions)
			return err
		})
	})
	var state interface{ SQLState() string }
	if errors.As(err, &state) && state.SQLState() == "55P03" {
		return fmt.Errorf("%d times others have used it for longer than %v, such as a transaction that is left open; try again when it is over: %w", lockTries, wait, err)
	}
	return err
}

// remove removes guards. It does so without those who asked for them.
func (d postgres) remove(held *holding, pool *sql.DB, guards []Guard, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lost := held.check()
	var all error
	for _, guards := range eachTable(guards) {
		drop := func(g Guard) string { return "DROP CONSTRAINT IF EXISTS " + quote(g.Name()) }
		err := lost
		if err == nil {
			err = d.alter(ctx, pool, guards, wait, drop)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("constraints may be left that refuse values under key version %s; remove them with ALTER TABLE %s %s: %w",
				guards[0].Version, quoteTable(guards[0].Table), list(guards, func(_ int, g Guard) string { return drop(g) }), err))
		}
	}
	return all
}

// startsWith has a literal without a type, which is text or bytea as the column is.
func (postgres) startsWith(column, prefix string) string {
	return fmt.Sprintf("substr(%s, 1, %d) = '%s'", column, len(prefix), prefix)
}

func (postgres) standing(ctx context.Context, on querier, guards []Guard) ([]Guard, error) {
	constraints := map[string]bool{}
	err := scan(ctx, on, "SELECT conname::text FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'c'", []any{quoteTable(guards[0].Table)}, 1, func(values []any) error {
		constraints[text(values[0])] = true
		return nil
	})
	return slices.DeleteFunc(slices.Clone(guards), func(g Guard) bool { return !constraints[g.Name()] }), err
}
