package encryptedtype_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const secret = "SECRET-4242"

type all struct {
	String  encryptedtype.EncryptedString
	Bytes   encryptedtype.EncryptedBytes
	Any     encryptedtype.Encrypted[map[string]string]
	Pointer *encryptedtype.EncryptedString
	inside  encryptedtype.EncryptedString
}

func secrets() all {
	s := encryptedtype.NewEncryptedString(secret)
	return all{s, encryptedtype.NewEncryptedBytes([]byte(secret)), encryptedtype.NewEncrypted(map[string]string{secret: secret}), &s, s}
}

// However a program prints, logs or encodes them, the secret does not show.
func TestNothingPrintsTheValue(t *testing.T) {
	t.Parallel()
	v := secrets()
	forms := []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), "83 69 67", "0x53, 0x45", "U1ZDUkVU", "U0VDUkVU"}
	for name, value := range map[string]any{
		"string": v.String, "bytes": v.Bytes, "generic": v.Any, "pointer": v.Pointer, "pointer to bytes": &v.Bytes, "pointer to generic": &v.Any,
		"struct": v, "pointer to struct": &v, "slice": []any{v, v.String}, "map": map[string]any{"k": v.Bytes}, "nested": struct{ a any }{v},
		"null": encryptedtype.EncryptedString{},
	} {
		var shown []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "%20v", "%-5s"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		shown = append(shown, fmt.Sprint(value), fmt.Sprintln(value), fmt.Errorf("%w %v", errors.New("x"), value).Error())
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value, slog.Any("w", value))
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value, slog.Group("g", "w", value))
		text, err := json.Marshal(value)
		shown = append(shown, log.String(), string(text), fmt.Sprint(err))
		text, err = xml.Marshal(value)
		shown = append(shown, string(text), fmt.Sprint(err))
		var encoded bytes.Buffer
		err = gob.NewEncoder(&encoded).Encode(value)
		shown = append(shown, encoded.String(), fmt.Sprint(err))
		for _, text := range shown {
			for _, form := range forms {
				if strings.Contains(text, form) {
					t.Errorf("%s shows %q in %q", name, form, text)
				}
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		for _, value := range []any{v.String, v.Bytes, v.Any, v.Pointer} {
			if got := fmt.Sprintf(verb, value); got != "[encrypted]" {
				t.Errorf("%s prints %T as %q", verb, value, got)
			}
		}
	}
	if got, err := json.Marshal(v); err != nil || string(got) != `{"String":"[encrypted]","Bytes":"[encrypted]","Any":"[encrypted]","Pointer":"[encrypted]"}` {
		t.Errorf("in JSON: %s, %v", got, err)
	}
	for _, got := range []string{v.String.String(), v.Bytes.String(), v.Any.String(), v.String.LogValue().String(), v.Bytes.LogValue().String(), v.Any.LogValue().String()} {
		if got != "[encrypted]" {
			t.Errorf("it is %q", got)
		}
	}
}

func TestZeroIsNullAndEmptyIsNot(t *testing.T) {
	t.Parallel()
	var zero all
	if !zero.String.IsNull() || zero.String.Reveal() != "" || !zero.Bytes.IsNull() || zero.Bytes.Reveal() != nil || !zero.Any.IsNull() || zero.Any.Reveal() != nil {
		t.Error("a zero value is not NULL")
	}
	for _, valuer := range []driver.Valuer{zero.String, zero.Bytes, zero.Any} {
		if value, err := valuer.Value(); value != nil || err != nil {
			t.Errorf("the zero %T gives %v, %v", valuer, value, err)
		}
	}
	if encryptedtype.NewEncryptedString("").IsNull() || encryptedtype.NewEncryptedBytes([]byte{}).IsNull() || encryptedtype.NewEncrypted(0).IsNull() {
		t.Error("an empty value is NULL")
	}
	if !encryptedtype.NewEncryptedBytes(nil).IsNull() {
		t.Error("nil bytes are not NULL")
	}
}

func TestBytesAreCopied(t *testing.T) {
	t.Parallel()
	mine := []byte("abc")
	held := encryptedtype.NewEncryptedBytes(mine)
	mine[0] = 'x'
	held.Reveal()[1] = 'x'
	if got := held.Reveal(); string(got) != "abc" {
		t.Errorf("it holds %q", got)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	s, b, g := encryptedtype.NewEncryptedString, encryptedtype.NewEncryptedBytes, encryptedtype.NewEncrypted[[]int]
	for i, equal := range []bool{
		s("a").Equal(s("a")), s("").Equal(s("")), encryptedtype.EncryptedString{}.Equal(encryptedtype.EncryptedString{}),
		b([]byte("a")).Equal(b([]byte("a"))), g([]int{1}).Equal(g([]int{1})), encryptedtype.Encrypted[int]{}.Equal(encryptedtype.Encrypted[int]{}),
	} {
		if !equal {
			t.Errorf("pair %d is not equal", i)
		}
	}
	for i, equal := range []bool{
		s("a").Equal(s("b")), s("").Equal(encryptedtype.EncryptedString{}), encryptedtype.EncryptedBytes{}.Equal(b([]byte{})),
		b([]byte("a")).Equal(b([]byte("ab"))), g([]int{1}).Equal(g(nil)), encryptedtype.Encrypted[int]{}.Equal(encryptedtype.NewEncrypted(0)),
	} {
		if equal {
			t.Errorf("pair %d is equal", i)
		}
	}
}

// Values come in by JSON; what JSON shows in their place does not.
func TestUnmarshalJSON(t *testing.T) {
	t.Parallel()
	var got all
	if err := json.Unmarshal([]byte(`{"String": "s", "Bytes": "AQI=", "Any": {"k": "v"}, "Pointer": "p"}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.String.Reveal() != "s" || !bytes.Equal(got.Bytes.Reveal(), []byte{1, 2}) || got.Any.Reveal()["k"] != "v" || got.Pointer.Reveal() != "p" {
		t.Error("other values were unmarshaled")
	}
	if err := json.Unmarshal([]byte(`{"String": null, "Bytes": null, "Any": null}`), &got); err != nil || !got.String.IsNull() || !got.Bytes.IsNull() || !got.Any.IsNull() {
		t.Errorf("null left values, %v", err)
	}
	for _, text := range []string{`{"String": "[encrypted]"}`, `{"Bytes": "[encrypted]"}`, `{"Any": "[encrypted]"}`,
		`{"String": 42424242}`, `{"Bytes": "SECRET!"}`, `{"Any": {"k": 42424242}}`} {
		err := json.Unmarshal([]byte(text), &got)
		if err == nil {
			t.Errorf("%s was taken", text)
		} else if strings.Contains(err.Error(), "4242") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error holds the value: %v", err)
		}
	}
}

func newCipher(t testing.TB) *ciphertext.Cipher {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return cipher
}

// The default cipher belongs to the process, so what concerns it is one test.
func TestDatabaseSQL(t *testing.T) {
	cipher := newCipher(t)
	v := secrets()
	for _, valuer := range []driver.Valuer{v.String, v.Bytes, v.Any} {
		// Not nil, because GORM takes that for NULL and drops the error.
		if value, err := valuer.Value(); !errors.Is(err, encryptedtype.ErrNoDefault) || value != "[encrypted]" {
			t.Errorf("without a default, %T gives %v, %v", valuer, value, err)
		}
	}
	for _, scanner := range []sql.Scanner{&v.String, &v.Bytes, &v.Any} {
		if err := scanner.Scan("gc1:1:AQ"); !errors.Is(err, encryptedtype.ErrNoDefault) {
			t.Errorf("without a default, %T scans with %v", scanner, err)
		}
		if err := scanner.Scan(nil); err != nil {
			t.Errorf("NULL: %v", err)
		}
	}

	if encryptedtype.SetDefault(nil) == nil {
		t.Error("a nil cipher was taken")
	}
	if err := encryptedtype.SetDefault(cipher); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(encryptedtype.ClearDefault)
	v = secrets()
	moment := encryptedtype.NewEncrypted(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	for _, c := range []struct {
		valuer driver.Valuer
		fresh  sql.Scanner
	}{
		{v.String, new(encryptedtype.EncryptedString)},
		{v.Bytes, new(encryptedtype.EncryptedBytes)},
		{v.Any, new(encryptedtype.Encrypted[map[string]string])},
		{moment, new(encryptedtype.Encrypted[time.Time])},
		{encryptedtype.NewEncryptedString(""), new(encryptedtype.EncryptedString)},
		{encryptedtype.NewEncryptedBytes([]byte{}), new(encryptedtype.EncryptedBytes)},
	} {
		stored, err := c.valuer.Value()
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := stored.(string); !ok || !strings.HasPrefix(text, "gc1:1:") || strings.Contains(text, secret) {
			t.Errorf("%T is stored as %v", c.valuer, stored)
		}
		for _, src := range []any{stored, []byte(stored.(string))} {
			if err := c.fresh.Scan(src); err != nil {
				t.Fatal(err)
			}
			want, _ := encryptedtype.Plaintext(c.valuer)
			if got, _ := encryptedtype.Plaintext(c.fresh); !reflect.DeepEqual(got, want) {
				t.Errorf("%T came back as another value", c.valuer)
			}
		}
	}
	if value, err := encryptedtype.NewEncrypted[*int](nil).Value(); value != nil || err != nil {
		t.Errorf("a nil pointer gives %v, %v", value, err)
	}
	if value, err := encryptedtype.NewEncrypted(make(chan int)).Value(); value == nil || !errors.Is(err, ciphertext.ErrType) {
		t.Errorf("a channel gives %v, %v", value, err)
	}

	// What a column's own cipher sealed opens by the name that it carries.
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "api_key", Named: true})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := column.Seal(nil, "from GORM")
	if err != nil {
		t.Fatal(err)
	}
	var read encryptedtype.EncryptedString
	if err := read.Scan(stored); err != nil || read.Reveal() != "from GORM" {
		t.Errorf("it opens to %q, %v", read.Reveal(), err)
	}

	for name, src := range map[string]any{
		"plaintext": "SECRET plaintext", "number": int64(42), "another type": mustValue(t, encryptedtype.NewEncrypted(42)), "cut": "gc1:1:AQ",
	} {
		kept := encryptedtype.NewEncryptedString("kept")
		err := kept.Scan(src)
		var detail *ciphertext.Error
		if !errors.As(err, &detail) || strings.Contains(err.Error(), "SECRET") || kept.Reveal() != "kept" {
			t.Errorf("%s: error %v, value %q", name, err, kept.Reveal())
		}
	}
	var b encryptedtype.EncryptedBytes
	var g encryptedtype.Encrypted[int]
	if b.Scan("x") == nil || g.Scan("x") == nil {
		t.Error("plaintext was scanned")
	}
}

func mustValue(t *testing.T, valuer driver.Valuer) driver.Value {
	t.Helper()
	value, err := valuer.Value()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestPlaintext(t *testing.T) {
	t.Parallel()
	s := encryptedtype.NewEncryptedString("s")
	for _, c := range []struct{ value, want any }{
		{s, "s"}, {&s, "s"}, {encryptedtype.EncryptedString{}, nil}, {(*encryptedtype.EncryptedString)(nil), nil},
		{encryptedtype.NewEncrypted(7), 7}, {encryptedtype.Encrypted[int]{}, nil}, {encryptedtype.EncryptedBytes{}, nil},
	} {
		if got, ok := encryptedtype.Plaintext(c.value); !ok || got != c.want {
			t.Errorf("%T holds %v, %t", c.value, got, ok)
		}
	}
	if _, ok := encryptedtype.Plaintext("s"); ok {
		t.Error("a string is said to be of this package")
	}
}
