package keyring_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func TestFirst(t *testing.T) {
	t.Parallel()
	none := keyring.Env("KEYRING_TEST_FIRST_UNSET")
	missing := func(t *testing.T) keyring.Source { return keyring.File(filepath.Join(t.TempDir(), "none")) }
	after := func(t *testing.T, text string) keyring.Source {
		return keyring.First(none, missing(t), keyring.File(writeFile(t, text, 0o600)), missing(t))
	}
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return after(t, document(t, ring)) },
		Missing:   func(t *testing.T) keyring.Source { return keyring.First(none, missing(t)) },
		Malformed: after,
		Damaged:   func(t *testing.T, ring *keyring.Keyring) keyring.Source { return after(t, damage(document(t, ring))) },
	})
}

// Anything but a place that is empty stops it, though the next source has a keyring.
func TestFirstFailsClosed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ring := generate(t)
	kek := newLocalKEK(t, "local", 1)
	away := newLocalKEK(t, "local", 1)
	away.away.Store(true)
	dangling := filepath.Join(t.TempDir(), "dangling")
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		source keyring.Source
		want   error
	}{
		"an exposed file":             {keyring.File(writeFile(t, document(t, ring), 0o644)), keyring.ErrExposed},
		"a malformed file":            {keyring.File(writeFile(t, "{}", 0o600)), keyring.ErrInvalid},
		"a changed key":               {keyring.File(writeFile(t, damage(document(t, ring)), 0o600)), keyring.ErrWrongKey},
		"another KEK":                 {keyring.WrappedFile(writeFile(t, wrappedText(t, ring, newLocalKEK(t, "local", 2)), 0o600), kek), keyring.ErrWrongKey},
		"a key server that is away":   {keyring.WrappedFile(writeFile(t, wrappedText(t, ring, kek), 0o600), away), keyring.ErrUnavailable},
		"a secret that leads nowhere": {keyring.SecretFile(dangling), keyring.ErrInvalid},
		"no source at all":            {nil, keyring.ErrInvalid},
	} {
		source := keyring.First(keyring.Env("KEYRING_TEST_FIRST_UNSET"), c.source, ring)
		for range 2 {
			got, err := source.Load(ctx)
			if got != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), "source 2 of 3") {
				t.Errorf("%s: loaded %v, %v", name, got, err)
			}
		}
	}
	if _, err := keyring.First().Load(ctx); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("without sources: %v", err)
	}
	_, err := keyring.First(keyring.Env("KEYRING_TEST_A"), keyring.Env("KEYRING_TEST_B")).Load(ctx)
	if !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "KEYRING_TEST_A") || !strings.Contains(err.Error(), "KEYRING_TEST_B") {
		t.Errorf("the error has to name all: %v", err)
	}
}

// A variable that was read once, by another First of the same process, is not one
// that was never set: the next source may have other keys.
func TestFirstDoesNotGoOnAfterARemovedVariable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ring, other := generate(t), generate(t)
	name := setEnv(t, document(t, ring))
	source := keyring.First(keyring.Env(name), other)
	for range 2 {
		if got, err := source.Load(ctx); err != nil || got.String() != ring.String() {
			t.Errorf("loaded %v, %v", got, err)
		}
	}
	if got, err := keyring.First(keyring.Env(name), other).Load(ctx); got != nil || !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "removed") {
		t.Errorf("another First loaded %v, %v", got, err)
	}
}

// Nor is one that was refused.
func TestFirstRemembersARefusal(t *testing.T) {
	t.Parallel()
	source := keyring.First(keyring.Env(setEnv(t, "{")), generate(t))
	for range 2 {
		if got, err := source.Load(context.Background()); got != nil || !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("a variable that was refused: loaded %v, %v", got, err)
		}
	}
}

// Once a source has given the keyring, no other is asked: neither one that has one
// later, nor the next when it is gone.
func TestFirstStaysWithItsSource(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	before, chosen := filepath.Join(dir, "before.json"), filepath.Join(dir, "chosen.json")
	ring := generate(t)
	if err := keyring.WriteFile(chosen, ring); err != nil {
		t.Fatal(err)
	}
	source := keyring.First(keyring.File(before), keyring.File(chosen), generate(t))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if got, err := source.Load(ctx); err != nil || got.String() != ring.String() {
				t.Errorf("loaded %v, %v", got, err)
			}
		})
	}
	group.Wait()
	if err := keyring.WriteFile(before, generate(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := source.Load(ctx); err != nil || got.String() != ring.String() {
		t.Errorf("when an earlier source has a keyring, it loaded %v, %v", got, err)
	}
	if err := os.Remove(chosen); err != nil {
		t.Fatal(err)
	}
	if got, err := source.Load(ctx); got != nil || !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("when its source is gone, it loaded %v, %v", got, err)
	}
}

// watched is a source that watches, and wants to be told.
type watched struct {
	*keyring.Keyring
	next      *keyring.Keyring
	confirmed chan *keyring.Keyring
}

func (w watched) Watch(ctx context.Context, use func(*keyring.Keyring) error) error {
	if err := use(w.next); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (w watched) Confirm(_ context.Context, ring *keyring.Keyring) error {
	w.confirmed <- ring
	return nil
}

func TestFirstWatchesItsSource(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	w := watched{generate(t), generate(t), make(chan *keyring.Keyring, 1)}
	source := keyring.First(keyring.Env("KEYRING_TEST_FIRST_UNSET"), w)
	if _, err := source.Load(ctx); err != nil {
		t.Fatal(err)
	}
	used := make(chan *keyring.Keyring, 1)
	ended := make(chan error)
	go func() {
		ended <- source.Watch(ctx, func(ring *keyring.Keyring) error { used <- ring; return nil })
	}()
	if got := <-used; got != w.next {
		t.Errorf("it watches %v", got)
	}
	confirmer, ok := source.(keyring.Confirmer)
	if !ok {
		t.Fatal("it is no Confirmer")
	}
	if err := confirmer.Confirm(ctx, w.next); err != nil || <-w.confirmed != w.next {
		t.Errorf("it was not confirmed: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}

	// A source that does not change is watched for nothing.
	plain := keyring.First(generate(t))
	if _, err := plain.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := plain.Watch(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch of a keyring: %v", err)
	}
	if err := plain.(keyring.Confirmer).Confirm(ctx, nil); err != nil {
		t.Errorf("Confirm of a keyring: %v", err)
	}
}
