package rowcodec

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// column opens and seals the values of an encrypted column.
type column struct {
	*ciphertext.Column
	described manifest.Column
	bind      []boundSource
}

// boundSource is a source that values are bound to.
type boundSource struct {
	source int
	kind   manifest.BoundType
}

func (c *Codec) column(described manifest.Column) (column, error) {
	opened, err := c.cipher.Column(described.Config())
	if err != nil {
		return column{}, err
	}
	result := column{Column: opened, described: described}
	for _, bound := range described.Bind {
		result.bind = append(result.bind, boundSource{c.source(bound.Column, bound.Type == manifest.Bytes, false), bound.Type})
	}
	return result, nil
}

// bound returns the values of a row that a value is bound to.
func (c column) bound(row backfill.Row) ([]ciphertext.Bound, error) {
	var all []ciphertext.Bound
	for _, b := range c.bind {
		value, err := b.value(row.Sources[b.source])
		if err != nil {
			return nil, err
		}
		bound, err := ciphertext.Bind(value)
		if err != nil {
			return nil, fmt.Errorf("a column that it is bound to: %w", err)
		}
		all = append(all, bound)
	}
	return all, nil
}

// value returns a bound value as the type that it has in Go.
func (b boundSource) value(v any) (any, error) {
	text := ""
	switch v := v.(type) {
	case nil:
		return nil, errors.New("a column that it is bound to is NULL")
	case int64:
		if b.kind == manifest.Integer {
			return v, nil
		}
		text = strconv.FormatInt(v, 10)
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return nil, fmt.Errorf("a column that it is bound to has the Go type %T here; its type in the database is not the one in the manifest", v)
	}
	switch b.kind {
	case manifest.Bytes:
		return []byte(text), nil
	case manifest.Text:
		return text, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, errors.New("a column that it is bound to is no integer")
	}
	return n, nil
}

// open opens a stored value of a row into what dst points to.
func (c column) open(dst any, row backfill.Row, stored any) error {
	bound, err := c.bound(row)
	if err != nil {
		return err
	}
	return c.openBound(dst, stored, bound)
}

// openBound opens a stored value that is bound to some values.
func (c column) openBound(dst, stored any, bound []ciphertext.Bound) error {
	if text, ok := stored.(string); ok {
		return c.OpenString(dst, text, bound...)
	}
	binary, _ := stored.([]byte)
	return c.Open(dst, binary, bound...)
}

// seal seals a value for a row, as it is stored.
func (c column) seal(row backfill.Row, value any) (any, error) {
	bound, err := c.bound(row)
	if err != nil {
		return nil, err
	}
	sealed, err := c.Seal(nil, value, bound...)
	if err != nil {
		return nil, err
	}
	if c.described.Binary {
		return sealed, nil
	}
	return string(sealed), nil
}

// value returns what a row has in the column, which may still be plaintext if it is
// migrating.
func (c column) value(row backfill.Row, stored any) (any, error) {
	if c.described.Migrating != "" && !isSealed(stored) {
		return parsePlain(c.described.Type, stored)
	}
	var value ciphertext.Value
	err := c.open(&value, row, stored)
	return value, err
}

// isSealed reports whether a stored value has the form of ciphertext.
func isSealed(stored any) bool {
	_, err := ciphertext.Parse([]byte(text(stored)))
	return err == nil
}

// text returns a stored value, text or binary, as a string.
func text(stored any) string {
	if binary, ok := stored.([]byte); ok {
		return string(binary)
	}
	s, _ := stored.(string)
	return s
}
