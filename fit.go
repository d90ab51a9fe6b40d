package gormcrypt

import (
	"database/sql"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// fit returns a plaintext as a destination of some type takes it. database/sql
// would do that as well, but its errors quote the value.
func fit(value any, to reflect.Type) (any, error) {
	v := reflect.ValueOf(value)
	pointer := reflect.PointerTo(to)
	switch {
	case pointer.Implements(fieldType):
		return hold(to, value)
	case v.Type().AssignableTo(to):
		return value, nil
	case pointer.Implements(scannerType):
		if reflect.New(to).Interface().(sql.Scanner).Scan(value) != nil {
			return nil, unfit(v.Type(), to)
		}
		return value, nil
	}
	converted := reflect.New(to).Elem()
	ok := false
	switch {
	case to.Kind() == reflect.String:
		ok = toText(converted, v)
	case to.Kind() == reflect.Slice && to.Elem().Kind() == reflect.Uint8:
		var s string
		if s, ok = text(v); ok {
			converted.SetBytes([]byte(s))
		}
	case converted.CanInt():
		ok = toInt(converted, v)
	case converted.CanUint():
		ok = toUint(converted, v)
	case converted.CanFloat():
		ok = toFloat(converted, v)
	case to.Kind() == reflect.Bool:
		ok = toBool(converted, v)
	case v.Kind() == to.Kind() && v.Type().ConvertibleTo(to):
		converted.Set(v.Convert(to))
		ok = true
	}
	if !ok {
		return nil, unfit(v.Type(), to)
	}
	return converted.Interface(), nil
}

func unfit(from, to reflect.Type) error {
	return fmt.Errorf("%w: the value, %s, does not go into %s", ErrType, withArticle(from), withArticle(to))
}

// toText is toString for what is read, which text can always hold.
func toText(dst, v reflect.Value) bool {
	switch moment, ok := v.Interface().(time.Time); {
	case ok:
		dst.SetString(moment.Format(time.RFC3339Nano))
	case v.CanFloat():
		dst.SetString(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()))
	case v.Kind() == reflect.Bool:
		dst.SetString(strconv.FormatBool(v.Bool()))
	default:
		return toString(dst, v)
	}
	return true
}

// hold returns a value of a type of package encryptedtype.
func hold(t reflect.Type, plaintext any) (any, error) {
	held := reflect.New(t)
	err := held.Interface().(encryptedtype.Field).OpenWith(func(dst any) error {
		inner := reflect.ValueOf(dst).Elem()
		value, err := fit(plaintext, inner.Type())
		if err != nil {
			return fmt.Errorf("%w (in a %s)", err, t)
		}
		inner.Set(reflect.ValueOf(value))
		return nil
	})
	return held.Elem().Interface(), err
}

var fieldType = reflect.TypeFor[encryptedtype.Field]()
