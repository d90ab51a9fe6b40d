package ciphertext_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Two values of one column have two identities, and one value has one: in text and in
// binary, and whatever is behind the nonce.
func TestIdentity(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
		cipher, err := ciphertext.New(ring, ciphertext.Config{Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		for name, config := range map[string]ciphertext.ColumnConfig{
			"short":      {Table: "t", Column: "c"},
			"named":      {Table: "t", Column: "c", Named: true},
			"long names": {Table: strings.Repeat("t", 1000), Column: strings.Repeat("c", 1000), Named: true},
			"no column":  {Named: true},
		} {
			column, err := cipher.Column(config)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, plaintext := range []string{"", "", "a", strings.Repeat("long", 1000)} {
				text, err := column.Seal(nil, plaintext)
				if err != nil {
					t.Fatal(err)
				}
				body, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(string(text), "gc1:1:"))
				if err != nil {
					t.Fatal(err)
				}
				identity := identityOf(t, column, string(text))
				if binary := append([]byte("gc1:1:"), body...); !bytes.Equal(identity, identityOf(t, column, string(binary))) {
					t.Errorf("%s, %s: it differs in binary", algorithm, name)
				}
				body[len(body)-1] ^= 1
				if other := "gc1:1:" + base64.RawURLEncoding.EncodeToString(body); !bytes.Equal(identity, identityOf(t, column, other)) {
					t.Errorf("%s, %s: it depends on the tag", algorithm, name)
				}
				if seen[string(identity)] {
					t.Errorf("%s, %s: two values have one identity", algorithm, name)
				}
				seen[string(identity)] = true
			}
		}
	}
}

func identityOf(t *testing.T, column *ciphertext.Column, stored string) []byte {
	t.Helper()
	fromText, err := ciphertext.AppendIdentity([]byte("before "), column, stored)
	if err != nil {
		t.Fatal(err)
	}
	fromBytes, err := ciphertext.AppendIdentity(nil, column, []byte(stored))
	if err != nil || !bytes.Equal(fromText[len("before "):], fromBytes) {
		t.Fatalf("of a string and of bytes: %q, %q, %v", fromText, fromBytes, err)
	}
	return fromBytes
}

// A column has a key of its own, so the same nonce in another is nothing.
func TestIdentityOfAnotherColumn(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	column := func(config ciphertext.ColumnConfig) *ciphertext.Column {
		t.Helper()
		c, err := cipher.Column(config)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	own, other := column(ciphertext.ColumnConfig{Table: "t", Column: "c"}), column(ciphertext.ColumnConfig{Table: "t", Column: "d"})
	text, err := own.Seal(nil, "value")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(identityOf(t, own, string(text)), identityOf(t, other, string(text))) {
		t.Error("both columns have one identity")
	}
	named := column(ciphertext.ColumnConfig{Table: "t", Column: "c", Named: true})
	loose, err := column(ciphertext.ColumnConfig{Named: true}).Seal(nil, "value")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(identityOf(t, named, string(loose)), identityOf(t, own, string(loose))) {
		t.Error("a value for no column depends on the column that opens it")
	}
	same, err := column(ciphertext.ColumnConfig{Table: "t", Column: "c", Deterministic: true}).Seal(nil, "value")
	if err != nil {
		t.Fatal(err)
	}
	if identity := identityOf(t, own, string(same)); len(identity) > 0 {
		t.Errorf("a deterministic value has the identity %q", identity)
	}
}

func TestIdentityOfWhatIsNone(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "t", Column: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{
		"", "g", "gc1:", "gc1:1", "gc1:1:", "gc1:1:A", "gc1:1:AAAA", "gc1:1:AQAA", "gc1:1:\x01", "gc1:1:\x07aaaa", "gc1:1:gQAA", "gc1:1:\x81\xff\xff", "gc1:1:====",
		"gc1:1:" + strings.Repeat("\n", 300), "gc1:1:\x81" + strings.Repeat("\xff", 1000), "gc1:" + strings.Repeat("1", 300), strings.Repeat("x", 1000),
	} {
		before := []byte("before")
		if got, err := ciphertext.AppendIdentity(before, column, stored); !errors.Is(err, ciphertext.ErrMalformed) || string(got) != "before" {
			t.Errorf("%q: %q, %v", stored, got, err)
		}
	}
}

func TestKindOfValue(t *testing.T) {
	t.Parallel()
	column := columnForKinds(t)
	for want, value := range map[string]any{
		"string": "s", "bytes": []byte{0}, "int": int8(-1), "uint": uint64(1), "float": 1.5, "bool": false, "json": []string{"a"},
	} {
		sealed, err := column.Seal(nil, value)
		if err != nil {
			t.Fatal(err)
		}
		var opened ciphertext.Value
		if err := column.Open(&opened, sealed); err != nil || opened.Kind() != want {
			t.Errorf("%q, %v, want %q", opened.Kind(), err, want)
		}
	}
	if kind := (ciphertext.Value{}).Kind(); kind != "" {
		t.Errorf("nil is %q", kind)
	}
}

func columnForKinds(t *testing.T) *ciphertext.Column {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "t", Column: "c", Pad: 16})
	if err != nil {
		t.Fatal(err)
	}
	return column
}
