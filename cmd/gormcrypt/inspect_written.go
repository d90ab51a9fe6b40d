package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// written returns a stored value as bytes, and how it was written: a client of a
// database shows binary columns as hex or base64. What is neither is the value itself.
func written(given []byte) (stored []byte, form string, err error) {
	if isOurs(given) {
		return given, "", nil
	}
	text := string(given)
	if digits, ok := hexDigits(text); ok {
		stored, err := hex.DecodeString(digits)
		if err != nil {
			return stored, "hex", fmt.Errorf("%w: %s", ciphertext.ErrMalformed, hexProblem(digits))
		}
		return stored, "hex", nil
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if stored, err := encoding.DecodeString(strings.TrimRight(text, "=")); err == nil && isOurs(stored) {
			return stored, "base64", nil
		}
	}
	return given, "", nil
}

// hexDigits returns the digits of what is written in hex: it says so, or begins as a
// ciphertext does. Anything else of such letters may be something else.
func hexDigits(text string) (string, bool) {
	if digits, ok := strings.CutPrefix(text, `\x`); ok {
		return digits, true
	}
	if len(text) > 2 && (text[0] == 'x' || text[0] == 'X') && text[1] == '\'' {
		return strings.TrimSuffix(text[2:], "'"), true
	}
	begin := hex.EncodeToString([]byte("gc"))
	return text, strings.HasPrefix(text, begin) && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

func hexProblem(digits string) string {
	if at := strings.IndexFunc(digits, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }); at >= 0 {
		return fmt.Sprintf("digit %d is not one of hex", at+1)
	}
	return "the hex has an odd number of digits: it was cut"
}

// isOurs says whether bytes begin as a ciphertext or a term does.
func isOurs(stored []byte) bool {
	if _, err := ciphertext.Parse(stored); !errors.Is(err, ciphertext.ErrNotCiphertext) {
		return true
	}
	return resemblesTerm(stored)
}

// resemblesTerm says whether a value has an index key version in front.
func resemblesTerm(stored []byte) bool {
	name, _, found := bytes.Cut(stored, []byte(":"))
	digits, index := bytes.CutPrefix(name, []byte("i"))
	return found && index && len(digits) > 0 && len(digits) <= len("4294967295") && len(bytes.Trim(digits, "0123456789")) == 0
}
