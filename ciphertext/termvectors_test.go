package ciphertext_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// termVector is a value and its terms, under every live index key.
type termVector struct {
	Name      string      `json:"name"`
	Table     string      `json:"table"`
	Column    string      `json:"column"`
	Bits      int         `json:"bits"`
	Slow      bool        `json:"slow,omitempty"`
	Normalize []string    `json:"normalize,omitempty"`
	Values    []termValue `json:"values"`
	// Terms has the primary key's first.
	Terms []string `json:"terms"`
	// Stretched is, for each of the terms of a slow index, what Argon2id made
	// of the value, in hex: for implementations without Argon2id.
	Stretched []string `json:"stretched,omitempty"`
}

// termValue is written as the value of a vector is. See describe.
type termValue struct {
	Kind  string `json:"kind"`
	Value string `json:"value,omitempty"`
}

func makeTermVectors(t *testing.T, cipher *ciphertext.Cipher) []termVector {
	t.Helper()
	var made []termVector
	add := func(name string, config ciphertext.IndexConfig, normalize string, values ...any) {
		t.Helper()
		if config.Table == "" {
			config.Table, config.Column = "customers", "email_index"
		}
		vec := termVector{Name: name, Table: config.Table, Column: config.Column, Bits: config.Bits, Slow: config.Slow}
		for name := range strings.FieldsSeq(normalize) {
			vec.Normalize = append(vec.Normalize, name)
			config.Normalize = append(config.Normalize, normalization(t, name))
		}
		if vec.Bits == 0 {
			vec.Bits = 128
		}
		for _, value := range values {
			kind, text := describe(t, value)
			vec.Values = append(vec.Values, termValue{kind, text})
		}
		var err error
		if vec.Terms, err = newIndex(t, cipher, config).Terms(values...); err != nil {
			t.Fatal(err)
		}
		if config.Slow {
			for _, made := range vec.Terms {
				_, stretched := termByHand(t, loadVectors(t).Keys[version(made)], config, encodedByHand("\x01"+values[0].(string)))
				vec.Stretched = append(vec.Stretched, hex.EncodeToString(stretched))
			}
		}
		made = append(made, vec)
	}
	plain := ciphertext.IndexConfig{}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	add("string", plain, "", "ada@example.org")
	add("empty string", plain, "", "")
	add("string of several blocks", plain, "", strings.Repeat("0123456789", 20))
	add("bytes", plain, "", []byte{0, 1, 0x80, 0xff})
	add("int", plain, "", int64(-42))
	add("uint", plain, "", uint64(1<<64-1))
	add("float", plain, "", -0.1)
	add("bool", plain, "", true)
	add("time", plain, "", noon)
	add("JSON", plain, "", map[string]any{"b": []int{1, 2}, "a": "ü"})
	add("24 bits", ciphertext.IndexConfig{Bits: 24}, "", "ada@example.org")
	add("4 bits", ciphertext.IndexConfig{Bits: 4}, "", "ada@example.org")
	add("13 bits", ciphertext.IndexConfig{Bits: 13}, "", "ada@example.org")
	add("127 bits", ciphertext.IndexConfig{Bits: 127}, "", "ada@example.org")
	add("compound", plain, "", "ab", "c")
	add("compound, split elsewhere", plain, "", "a", "bc")
	add("compound, in another order", plain, "", "c", "ab")
	add("compound of several kinds", ciphertext.IndexConfig{Bits: 32}, "lower", "Ada", int64(1815), []byte("Ada"), "LOVELACE", noon)
	add("another column", ciphertext.IndexConfig{Table: "customers", Column: "phone_index"}, "", "ada@example.org")
	add("another table", ciphertext.IndexConfig{Table: "users", Column: "email_index"}, "", "ada@example.org")
	add("table and column beyond ASCII", ciphertext.IndexConfig{Table: "kunden", Column: "straße"}, "", "x")
	add("lower", plain, "lower", "J\u030cÅA\u030aİΟΔΟΣ\u212b Straße")
	add("trim", plain, "trim", "\u3000 a b\u00a0\n")
	add("digits", plain, "digits", "+44 (0)20 ٧۴６𝟡")
	add("email", plain, "email", " Ada.Lovelace+Tag@BÜCHER.example\t")
	add("last4", plain, "last4", "4000 0012 3456 7€äö")
	add("domain", plain, "domain", "\"a@b\"@Example.ORG ")
	add("domain of no address", plain, "domain", "ada")
	add("digits, then last4", plain, "digits last4", "4000 0012 3456 78 99")
	add("last4, then digits", plain, "last4 digits", "4000 0012 3456 78 99")
	add("slow", ciphertext.IndexConfig{Slow: true}, "", "4242")
	add("slow, of 24 bits", ciphertext.IndexConfig{Slow: true, Bits: 24}, "", "4242")
	return made
}

func badTerms() map[string]string {
	return map[string]string{
		"": "not_term", "i7": "not_term", "i7:": "not_term", "7:8A": "not_term", "i07:8A": "not_term", "i4294967296:8A": "not_term", "gc1:i7:AQ": "not_term",
		"i7:8B": "not_term", "i7:8A==": "not_term", "i7:8A\n": "not_term", "i7:AAECAwQFBgcICQoLDA0ODxA": "not_term", "i7:a19456.2:8A": "not_term",
		"i7:a19456.02.1:8A": "not_term", "i7:a19456.2.1:": "not_term", "i7:a65536.3.4:8A": "unsupported",
	}
}

func version(term string) string {
	version, _, _ := strings.Cut(term, ":")
	return version
}

// encodedByHand is the encoding of docs/format.md of plaintexts.
func encodedByHand(plaintexts ...string) string {
	encoded := string([]byte{0, 0, 0, byte(len(plaintexts))})
	for _, plaintext := range plaintexts {
		encoded += lp(plaintext)
	}
	return encoded
}

// termByHand makes the whole MAC of an encoded value with nothing but the words
// of docs/format.md and the primitives themselves.
func termByHand(t *testing.T, secret string, config ciphertext.IndexConfig, encoded string) (mac, stretched []byte) {
	t.Helper()
	number := "\x01"
	if config.Slow {
		number = "\x02"
	}
	info := lp("gormcrypt/1 index") + lp(number) + lp(config.Table) + lp(config.Column)
	derived, err := hkdf.Key(sha256.New, mustHex(t, secret), nil, info, 48)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte(encoded)
	if config.Slow {
		stretched = argon2.IDKey(message, derived[32:], 2, 19456, 1, 32)
		message = stretched
	}
	hash := hmac.New(sha256.New, derived[:32])
	hash.Write(message)
	return hash.Sum(nil), stretched
}

// TestTermsAreTheSpecifiedOnes makes terms by hand, plain and slow, of one
// value and of two.
func TestTermsAreTheSpecifiedOnes(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	cipher := newCipher(t, v.ring(t))
	for _, slow := range []bool{false, true} {
		config := ciphertext.IndexConfig{Table: "customers", Column: "email_index", Slow: slow}
		mark := ""
		if slow {
			mark = "a19456.2.1:"
		}
		for _, c := range []struct {
			values     []any
			plaintexts []string
		}{
			{[]any{"ada@example.org"}, []string{"\x01ada@example.org"}},
			{[]any{"ada", int8(-2)}, []string{"\x01ada", "\x03\xff\xff\xff\xff\xff\xff\xff\xfe"}},
		} {
			terms, err := newIndex(t, cipher, config).Terms(c.values...)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, version := range []string{"i4294967295", "i1"} {
				mac, _ := termByHand(t, v.Keys[version], config, encodedByHand(c.plaintexts...))
				want = append(want, version+":"+mark+base64.RawURLEncoding.EncodeToString(mac[:16]))
			}
			if !slices.Equal(terms, want) {
				t.Errorf("slow %t, %v: %q, want %q", slow, c.values, terms, want)
			}
		}
	}
}

func TestTermVectorsParse(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	for _, vec := range v.Terms {
		for _, made := range vec.Terms {
			if got, err := ciphertext.ParseTerm(made); err != nil || got.Version.String() != version(made) || got.Slow != vec.Slow {
				t.Errorf("%s: %q is %+v, %v", vec.Name, made, got, err)
			}
		}
	}
	classes := map[string]error{"not_term": ciphertext.ErrNotTerm, "unsupported": ciphertext.ErrUnsupported}
	for text, class := range v.BadTerms {
		if _, err := ciphertext.ParseTerm(text); classes[class] == nil || !errors.Is(err, classes[class]) {
			t.Errorf("%q: error %v, want %s", text, err, class)
		}
	}
	if len(v.Terms) < 20 || len(v.BadTerms) < 10 {
		t.Errorf("only %d terms and %d bad ones", len(v.Terms), len(v.BadTerms))
	}
}

// FuzzParseTerm: whatever is stored, ParseTerm answers with one of its two
// errors, or it is what the term is written as.
func FuzzParseTerm(f *testing.F) {
	v := loadVectors(f)
	for _, vec := range v.Terms {
		f.Add(vec.Terms[0])
	}
	for text := range v.BadTerms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		got, err := ciphertext.ParseTerm(stored)
		if err != nil {
			if !errors.Is(err, ciphertext.ErrNotTerm) && !errors.Is(err, ciphertext.ErrUnsupported) || got != (ciphertext.Term{}) {
				t.Fatalf("%q is %+v, %v", stored, got, err)
			}
			return
		}
		prefix := got.Version.String() + ":"
		if got.Slow {
			prefix += "a19456.2.1:"
		}
		body, ok := strings.CutPrefix(stored, prefix)
		decoded, err := base64.RawURLEncoding.DecodeString(body)
		if !ok || err != nil || len(decoded) < 1 || len(decoded) > 16 || base64.RawURLEncoding.EncodeToString(decoded) != body || version(stored)[0] != 'i' {
			t.Fatalf("%q was taken for %+v", stored, got)
		}
	})
}
