package keyring

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzDocument: a text is a keyring, which is written as it was read, or it is
// refused with one of two errors, without a word of it.
func FuzzDocument(f *testing.F) {
	const good = `{"format": "gormcrypt-keyring-1", "keys": [
		{"version": "1", "state": "retired"},
		{"version": "2", "state": "primary", "check": "yDfRiivreOg", "key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}]}`
	f.Add(good)
	f.Add(strings.Replace(good, "AQEB", "AgEB", 1))
	f.Add(`{"format": "gormcrypt-keyring-1", "keys": [{"version": 12345678}]}`)
	f.Add(`{"keys": {"version": "1", "key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := parseDocument([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrWrongKey) {
				t.Fatalf("an error of no class: %v", err)
			}
			for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("\"{}[],: \n", r) }) {
				if len(word) > 20 && strings.Contains(err.Error(), word) {
					t.Fatalf("the error quotes %q: %v", word, err)
				}
			}
			return
		}
		var written bytes.Buffer
		if err := WriteCleartext(&written, ring); err != nil {
			t.Fatal(err)
		}
		again, err := parseDocument(written.Bytes())
		if err != nil || !slices.Equal(again.Versions(), ring.Versions()) || again.String() != ring.String() {
			t.Fatalf("%v is written and read as %v, %v", ring, again, err)
		}
	})
}
