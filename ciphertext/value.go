package ciphertext

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
)

// Value is a plaintext of any type, as it is encoded: for programs that seal
// values anew without the types that they were made of. [Column.Open] stores one
// in a *Value, and [Column.Seal] and [Index.Term] take it for the Go value that it
// came from. It prints as [encrypted], and has no other form. The zero Value is
// nil: it is not sealed.
//
// It is immutable, and safe for concurrent use.
type Value struct {
	// encoded gives the kind and the value, without padding. Behind a function,
	// no verb of fmt prints it, whatever it is a field of.
	encoded func() []byte
}

// redacted is how a Value prints.
const redacted = "[encrypted]"

// Format writes [encrypted].
func (Value) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns [encrypted].
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns an error: a program that stores the result would have lost
// the value.
func (Value) MarshalText() ([]byte, error) {
	return nil, errors.New("gormcrypt: a ciphertext.Value is not encoded; seal it")
}

// store keeps a decrypted plaintext.
func (v *Value) store(plaintext []byte) error {
	k, value, err := cutKind(plaintext)
	if err != nil {
		return err
	}
	encoded := append(append(make([]byte, 0, 1+len(value)), byte(k)), value...)
	v.encoded = func() []byte { return encoded }
	return nil
}

// append appends the plaintext, as appendPlaintext would that of the Go value.
func (v Value) append(dst []byte, equality bool) ([]byte, error) {
	if v.encoded == nil {
		return dst, ErrNull
	}
	encoded := v.encoded()
	switch value := encoded[1:]; {
	case equality && kind(encoded[0]) == kindTime:
		t, err := decodeTime(value)
		if err != nil {
			return dst, err
		}
		return appendTime(dst, t, true), nil
	case equality && kind(encoded[0]) == kindFloat:
		f := math.Float64frombits(binary.BigEndian.Uint64(value))
		return appendUint64(dst, kindFloat, floatBits(f, true)), nil
	}
	return append(dst, encoded...), nil
}

// JSONValue returns the Value of a JSON text (RFC 8259) without surrounding space, as
// of a Go value that encodes so. It returns an error that wraps ErrType for anything
// else, and for text that is not UTF-8.
func JSONValue(text []byte) (Value, error) {
	encoded := append([]byte{byte(kindJSON)}, text...)
	var v Value
	if err := v.store(encoded); err != nil {
		return Value{}, fmt.Errorf("%w: the text is no JSON", ErrType)
	}
	return v, nil
}

// Equal reports whether both are the same value of the same type. Two that are
// nil are equal.
func (v Value) Equal(other Value) bool {
	if v.encoded == nil || other.encoded == nil {
		return v.encoded == nil && other.encoded == nil
	}
	return bytes.Equal(v.encoded(), other.encoded())
}

// Kind returns what the value is: string, bytes, int, uint, float, bool, time or json,
// and nothing for nil.
func (v Value) Kind() string {
	if v.encoded == nil {
		return ""
	}
	return [...]string{
		kindString: "string", kindBytes: "bytes", kindInt: "int", kindUint: "uint",
		kindFloat: "float", kindBool: "bool", kindTime: "time", kindJSON: "json",
	}[v.encoded()[0]]
}
