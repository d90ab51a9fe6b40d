package encryptedtype_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The secret is in memory while it signs, and is overwritten after.
func ExampleEncryptedString_Use() {
	key := encryptedtype.NewEncryptedString("webhook signing key")
	var signature []byte
	key.Use(func(secret []byte) {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("payload"))
		signature = mac.Sum(nil)
	})
	fmt.Printf("%x...\n", signature[:8])
	// Output: 18462b8f2422d988...
}

// used is what all types of secrets that can be overwritten have.
type used interface {
	Use(f func(secret []byte))
	IsNull() bool
}

// secretsInUse returns a secret in every way in which a program gets one.
func secretsInUse(t *testing.T) map[string]used {
	t.Helper()
	column, err := newCipher(t).Column(ciphertext.ColumnConfig{Table: "t", Column: "c"})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]used{
		"a string that was given": encryptedtype.NewEncryptedString(secret),
		"bytes that were given":   encryptedtype.NewEncryptedBytes([]byte(secret)),
	}
	for kind, value := range map[string]any{"a string": secret, "bytes": []byte(secret)} {
		stored, err := column.Seal(nil, value)
		if err != nil {
			t.Fatal(err)
		}
		open := func(dst any) error { return column.Open(dst, stored) }
		var s encryptedtype.EncryptedString
		var b encryptedtype.EncryptedBytes
		if err := errors.Join(s.OpenStored(open), b.OpenStored(open)); err != nil {
			t.Fatal(err)
		}
		all["a string that was read, stored as "+kind] = s
		all["bytes that were read, stored as "+kind] = b
	}
	return all
}

func TestUseLendsTheSecretAndOverwritesIt(t *testing.T) {
	t.Parallel()
	for name, value := range secretsInUse(t) {
		var kept []byte
		for range 2 {
			value.Use(func(got []byte) {
				if string(got) != secret {
					t.Errorf("%s: lent %q", name, got)
				}
				got[0] = 'x' // its own
				kept = got
			})
			if !bytes.Equal(kept, make([]byte, len(secret))) {
				t.Errorf("%s is still there: %q", name, kept)
			}
		}
		func() {
			defer func() {
				if got := recover(); got != "at work" {
					t.Errorf("%s: recovered %v", name, got)
				}
			}()
			value.Use(func(got []byte) { kept = got; panic("at work") })
		}()
		if !bytes.Equal(kept, make([]byte, len(secret))) {
			t.Errorf("after a panic, %s is still there: %q", name, kept)
		}
	}
}

func TestUseIsNotCalledForNull(t *testing.T) {
	t.Parallel()
	for _, null := range []used{encryptedtype.EncryptedString{}, encryptedtype.EncryptedBytes{}, encryptedtype.NewEncryptedBytes(nil)} {
		null.Use(func([]byte) { t.Errorf("a NULL %T was used", null) })
	}
	calls := 0
	for _, empty := range []used{encryptedtype.NewEncryptedString(""), encryptedtype.NewEncryptedBytes([]byte{})} {
		empty.Use(func(got []byte) {
			if calls++; len(got) != 0 {
				t.Errorf("an empty %T lends %q", empty, got)
			}
		})
	}
	if calls != 2 {
		t.Errorf("%d empty values were used, want 2", calls)
	}
}

// Use, Reveal and Equal may nest, and run at the same time.
func TestUseIsSafeForGoroutines(t *testing.T) {
	t.Parallel()
	for name, value := range secretsInUse(t) {
		s, ok := value.(encryptedtype.EncryptedString)
		if !ok {
			continue
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 100 {
					s.Use(func(got []byte) {
						if s.Reveal() != secret || !s.Equal(s) || string(got) != secret {
							t.Errorf("%s: another value", name)
						}
					})
				}
			})
		}
		group.Wait()
	}
}

// What only becomes text when it is read is kept as what it became.
func TestOpenStoredTakesWhatOpenWithTakes(t *testing.T) {
	t.Parallel()
	column, err := newCipher(t).Column(ciphertext.ColumnConfig{Table: "t", Column: "c"})
	if err != nil {
		t.Fatal(err)
	}
	value, err := ciphertext.JSONValue([]byte(`"text in JSON"`))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := column.Seal(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	var s encryptedtype.EncryptedString
	if err := s.OpenStored(func(dst any) error { return column.Open(dst, stored) }); err != nil || s.Reveal() != "text in JSON" {
		t.Errorf("it holds %q, %v", s.Reveal(), err)
	}
	number, err := column.Seal(nil, 42)
	if err != nil {
		t.Fatal(err)
	}
	err = s.OpenStored(func(dst any) error { return column.Open(dst, number) })
	plain := column.Open(new(string), number)
	if !errors.Is(err, ciphertext.ErrType) || err.Error() != plain.Error() || s.Reveal() != "text in JSON" {
		t.Errorf("a number: %v, want %v; it holds %q", err, plain, s.Reveal())
	}
}

// BenchmarkRead is what a scanned value costs that is kept as ciphertext, against one
// that is kept as plaintext, and what each later use costs.
func BenchmarkRead(b *testing.B) {
	column, err := newCipher(b).Column(ciphertext.ColumnConfig{Table: "t", Column: "c"})
	if err != nil {
		b.Fatal(err)
	}
	stored, err := column.Seal(nil, "sk_live_0123456789abcdef0123456789abcdef")
	if err != nil {
		b.Fatal(err)
	}
	open := func(dst any) error { return column.Open(dst, stored) }
	var s encryptedtype.EncryptedString
	b.Run("kept as ciphertext", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.OpenStored(open); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kept as plaintext", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.OpenWith(open); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Use", func(b *testing.B) {
		if err := s.OpenStored(open); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			s.Use(func([]byte) {})
		}
	})
}
