package keyringtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// KEKHarness tells RunKEK how to make a key-encryption key.
type KEKHarness struct {
	// New returns a KEK. All that one test gets share one key.
	New func(t *testing.T) keyring.KEK
	// Other returns a KEK of the same kind with another key.
	Other func(t *testing.T) keyring.KEK
}

// RunKEK checks that a key-encryption key wraps keys so that it alone unwraps them,
// refuses everything else with the right error, minds its context, and shows no
// key.
func RunKEK(t *testing.T, h KEKHarness) {
	ctx := context.Background()
	wrap := func(t *testing.T, kek keyring.KEK, key []byte) []byte {
		t.Helper()
		before := bytes.Clone(key)
		wrapped, err := kek.Wrap(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(key, before) {
			t.Fatal("Wrap changed its argument")
		}
		if bytes.Contains(wrapped, key) {
			t.Fatal("the key stands in what it was wrapped into")
		}
		return wrapped
	}
	requireUnwraps := func(t *testing.T, kek keyring.KEK, wrapped, key []byte) {
		t.Helper()
		if got, err := kek.Unwrap(ctx, wrapped); err != nil || !bytes.Equal(got, key) {
			t.Fatalf("the key was not unwrapped: %v", err)
		}
	}
	requireWrong := func(t *testing.T, kek keyring.KEK, wrapped, key []byte) {
		t.Helper()
		got, err := kek.Unwrap(ctx, wrapped)
		if got != nil || !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("Unwrap returned %d bytes and the error %v, want ErrWrongKey", len(got), err)
		}
		for _, form := range Forms(key) {
			if bytes.Contains([]byte(fmt.Sprintf("%+v %#v", err, err)), []byte(form)) {
				t.Errorf("the error shows the key")
			}
		}
	}
	t.Run("unwraps what it wrapped", func(t *testing.T) {
		key := randomBytes()
		wrapped := wrap(t, h.New(t), key)
		requireUnwraps(t, h.New(t), wrapped, key)
		if kek := h.New(t); kek.Name() == "" || kek.Name() != h.New(t).Name() {
			t.Errorf("its name is %q", kek.Name())
		}
	})
	t.Run("wraps anew each time", func(t *testing.T) {
		kek, key := h.New(t), randomBytes()
		if bytes.Equal(wrap(t, kek, key), wrap(t, kek, key)) {
			t.Error("one key was wrapped twice into the same")
		}
	})
	t.Run("refuses what another has wrapped", func(t *testing.T) {
		key := randomBytes()
		requireWrong(t, h.New(t), wrap(t, h.Other(t), key), key)
	})
	t.Run("refuses what was changed", func(t *testing.T) {
		kek, key := h.New(t), randomBytes()
		wrapped := wrap(t, kek, key)
		for name, changed := range map[string][]byte{
			"nothing": nil, "empty": {}, "cut off": wrapped[:len(wrapped)-4], "half": wrapped[:len(wrapped)/2],
			"longer": append(bytes.Clone(wrapped), 'A', 'A', 'A', 'A'), "the key itself": key, "text": []byte("not wrapped at all"),
		} {
			t.Run(name, func(t *testing.T) { requireWrong(t, kek, changed, key) })
		}
		t.Run("one letter", func(t *testing.T) {
			changed := bytes.Clone(wrapped)
			if i := len(changed) - 8; changed[i] == 'A' {
				changed[i] = 'B'
			} else {
				changed[i] = 'A'
			}
			requireWrong(t, kek, changed, key)
		})
	})
	t.Run("serves many goroutines", func(t *testing.T) {
		kek := h.New(t)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				key := randomBytes()
				wrapped, err := kek.Wrap(ctx, key)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := kek.Unwrap(ctx, wrapped); err != nil || !bytes.Equal(got, key) {
					t.Errorf("the key was not unwrapped: %v", err)
				}
			})
		}
		group.Wait()
	})
	t.Run("minds a cancelled context", func(t *testing.T) {
		kek, key := h.New(t), randomBytes()
		wrapped := wrap(t, kek, key)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := kek.Wrap(cancelled, key); !errors.Is(err, context.Canceled) {
			t.Errorf("Wrap: error %v, want context.Canceled", err)
		}
		if _, err := kek.Unwrap(cancelled, wrapped); !errors.Is(err, context.Canceled) {
			t.Errorf("Unwrap: error %v, want context.Canceled", err)
		}
	})
	t.Run("shows no key", func(t *testing.T) {
		kek, key := h.New(t), randomBytes()
		requireUnwraps(t, kek, wrap(t, kek, key), key)
		for _, text := range show(t, kek) {
			for _, form := range Forms(key) {
				if bytes.Contains([]byte(text), []byte(form)) {
					t.Errorf("a key shows in %.100q", text)
				}
			}
		}
	})
	t.Run("generates keys", func(t *testing.T) {
		kek := h.New(t)
		generator, ok := kek.(keyring.Generator)
		if !ok {
			t.Skip("it does not generate keys itself")
		}
		one, wrapped, err := generator.GenerateKey(ctx)
		if err != nil || len(one) != keyring.KeySize {
			t.Fatalf("generated %d bytes: %v", len(one), err)
		}
		requireUnwraps(t, h.New(t), wrapped, one)
		two, _, err := generator.GenerateKey(ctx)
		if err != nil || bytes.Equal(one, two) {
			t.Fatalf("the second key is like the first, or there is none: %v", err)
		}
	})
	t.Run("wraps keys anew", func(t *testing.T) {
		kek := h.New(t)
		rewrapper, ok := kek.(keyring.Rewrapper)
		if !ok {
			t.Skip("it does not wrap keys anew")
		}
		key := randomBytes()
		wrapped := wrap(t, kek, key)
		again, err := rewrapper.Rewrap(ctx, wrapped)
		if err != nil {
			t.Fatal(err)
		}
		requireUnwraps(t, kek, again, key)
		requireUnwraps(t, kek, wrapped, key)
		if _, err := rewrapper.Rewrap(ctx, []byte("not wrapped at all")); !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("Rewrap of what was not wrapped: error %v, want ErrWrongKey", err)
		}
	})
}

func randomBytes() []byte {
	key := make([]byte, keyring.KeySize)
	rand.Read(key) // never fails
	return key
}
