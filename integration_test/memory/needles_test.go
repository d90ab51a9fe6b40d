//go:build linux

package memory_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// secret is something that is searched for.
type secret struct {
	name  string
	bytes []byte
}

// forms returns what shows a part of the secret, in whatever form a program prints
// or encodes it: several parts, since a printer may begin or stop anywhere, and
// base64 looks different for each position modulo three.
func (s secret) forms() []string {
	verbs := []string{"%v", "%#v", "%x", "%X", "% x", "%#x", "%q", "%+q", "%o", "%b", "%U", "%s", "%d"}
	var forms []string
	for _, start := range []int{0, 1, 2, 8, 16, len(s.bytes) - 12} {
		part := s.bytes[start : start+12]
		forms = append(forms, keyringtest.Forms(part)...)
		forms = append(forms, base64.RawStdEncoding.EncodeToString(part), base64.RawURLEncoding.EncodeToString(part))
		for _, verb := range verbs {
			for _, v := range []any{part, string(part), [12]byte(part)} {
				forms = append(forms, fmt.Sprintf(verb, v))
			}
		}
	}
	for i, form := range forms {
		form = strings.TrimPrefix(form, "[]byte")
		form = strings.TrimPrefix(form, "[12]uint8")
		forms[i] = strings.Trim(form, "[]{}\"")
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// shown returns the places whose text shows the secret, each with a form that it
// shows there.
func (s secret) shown(texts map[string][]byte) map[string]string {
	places := map[string]string{}
	for _, form := range s.forms() {
		for place, text := range texts {
			if bytes.Contains(text, []byte(form)) {
				places[place] = form
			}
		}
	}
	return places
}

// keysOf returns the keys of a ring.
func keysOf(t *testing.T, ring *keyring.Keyring) (secrets []secret) {
	t.Helper()
	for _, version := range ring.Versions() {
		if state, _ := ring.State(version); state != keyring.Retired {
			secrets = append(secrets, secret{"key " + version.String(), keyOf(t, ring, version)})
		}
	}
	return secrets
}

// keyOf returns a key of a ring, which a KEK may see.
func keyOf(t *testing.T, ring *keyring.Keyring, version keyring.Version) []byte {
	t.Helper()
	key, err := ring.Wrap(t.Context(), noKEK{}, version)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// derivedFrom returns what the programs derive from the key of a version, and what
// HKDF and HMAC make of it on the way, each of which is as good as the key. The
// infos are those of docs/format.md.
func derivedFrom(t *testing.T, ring *keyring.Keyring, version keyring.Version) (use, passing []secret) {
	t.Helper()
	raw := keyOf(t, ring, version)
	name := func(of string) string { return of + " of key " + version.String() }
	derive := func(info string, length int) []byte {
		derived, err := ring.Derive(version, info, length)
		if err != nil {
			t.Fatal(err)
		}
		return derived
	}
	if version.Set() == keyring.DataKeys {
		for algorithm, of := range map[byte]string{1: "the XChaCha20-Poly1305 key", 2: "the AES-256-GCM key"} {
			use = append(use, secret{name(of), derive(info("gormcrypt/1 key", algorithm, "customers", "api_key"), 32)})
		}
	} else {
		siv := derive(info("gormcrypt/1 key", 3, "customers", "tax_id"), 64)
		mac := derive(info("gormcrypt/1 index", 1, "customers", "email_index"), 48)[:32]
		use = append(use, secret{name("the first AES-SIV key"), siv[:32]}, secret{name("the second AES-SIV key"), siv[32:]},
			secret{name("the HMAC key"), mac})
		for pad, of := range map[byte]string{0x36: "inner", 0x5c: "outer"} {
			state := stateAfter(t, padded(mac, pad))
			passing = append(passing, secret{name("the " + of + " padded HMAC key"), padded(mac, pad)[:32]})
			use = append(use, secret{name("the " + of + " HMAC state"), state})
		}
	}
	pseudorandom, err := hkdf.Extract(sha256.New, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	passing = append(passing, secret{name("the pseudorandom key"), pseudorandom},
		secret{name("the inner padded pseudorandom key"), padded(pseudorandom, 0x36)[:32]},
		secret{name("the outer padded pseudorandom key"), padded(pseudorandom, 0x5c)[:32]})
	return append(use, secret{"key " + version.String(), raw}), passing
}

func info(label string, number byte, table, column string) string {
	var info []byte
	for _, field := range []string{label, string([]byte{number}), table, column} {
		info = binary.BigEndian.AppendUint32(info, uint32(len(field)))
		info = append(info, field...)
	}
	return string(info)
}

// padded returns the first block that HMAC hashes (RFC 2104).
func padded(key []byte, pad byte) []byte {
	block := bytes.Repeat([]byte{pad}, sha256.BlockSize)
	for i := range key {
		block[i] ^= key[i]
	}
	return block
}

// stateAfter returns the state of SHA-256 after a block, as MarshalBinary writes it.
func stateAfter(t *testing.T, block []byte) []byte {
	t.Helper()
	digest := sha256.New()
	digest.Write(block)
	marshaled, err := digest.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	const magic = len("sha\x03")
	return marshaled[magic : magic+sha256.Size]
}
