package ciphertext

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// The classes of failure, to be tested with errors.Is. What Open and Seal
// return is an *Error that wraps one of them, or ErrUnknownVersion, ErrRetired,
// ErrExpired or ErrNoPrimary of package keyring.
var (
	// ErrNotCiphertext: the stored value does not start with the prefix of
	// this format. It is plaintext, or something else's.
	ErrNotCiphertext = errors.New("the stored value is not ciphertext: it was there before the column was encrypted, or was written past the plugin")
	// ErrUnsupported: the value is of a format version or algorithm that this
	// version of the library does not know, or that FIPS 140-3 mode forbids.
	ErrUnsupported = errors.New("unsupported format or algorithm")
	// ErrMalformed: the value starts like ciphertext and cannot be: it was
	// cut, or changed by something that handles text.
	ErrMalformed = errors.New("malformed ciphertext")
	// ErrAuthentication: the value does not open under the key version that
	// it names, in this column and with these bound values. It was changed, or
	// moved from elsewhere, or the keyring holds another key under that
	// version.
	ErrAuthentication = errors.New("authentication failed: the value was changed, or moved from another column or row; if no value opens, this is another keyring than the one that sealed them")
	// ErrType: the value opened, and what it holds does not fit the Go type
	// it was to be stored in; or a Go value cannot be sealed because of its
	// type.
	ErrType = errors.New("type mismatch")
	// ErrExhausted: the key has sealed as many values as Config.MaxSeals admits.
	ErrExhausted = errors.New("the key has sealed as many values as its algorithm admits: add a new key version to the keyring and promote it; values that were sealed open as before")
	// ErrNull: nil was to be sealed. NULL is not encrypted; store NULL.
	ErrNull = errors.New("a NULL is not sealed")
)

// Error says which value could not be sealed or opened, and why. It never
// holds the value, plain or encrypted.
type Error struct {
	// Op is "seal", "open", "index" or "query".
	Op string
	// Table and Column are the logical names that the value is bound to. They
	// are empty for a value that is bound to no column.
	Table, Column string
	// Version is the key version that the value names, or that was to seal
	// it. It is zero where that is not known.
	Version keyring.Version
	// Err is one of the classes, possibly with more detail.
	Err error
}

// Error returns a message that names table, column and key version.
func (e *Error) Error() string {
	where := "a value without a column"
	switch {
	case e.Table != "" || e.Column != "":
		where = strings.Trim(e.Table+"."+e.Column, ".")
	case e.Op == "query":
		where = "an encrypted column"
	}
	if e.Version.IsZero() {
		return fmt.Sprintf("gormcrypt: cannot %s %s: %v", e.Op, where, e.Err)
	}
	return fmt.Sprintf("gormcrypt: cannot %s %s (key version %s): %v", e.Op, where, e.Version, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
