package gormcrypt

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The read gate. Fields of models open when GORM scans a row into them.

// serializer is what the tag serializer:encrypted names. GORM has one for the
// whole process; it finds the plugin of a field in the registry.
type serializer struct{}

// Value hands the field's value to the write gate. To everything else, such as
// a driver or a logger, it gives nothing but an error.
func (serializer) Value(_ context.Context, field *schema.Field, _ reflect.Value, value any) (any, error) {
	if held, ok := encryptedtype.Plaintext(value); ok {
		value = held
	}
	return unsealed{&heldValue{field, value}}, strayError{field}
}

// Scan opens a stored value into the field of a row.
func (serializer) Scan(ctx context.Context, field *schema.Field, row reflect.Value, stored any) error {
	policy := lookup(field)
	if policy == nil {
		return &Error{Op: "open", Table: field.Schema.Table, Column: field.DBName, Err: ErrNoPlugin}
	}
	return policy.open(ctx, row, stored)
}

func (p *policy) open(ctx context.Context, row reflect.Value, stored any) error {
	target := p.field.ReflectValueOf(ctx, row)
	switch stored := stored.(type) {
	case nil:
		if !keepsOnNull(target.Type()) {
			target.SetZero()
		}
		return nil
	case opened:
		return p.assign(target, stored.value)
	}
	var bound []ciphertext.Bound
	if len(p.bind) > 0 && !p.isPlain(stored) {
		var err error
		if bound, err = p.boundIn(ctx, row); err != nil {
			return err
		}
	}
	if !p.held {
		return p.openInto(target.Addr().Interface(), stored, bound)
	}
	dst := target
	if target.Kind() == reflect.Pointer {
		dst = reflect.New(target.Type().Elem()).Elem()
	}
	held := dst.Addr().Interface().(encryptedtype.Field)
	take := held.OpenStored
	if p.isPlain(stored) {
		take = held.OpenWith
	}
	err := take(func(dst any) error { return p.openInto(dst, stored, bound) })
	if err == nil && dst != target {
		target.Set(dst.Addr())
	}
	return err
}

// keepsOnNull reports whether a field of a type stays as it is when NULL is read
// into it. It is what GORM does with plain fields of such types, and shows where
// a model is read into that holds something already.
func keepsOnNull(t reflect.Type) bool {
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String || t == timeType
}

// openInto opens a stored value into what dst points to.
func (p *policy) openInto(dst, stored any, bound []ciphertext.Bound) error {
	if p.isPlain(stored) {
		return p.openPlain(dst, stored)
	}
	switch stored := stored.(type) {
	case string:
		return p.column.OpenString(dst, stored, bound...)
	case []byte:
		return p.column.Open(dst, stored, bound...)
	}
	return p.openError(fmt.Errorf("%w: the column holds a %T; its type must be text or binary", ErrNotCiphertext, stored))
}

func (p *policy) openError(err error) error {
	return &Error{Op: "open", Table: p.column.Table, Column: p.column.Column, Err: err}
}

// discardOnError takes back the rows of a query of which one could not be
// opened: GORM would hand it out with an empty field, which a Save would then
// write.
func discardOnError(db *gorm.DB) {
	if db.Error == nil || !isOpenError(db.Error) {
		return
	}
	result := db.Statement.ReflectValue
	if result.IsValid() && result.CanSet() {
		result.SetZero()
		db.RowsAffected = 0
	}
}

func isOpenError(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Op == "open"
}
