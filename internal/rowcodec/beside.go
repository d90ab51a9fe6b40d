package rowcodec

import (
	"errors"
	"strconv"
	"time"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// MoveBeside returns the codec that seals the values of a column that holds no text
// into the one beside it, where they take the place of NULL, and makes the terms of
// their indexes.
func MoveBeside(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column, own map[string]func(string) string) (*Codec, error) {
	c, of, err := migrated(cipher, t, described)
	if err != nil {
		return nil, err
	}
	plain, sealed := c.nativeSource(described.Name), c.source(described.Beside, false, true)
	c.add(movedIn{of, plain}, backfill.Cell{Column: described.Beside, Stale: backfill.Moved, Of: []int{plain}})
	c.add(movedOut{}, backfill.Cell{Column: described.Name, Native: true, Stale: backfill.Present})
	for _, index := range t.Indexes {
		if len(index.Of) != 1 || index.Of[0] != described.Name {
			continue
		}
		config, err := index.Config(own)
		if err != nil {
			return nil, err
		}
		made, err := cipher.Index(config)
		if err != nil {
			return nil, err
		}
		c.add(termBeside{made, of, plain, sealed}, backfill.Cell{Column: index.Name, Stale: backfill.Lacking, Of: []int{plain, sealed}})
	}
	return c, nil
}

// MoveBack returns the codec that opens them into the column that they came from.
func MoveBack(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column) (*Codec, error) {
	c, of, err := migrated(cipher, t, described)
	if err != nil {
		return nil, err
	}
	sealed := c.source(described.Beside, false, true)
	c.add(movedBack{of, sealed}, backfill.Cell{Column: described.Name, Native: true, Stale: backfill.Moved, Of: []int{sealed}})
	c.add(movedOut{}, backfill.Cell{Column: described.Beside, Stale: backfill.Present})
	return c, nil
}

// nativeSource is source for a column of another type than text or bytes.
func (c *Codec) nativeSource(name string) int {
	i := c.source(name, false, true)
	c.Table.Sources[i].Native = true
	return i
}

// movedOut is a cell whose value goes elsewhere.
type movedOut struct{}

func (movedOut) reseal(backfill.Row, any) (any, error) { return backfill.Null{}, nil }

func (movedOut) check(_ backfill.Row, stored any) error {
	if stored == nil {
		return nil
	}
	return errors.New("the value is in the column that it was to leave")
}

// movedIn is a cell that takes the plaintext of another, sealed.
type movedIn struct {
	column
	plain int
}

func (m movedIn) reseal(row backfill.Row, _ any) (any, error) {
	if isSealed(row.Sources[m.plain]) {
		return nil, errReadsSealed
	}
	return m.sealPlain(row, row.Sources[m.plain])
}

func (m movedIn) check(row backfill.Row, stored any) error {
	if text(stored) == "" { // NULL, or still in the other, which says so
		return nil
	}
	return m.checkOpens(row, stored)
}

// movedBack is a cell that takes the ciphertext of another, opened.
type movedBack struct {
	column
	sealed int
}

func (m movedBack) reseal(row backfill.Row, _ any) (any, error) {
	value, err := m.native(row, row.Sources[m.sealed])
	if s, ok := value.(string); ok && isSealed(s) && err == nil {
		return nil, errOpensSealed
	}
	return value, err
}

func (movedBack) check(backfill.Row, any) error { return nil }

// timeForm is what all databases and their drivers read: not every driver for SQLite
// reads what it writes itself, of a time in a zone without a name.
const timeForm = "2006-01-02 15:04:05.999999999-07:00"

// native returns the plaintext of a stored value as a Go type that drivers take.
func (c column) native(row backfill.Row, stored any) (any, error) {
	switch c.described.Type {
	case manifest.TimeValue:
		var t time.Time
		err := c.open(&t, row, stored)
		return t.Format(timeForm), err
	case manifest.IntValue:
		var n int64
		err := c.open(&n, row, stored)
		return n, err
	case manifest.FloatValue:
		var f float64
		err := c.open(&f, row, stored)
		return f, err
	case manifest.BoolValue:
		var b bool
		err := c.open(&b, row, stored)
		return b, err
	}
	return c.plain(row, stored)
}

// termBeside is a cell with the term of a value that is in one of two columns.
type termBeside struct {
	index         *ciphertext.Index
	of            column
	plain, sealed int
}

func (x termBeside) reseal(row backfill.Row, _ any) (any, error) {
	if plain := row.Sources[x.plain]; plain != nil {
		value, err := parsePlain(x.of.described.Type, plain)
		if err != nil {
			return nil, err
		}
		return x.index.Term(value)
	}
	var value ciphertext.Value
	if err := x.of.open(&value, row, row.Sources[x.sealed]); err != nil {
		return nil, err
	}
	return x.index.Term(value)
}

func (x termBeside) check(row backfill.Row, stored any) error {
	if row.Sources[x.sealed] == nil {
		if text(stored) != "" {
			return errEmptyIndex
		}
		return nil
	}
	made, err := x.reseal(row, nil)
	switch {
	case err != nil:
		return err
	case text(stored) == "":
		return errNoTerm
	case made != text(stored):
		return errTerm
	}
	return nil
}

// timeForms are how databases and their drivers write times.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00:00",
	"2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02",
}

func parseTime(s string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, strconv.ErrSyntax
}
