package ciphertext

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gormcrypt/gormcrypt/keyring"
)

const (
	// magic starts every value of format version 1.
	magic = "gc1:"
	// namedFlag, in the algorithm byte, says that the names of table and
	// column follow it.
	namedFlag = 0x80
	// maxPrefix is the length of the longest prefix: magic, "i4294967295" and
	// a colon.
	maxPrefix = len(magic) + 11 + 1
	// maxName is the length of the longest table or column name, in bytes.
	maxName = math.MaxUint16
)

// strict refuses non-zero padding bits; line breaks, which it would skip, are
// looked for separately. A value has one spelling.
var strict = base64.RawURLEncoding.Strict()

// Header is what a value says of itself, to anyone, without a key. None of it
// is authenticated until the value is opened.
type Header struct {
	// Version is the key version that sealed the value.
	Version keyring.Version
	// Algorithm is how it was sealed.
	Algorithm Algorithm
	// Binary says that the value is in the form for binary columns.
	Binary bool
	// Named says that the value holds the names of the table and column that
	// it was sealed for. Both are empty if it was sealed for none.
	Named         bool
	Table, Column string
	// PlaintextLen is the length of what is encrypted, in bytes: one byte for
	// the kind, the value, and padding if there is any.
	PlaintextLen int
}

// Prefix returns what every value starts with that a key version sealed, in its
// text and in its binary form.
func Prefix(version keyring.Version) string { return magic + version.String() + ":" }

// Parse reads the header of a stored value, in its text or its binary form.
// It returns an error that wraps ErrNotCiphertext, ErrUnsupported or
// ErrMalformed, and never quotes the value.
func Parse(stored []byte) (Header, error) {
	raw, err := decode(nil, stored)
	if err != nil {
		return Header{}, err
	}
	return raw.Header, nil
}

// Resembles reports whether a value starts like one of this format: with its
// prefix and a key version. It may have been cut or changed behind that.
func Resembles(stored []byte) bool {
	rest, ok := bytes.CutPrefix(stored, []byte(magic))
	if !ok {
		return false
	}
	version, _, ok := bytes.Cut(rest[:min(len(rest), maxPrefix)], []byte(":"))
	if !ok {
		return false
	}
	_, err := keyring.ParseVersion(string(version))
	return err == nil
}

// envelope is a parsed value: its header, and its nonce and ciphertext.
type envelope struct {
	Header
	body []byte
}

// decode parses a stored value. Text is decoded into scratch, which grows as
// needed; the body of a binary value is part of stored itself.
func decode(scratch, stored []byte) (envelope, error) {
	rest, ok := bytes.CutPrefix(stored, []byte(magic))
	if !ok {
		return envelope{}, foreign(stored)
	}
	end := bytes.IndexByte(rest[:min(len(rest), maxPrefix)], ':')
	if end < 0 {
		return envelope{}, fmt.Errorf("%w: no key version", ErrMalformed)
	}
	version, err := keyring.ParseVersion(string(rest[:end]))
	if err != nil {
		return envelope{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	e := envelope{Header: Header{Version: version}}
	if e.body = rest[end+1:]; len(e.body) == 0 {
		return e, fmt.Errorf("%w: no body", ErrMalformed)
	}
	// The first byte of a body is never a printable ASCII character, and
	// base64 is nothing else: each form shows itself.
	if first := e.body[0]; first < 0x20 || first >= 0x7f {
		e.Binary = true
	} else if e.body, err = decodeText(scratch, e.body); err != nil {
		return e, err
	}
	return e, e.parseBody()
}

// foreign tells ciphertext of another format version from anything else.
func foreign(stored []byte) error {
	if rest, ok := bytes.CutPrefix(stored, []byte("gc")); ok {
		digits := bytes.TrimLeft(rest, "0123456789")
		if len(digits) < len(rest) && len(digits) > 0 && digits[0] == ':' && rest[0] != '0' {
			return fmt.Errorf("%w: format version other than 1", ErrUnsupported)
		}
	}
	return ErrNotCiphertext
}

func decodeText(scratch, text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, fmt.Errorf("%w: line break in the body", ErrMalformed)
	}
	n := strict.DecodedLen(len(text))
	if cap(scratch) < n {
		scratch = make([]byte, n)
	}
	body := scratch[:n]
	if _, err := strict.Decode(body, text); err != nil {
		return nil, fmt.Errorf("%w: the body is not base64url without padding", ErrMalformed)
	}
	return body, nil
}

// parseBody reads the algorithm byte and the names, and leaves nonce and
// ciphertext in body.
func (e *envelope) parseBody() error {
	if len(e.body) == 0 {
		return fmt.Errorf("%w: no body", ErrMalformed)
	}
	first := e.body[0]
	e.Algorithm, e.Named, e.body = Algorithm(first&^namedFlag), first&namedFlag != 0, e.body[1:]
	if !e.Algorithm.known() {
		return fmt.Errorf("%w: algorithm %d", ErrUnsupported, byte(e.Algorithm))
	}
	if e.Version.Set() != e.Algorithm.set() {
		return fmt.Errorf("%w: %s is never sealed under key version %s", ErrMalformed, e.Algorithm, e.Version)
	}
	if e.Named {
		var ok bool
		if e.Table, e.body, ok = cutName(e.body); ok {
			e.Column, e.body, ok = cutName(e.body)
		}
		if !ok || (e.Table == "") != (e.Column == "") {
			return fmt.Errorf("%w: the names of table and column", ErrMalformed)
		}
	}
	// The shortest plaintext is a kind byte.
	e.PlaintextLen = len(e.body) - algorithms[e.Algorithm].overhead
	if e.PlaintextLen < 1 {
		return fmt.Errorf("%w: too short for %s", ErrMalformed, e.Algorithm)
	}
	return nil
}

func appendName(dst []byte, name string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(name)))
	return append(dst, name...)
}

func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
