package rowcodec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Encrypt returns the codec that seals the plaintext of a column, and makes the terms
// of its indexes.
func Encrypt(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column, own map[string]func(string) string) (*Codec, error) {
	// A field that was encrypted from its first day has no migrating=. Here, plaintext is
	// to be read all the same, but what was ciphertext once is not to be taken for it.
	strict := described.Migrating == ""
	described.Migrating, t.Columns = "write", slices.Clone(t.Columns)
	for i := range t.Columns {
		if t.Columns[i].Name == described.Name {
			t.Columns[i] = described
		}
	}
	c, of, err := migrated(cipher, t, described)
	if err != nil {
		return nil, err
	}
	c.add(sealing{of, strict}, backfill.Cell{Column: described.Name, Binary: described.Binary, Stale: backfill.Plain})
	for _, index := range t.Indexes {
		if len(index.Of) != 1 || index.Of[0] != described.Name {
			continue
		}
		term, err := c.term(t, index, own)
		if err != nil {
			return nil, err
		}
		c.add(missing{term}, backfill.Cell{Column: index.Name, Stale: backfill.Missing, Of: term.from})
	}
	return c, nil
}

// Decrypt returns the codec that opens a column for good.
func Decrypt(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column) (*Codec, error) {
	c, of, err := migrated(cipher, t, described)
	if err != nil {
		return nil, err
	}
	c.add(opening{of}, backfill.Cell{Column: described.Name, Binary: described.Binary, Stale: backfill.Sealed})
	return c, nil
}

// migrated returns a codec for a column that may hold plaintext. A row is left as it
// is if not all of it can be replaced: ciphertext without its term would not be found.
func migrated(cipher *ciphertext.Cipher, t manifest.Table, described manifest.Column) (*Codec, column, error) {
	c := newCodec(cipher, t)
	c.Table.Together = true
	of, err := c.column(described)
	return c, of, err
}

var (
	errReadsSealed = errors.New("it reads like ciphertext and is taken for it; if it is plaintext all the same, say so by TakeForPlaintext")
	errWasSealed   = errors.New("it reads like ciphertext that was cut or changed; restore it, or, if it is plaintext all the same, say so by TakeForPlaintext")
	errStillPlain  = errors.New("it is plaintext")
	errOpensSealed = errors.New("its plaintext reads like ciphertext, and would be taken for it; change or delete the value")
)

// TakeForPlaintext returns the swap that seals what a row holds, whatever it reads
// like, of a codec that Encrypt has made. Cells are what the row holds now.
func (c *Codec) TakeForPlaintext(row backfill.Row, cells []any) (backfill.Swap, error) {
	row.Old = cells
	swap := backfill.Swap{Row: row, New: make([]any, len(c.cells))}
	for i, cell := range c.cells {
		var err error
		switch cell := cell.(type) {
		case sealing:
			swap.New[i], err = cell.sealPlain(row, cells[i])
		case missing:
			swap.New[i], err = cell.ofPlain(row)
		}
		if err != nil {
			return backfill.Swap{}, errors.New("gormcrypt: " + c.poison(i, nil, err).Reason)
		}
	}
	return swap, nil
}

// sealing is a cell whose plaintext is sealed.
type sealing struct {
	column
	// strict leaves what looks like ciphertext that was cut, changed, quoted, or is of
	// another version of the format.
	strict bool
}

func (s sealing) reseal(row backfill.Row, old any) (any, error) {
	if isSealed(old) {
		return nil, errReadsSealed
	}
	if s.leaves(old) {
		return nil, errWasSealed
	}
	return s.sealPlain(row, old)
}

func (s sealing) leaves(stored any) bool {
	if !s.strict {
		return false
	}
	reads := text(stored)
	_, err := ciphertext.Parse([]byte(reads))
	return !errors.Is(err, ciphertext.ErrNotCiphertext) || strings.Contains(strings.ToLower(reads), "gc1:")
}

func (c column) sealPlain(row backfill.Row, plain any) (any, error) {
	value, err := parsePlain(c.described.Type, plain)
	if err != nil {
		return nil, err
	}
	return c.seal(row, value)
}

// check opens a value as the Go type that programs open it to.
func (s sealing) check(row backfill.Row, stored any) error {
	if !isSealed(stored) {
		if s.leaves(stored) {
			return errWasSealed
		}
		if _, err := s.sealPlain(row, stored); err != nil { // which is why it is left
			return err
		}
		return errStillPlain
	}
	err := s.checkOpens(row, stored)
	if detail := (*ciphertext.Error)(nil); errors.As(err, &detail) {
		saying := *detail
		saying.Err = fmt.Errorf("%w; if it is plaintext all the same, say so by TakeForPlaintext", detail.Err)
		return &saying
	}
	return err
}

// checkOpens opens a value as the Go type that programs open it to.
func (c column) checkOpens(row backfill.Row, stored any) error {
	_, err := c.native(row, stored)
	return err
}

// opening is a cell whose ciphertext is opened for good.
type opening struct{ column }

func (o opening) reseal(row backfill.Row, old any) (any, error) {
	plain, err := o.plain(row, old)
	switch {
	case err != nil:
		return nil, err
	case isSealed(plain):
		return nil, errOpensSealed
	}
	return plain, nil
}

func (opening) check(_ backfill.Row, stored any) error {
	if isSealed(stored) {
		return errors.New("it is ciphertext")
	}
	return nil
}

// parsePlain returns a stored plaintext as what programs seal. Errors do not quote it.
func parsePlain(of manifest.ValueType, stored any) (any, error) {
	s := text(stored)
	switch stored.(type) {
	case string, []byte:
	default: // such as a number, in SQLite
		s = fmt.Sprint(stored)
	}
	var value any
	var err error
	switch of {
	case manifest.StringValue:
		return s, nil
	case manifest.BytesValue:
		return []byte(s), nil
	case manifest.IntValue:
		value, err = strconv.ParseInt(s, 10, 64)
	case manifest.UintValue:
		value, err = strconv.ParseUint(s, 10, 64)
	case manifest.FloatValue:
		value, err = strconv.ParseFloat(s, 64)
	case manifest.BoolValue:
		value, err = strconv.ParseBool(s)
	case manifest.TimeValue:
		value, err = parseTime(s)
	case manifest.JSONValue:
		value, err = ciphertext.JSONValue(bytes.TrimSpace([]byte(s)))
	default:
		return nil, fmt.Errorf("plaintext of the type %s has no one form", of)
	}
	if err != nil {
		return nil, fmt.Errorf("it is no plaintext of the type %s", of)
	}
	return value, nil
}

// plain returns the plaintext of a stored value, as GORM stores it in a field that is
// not encrypted.
func (c column) plain(row backfill.Row, stored any) (any, error) {
	var s string
	var err error
	switch c.described.Type {
	case manifest.StringValue:
		err = c.open(&s, row, stored)
	case manifest.BytesValue:
		var b []byte
		err = c.open(&b, row, stored)
		s = string(b)
	case manifest.IntValue:
		var n int64
		err = c.open(&n, row, stored)
		s = strconv.FormatInt(n, 10)
	case manifest.UintValue:
		var n uint64
		err = c.open(&n, row, stored)
		s = strconv.FormatUint(n, 10)
	case manifest.FloatValue:
		var f float64
		err = c.open(&f, row, stored)
		s = strconv.FormatFloat(f, 'g', -1, 64)
	case manifest.BoolValue:
		var b bool
		err = c.open(&b, row, stored)
		s = strconv.FormatBool(b)
	case manifest.JSONValue:
		var raw rawJSON
		err = c.open(&raw, row, stored)
		s = string(raw)
	default:
		return nil, fmt.Errorf("plaintext of the type %s has no one form", c.described.Type)
	}
	if err != nil || !c.described.Binary {
		return s, err
	}
	return []byte(s), nil
}

// rawJSON takes what is sealed as JSON as it is, and nothing else.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(text []byte) error {
	*r = bytes.Clone(text)
	return nil
}
