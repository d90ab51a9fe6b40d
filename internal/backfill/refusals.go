package backfill

import (
	"context"
	"database/sql"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Refusals: a constraint or a trigger of the table refuses a new value, which may be
// longer than the old one. A unique constraint does not see that a value under one
// key version is equal to a value under another: when the application has written
// both, the second to come under the new version is refused.

// duplicate is what a unique constraint refuses.
const duplicate = "another row has the same value; change or delete one of the two"

// swapApart swaps rows as swap does, but for the values that the database refuses,
// which are left as they are. It returns the number of rows of which all was
// swapped, and of those that have a value that was refused.
func (d *Database) swapApart(ctx context.Context, tx *sql.Tx, table int, swaps []Swap) (swapped, refused int, poison []Poison, err error) {
	if len(swaps) == 0 {
		return 0, 0, nil, nil
	}
	n, err := d.trySwap(ctx, tx, table, swaps)
	switch {
	case err == nil:
		return int(n), 0, nil, nil
	case d.refusal(err) == "":
		return 0, 0, nil, err
	case len(swaps) == 1:
		n, poison, err := d.swapCells(ctx, tx, table, swaps[0], d.refusal(err))
		if len(poison) > 0 {
			return 0, 1, poison, err
		}
		return n, 0, nil, err
	}
	for _, half := range [][]Swap{swaps[:len(swaps)/2], swaps[len(swaps)/2:]} {
		n, m, some, err := d.swapApart(ctx, tx, table, half)
		if err != nil {
			return 0, 0, nil, err
		}
		swapped, refused, poison = swapped+n, refused+m, append(poison, some...)
	}
	return swapped, refused, poison, nil
}

// refusedValue returns the poison of a value that the database refuses.
func refusedValue(swap Swap, i int, cell Cell, reason string) Poison {
	return Poison{Key: swap.Key, Column: cell.Column, Version: versionOf(swap.Old[i]), Stored: swap.Old[i], Reason: "the database refuses its new value: " + reason, Refused: true}
}

// swapCells swaps the values of a row one by one, of which some are refused, for a
// reason.
func (d *Database) swapCells(ctx context.Context, tx *sql.Tx, table int, swap Swap, reason string) (swapped int, poison []Poison, err error) {
	for i, cell := range d.tables.plan[table].Cells {
		if swap.New[i] == nil {
			continue
		}
		if d.tables.plan[table].Together {
			poison = append(poison, refusedValue(swap, i, cell, reason))
			continue
		}
		one := Swap{Row: swap.Row, New: make([]any, len(swap.New))}
		one.Old = make([]any, len(swap.Old))
		one.Old[i], one.New[i] = swap.Old[i], swap.New[i]
		n, err := d.trySwap(ctx, tx, table, []Swap{one})
		switch {
		case err == nil:
			swapped = max(swapped, int(n))
		case d.refusal(err) != "":
			poison = append(poison, refusedValue(swap, i, cell, d.refusal(err)))
		default:
			return 0, nil, err
		}
	}
	return swapped, poison, nil
}

// versionOf returns the key version that a stored value names, which is in front of
// a colon, or between two.
func versionOf(stored any) string {
	parts := strings.SplitN(text(stored), ":", 3)
	for _, name := range parts[:min(2, len(parts)-1)] {
		if version, err := keyring.ParseVersion(name); err == nil {
			return version.String()
		}
	}
	return ""
}

// trySwap swaps rows, or takes that back alone.
func (d *Database) trySwap(ctx context.Context, tx *sql.Tx, table int, swaps []Swap) (int64, error) {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT gormcrypt_swap"); err != nil {
		return 0, err
	}
	n, err := d.tables.described[table].swap(ctx, tx, swaps)
	if err != nil {
		if _, back := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT gormcrypt_swap"); back != nil {
			return 0, back
		}
	}
	if _, release := tx.ExecContext(ctx, "RELEASE SAVEPOINT gormcrypt_swap"); release != nil {
		return 0, release
	}
	return n, err
}
