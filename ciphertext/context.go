package ciphertext

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// label separates this format's derived keys and associated data from
// everything else that might be made of the same key.
const label = "gormcrypt/1"

// Bound is a value of the same row that a ciphertext is bound to, in canonical
// form. [Bind] makes one.
type Bound []byte

// errBoundZero: a row's bound field is not known, or not yet.
var errBoundZero = errors.New("it is zero or NULL")

// Bind returns the canonical form of a value that a ciphertext is to be bound
// to: a string, a []byte or an integer of any width, a pointer to one, or a
// driver.Valuer that gives one. Integers of every width and sign are written
// alike. It returns an error that wraps ErrType for other types, which do not
// come back from a database exactly as they were, and an error for zero
// values and NULL: what is zero is not known yet, such as the key of a row
// that is still to be created.
func Bind(v any) (Bound, error) {
	if valuer, ok := v.(driver.Valuer); ok && !isNilPointer(v) {
		var err error
		if v, err = valuer.Value(); err != nil {
			return nil, fmt.Errorf("%w: its Value method failed", ErrType)
		}
	}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	if !rv.IsValid() || rv.IsZero() {
		return nil, errBoundZero
	}
	switch {
	case rv.Kind() == reflect.String:
		return append(Bound{'s'}, rv.String()...), nil
	case rv.CanInt():
		return strconv.AppendInt(Bound{'i'}, rv.Int(), 10), nil
	case rv.CanUint():
		return strconv.AppendUint(Bound{'i'}, rv.Uint(), 10), nil
	case rv.Kind() == reflect.Slice && rv.Type().Elem().Kind() == reflect.Uint8:
		if rv.Len() == 0 {
			return nil, errBoundZero
		}
		return append(Bound{'b'}, rv.Bytes()...), nil
	}
	return nil, fmt.Errorf("%w: a %s cannot be bound: it need not come back from a database as it was", ErrType, rv.Type())
}

func isNilPointer(v any) bool {
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}

// appendField appends a field of the canonical encoding: its length in four
// bytes, then the field.
func appendField[T ~string | ~[]byte](dst []byte, field T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}

// keyInfo returns the HKDF info of the key for one algorithm and column.
func keyInfo(algorithm Algorithm, table, column string) string {
	info := appendField(nil, label+" key")
	info = appendField(info, []byte{byte(algorithm)})
	info = appendField(info, table)
	return string(appendField(info, column))
}

// associatedData returns the associated data of a column's values, to which
// appendBound adds the values that one of them is bound to. first is the
// algorithm byte as the value holds it, with its flag.
func associatedData(first byte, version keyring.Version, table, column string) []byte {
	ad := appendField(nil, label)
	ad = appendField(ad, []byte{first})
	ad = appendField(ad, version.String())
	ad = appendField(ad, table)
	return appendField(ad, column)
}

func appendBound(ad []byte, bound []Bound) []byte {
	for _, value := range bound {
		ad = appendField(ad, value)
	}
	return ad
}
