package fsck

import (
	"fmt"
	"hash/maphash"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
)

// outcome is what a column of a row came to.
type outcome byte

const (
	isNull outcome = iota
	isSound
	isExpected
	isUnchecked
	isWrong
)

// problem is what is wrong with a column of a row.
type problem struct {
	column  int // of the table, those of indexes behind the others
	kind    Kind
	version string
	reason  string
	stored  any
}

// rowChecker checks rows of one table after the other. It is used by one goroutine.
type rowChecker struct {
	*checker
	// values are those of the row's columns, nil where outcomes do not say that there
	// is one.
	values   []any
	outcomes []outcome
	problems []problem
	prints   []uint64
	identity []byte
	// err is that keys could not be used to try where values open. It stays.
	err error
}

// row checks a row. Its error is one of the keys.
func (r *rowChecker) row(table int, row backfill.Row) error {
	t := &r.plan[table]
	r.values, r.outcomes = r.values[:0], r.outcomes[:0]
	r.problems, r.prints = r.problems[:0], r.prints[:0]
	for i := range t.Columns {
		if err := r.sealed(i, &t.Columns[i], row); err != nil {
			return fmt.Errorf("gormcrypt: opening %s.%s: %w", t.Table.Name, t.Columns[i].Name, err)
		}
	}
	for i := range t.Indexes {
		if err := r.term(len(t.Columns)+i, &t.Indexes[i], row); err != nil {
			return fmt.Errorf("gormcrypt: checking %s.%s: %w", t.Table.Name, t.Indexes[i].Described.Name, err)
		}
	}
	return nil
}

func (r *rowChecker) is(o outcome, value any) {
	r.outcomes, r.values = append(r.outcomes, o), append(r.values, value)
}

func (r *rowChecker) isWrong(p problem) {
	r.is(isWrong, nil)
	r.problems = append(r.problems, p)
}

// sealed checks a value.
func (r *rowChecker) sealed(i int, column *rowcodec.Sealed, row backfill.Row) error {
	stored, described := row.Sources[column.Source], column.Described()
	switch {
	case column.Plain >= 0 && row.Sources[column.Plain] != nil: // which programs read, whatever is beside it
		r.expected(column, row.Sources[column.Plain])
		return nil
	case stored == nil:
		r.is(isNull, nil)
		return nil
	case described.Migrating != "" && column.Plain < 0 && !rowcodec.IsSealed(stored):
		r.expected(column, stored)
		return nil
	}
	bound, err := column.Bound(row)
	var value ciphertext.Value
	if err == nil {
		value, err = column.OpenBound(stored, bound)
	}
	if err == nil {
		return r.opened(i, column, stored, value)
	}
	kind, err := kindOf(err, stored)
	if err != nil {
		return err
	}
	kind.column, kind.stored = i, stored
	r.isWrong(kind)
	return nil
}

// expected takes plaintext in a column that is migrating.
func (r *rowChecker) expected(column *rowcodec.Sealed, stored any) {
	value, err := column.ParsePlain(stored)
	if err != nil {
		value = nil // its term is not checked
	}
	r.is(isExpected, value)
}

// opened takes a value that opens.
func (r *rowChecker) opened(i int, column *rowcodec.Sealed, stored any, value ciphertext.Value) error {
	if want := column.Described().Type; !fits(value.Kind(), want) {
		r.isWrong(problem{column: i, kind: WrongType, version: versionOf(stored), reason: fmt.Sprintf("it opens to a value of the type %s, and the manifest says %s", value.Kind(), want)})
		return nil
	}
	r.is(isSound, value)
	if column.Deterministic {
		return nil
	}
	print, err := r.fingerprint(column, stored)
	r.prints = append(r.prints, print)
	return err
}

// fingerprint is the same for values of one identity, which is left in r.identity, and
// hardly ever for others.
func (r *rowChecker) fingerprint(column *rowcodec.Sealed, stored any) (uint64, error) {
	var err error
	if text, ok := stored.(string); ok {
		r.identity, err = ciphertext.AppendIdentity(r.identity[:0], column.Column, text)
	} else {
		binary, _ := stored.([]byte)
		r.identity, err = ciphertext.AppendIdentity(r.identity[:0], column.Column, binary)
	}
	return maphash.Bytes(r.seed, r.identity), err
}
