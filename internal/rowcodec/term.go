package rowcodec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// term is a cell with the term of a blind index.
type term struct {
	index *ciphertext.Index
	of    []column
	from  []int // the sources that have the values of these
}

// Index returns the codec that makes the terms of an index, in rows that have none.
func Index(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Index, own map[string]func(string) string) (*Codec, error) {
	c := newCodec(cipher, t)
	term, err := c.term(t, described, own)
	if err != nil {
		return nil, err
	}
	c.add(missing{term}, backfill.Cell{Column: described.Name, Stale: backfill.Missing, Of: term.from})
	return c, nil
}

func (c *Codec) term(t manifest.Table, described manifest.Index, own map[string]func(string) string) (term, error) {
	config, err := described.Config(own)
	if err != nil {
		return term{}, fmt.Errorf("gormcrypt: the index %s.%s: %w", t.Name, described.Name, err)
	}
	index, err := c.cipher.Index(config)
	if err != nil {
		return term{}, err
	}
	one := term{index: index}
	for _, name := range described.Of {
		of := t.Columns[slices.IndexFunc(t.Columns, func(c manifest.Column) bool { return c.Name == name })]
		column, err := c.column(of)
		if err != nil {
			return term{}, err
		}
		one.of, one.from = append(one.of, column), append(one.from, c.source(name, of.Binary, true))
	}
	return one, nil
}

// errEmptyIndex: a term where the values that it is of are NULL.
var errEmptyIndex = errors.New("there is a term, and a value that it is of is NULL")

// errTerm: a term that is not that of its values. errNoTerm: none.
var (
	errTerm   = errors.New("the term is not the one of its values")
	errNoTerm = errors.New("there is no term, and the values that it is of are not NULL")
)

func (x term) reseal(row backfill.Row, _ any) (any, error) {
	values, err := x.values(row)
	if err != nil {
		return nil, err
	}
	return x.index.Term(values...)
}

// values returns the values that the term of a row is of.
func (x term) values(row backfill.Row) ([]any, error) {
	values := make([]any, len(x.of))
	for i, of := range x.of {
		stored := row.Sources[x.from[i]]
		if stored == nil {
			return nil, errEmptyIndex
		}
		value, err := of.value(row, stored)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// check takes the term under any key that is live: another may have been promoted
// since the job began.
func (x term) check(row backfill.Row, stored any) error {
	values, err := x.values(row)
	if err != nil {
		return err
	}
	made, err := x.index.Term(values...)
	if err != nil || made == text(stored) {
		return err
	}
	all, err := x.index.Terms(values...)
	if err == nil && !slices.Contains(all, text(stored)) {
		err = errTerm
	}
	return err
}

// missing is a cell with a term that may not be there.
type missing struct{ term }

// ofPlain returns the term of values that are plaintext, whatever they read like.
func (m missing) ofPlain(row backfill.Row) (any, error) {
	values := make([]any, len(m.of))
	for i, of := range m.of {
		var err error
		if values[i], err = parsePlain(of.described.Type, row.Sources[m.from[i]]); err != nil {
			return nil, err
		}
	}
	return m.index.Term(values...)
}

func (m missing) check(row backfill.Row, stored any) error {
	hasNull := slices.ContainsFunc(m.from, func(source int) bool { return row.Sources[source] == nil })
	switch {
	case text(stored) != "":
		return m.term.check(row, stored)
	case hasNull:
		return nil
	}
	return errNoTerm
}
