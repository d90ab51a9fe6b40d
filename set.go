package gormcrypt

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// GORM sets the fields of a model to what an update writes, to the attributes
// of FirstOrInit, and to what hooks give SetColumn. Its own setter drops errors
// there, quotes values in them, and knows nothing of the types of encryptedtype;
// a model that it left behind would be saved.

// installSetter puts ours in front of it. It is called while the model is
// registered, before anyone uses its schema.
func (p *policy) installSetter() {
	p.set = p.field.Set
	p.field.Set = func(ctx context.Context, row reflect.Value, value any) error {
		err := p.setField(ctx, row, value)
		if err != nil {
			reject(row, err)
		}
		return err
	}
}

func (p *policy) setField(ctx context.Context, row reflect.Value, value any) error {
	if reflect.TypeOf(value) == wrapperType() {
		return redactSetError(p.set(ctx, row, value), value)
	}
	if _, ok := value.(clause.Expression); ok {
		return nil // what it comes to is known to the database only
	}
	if _, ok := asSealed(value); ok {
		return nil // or to the key only
	}
	plaintext, err := p.plaintext(ctx, value)
	if err != nil {
		return p.fail(err)
	}
	return p.assign(p.field.ReflectValueOf(ctx, row), plaintext)
}

// redactSetError keeps our errors, and no others: they quote the value.
func redactSetError(err error, value any) error {
	var ours *Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	return fmt.Errorf("gormcrypt: %w: a %T was not set", ErrType, value)
}

// assign sets a field to a plaintext that was converted to its inner type, or to
// its zero value.
func (p *policy) assign(target reflect.Value, plaintext any) error {
	if plaintext == nil {
		target.SetZero()
		return nil
	}
	for target.Kind() == reflect.Pointer {
		if target.Type() == reflect.TypeOf(plaintext) {
			break
		}
		fresh := reflect.New(target.Type().Elem())
		target.Set(fresh)
		target = fresh.Elem()
	}
	value := reflect.ValueOf(plaintext)
	if held, ok := target.Addr().Interface().(encryptedtype.Field); ok {
		return held.OpenWith(func(dst any) error { return p.put(reflect.ValueOf(dst).Elem(), value) })
	}
	return p.put(target, value)
}

func (p *policy) put(target, value reflect.Value) error {
	for value.Kind() == reflect.Pointer && value.Type() != target.Type() && !value.IsNil() {
		value = value.Elem()
	}
	for target.Kind() == reflect.Pointer && target.Type() != value.Type() {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	if !value.Type().AssignableTo(target.Type()) {
		return p.fail(misfit(value.Type(), target.Type()))
	}
	target.Set(value)
	return nil
}
