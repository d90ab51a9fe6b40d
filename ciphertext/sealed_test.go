package ciphertext_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// use returns a copy of what a Sealed lends.
func use(s ciphertext.Sealed) (got string) {
	s.Use(func(plaintext []byte) { got = string(plaintext) })
	return got
}

func TestSealedOpensAnewEachTime(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
		cipher := newCipherOf(t, newRing(t), algorithm)
		for _, config := range []ciphertext.ColumnConfig{{}, {Pad: 64}, {Binary: true}, {Named: true, Table: "t", Column: "c"}, {Named: true}, {Deterministic: true}} {
			column := newColumn(t, cipher, config)
			for _, want := range []string{"", "x", strings.Repeat("secret ", 20_000)} {
				for _, value := range []any{want, []byte(want)} {
					var held ciphertext.Sealed
					if err := column.Open(&held, seal(t, column, value)); err != nil {
						t.Fatal(err)
					}
					var kept []byte
					for range 2 {
						held.Use(func(plaintext []byte) {
							if string(plaintext) != want {
								t.Errorf("%s, %+v: lent %.20q, want %.20q", algorithm, config, plaintext, want)
							}
							for i := range plaintext {
								plaintext[i] ^= 0xff // its own
							}
							kept = plaintext
						})
						if !bytes.Equal(kept, make([]byte, len(want))) || kept == nil {
							t.Errorf("%s, %+v: the plaintext was not overwritten", algorithm, config)
						}
					}
				}
			}
		}
	}
}

// A value that was read is not lost because its key is retired meanwhile.
func TestSealedKeepsItsKey(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	column := newColumn(t, cipher, ciphertext.ColumnConfig{})
	bound, err := ciphertext.Bind("row 1")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := column.Seal(nil, "mine", bound)
	if err != nil {
		t.Fatal(err)
	}
	var held ciphertext.Sealed
	if err := column.Open(&held, stored, bound); err != nil {
		t.Fatal(err)
	}
	clear(stored)
	if err := cipher.SetKeys(newRing(t)); err != nil {
		t.Fatal(err)
	}
	if got := use(held); got != "mine" {
		t.Errorf("it opens to %q", got)
	}
}

func TestSealedReportsWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	good := seal(t, column, "kept")
	changed := bytes.Clone(good)
	if last := &changed[len(changed)-4]; *last == 'A' {
		*last = 'B'
	} else {
		*last = 'A' // base64url, as it was
	}
	for name, c := range map[string]struct {
		stored []byte
		want   error
	}{
		"plaintext": {[]byte("SECRET"), ciphertext.ErrNotCiphertext},
		"cut":       {good[:12], ciphertext.ErrMalformed},
		"changed":   {changed, ciphertext.ErrAuthentication},
		"other key": {[]byte(strings.Replace(string(good), "gc1:1:", "gc1:9:", 1)), keyring.ErrUnknownVersion},
		"a number":  {seal(t, column, 42), ciphertext.ErrType},
		"JSON":      {seal(t, column, []string{"a"}), ciphertext.ErrType},
	} {
		var held ciphertext.Sealed
		if err := column.Open(&held, good); err != nil {
			t.Fatal(err)
		}
		if err := column.Open(&held, c.stored); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if got := use(held); got != "kept" {
			t.Errorf("%s: the destination became %q", name, got)
		}
	}
}

func TestSealedIsOverwrittenAfterAPanic(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	var held ciphertext.Sealed
	if err := column.Open(&held, seal(t, column, "secret")); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		held.Use(func(plaintext []byte) { kept = plaintext; panic("at work") })
	}()
	if string(kept) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the plaintext is still there: %q", kept)
	}
	ciphertext.Sealed{}.Use(func([]byte) { t.Error("nil was used") })
}

func TestSealedIsSafeForGoroutines(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	var held ciphertext.Sealed
	if err := column.Open(&held, seal(t, column, "shared")); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if got := use(held); got != "shared" {
					t.Errorf("lent %q", got)
				}
			}
		})
	}
	group.Wait()
}

func TestSealedPrintsNothing(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	var held ciphertext.Sealed
	if err := column.Open(&held, seal(t, column, "SECRET")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", held)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", held, held, held, held, held, held), log.String()} {
		if strings.Contains(shown, "SECRET") || !strings.Contains(shown, "[encrypted]") {
			t.Errorf("it shows %q", shown)
		}
	}
	if text, err := json.Marshal(held); err == nil {
		t.Errorf("it was encoded as %s", text)
	}
}
