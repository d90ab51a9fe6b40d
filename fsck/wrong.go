package fsck

import (
	"errors"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// kindOf says what is wrong with a value that does not open, by the error. It returns an
// error if nothing is known to be wrong.
func kindOf(err error, stored any) (problem, error) {
	p := problem{kind: Damaged, reason: err.Error()}
	var detail *ciphertext.Error
	if errors.As(err, &detail) {
		p.reason = detail.Err.Error()
		if !detail.Version.IsZero() {
			p.version = detail.Version.String()
		}
	}
	switch {
	case errors.Is(err, keyring.ErrExpired), errors.Is(err, keyring.ErrUnavailable):
		return problem{}, err
	case errors.Is(err, keyring.ErrUnknownVersion):
		p.kind = UnknownKey
	case errors.Is(err, keyring.ErrRetired):
		p.kind = RetiredKey
	case errors.Is(err, ciphertext.ErrNotCiphertext):
		p.kind = Plaintext
	case errors.Is(err, ciphertext.ErrMalformed) && rowcodec.IsSealed(stored):
		p.kind = WrongType // it was opened, and what is in it is none of this format
	case errors.Is(err, ciphertext.ErrMalformed), errors.Is(err, ciphertext.ErrUnsupported):
		p.kind = Foreign
	}
	return p, nil
}

// fits reports whether a value of a kind opens to what the manifest says, of some width.
func fits(kind string, want manifest.ValueType) bool {
	switch want {
	case manifest.AnyValue:
		return true
	case manifest.StringValue, manifest.BytesValue:
		return kind == "string" || kind == "bytes"
	case manifest.IntValue, manifest.UintValue:
		return kind == "int" || kind == "uint"
	}
	return kind == string(want)
}

func versionOf(stored any) string {
	header, err := ciphertext.Parse(bytesOf(stored))
	if err != nil {
		return ""
	}
	return header.Version.String()
}

func bytesOf(stored any) []byte {
	if text, ok := stored.(string); ok {
		return []byte(text)
	}
	binary, _ := stored.([]byte)
	return binary
}
