package encryptedtype

import (
	"crypto/subtle"
	"reflect"
	"slices"
)

// The gorm tags below are copied by GORM from the type to the model's field,
// because the types are driver.Valuers whose zero value is NULL.

// EncryptedString is a string that is encrypted in the database. Its zero
// value is NULL; NewEncryptedString("") is the empty string.
type EncryptedString struct {
	reveal func() string `gorm:"serializer:encrypted;type:text"`
}

// NewEncryptedString returns an EncryptedString that holds s.
func NewEncryptedString(s string) EncryptedString {
	return EncryptedString{reveal: func() string { return s }}
}

// Reveal returns the string, and "" for NULL.
func (e EncryptedString) Reveal() string {
	if e.reveal == nil {
		return ""
	}
	return e.reveal()
}

// IsNull reports whether e is NULL, which the empty string is not.
func (e EncryptedString) IsNull() bool { return e.reveal == nil }

// Equal reports whether both are NULL or both hold the same string. It takes
// the same time wherever two strings of one length differ.
func (e EncryptedString) Equal(other EncryptedString) bool {
	return e.IsNull() == other.IsNull() && subtle.ConstantTimeCompare([]byte(e.Reveal()), []byte(other.Reveal())) == 1
}

// EncryptedBytes is a byte slice that is encrypted in the database. Its zero
// value is NULL; NewEncryptedBytes([]byte{}) is empty.
type EncryptedBytes struct {
	reveal func() []byte `gorm:"serializer:encrypted;type:text"`
}

// NewEncryptedBytes returns an EncryptedBytes that holds a copy of b, or NULL
// if b is nil.
func NewEncryptedBytes(b []byte) EncryptedBytes {
	if b == nil {
		return EncryptedBytes{}
	}
	kept := slices.Clone(b)
	return EncryptedBytes{reveal: func() []byte { return kept }}
}

// Reveal returns a copy of the bytes, and nil for NULL.
func (e EncryptedBytes) Reveal() []byte {
	if e.reveal == nil {
		return nil
	}
	return slices.Clone(e.reveal())
}

// IsNull reports whether e is NULL, which an empty slice is not.
func (e EncryptedBytes) IsNull() bool { return e.reveal == nil }

// Equal reports whether both are NULL or both hold the same bytes. It takes
// the same time wherever two slices of one length differ.
func (e EncryptedBytes) Equal(other EncryptedBytes) bool {
	return e.IsNull() == other.IsNull() && subtle.ConstantTimeCompare(e.Reveal(), other.Reveal()) == 1
}

// Encrypted is a value of any type that is encrypted in the database: bools,
// numbers, times and types made from them each in a form of their own, and
// everything else as JSON. Its zero value is NULL, and so is one that holds a
// nil pointer, slice or map.
type Encrypted[T any] struct {
	reveal func() T `gorm:"serializer:encrypted;type:text"`
}

// NewEncrypted returns an Encrypted that holds v. What v refers to is shared,
// not copied.
func NewEncrypted[T any](v T) Encrypted[T] {
	return Encrypted[T]{reveal: func() T { return v }}
}

// Reveal returns the value, and the zero value of its type for NULL.
func (e Encrypted[T]) Reveal() T {
	if e.reveal == nil {
		var zero T
		return zero
	}
	return e.reveal()
}

// IsNull reports whether e holds nothing.
func (e Encrypted[T]) IsNull() bool { return e.reveal == nil }

// Equal reports whether both are NULL or both hold values that are deeply
// equal.
func (e Encrypted[T]) Equal(other Encrypted[T]) bool {
	return e.IsNull() == other.IsNull() && reflect.DeepEqual(e.Reveal(), other.Reveal())
}
