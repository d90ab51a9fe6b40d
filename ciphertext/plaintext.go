package ciphertext

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
	"unicode/utf8"
)

// kind is the first byte of every plaintext. It says what follows, so that a
// value opens to the right Go type without its model.
type kind byte

const (
	kindString kind = 1 // the bytes of the string, whatever they are
	kindBytes  kind = 2 // the bytes
	kindInt    kind = 3 // 8 bytes, big endian, two's complement
	kindUint   kind = 4 // 8 bytes, big endian
	kindFloat  kind = 5 // 8 bytes, big endian, IEEE 754 binary64
	kindBool   kind = 6 // one byte, 0 or 1
	kindTime   kind = 7 // seconds since 1970 (8 bytes), nanoseconds (4), seconds east of UTC (4)
	kindJSON   kind = 8 // a JSON text (RFC 8259) without surrounding space

	// paddedFlag, in the kind byte, says that padding follows the value: one
	// byte 0x80 and as many zeros as it takes (ISO/IEC 7816-4).
	paddedFlag = 0x80
	padMarker  = 0x80
)

var kindNames = [...]string{
	kindString: "a string", kindBytes: "bytes", kindInt: "an int", kindUint: "a uint",
	kindFloat: "a float", kindBool: "a bool", kindTime: "a time", kindJSON: "JSON",
}

func (k kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "an unknown kind"
	}
	return kindNames[k]
}

// appendPlaintext appends the plaintext of a Go value: its kind and its
// canonical encoding, which is the same for every width of a type. Where
// equality counts, times lose their offset and negative zero its sign. It
// returns ErrNull for nil in any form, and ErrType.
func appendPlaintext(dst []byte, v any, equality bool) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return append(append(dst, byte(kindString)), v...), nil
	case *string:
		if v == nil {
			return dst, ErrNull
		}
		return append(append(dst, byte(kindString)), *v...), nil
	case int64:
		return appendUint64(dst, kindInt, uint64(v)), nil
	case time.Time:
		return appendTime(dst, v, equality), nil
	case Value:
		return v.append(dst, equality)
	case nil:
		return dst, ErrNull
	}
	if isNilPointer(v) {
		return dst, ErrNull
	}
	if valuer, ok := v.(driver.Valuer); ok {
		value, err := valuer.Value()
		if err != nil {
			return dst, fmt.Errorf("%w: the Value method of %T failed", ErrType, v)
		}
		if _, again := value.(driver.Valuer); again {
			return dst, fmt.Errorf("%w: the Value method of %T gives another Valuer", ErrType, v)
		}
		return appendPlaintext(dst, value, equality)
	}
	return appendReflect(dst, reflect.ValueOf(v), equality)
}

func appendReflect(dst []byte, v reflect.Value, equality bool) ([]byte, error) {
	switch v.Kind() {
	case reflect.Pointer:
		return appendPlaintext(dst, v.Elem().Interface(), equality)
	case reflect.String:
		return append(append(dst, byte(kindString)), v.String()...), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendUint64(dst, kindInt, uint64(v.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return appendUint64(dst, kindUint, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendUint64(dst, kindFloat, floatBits(v.Float(), equality)), nil
	case reflect.Bool:
		dst = append(dst, byte(kindBool), 0)
		if v.Bool() {
			dst[len(dst)-1] = 1
		}
		return dst, nil
	case reflect.Slice:
		if v.IsNil() {
			return dst, ErrNull
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(append(dst, byte(kindBytes)), v.Bytes()...), nil
		}
	case reflect.Map:
		if v.IsNil() {
			return dst, ErrNull
		}
	case reflect.Struct:
		if v.Type().ConvertibleTo(timeType) {
			return appendTime(dst, v.Convert(timeType).Interface().(time.Time), equality), nil
		}
	}
	text, err := json.Marshal(v.Interface())
	if err != nil || !utf8.Valid(text) {
		// The error may quote a part of the value.
		return dst, fmt.Errorf("%w: %s does not encode as JSON", ErrType, v.Type())
	}
	if replaced(text) {
		return dst, fmt.Errorf("%w: a string in the %s is not UTF-8, and JSON cannot hold it; use []byte", ErrType, v.Type())
	}
	return append(append(dst, byte(kindJSON)), text...), nil
}

// replaced reports whether encoding/json has put a replacement character in the
// place of bytes that are not UTF-8. It writes those as an escape, and one that
// was in the text as itself.
func replaced(text []byte) bool {
	const escape = `\ufffd`
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(escape))
		if i < 0 {
			return false
		}
		i += from
		backslashes := 0
		for i-backslashes > 0 && text[i-backslashes-1] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return true
		}
		from = i + len(escape)
	}
}

var timeType = reflect.TypeFor[time.Time]()

func appendUint64(dst []byte, k kind, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(k)), n)
}

// floatBits gives every NaN one encoding, and zero too where equality counts.
func floatBits(f float64, equality bool) uint64 {
	if math.IsNaN(f) {
		return 0x7ff8000000000000
	}
	if equality && f == 0 {
		return 0
	}
	return math.Float64bits(f)
}

func appendTime(dst []byte, t time.Time, equality bool) []byte {
	_, offset := t.Zone()
	if equality || int(int32(offset)) != offset {
		offset = 0 // the same instant
	}
	dst = appendUint64(dst, kindTime, uint64(t.Unix()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(t.Nanosecond()))
	return binary.BigEndian.AppendUint32(dst, uint32(int32(offset)))
}

// pad pads the plaintext that starts at start to a multiple of block bytes.
func pad(buf []byte, start, block int) []byte {
	buf[start] |= paddedFlag
	buf = append(buf, padMarker)
	for (len(buf)-start)%block != 0 {
		buf = append(buf, 0)
	}
	return buf
}

// errPlaintext: what opened is not a plaintext of this format. It was sealed,
// so it did not come from an attacker, but from a program with an error.
var errPlaintext = fmt.Errorf("%w: the decrypted value is not one of this format", ErrMalformed)

// cutKind returns the kind of a plaintext and its value without padding.
func cutKind(plaintext []byte) (kind, []byte, error) {
	if len(plaintext) == 0 {
		return 0, nil, errPlaintext
	}
	k, value := kind(plaintext[0]&^paddedFlag), plaintext[1:]
	if plaintext[0]&paddedFlag != 0 {
		end := len(value) - 1
		for end >= 0 && value[end] == 0 {
			end--
		}
		if end < 0 || value[end] != padMarker {
			return 0, nil, errPlaintext
		}
		value = value[:end]
	}
	size := -1
	switch k {
	case kindString, kindBytes:
	case kindInt, kindUint, kindFloat:
		size = 8
	case kindBool:
		size = 1
	case kindTime:
		size = 16
	case kindJSON:
		if !json.Valid(value) || !utf8.Valid(value) {
			return 0, nil, errPlaintext
		}
	default:
		return 0, nil, errPlaintext
	}
	if size >= 0 && len(value) != size || k == kindBool && value[0] > 1 {
		return 0, nil, errPlaintext
	}
	return k, value, nil
}

func decodeTime(value []byte) (time.Time, error) {
	nanos := binary.BigEndian.Uint32(value[8:])
	offset := int32(binary.BigEndian.Uint32(value[12:]))
	if nanos > 999_999_999 {
		return time.Time{}, errPlaintext
	}
	t := time.Unix(int64(binary.BigEndian.Uint64(value)), int64(nanos))
	if offset == 0 {
		return t.UTC(), nil
	}
	return t.In(time.FixedZone("", int(offset))), nil
}

// decodePlaintext stores a plaintext in dst, a non-nil pointer. It copies what
// it stores.
func decodePlaintext(plaintext []byte, dst any) error {
	if v, ok := dst.(*Value); ok {
		return v.store(plaintext)
	}
	k, value, err := cutKind(plaintext)
	if err != nil {
		return err
	}
	if s, ok := dst.(*string); ok && k == kindString {
		*s = string(value)
		return nil
	}
	if _, ok := dst.(sql.Scanner); ok {
		natural, err := k.natural(value)
		if err != nil {
			return err
		}
		if n, ok := natural.(uint64); ok && n <= math.MaxInt64 {
			natural = int64(n) // what a driver would give
		}
		if k == kindJSON {
			natural = bytes.Clone(value)
		}
		// A Scan that fails may leave anything behind, so it gets its own.
		fresh := reflect.New(reflect.TypeOf(dst).Elem())
		if fresh.Interface().(sql.Scanner).Scan(natural) != nil {
			return fmt.Errorf("%w: the value is %s, and the Scan method of %T refuses it", ErrType, k, dst)
		}
		reflect.ValueOf(dst).Elem().Set(fresh.Elem())
		return nil
	}
	return k.store(value, reflect.ValueOf(dst).Elem())
}

// natural returns the value as the Go type that belongs to its kind.
func (k kind) natural(value []byte) (any, error) {
	switch k {
	case kindString:
		return string(value), nil
	case kindBytes:
		return append([]byte{}, value...), nil
	case kindInt:
		return int64(binary.BigEndian.Uint64(value)), nil
	case kindUint:
		return binary.BigEndian.Uint64(value), nil
	case kindFloat:
		return math.Float64frombits(binary.BigEndian.Uint64(value)), nil
	case kindBool:
		return value[0] == 1, nil
	case kindTime:
		return decodeTime(value)
	}
	var v any
	if json.Unmarshal(value, &v) != nil {
		return nil, errPlaintext
	}
	return v, nil
}

// store puts a value into a settable Go value, without loss or not at all.
func (k kind) store(value []byte, dst reflect.Value) error {
	mismatch := func(why string) error {
		return fmt.Errorf("%w: the value is %s, and a %s %s", ErrType, k, dst.Type(), why)
	}
	if dst.Kind() == reflect.Pointer {
		target := reflect.New(dst.Type().Elem())
		if scanner, ok := target.Interface().(sql.Scanner); ok {
			if err := decodePlaintext(append([]byte{byte(k)}, value...), scanner); err != nil {
				return err
			}
		} else if err := k.store(value, target.Elem()); err != nil {
			return err
		}
		dst.Set(target)
		return nil
	}
	if dst.Kind() == reflect.Interface && dst.NumMethod() == 0 {
		natural, err := k.natural(value)
		if err != nil {
			return err
		}
		dst.Set(reflect.Zero(dst.Type()))
		if natural != nil {
			dst.Set(reflect.ValueOf(natural))
		}
		return nil
	}
	switch k {
	case kindString, kindBytes:
		switch {
		case dst.Kind() == reflect.String:
			dst.SetString(string(value))
			return nil
		case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Uint8:
			dst.SetBytes(append([]byte{}, value...))
			return nil
		}
	case kindInt, kindUint:
		n := binary.BigEndian.Uint64(value)
		negative := k == kindInt && int64(n) < 0
		switch {
		case dst.CanInt():
			if k == kindUint && n > math.MaxInt64 || dst.OverflowInt(int64(n)) {
				return mismatch("is too small for it")
			}
			dst.SetInt(int64(n))
			return nil
		case dst.CanUint() && dst.Kind() != reflect.Uintptr:
			if negative || dst.OverflowUint(n) {
				return mismatch("cannot hold it")
			}
			dst.SetUint(n)
			return nil
		}
	case kindFloat:
		if f := math.Float64frombits(binary.BigEndian.Uint64(value)); dst.CanFloat() {
			if dst.Kind() == reflect.Float32 && float64(float32(f)) != f && !math.IsNaN(f) {
				return mismatch("is too small for it")
			}
			dst.SetFloat(f)
			return nil
		}
	case kindBool:
		if dst.Kind() == reflect.Bool {
			dst.SetBool(value[0] == 1)
			return nil
		}
	case kindTime:
		if t, err := decodeTime(value); err != nil {
			return err
		} else if dst.Type() == timeType || dst.Kind() == reflect.Struct && timeType.ConvertibleTo(dst.Type()) {
			dst.Set(reflect.ValueOf(t).Convert(dst.Type()))
			return nil
		}
	case kindJSON:
		target := reflect.New(dst.Type())
		if json.Unmarshal(value, target.Interface()) != nil {
			return mismatch("does not decode from it")
		}
		dst.Set(target.Elem())
		return nil
	}
	return mismatch("cannot hold it")
}
