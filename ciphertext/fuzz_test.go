package ciphertext_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

func addVectors(f *testing.F) vectors {
	v := loadVectors(f)
	for _, vec := range append(v.Good, v.Bad...) {
		f.Add(vec.stored(f))
	}
	return v
}

// FuzzParse: whatever is stored, Parse answers with a header that fits the
// value or with one of its three errors, and quotes nothing.
func FuzzParse(f *testing.F) {
	addVectors(f)
	f.Fuzz(func(t *testing.T, stored []byte) {
		before := bytes.Clone(stored)
		header, err := ciphertext.Parse(stored)
		if !bytes.Equal(before, stored) {
			t.Fatal("the stored value was changed")
		}
		if err != nil {
			if !errors.Is(err, ciphertext.ErrNotCiphertext) && !errors.Is(err, ciphertext.ErrUnsupported) && !errors.Is(err, ciphertext.ErrMalformed) {
				t.Fatalf("an error of no class: %v", err)
			}
			return
		}
		if header.PlaintextLen < 1 || header.PlaintextLen > len(stored) || header.Version.IsZero() {
			t.Fatalf("%q has the header %+v", stored, header)
		}
		if prefix := "gc1:" + header.Version.String() + ":"; !strings.HasPrefix(string(stored), prefix) {
			t.Fatalf("%q does not start with %q", stored, prefix)
		}
		if header.Named != (header.Table != "" || header.Column != "") && !header.Named {
			t.Fatalf("names without a flag in %+v", header)
		}
	})
}

// FuzzOpen: nobody makes a value that opens without the key. Only the vectors
// themselves do.
func FuzzOpen(f *testing.F) {
	v := addVectors(f)
	good := map[string]bool{}
	for _, vec := range v.Good {
		good[string(vec.stored(f))] = true
	}
	cipher := newCipher(f, v.ring(f))
	column := newColumn(f, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "email", Named: true})
	f.Fuzz(func(t *testing.T, stored []byte) {
		before := bytes.Clone(stored)
		var dst any
		err := column.Open(&dst, stored)
		if !bytes.Equal(before, stored) {
			t.Fatal("the stored value was changed")
		}
		if err == nil && !good[string(stored)] {
			t.Fatalf("%q opened", stored)
		}
		var detail *ciphertext.Error
		if err != nil && (!errors.As(err, &detail) || dst != nil) {
			t.Fatalf("error %v, destination %v", err, dst)
		}
		if again := column.OpenString(new(any), string(stored)); (again == nil) != (err == nil) {
			t.Fatalf("Open and OpenString differ: %v, %v", err, again)
		}
		_ = cipher.OpenNamed(new(any), stored)
	})
}

// FuzzRoundTrip: what is sealed is what is opened, padded or not, in the form
// for either kind of column.
func FuzzRoundTrip(f *testing.F) {
	f.Add("ada@example.org", []byte("bound"), uint16(64), true)
	f.Add("", []byte{}, uint16(0), false)
	f.Add("\x80\x00\x00", []byte{0}, uint16(2), true)
	ring := loadVectors(f).ring(f)
	f.Fuzz(func(t *testing.T, value string, binding []byte, pad uint16, deterministic bool) {
		var bound []ciphertext.Bound
		if canonical, err := ciphertext.Bind(binding); err == nil {
			bound = append(bound, canonical)
		}
		for _, binary := range []bool{false, true} {
			config := ciphertext.ColumnConfig{Table: "t", Column: "c", Binary: binary, Deterministic: deterministic, Pad: int(pad)}
			column, err := newCipher(t, ring).Column(config)
			if err != nil {
				return // a pad that is out of range
			}
			sealed := seal(t, column, value, bound...)
			if len(value) > 8 && bytes.Contains(sealed, []byte(value)) {
				t.Fatal("the ciphertext holds the plaintext")
			}
			var got any
			if err := column.Open(&got, sealed, bound...); err != nil || !reflect.DeepEqual(got, value) {
				t.Fatalf("%q came back as %q, %v", value, got, err)
			}
			if bound != nil && column.Open(&got, sealed) == nil {
				t.Fatal("it opened without its bound value")
			}
		}
	})
}

// FuzzIdentity: what has the form of ciphertext has the identity that its header and its
// nonce make, in text and in binary, and anything else has that or ErrMalformed.
func FuzzIdentity(f *testing.F) {
	v := addVectors(f)
	column := newColumn(f, newCipher(f, v.ring(f)), ciphertext.ColumnConfig{Table: "customers", Column: "email", Named: true})
	f.Fuzz(func(t *testing.T, stored []byte) {
		before := bytes.Clone(stored)
		identity, err := ciphertext.AppendIdentity([]byte("before"), column, stored)
		fromText, errText := ciphertext.AppendIdentity([]byte("before"), column, string(stored))
		if !bytes.Equal(before, stored) || !bytes.Equal(identity, fromText) || (err == nil) != (errText == nil) {
			t.Fatalf("%q of bytes, %v, and %q of text, %v", identity, err, fromText, errText)
		}
		if err != nil && (!errors.Is(err, ciphertext.ErrMalformed) || string(identity) != "before") {
			t.Fatalf("%q, %v", identity, err)
		}
		header, errParse := ciphertext.Parse(stored)
		if errParse != nil {
			return
		}
		prefix := ciphertext.Prefix(header.Version)
		body := stored[len(prefix):]
		if !header.Binary {
			body, _ = base64.RawURLEncoding.DecodeString(string(body))
		}
		table, name, rest := "customers", "email", body[1:]
		if header.Named {
			table, name, rest = header.Table, header.Column, body[1+2+len(header.Table)+2+len(header.Column):]
		}
		want := []byte("before")
		if size := map[ciphertext.Algorithm]int{ciphertext.XChaCha20Poly1305: 24, ciphertext.AES256GCM: 12}[header.Algorithm]; size > 0 {
			want = append(append(binary.BigEndian.AppendUint16(want, uint16(len(table))), table...), byte(len(name)>>8), byte(len(name)))
			want = append(append(append(append(want, name...), prefix...), byte(header.Algorithm)), rest[:size]...)
		}
		if err != nil || !bytes.Equal(identity, want) {
			t.Fatalf("%q has the identity %q, %v, want %q", stored, identity, err, want)
		}
	})
}
