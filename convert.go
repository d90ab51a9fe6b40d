package gormcrypt

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// convert makes a value what the policy's field would hold.
func (p *policy) convert(ctx context.Context, value any) (any, error) {
	if moment, ok := value.(time.Time); ok && (p.field.AutoCreateTime > 0 || p.field.AutoUpdateTime > 0) {
		value = p.tracked(moment)
	}
	return convert(ctx, p.field, p.set, p.inner, value)
}

// tracked returns a time as GORM keeps it in the field, which may be a number.
func (p *policy) tracked(moment time.Time) any {
	if p.inner.Kind() < reflect.Int || p.inner.Kind() > reflect.Uint64 {
		return moment
	}
	switch max(p.field.AutoCreateTime, p.field.AutoUpdateTime) {
	case schema.UnixNanosecond:
		return moment.UnixNano()
	case schema.UnixMillisecond:
		return moment.UnixMilli()
	}
	return moment.Unix()
}

// convert makes a value what its field would hold, so that 42, int8(42) and
// "42" are sealed alike. GORM's own setter does that for everything but
// numbers and bools, which it would round, wrap or take for false without a
// word. Errors name types and never the value.
func convert(ctx context.Context, field *schema.Field, set func(context.Context, reflect.Value, any) error, to reflect.Type, value any) (any, error) {
	v := reflect.ValueOf(value)
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	for to.Kind() == reflect.Pointer {
		to = to.Elem()
	}
	if !v.IsValid() {
		return nil, nil
	}
	if v.Type() == to {
		return v.Interface(), nil
	}
	if inner, ok := encryptedtype.Plaintext(v.Interface()); ok {
		return convert(ctx, field, set, to, inner)
	}
	if valuer, ok := v.Interface().(driver.Valuer); ok && !v.Type().AssignableTo(to) {
		inner, err := valuer.Value()
		if err != nil {
			return nil, fmt.Errorf("%w: the Value method of %s failed", ErrType, v.Type())
		}
		if _, again := inner.(driver.Valuer); again {
			return nil, fmt.Errorf("%w: the Value method of %s gives another Valuer", ErrType, v.Type())
		}
		return convert(ctx, field, set, to, inner)
	}
	converted := reflect.New(to).Elem()
	ok := false
	switch {
	case to.Kind() == reflect.String:
		ok = toString(converted, v)
	case converted.CanInt():
		ok = toInt(converted, v)
	case converted.CanUint():
		ok = toUint(converted, v)
	case converted.CanFloat():
		ok = toFloat(converted, v)
	case to.Kind() == reflect.Bool:
		ok = toBool(converted, v)
	case v.Type().AssignableTo(to):
		converted.Set(v)
		ok = true
	default:
		return setByGORM(ctx, field, set, to, v)
	}
	if !ok {
		return nil, misfit(v.Type(), to)
	}
	return converted.Interface(), nil
}

func misfit(from, to reflect.Type) error {
	reason := ""
	if isNumber(from) && isNumber(to) {
		reason = ": it is out of range, or would be rounded"
	}
	return fmt.Errorf("%w: %s does not become %s without loss%s; pass %[3]s", ErrType, withArticle(from), withArticle(to), reason)
}

func isNumber(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 }

// withArticle returns the name of a type with its article.
func withArticle(t reflect.Type) string {
	if name := t.String(); strings.ContainsRune("aeioAEIO", rune(name[0])) {
		return "an " + name
	}
	return "a " + t.String()
}

// text returns the text of a string or a byte slice.
func text(v reflect.Value) (string, bool) {
	switch {
	case v.Kind() == reflect.String:
		return v.String(), true
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return string(v.Bytes()), true
	}
	return "", false
}

func toString(dst, v reflect.Value) bool {
	s, ok := text(v)
	switch {
	case ok:
	case v.CanInt():
		s = strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		s = strconv.FormatUint(v.Uint(), 10)
	default:
		return false
	}
	dst.SetString(s)
	return true
}

func toInt(dst, v reflect.Value) bool {
	var n int64
	switch s, isText := text(v); {
	case isText:
		parsed, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			return false
		}
		n = parsed
	case v.CanInt():
		n = v.Int()
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		n = int64(v.Uint())
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()) && math.Abs(v.Float()) < 1<<53:
		n = int64(v.Float())
	default:
		return false
	}
	if dst.OverflowInt(n) {
		return false
	}
	dst.SetInt(n)
	return true
}

func toUint(dst, v reflect.Value) bool {
	var n uint64
	switch s, isText := text(v); {
	case isText:
		parsed, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return false
		}
		n = parsed
	case v.CanUint():
		n = v.Uint()
	case v.CanInt() && v.Int() >= 0:
		n = uint64(v.Int())
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()) && v.Float() >= 0 && v.Float() < 1<<53:
		n = uint64(v.Float())
	default:
		return false
	}
	if dst.OverflowUint(n) {
		return false
	}
	dst.SetUint(n)
	return true
}

func toFloat(dst, v reflect.Value) bool {
	var f float64
	switch s, isText := text(v); {
	case isText:
		parsed, err := strconv.ParseFloat(s, dst.Type().Bits())
		if err != nil {
			return false
		}
		dst.SetFloat(parsed)
		return true
	case v.CanFloat():
		f = v.Float()
	case v.CanInt() && v.Int() > -1<<53 && v.Int() < 1<<53:
		f = float64(v.Int())
	case v.CanUint() && v.Uint() < 1<<53:
		f = float64(v.Uint())
	default:
		return false
	}
	if dst.Kind() == reflect.Float32 && float64(float32(f)) != f && !math.IsNaN(f) {
		return false
	}
	dst.SetFloat(f)
	return true
}

func toBool(dst, v reflect.Value) bool {
	switch s, isText := text(v); {
	case isText:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false
		}
		dst.SetBool(b)
	case v.Kind() == reflect.Bool:
		dst.SetBool(v.Bool())
	case v.CanInt() && (v.Int() == 0 || v.Int() == 1):
		dst.SetBool(v.Int() == 1)
	default:
		return false
	}
	return true
}

// setByGORM lets GORM's setter convert, in a row of its own.
func setByGORM(ctx context.Context, field *schema.Field, set func(context.Context, reflect.Value, any) error, to reflect.Type, v reflect.Value) (converted any, err error) {
	defer func() {
		// Converting a slice to an array panics when it is too short.
		if recover() != nil {
			converted, err = nil, misfit(v.Type(), to)
		}
	}()
	row := reflect.New(field.Schema.ModelType).Elem()
	if field.IndirectFieldType != to || set(ctx, row, v.Interface()) != nil {
		return nil, misfit(v.Type(), to) // the setter's error quotes the value
	}
	return field.ReflectValueOf(ctx, row).Interface(), nil
}
