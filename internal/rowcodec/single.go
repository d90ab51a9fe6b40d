package rowcodec

import (
	"errors"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Errors of a Single for what is no ciphertext.
var (
	// ErrNull: there is no value.
	ErrNull = errors.New("the value is NULL")
	// ErrPlaintext: the column is migrating, and the value is still plaintext.
	ErrPlaintext = errors.New("the value is still plaintext: the column is being migrated")
)

// Single opens single values of a column. It is safe for concurrent use.
type Single struct {
	// Table is what is to be read of a row: the value is its only cell.
	Table backfill.Table
	of    column
	// plain is the source with the plaintext of a column that has one beside it, and -1
	// if there is none.
	plain int
}

// NewSingle returns what reads a column of a table. Of a column that is migrated to
// one beside it, it reads that one.
func NewSingle(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column) (*Single, error) {
	c := newCodec(cipher, t)
	of, err := c.column(described)
	if err != nil {
		return nil, err
	}
	s := &Single{of: of, plain: -1}
	name := described.Name
	if described.Beside != "" {
		name, s.plain = described.Beside, c.nativeSource(described.Name)
	}
	c.Table.Cells = []backfill.Cell{{Column: name, Binary: described.Binary, Stale: backfill.Present}}
	s.Table = c.Table
	return s, nil
}

// Stored returns the ciphertext of a row, whether it opens or not. It returns ErrNull,
// ErrPlaintext, and ciphertext.ErrNotCiphertext.
func (s *Single) Stored(row *backfill.Current) ([]byte, error) {
	stored := row.Cells[0]
	switch {
	case stored == nil && s.plain >= 0 && row.Sources[s.plain] != nil:
		return nil, ErrPlaintext
	case stored == nil:
		return nil, ErrNull
	}
	raw := []byte(text(stored))
	_, err := ciphertext.Parse(raw)
	switch {
	case !errors.Is(err, ciphertext.ErrNotCiphertext):
		return raw, nil
	case s.of.described.Migrating != "":
		return nil, ErrPlaintext
	}
	return nil, err
}

// Open opens the value of a row into what dst points to, as [ciphertext.Column.Open]
// does.
func (s *Single) Open(dst any, row *backfill.Current) error {
	return s.of.open(dst, row.Row, row.Cells[0])
}
