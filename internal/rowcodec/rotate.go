package rowcodec

import (
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Rotate returns the codec that seals a table anew, of what is sealed under keys of a
// set. It is nil if the table has nothing of that.
func Rotate(cipher *ciphertext.Cipher, t manifest.Table, set keyring.Set, target keyring.Version, own map[string]func(string) string) (*Codec, error) {
	c := newCodec(cipher, t)
	for _, described := range t.Columns {
		if described.Deterministic != (set == keyring.IndexKeys) {
			continue
		}
		column, err := c.column(described)
		if err != nil {
			return nil, err
		}
		c.add(anew{column}, backfill.Cell{Column: described.Name, Prefix: ciphertext.Prefix(target), Binary: described.Binary})
	}
	for _, described := range t.Indexes {
		if set != keyring.IndexKeys {
			break
		}
		term, err := c.term(t, described, own)
		if err != nil {
			return nil, err
		}
		c.add(term, backfill.Cell{Column: described.Name, Prefix: ciphertext.TermPrefix(target)})
	}
	if len(c.cells) == 0 {
		return nil, nil
	}
	return c, nil
}

// anew is a cell that is sealed anew.
type anew struct{ column }

func (a anew) reseal(row backfill.Row, old any) (any, error) {
	var value ciphertext.Value
	if err := a.open(&value, row, old); err != nil {
		return nil, err
	}
	return a.seal(row, value)
}

func (a anew) check(row backfill.Row, stored any) error {
	var value ciphertext.Value
	return a.open(&value, row, stored)
}
