package gormcrypttest

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// maxDepth ends the walk through values that hold themselves.
const maxDepth = 16

// texts returns what a value looks like when it is sent. Of a driver.Valuer
// that is what its Value method returns: pgx, unlike most drivers, is handed
// the Valuer itself.
func texts(v any) [][]byte {
	var all [][]byte
	textsWithin(v, maxDepth, func(text []byte) { all = append(all, text) })
	return all
}

func textsWithin(v any, depth int, yield func([]byte)) {
	say := func(s string) { yield([]byte(s)) }
	switch v := v.(type) {
	case nil, bool:
		return
	case string:
		say(v)
		return
	case []byte:
		yield(v)
		return
	case time.Time:
		say(v.Format(time.RFC3339Nano))
		say(v.UTC().Format(time.RFC3339Nano))
		say(v.String())
		return
	}
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Pointer && value.IsNil() || depth == 0 {
		return
	}
	if valuer, ok := v.(driver.Valuer); ok {
		if v, err := valuer.Value(); err == nil { // else the driver does not get one either
			textsWithin(v, depth-1, yield)
		}
		return
	}
	switch v.(type) {
	case fmt.Stringer, error:
		say(fmt.Sprint(v))
	}
	switch value.Kind() {
	case reflect.Pointer:
		if value.Elem().CanInterface() {
			textsWithin(value.Elem().Interface(), depth-1, yield)
		}
	case reflect.Slice, reflect.Array:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			yield(byteList(value))
			return
		}
		for _, element := range value.Seq2() {
			textsWithin(element.Interface(), depth-1, yield)
		}
	case reflect.Map:
		for key, element := range value.Seq2() {
			textsWithin(key.Interface(), depth-1, yield)
			textsWithin(element.Interface(), depth-1, yield)
		}
	case reflect.Struct:
		if text, err := json.Marshal(v); err == nil {
			yield(text)
		}
	case reflect.String:
		say(value.String())
	case reflect.Float32, reflect.Float64:
		say(strconv.FormatFloat(value.Float(), 'f', -1, value.Type().Bits()))
	default:
		say(fmt.Sprintf("%d", v))
	}
}

// byteList returns the bytes of a slice or an array of any type of bytes.
func byteList(value reflect.Value) []byte {
	bytes := make([]byte, value.Len())
	for i := range bytes {
		bytes[i] = byte(value.Index(i).Uint())
	}
	return bytes
}
