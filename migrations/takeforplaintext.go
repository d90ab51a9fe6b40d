package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// TakeForPlaintext seals a value that reads like ciphertext and does not open, because
// you know that it is plaintext: somebody has typed or pasted it. Backfill leaves such
// values in quarantine, since they could as well be ciphertext that was changed, or of
// another key, and would be lost under a second encryption. The row is named by its
// primary key, its columns in order.
//
// It is for the states in which Backfill may run, with the same Config.Deployed, and
// refuses a value that opens. It returns ErrDeployment, ErrOrder, ErrNoRow, and an
// error for a row that has no such value.
func (m *Migration) TakeForPlaintext(ctx context.Context, config Config, key ...any) error {
	if _, _, err := m.begin(ctx, "TakeForPlaintext", &config); err != nil {
		return err
	}
	switch {
	case m.index != nil:
		return fmt.Errorf("gormcrypt: %s is an index, which has no plaintext; name the field that it is of", m)
	case m.column.Beside != "":
		return fmt.Errorf("gormcrypt: %s is migrating beside its column; change the value so that it does not read like ciphertext", m)
	case len(key) != len(m.table.PrimaryKey):
		return fmt.Errorf("gormcrypt: the primary key of %s has the columns %v; give a value for each", m.table.Name, m.table.PrimaryKey)
	}
	codec, err := m.encrypting()
	if err != nil {
		return err
	}
	tables, err := m.tables(ctx, codec)
	if err != nil {
		return err
	}
	found, err := tables.Look(ctx, 0, []backfill.Key{backfill.KeyOf(m.db.Dialector.Name(), key)})
	if err != nil {
		return m.failed("reading the row", err)
	}
	current := found[0]
	switch {
	case current == nil:
		return fmt.Errorf("gormcrypt: %w in %s", ErrNoRow, m.table.Name)
	case current.Cells[0] == nil:
		return fmt.Errorf("gormcrypt: %s is NULL in that row", m)
	}
	if current.Old[0] != nil {
		_, left, err := codec.Reseal(current.Row)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return fmt.Errorf("gormcrypt: %s is plaintext in that row, and does not read like ciphertext; Backfill seals it", m)
		}
	}
	whole := current.Row
	whole.Old = current.Cells
	poison, err := codec.Check(whole)
	if err != nil {
		return err
	}
	if len(poison) == 0 || poison[0].Column != m.name {
		return fmt.Errorf("gormcrypt: %s opens in that row, so it is ciphertext", m)
	}
	swap, err := codec.TakeForPlaintext(current.Row, current.Cells)
	if err != nil {
		return err
	}
	n, err := tables.Swap(ctx, 0, []backfill.Swap{swap}, false)
	switch {
	case err != nil:
		return m.failed("sealing the value", err)
	case n == 0:
		return errors.New("gormcrypt: the row has changed meanwhile, or is locked; look at it again")
	}
	return nil
}
