package ciphertext_test

import (
	"bytes"
	"runtime"
	"testing"
	"weak"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// After SetKeys, a cipher and its columns keep nothing of the keyring before, not
// even a column that is never used again: its keys could not be overwritten.
func TestReplacedKeyringIsLetGo(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	before := weak.Make(ring)
	cipher := newCipher(t, ring)
	column := newColumn(t, cipher, ciphertext.ColumnConfig{})
	named := newColumn(t, cipher, ciphertext.ColumnConfig{Table: "t", Column: "c", Named: true})
	index := newIndex(t, cipher, ciphertext.IndexConfig{})
	stored, unscoped := seal(t, named, "x"), seal(t, newColumn(t, cipher, ciphertext.ColumnConfig{Named: true}), "x")
	seal(t, column, "x")
	var got string
	for _, err := range []error{named.Open(&got, unscoped), cipher.OpenNamed(&got, stored)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := index.Term("x"); err != nil {
		t.Fatal(err)
	}
	ring = nil
	runtime.GC()
	if before.Value() == nil {
		t.Fatal("the keyring in use is gone: the test shows nothing")
	}
	if err := cipher.SetKeys(newRing(t)); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if before.Value() != nil {
		t.Error("something keeps the keyring that was replaced")
	}
	for _, kept := range []any{cipher, column, named, index} {
		runtime.KeepAlive(kept)
	}
}

// A cipher lives as long as the program; columns that are made and dropped must not
// stay with it.
func TestDroppedColumnsAreLetGo(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	for range 100 {
		seal(t, newColumn(t, cipher, ciphertext.ColumnConfig{}), "x")
		newIndex(t, cipher, ciphertext.IndexConfig{})
	}
	for tries := 0; ciphertext.Keepers(cipher) > 0; tries++ {
		if tries == 1000 {
			t.Fatalf("the cipher knows of %d columns that nobody has", ciphertext.Keepers(cipher))
		}
		runtime.GC() // cleanups run at some time after it
	}
	if err := cipher.SetKeys(newRing(t)); err != nil {
		t.Fatal(err)
	}
}

// A key is overwritten when nobody has it any more, and a call that is under way
// still has it.
func TestKeyIsNotOverwrittenUnderACall(t *testing.T) {
	t.Parallel()
	const size = 24 << 20 // long enough for a garbage collection to come between
	plaintext := bytes.Repeat([]byte("x"), size)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for _, config := range []struct {
		algorithm ciphertext.Algorithm
		ciphertext.ColumnConfig
	}{
		{ciphertext.XChaCha20Poly1305, ciphertext.ColumnConfig{Binary: true}},
		{ciphertext.AES256GCM, ciphertext.ColumnConfig{Binary: true}},
		{ciphertext.AES256GCM, ciphertext.ColumnConfig{Binary: true, Deterministic: true}},
	} {
		lastUse := func() ciphertext.Sealed {
			column := newColumn(t, newCipherOf(t, newRing(t), config.algorithm), config.ColumnConfig)
			var held ciphertext.Sealed
			if err := column.Open(&held, seal(t, column, plaintext)); err != nil {
				t.Fatal(err)
			}
			return held
		}
		for range 2 {
			lastUse().Use(func(got []byte) {
				if !bytes.Equal(got, plaintext) {
					t.Errorf("%s, %+v: other bytes came back", config.algorithm, config.ColumnConfig)
				}
			})
		}
	}
}
