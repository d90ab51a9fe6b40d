package ciphertext

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Sealed is a string or bytes that [Column.Open] has opened once, to see that they
// open, and that are kept as ciphertext, with the key: that key stays in memory as
// long as they do, also when it is retired. It prints as [encrypted], and has no
// other form. The zero Sealed is nil.
//
// It is immutable, and safe for concurrent use.
type Sealed struct {
	lend func(borrow func(plaintext []byte))
}

// Use calls f with the plaintext, which is overwritten when f returns or panics. f
// may change it, and must not keep it. It is not called for the zero Sealed. Each
// call decrypts.
func (s Sealed) Use(f func(plaintext []byte)) {
	if s.lend != nil {
		s.lend(f)
	}
}

// Format writes [encrypted].
func (Sealed) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns [encrypted].
func (Sealed) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns an error: a program that stores the result would have lost
// the value.
func (Sealed) MarshalText() ([]byte, error) {
	return nil, errors.New("gormcrypt: a ciphertext.Sealed is not encoded; seal its plaintext")
}

// keep keeps the body of a value, and what opened it into plaintext.
func (s *Sealed) keep(plaintext []byte, open func(body, ad []byte) ([]byte, error), body, ad []byte) error {
	switch k, _, err := cutKind(plaintext); {
	case err != nil:
		return err
	case k != kindString && k != kindBytes:
		return fmt.Errorf("%w: the value is %s, and a %T holds strings and bytes", ErrType, k, s)
	}
	s.lend = func(borrow func([]byte)) {
		// Memory of its own, not of the pool: what a program keeps against the
		// rules must not become the plaintext of another value.
		opened, err := open(append([]byte(nil), body...), ad)
		defer clear(opened)
		if err == nil {
			_, value, err := cutKind(opened)
			if err == nil {
				borrow(value[:len(value):len(value)])
				return
			}
		}
		panic("gormcrypt: a value that has been decrypted before cannot be decrypted again: memory of the program was overwritten")
	}
	return nil
}
