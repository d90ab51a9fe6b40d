package rotation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// codec opens and seals the values of one table. It is a backfill.Codec.
type codec struct {
	table backfill.Table
	cells []cell
}

// cell is what is replaced in a row: an encrypted value, or the term of an index.
type cell struct {
	name string
	column
	// index is nil for an encrypted column. Of are the columns that it is of, and
	// from where their values are among the sources of a row.
	index *ciphertext.Index
	of    []column
	from  []int
}

// column opens the values of an encrypted column.
type column struct {
	*ciphertext.Column
	bind []boundSource
}

// boundSource is a source that values are bound to.
type boundSource struct {
	source int
	kind   manifest.BoundType
}

// newCodec returns the codec of a table, for what is sealed under keys of a set.
// It is nil if the table has nothing of that.
func newCodec(cipher *ciphertext.Cipher, t manifest.Table, set keyring.Set, target keyring.Version, own map[string]func(string) string) (*codec, error) {
	c := &codec{table: backfill.Table{Name: t.Name, Key: t.PrimaryKey}}
	columns := map[string]manifest.Column{}
	for _, described := range t.Columns {
		columns[described.Name] = described
		if described.Deterministic != (set == keyring.IndexKeys) {
			continue
		}
		column, err := c.column(cipher, described)
		if err != nil {
			return nil, err
		}
		c.cells = append(c.cells, cell{name: described.Name, column: column})
		c.table.Cells = append(c.table.Cells, backfill.Cell{Column: described.Name, Prefix: ciphertext.Prefix(target), Binary: described.Binary})
	}
	for _, described := range t.Indexes {
		if set != keyring.IndexKeys {
			break
		}
		config, err := described.Config(own)
		if err != nil {
			return nil, fmt.Errorf("gormcrypt: the index %s.%s: %w", t.Name, described.Name, err)
		}
		index, err := cipher.Index(config)
		if err != nil {
			return nil, err
		}
		one := cell{name: described.Name, index: index}
		for _, name := range described.Of {
			column, err := c.column(cipher, columns[name])
			if err != nil {
				return nil, err
			}
			one.of, one.from = append(one.of, column), append(one.from, c.source(name, columns[name].Binary, true))
		}
		c.cells = append(c.cells, one)
		c.table.Cells = append(c.table.Cells, backfill.Cell{Column: described.Name, Prefix: ciphertext.TermPrefix(target)})
	}
	if len(c.cells) == 0 {
		return nil, nil
	}
	return c, nil
}

func (c *codec) column(cipher *ciphertext.Cipher, described manifest.Column) (column, error) {
	opened, err := cipher.Column(described.Config())
	if err != nil {
		return column{}, err
	}
	result := column{Column: opened}
	for _, bound := range described.Bind {
		result.bind = append(result.bind, boundSource{c.source(bound.Column, bound.Type == manifest.Bytes, false), bound.Type})
	}
	return result, nil
}

// source returns the number of a source, which it adds if it is new.
func (c *codec) source(name string, binary, made bool) int {
	for i := range c.table.Sources {
		if source := &c.table.Sources[i]; source.Column == name {
			source.Made = source.Made || made
			return i
		}
	}
	c.table.Sources = append(c.table.Sources, backfill.Source{Column: name, Binary: binary, Made: made})
	return len(c.table.Sources) - 1
}

// Reseal implements backfill.Codec.
func (c *codec) Reseal(row backfill.Row) (backfill.Swap, []backfill.Poison, error) {
	swap := backfill.Swap{Row: row, New: make([]any, len(c.cells))}
	var poison []backfill.Poison
	for i, cell := range c.cells {
		if row.Old[i] == nil {
			continue
		}
		fresh, err := cell.reseal(row, row.Old[i])
		switch {
		case errors.Is(err, keyring.ErrNoPrimary):
			return backfill.Swap{}, nil, err
		case err == nil:
			swap.New[i] = fresh
		default:
			poison = append(poison, cell.poison(row.Old[i], err))
		}
	}
	if len(poison) > 0 {
		swap.Old = slices.Clone(row.Old)
		for i, fresh := range swap.New {
			if fresh == nil {
				swap.Old[i] = nil
			}
		}
	}
	return swap, poison, nil
}

// Check implements backfill.Codec.
func (c *codec) Check(row backfill.Row) ([]backfill.Poison, error) {
	var poison []backfill.Poison
	for i, cell := range c.cells {
		if row.Old[i] == nil {
			continue
		}
		if err := cell.check(row, row.Old[i]); err != nil {
			poison = append(poison, cell.poison(row.Old[i], err))
		}
	}
	return poison, nil
}

// reseal returns what takes the place of a stored value.
func (c cell) reseal(row backfill.Row, old any) (any, error) {
	if c.index != nil {
		return c.term(row)
	}
	bound, err := c.bound(row)
	if err != nil {
		return nil, err
	}
	var value ciphertext.Value
	if err := c.open(&value, old, bound); err != nil {
		return nil, err
	}
	sealed, err := c.Seal(nil, value, bound...)
	if err != nil {
		return nil, err
	}
	if c.Binary {
		return sealed, nil
	}
	return string(sealed), nil
}

// errEmptyIndex: a term where the values that it is of are NULL.
var errEmptyIndex = errors.New("there is a term, and a value that it is of is NULL")

// errTerm: a term that is not that of its values.
var errTerm = errors.New("the term is not the one of its values")

// term returns the term of a row.
func (c cell) term(row backfill.Row) (any, error) {
	values := make([]any, len(c.of))
	for i, of := range c.of {
		if row.Sources[c.from[i]] == nil {
			return nil, errEmptyIndex
		}
		bound, err := of.bound(row)
		if err != nil {
			return nil, err
		}
		var value ciphertext.Value
		if err := of.open(&value, row.Sources[c.from[i]], bound); err != nil {
			return nil, err
		}
		values[i] = value
	}
	return c.index.Term(values...)
}

func (c cell) check(row backfill.Row, old any) error {
	if c.index != nil {
		term, err := c.term(row)
		if err == nil && term != stored(old) {
			err = errTerm
		}
		return err
	}
	bound, err := c.bound(row)
	if err != nil {
		return err
	}
	var value ciphertext.Value
	return c.open(&value, old, bound)
}

// poison says what is wrong with a value.
func (c cell) poison(old any, err error) backfill.Poison {
	poison := backfill.Poison{Column: c.name, Stored: old, Reason: err.Error()}
	var detail *ciphertext.Error
	if errors.As(err, &detail) {
		poison.Reason = detail.Err.Error()
		if !detail.Version.IsZero() {
			poison.Version = detail.Version.String()
		}
	}
	return poison
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

// open opens a stored value, text or binary.
func (c column) open(value *ciphertext.Value, old any, bound []ciphertext.Bound) error {
	if text, ok := old.(string); ok {
		return c.OpenString(value, text, bound...)
	}
	binary, _ := old.([]byte)
	return c.Open(value, binary, bound...)
}

// stored returns a stored value as text.
func stored(value any) string {
	if binary, ok := value.([]byte); ok {
		return string(binary)
	}
	text, _ := value.(string)
	return text
}
