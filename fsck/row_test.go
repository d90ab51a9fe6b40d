package fsck

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// That the keys cannot be used says nothing of a value.
func TestErrorsOfKeysAreNoFindings(t *testing.T) {
	t.Parallel()
	for _, class := range []error{keyring.ErrExpired, keyring.ErrUnavailable} {
		err := &ciphertext.Error{Op: "open", Table: "t", Column: "c", Err: fmt.Errorf("a reason: %w", class)}
		if _, got := kindOf(err, "gc1:1:AAAA"); !errors.Is(got, class) {
			t.Errorf("%v: %v", class, got)
		}
	}
}

// A program reads values of some types into others.
func TestTypesThatFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		want manifest.ValueType
		fits bool
	}{
		{"string", manifest.StringValue, true}, {"bytes", manifest.StringValue, true}, {"string", manifest.BytesValue, true}, {"int", manifest.StringValue, false},
		{"int", manifest.UintValue, true}, {"uint", manifest.IntValue, true}, {"float", manifest.IntValue, false}, {"int", manifest.FloatValue, false},
		{"time", manifest.TimeValue, true}, {"string", manifest.TimeValue, false}, {"json", manifest.JSONValue, true}, {"bool", manifest.AnyValue, true},
	} {
		if got := fits(c.kind, c.want); got != c.fits {
			t.Errorf("a %s fits %s: %v", c.kind, c.want, got)
		}
	}
}
