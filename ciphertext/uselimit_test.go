package ciphertext_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func newLimited(t *testing.T, ring *keyring.Keyring, algorithm ciphertext.Algorithm, limit uint64) *ciphertext.Cipher {
	t.Helper()
	cipher, err := ciphertext.New(ring, ciphertext.Config{Algorithm: algorithm, MaxSeals: limit})
	if err != nil {
		t.Fatal(err)
	}
	return cipher
}

// Random nonces of 96 bits repeat, sooner or later: after so many values a key must
// seal no more, until a new version is promoted.
func TestAKeySealsNoMoreThanMaxSeals(t *testing.T) {
	t.Parallel()
	const limit = 5
	ring := newRing(t)
	cipher := newLimited(t, ring, ciphertext.AES256GCM, limit)
	column := newColumn(t, cipher, ciphertext.ColumnConfig{})
	var last []byte
	for range limit {
		last = seal(t, column, "x")
	}
	exhausted := func(when string, column *ciphertext.Column) {
		t.Helper()
		sealed, err := column.Seal(nil, "x")
		var detail *ciphertext.Error
		if !errors.Is(err, ciphertext.ErrExhausted) || !errors.As(err, &detail) || sealed != nil {
			t.Errorf("%s: %q, %v", when, sealed, err)
		}
	}
	exhausted("after the last", column)
	exhausted("and again", column)
	if _, err := column.Seal(nil, "x"); err == nil || !strings.Contains(err.Error(), "customers.email (key version 1)") || !strings.Contains(err.Error(), "promote") {
		t.Errorf("the error does not say where, and what to do: %v", err)
	}
	exhausted("by another Column of the same name", newColumn(t, cipher, ciphertext.ColumnConfig{}))
	exhausted("by one that is named, which has the same key", newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "email", Named: true}))

	other := newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "phone"})
	seal(t, other, "another column has a key of its own")
	var got string
	if err := column.Open(&got, last); err != nil || got != "x" {
		t.Errorf("what was sealed opens to %q, %v", got, err)
	}

	added, version, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := cipher.SetKeys(added); err != nil {
		t.Fatal(err)
	}
	exhausted("under another keyring with the same key", column)
	promoted, err := added.Promote(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := cipher.SetKeys(promoted); err != nil {
		t.Fatal(err)
	}
	seal(t, column, "a new version")
	if err := cipher.SetKeys(newRing(t)); err != nil {
		t.Fatal(err)
	}
	seal(t, column, "another key of the same version")
}

// Goroutines that seal at the same time do not pass the limit together.
func TestMaxSealsHoldsForGoroutines(t *testing.T) {
	t.Parallel()
	const limit = 100
	column := newColumn(t, newLimited(t, newRing(t), ciphertext.AES256GCM, limit), ciphertext.ColumnConfig{})
	var sealed atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range limit {
				if _, err := column.Seal(nil, "x"); err == nil {
					sealed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if sealed.Load() != limit {
		t.Errorf("%d values were sealed, want %d", sealed.Load(), limit)
	}
}

// What is not sealed does not count, and neither do algorithms without a limit.
func TestMaxSealsCountsNothingElse(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newLimited(t, newRing(t), ciphertext.AES256GCM, 1), ciphertext.ColumnConfig{})
	for range 3 {
		if _, err := column.Seal(nil, nil); !errors.Is(err, ciphertext.ErrNull) {
			t.Errorf("NULL: %v", err)
		}
	}
	seal(t, column, "x")

	cipher := newLimited(t, newRing(t), ciphertext.XChaCha20Poly1305, 1)
	for _, config := range []ciphertext.ColumnConfig{{}, {Deterministic: true}} {
		column := newColumn(t, cipher, config)
		for range 3 {
			seal(t, column, "x")
		}
	}
	limited := newLimited(t, newRing(t), ciphertext.AES256GCM, 1)
	deterministic := newColumn(t, limited, ciphertext.ColumnConfig{Deterministic: true})
	for range 3 {
		seal(t, deterministic, "x")
	}
}

func TestMaxSealsIsWithinTheStandard(t *testing.T) {
	t.Parallel()
	for limit, ok := range map[uint64]bool{0: true, 1: true, 1 << 32: true, 1<<32 + 1: false, 1 << 63: false} {
		if _, err := ciphertext.New(newRing(t), ciphertext.Config{MaxSeals: limit}); (err == nil) != ok {
			t.Errorf("MaxSeals %d: %v", limit, err)
		}
	}
}
