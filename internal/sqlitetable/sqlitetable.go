// Package sqlitetable adds CHECK constraints to SQLite tables that are in use, and
// removes them.
//
// SQLite has a statement for that since version 3.53 only. This package does what
// that statement does, with any version: in one transaction it looks for rows that
// violate the constraint, and edits the CREATE TABLE text that SQLite keeps of the
// table. No row, index, trigger or statistic is touched, so there is nothing to
// copy and to lose, nobody waits for longer than a count of the rows takes, and a
// constraint that was added and removed leaves the text as it was.
package sqlitetable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrViolated is the error of a constraint that rows of the table violate. The
// table is as it was.
var ErrViolated = errors.New("gormcrypt: rows violate the constraint")

// AddCheck adds a CHECK constraint to a table, if it has none of that name. The
// table is one of the main database, or "schema.table" of any that is attached to
// each connection of the pool. The condition becomes part of the table's definition
// as it is. While others write, it waits for ten seconds.
func AddCheck(ctx context.Context, pool *sql.DB, table, constraint, condition string) error {
	return change(ctx, pool, table, constraint, true, func(conn *connection, t *described) (string, error) {
		edited, err := t.with(constraint, condition)
		if err != nil {
			return "", err
		}
		var violating int64
		// What is NULL violates nothing.
		err = conn.QueryRowContext(ctx, "SELECT count(*) FROM "+t.quoted()+" WHERE NOT ("+condition+")").Scan(&violating)
		if err == nil && violating > 0 {
			err = fmt.Errorf("%w: %d rows are to be changed before it is added", ErrViolated, violating)
		}
		return edited, err
	})
}

// DropCheck removes a CHECK constraint of a table, if it has one of that name.
func DropCheck(ctx context.Context, pool *sql.DB, table, constraint string) error {
	return change(ctx, pool, table, constraint, false, func(_ *connection, t *described) (string, error) {
		return t.without(constraint)
	})
}

// HasCheck reports whether a table has a CHECK constraint of a name.
func HasCheck(ctx context.Context, pool *sql.DB, table, constraint string) (bool, error) {
	var has bool
	err := connect(ctx, pool, func(conn *connection) error {
		return conn.transaction("BEGIN", func() error {
			t, err := conn.describe(table)
			if err == nil {
				has, err = t.has(constraint)
			}
			return err
		})
	})
	return has, wrap(err, table, constraint)
}

// change edits the definition of a table, unless it has a constraint, or has it
// not, as wanted.
func change(ctx context.Context, pool *sql.DB, table, constraint string, wanted bool, edit func(*connection, *described) (string, error)) error {
	// Nobody waits if there is nothing to do.
	if has, err := HasCheck(ctx, pool, table, constraint); err != nil || has == wanted {
		return err
	}
	return wrap(connect(ctx, pool, func(conn *connection) error {
		return conn.transaction("BEGIN IMMEDIATE", func() error {
			t, err := conn.describe(table)
			if err != nil {
				return err
			}
			if has, err := t.has(constraint); err != nil || has == wanted {
				return err
			}
			edited, err := edit(conn, t)
			if err != nil {
				return err
			}
			return conn.redefine(t, edited, "")
		})
	}), table, constraint)
}

// wrap says what an error is about.
func wrap(err error, table, constraint string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrViolated):
		return fmt.Errorf("%w: table %s, constraint %s", err, table, constraint)
	}
	return fmt.Errorf("gormcrypt: the constraint %s of the table %s: %w", constraint, table, err)
}
