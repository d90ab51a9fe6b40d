package keyring

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// fixedKEK wraps with AES-256-GCM under a key that anybody may know.
type fixedKEK struct{ aead cipher.AEAD }

func newFixedKEK(t testing.TB) fixedKEK {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return fixedKEK{aead}
}

func (fixedKEK) Name() string { return "fixed" }

func (k fixedKEK) Wrap(_ context.Context, key []byte) ([]byte, error) {
	return k.aead.Seal(nil, nil, key, nil), nil
}

func (k fixedKEK) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	key, err := k.aead.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, ErrWrongKey
	}
	return key, nil
}

// goodWrapped is a document that a fixedKEK opens.
const goodWrapped = `{
  "format": "gormcrypt-wrapped-keyring-1",
  "kek": "fixed",
  "keys": [
    {
      "version": "1",
      "state": "retired"
    },
    {
      "version": "2",
      "state": "primary",
      "check": "yDfRiivreOg",
      "wrapped": "LBYZeD3rTYQ15AlPvjuLcxJAudmmLo-1ih1eS-75BnFsqQvJ4RgYAA6kimeJ86GLSJco5RNFPGYYtktb"
    },
    {
      "version": "i1",
      "state": "primary",
      "check": "8z48348Nx_8",
      "wrapped": "VkqKjxIkk4ohfhXxI0rOXhCKQ6pivAYI9L5BQWgT9LjmXBWdqhRBcEa54mQX1DSY6zqR4MyzK0uAcFe4"
    }
  ],
  "tag": "shbsa0AtiHqb_Zr5m1O4ECUbWcW8a5QjlXslncKMNwE"
}`

// FuzzWrappedDocument: a text is a wrapped keyring, whose tag is that of what was
// read, or it is refused with one of two errors, without a word of it.
func FuzzWrappedDocument(f *testing.F) {
	f.Add(goodWrapped)
	f.Add(strings.Replace(goodWrapped, `"primary"`, `"enabled"`, 1))
	f.Add(strings.Replace(goodWrapped, `"2"`, `"3"`, 1))
	f.Add(strings.Replace(goodWrapped, `"fixed"`, `"other"`, 1))
	f.Add(`{"format": "gormcrypt-wrapped-keyring-1", "kek": "fixed", "keys": [{"version": "1", "state": "retired"}], "tag": ""}`)
	f.Add(`{"format": "gormcrypt-keyring-1"}`)
	kek := newFixedKEK(f)
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := parseWrapped([]byte(text), kek)
		var ring *Keyring
		if err == nil {
			ring, err = doc.open(ctx, kek, nil)
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrWrongKey) {
				t.Fatalf("an error of no class: %v", err)
			}
			for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("\"{}[],: \n", r) }) {
				if len(word) > 20 && !strings.Contains(wrappedFormat, word) && strings.Contains(err.Error(), word) {
					t.Fatalf("the error quotes %q: %v", word, err)
				}
			}
			return
		}
		// Whatever the text looked like, the tag holds what was read from it together.
		written, err := wrapDocument(ctx, ring, kek, doc)
		if err != nil {
			t.Fatal(err)
		}
		var again wrappedDocument
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(doc.Keys, func(a, b wrappedEntry) int {
			return slices.Index(ring.Versions(), a.Version) - slices.Index(ring.Versions(), b.Version)
		})
		if !bytes.Equal(again.canonical(), doc.canonical()) {
			t.Fatalf("%q is written as %q", text, written)
		}
	})
}

// FuzzPassphraseHeader: what is read of a header is bearable, and is written as it
// was read.
func FuzzPassphraseHeader(f *testing.F) {
	good := recommended
	good.salt = strings.Repeat("s", saltSize)
	wrapped := append(good.encode(), make([]byte, wrappedSize-headerSize)...)
	f.Add(wrapped)
	f.Add(wrapped[:headerSize])
	f.Add(bytes.Replace(wrapped, []byte{0, 1, 0, 0}, []byte{255, 255, 255, 255}, 1))
	f.Add(bytes.Replace(wrapped, []byte{0, 0, 0, 3}, []byte{0, 0, 0, 0}, 1))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		header, ok := parseStretch(wrapped)
		if !ok {
			return
		}
		if header.memory > 256<<10 || header.passes > 12 || header.passes < 1 || header.lanes > 16 || header.lanes < 1 || header.memory < 8*uint32(header.lanes) {
			t.Fatalf("it would derive a key with %d passes, %d KiB and %d lanes", header.passes, header.memory, header.lanes)
		}
		if !bytes.Equal(header.encode(), wrapped[:headerSize]) {
			t.Fatalf("% x is read as %+v", wrapped[:headerSize], header)
		}
	})
}

// The tag of a document depends on each of its live keys: who knows all but one
// cannot make it.
func TestTagDependsOnEveryKey(t *testing.T) {
	t.Parallel()
	doc := wrappedDocument{Format: wrappedFormat, KEK: "fixed"}
	material := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, KeySize) }
	ring := func(unknown int) *Keyring {
		var keys []Key
		for i, version := range []Version{{DataKeys, 1}, {DataKeys, 2}, {IndexKeys, 1}, {IndexKeys, 2}} {
			key := material(i)
			if i == unknown {
				key = material(77)
			}
			keys = append(keys, makeKey(version, []State{Enabled, Primary}[i%2], key))
		}
		ring, err := New(append(keys, makeKey(Version{DataKeys, 3}, Retired, nil))...)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	seen := map[string]int{}
	for unknown := -1; unknown < 4; unknown++ {
		tag, err := doc.makeTag(ring(unknown))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(tag)]; ok {
			t.Errorf("without key %d the tag is the same as without key %d", unknown, other)
		}
		seen[string(tag)] = unknown
	}
}
