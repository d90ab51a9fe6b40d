package rowcodec

import (
	"fmt"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Reader opens what the rows of a table hold. All that it needs of them are sources:
// its table has no cells. It is safe for concurrent use.
type Reader struct {
	Table   backfill.Table
	Columns []Sealed
	Indexes []Terms
}

// Sealed is a column that holds ciphertext.
type Sealed struct {
	column
	// Name is that of the column in the database: the one beside, if there is one.
	Name string
	// Source has what is stored, and Plain the plaintext while it is in a column of
	// another type, if there is one; it is -1 otherwise.
	Source, Plain int
}

// Terms is a column that holds the terms of an index.
type Terms struct {
	*ciphertext.Index
	Described manifest.Index
	Source    int
	// Of are the columns that a term is of, by their number.
	Of []int
	// Migrating says that rows may have no term yet.
	Migrating bool
}

// Read returns the reader of a table.
func Read(cipher *ciphertext.Cipher, t manifest.Table, own map[string]func(string) string) (*Reader, error) {
	c := newCodec(cipher, t)
	r := &Reader{}
	numbers := map[string]int{}
	for _, described := range t.Columns {
		of, err := c.column(described)
		if err != nil {
			return nil, err
		}
		sealed := Sealed{column: of, Name: described.Name, Plain: -1}
		if described.Beside != "" {
			sealed.Name, sealed.Plain = described.Beside, c.nativeSource(described.Name)
		}
		sealed.Source = c.source(sealed.Name, described.Binary, false)
		numbers[described.Name] = len(r.Columns)
		r.Columns = append(r.Columns, sealed)
	}
	for _, described := range t.Indexes {
		config, err := described.Config(own)
		if err != nil {
			return nil, fmt.Errorf("gormcrypt: the index %s.%s: %w", t.Name, described.Name, err)
		}
		index, err := cipher.Index(config)
		if err != nil {
			return nil, err
		}
		terms := Terms{Index: index, Described: described, Source: c.source(described.Name, false, false), Migrating: described.Migrating != ""}
		for _, name := range described.Of {
			terms.Of = append(terms.Of, numbers[name])
			terms.Migrating = terms.Migrating || r.Columns[numbers[name]].described.Migrating != ""
		}
		r.Indexes = append(r.Indexes, terms)
	}
	r.Table = c.Table
	return r, nil
}

// Described returns what the manifest says of the column.
func (s Sealed) Described() manifest.Column { return s.described }

// Bound returns the values of a row that its value is bound to.
func (s Sealed) Bound(row backfill.Row) ([]ciphertext.Bound, error) { return s.bound(row) }

// OpenBound opens a stored value that is bound to some values.
func (s Sealed) OpenBound(stored any, bound []ciphertext.Bound) (ciphertext.Value, error) {
	var value ciphertext.Value
	err := s.openBound(&value, stored, bound)
	return value, err
}

// ParsePlain returns a stored plaintext as what programs seal. Errors do not quote it.
func (s Sealed) ParsePlain(stored any) (any, error) { return parsePlain(s.described.Type, stored) }

// IsSealed reports whether a stored value has the form of ciphertext.
func IsSealed(stored any) bool { return isSealed(stored) }
