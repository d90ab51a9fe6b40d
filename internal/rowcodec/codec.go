// Package rowcodec makes the new values of rows from the old ones, by what a manifest
// says of their columns: for package backfill, which walks through the rows.
package rowcodec

import (
	"errors"
	"slices"
	"sync"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Codec makes the new values of one table. It is a backfill.Codec, and safe for
// concurrent use.
type Codec struct {
	Table  backfill.Table
	cells  []cell
	cipher *ciphertext.Cipher
	// marks makes the Mark of values.
	marks func() (*ciphertext.Index, error)
}

// newCodec returns a codec of a table, without cells.
func newCodec(cipher *ciphertext.Cipher, t manifest.Table) *Codec {
	return &Codec{
		Table: backfill.Table{Name: t.Name, Key: t.PrimaryKey}, cipher: cipher,
		marks: sync.OnceValues(func() (*ciphertext.Index, error) {
			return cipher.Index(ciphertext.IndexConfig{Table: "gormcrypt_quarantine", Column: "fingerprint"})
		}),
	}
}

// cell makes what takes the place of a stored value, and says what is wrong with one
// that is there.
type cell interface {
	reseal(row backfill.Row, old any) (any, error)
	check(row backfill.Row, stored any) error
}

// add adds a cell with the column that it is in.
func (c *Codec) add(made cell, in backfill.Cell) {
	c.cells, c.Table.Cells = append(c.cells, made), append(c.Table.Cells, in)
}

// source returns the number of a source, which it adds if it is new.
func (c *Codec) source(name string, binary, made bool) int {
	for i := range c.Table.Sources {
		if source := &c.Table.Sources[i]; source.Column == name {
			source.Made = source.Made || made
			return i
		}
	}
	c.Table.Sources = append(c.Table.Sources, backfill.Source{Column: name, Binary: binary, Made: made})
	return len(c.Table.Sources) - 1
}

// Reseal implements backfill.Codec.
func (c *Codec) Reseal(row backfill.Row) (backfill.Swap, []backfill.Poison, error) {
	swap := backfill.Swap{Row: row, New: make([]any, len(c.cells))}
	var poison []backfill.Poison
	for i, cell := range c.cells {
		if row.Old[i] == nil {
			continue
		}
		fresh, err := cell.reseal(row, row.Old[i])
		switch {
		case errors.Is(err, keyring.ErrNoPrimary), errors.Is(err, keyring.ErrExpired), errors.Is(err, ciphertext.ErrExhausted): // nothing is wrong with the value
			return backfill.Swap{}, nil, err
		case err == nil:
			swap.New[i] = fresh
		default:
			poison = append(poison, c.poison(i, row.Old[i], err))
		}
	}
	if len(poison) == 0 {
		return swap, nil, nil
	}
	if c.Table.Together {
		return backfill.Swap{Row: row, New: make([]any, len(c.cells))}, c.all(row, poison[0].Reason, poison), nil
	}
	swap.Old = slices.Clone(row.Old)
	for i, fresh := range swap.New {
		if fresh == nil {
			swap.Old[i] = nil
		}
	}
	return swap, poison, nil
}

// all returns the poison of a row that is left as it is because of some of it.
func (c *Codec) all(row backfill.Row, reason string, poison []backfill.Poison) []backfill.Poison {
	for i, cell := range c.Table.Cells {
		if row.Old[i] != nil && !slices.ContainsFunc(poison, func(p backfill.Poison) bool { return p.Column == cell.Column }) {
			poison = append(poison, backfill.Poison{Column: cell.Column, Stored: row.Old[i], Reason: reason})
		}
	}
	return poison
}

// Check implements backfill.Codec.
func (c *Codec) Check(row backfill.Row) ([]backfill.Poison, error) {
	var poison []backfill.Poison
	for i, cell := range c.cells {
		if row.Old[i] == nil {
			continue
		}
		err := cell.check(row, row.Old[i])
		if errors.Is(err, keyring.ErrExpired) {
			return nil, err
		}
		if err != nil {
			poison = append(poison, c.poison(i, row.Old[i], err))
		}
	}
	return poison, nil
}

// poison says what is wrong with a value.
func (c *Codec) poison(i int, stored any, err error) backfill.Poison {
	poison := backfill.Poison{Column: c.Table.Cells[i].Column, Stored: stored, Reason: err.Error()}
	var detail *ciphertext.Error
	if errors.As(err, &detail) {
		poison.Reason = detail.Err.Error()
		if !detail.Version.IsZero() {
			poison.Version = detail.Version.String()
		}
	}
	return poison
}
