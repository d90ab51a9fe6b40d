package encryptedtype

import (
	"reflect"
	"slices"
)

// The gorm tags below are copied by GORM from the type to the model's field,
// because the types are driver.Valuers whose zero value is NULL.

// EncryptedString is a string that is encrypted in the database. Its zero
// value is NULL; NewEncryptedString("") is the empty string.
//
// One that was read is kept as ciphertext, and decrypted anew by each call of Use,
// Reveal and Equal.
type EncryptedString struct {
	lend lender `gorm:"serializer:encrypted;type:text"`
}

// NewEncryptedString returns an EncryptedString that holds a copy of s, which is
// overwritten when nobody has it any more. What becomes of s itself is up to the
// program.
func NewEncryptedString(s string) EncryptedString {
	return EncryptedString{hold([]byte(s))}
}

// Use calls f with the string, which is overwritten when f returns or panics. f may
// change it, and must not keep it: not the slice, and no string or copy made of it
// that is to be secret. f is not called for NULL.
//
//	key.Use(func(secret []byte) { mac = hmac.New(sha256.New, secret) })
//
// In a program that is built with GOEXPERIMENT=runtimesecret, f runs under
// secret.Do of package runtime/secret, which also erases what f itself leaves in
// memory.
func (e EncryptedString) Use(f func(secret []byte)) { e.lend.use(f) }

// Reveal returns the string, and "" for NULL. Go cannot overwrite a string: see Use
// for one that should not stay in memory.
func (e EncryptedString) Reveal() (s string) {
	e.lend.read(func(plaintext []byte) { s = string(plaintext) })
	return s
}

// IsNull reports whether e is NULL, which the empty string is not.
func (e EncryptedString) IsNull() bool { return e.lend == nil }

// Equal reports whether both are NULL or both hold the same string. It takes
// the same time wherever two strings of one length differ.
func (e EncryptedString) Equal(other EncryptedString) bool { return e.lend.equal(other.lend) }

// EncryptedBytes is a byte slice that is encrypted in the database. Its zero
// value is NULL; NewEncryptedBytes([]byte{}) is empty.
//
// One that was read is kept as ciphertext, and decrypted anew by each call of Use,
// Reveal and Equal.
type EncryptedBytes struct {
	lend lender `gorm:"serializer:encrypted;type:text"`
}

// NewEncryptedBytes returns an EncryptedBytes that holds a copy of b, or NULL
// if b is nil. The copy is overwritten when nobody has it any more.
func NewEncryptedBytes(b []byte) EncryptedBytes {
	if b == nil {
		return EncryptedBytes{}
	}
	return EncryptedBytes{hold(slices.Clone(b))}
}

// Use calls f with the bytes, as [EncryptedString.Use] does with a string.
func (e EncryptedBytes) Use(f func(secret []byte)) { e.lend.use(f) }

// Reveal returns a copy of the bytes, and nil for NULL.
func (e EncryptedBytes) Reveal() (b []byte) {
	e.lend.read(func(plaintext []byte) { b = append([]byte{}, plaintext...) })
	return b
}

// IsNull reports whether e is NULL, which an empty slice is not.
func (e EncryptedBytes) IsNull() bool { return e.lend == nil }

// Equal reports whether both are NULL or both hold the same bytes. It takes
// the same time wherever two slices of one length differ.
func (e EncryptedBytes) Equal(other EncryptedBytes) bool { return e.lend.equal(other.lend) }

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
