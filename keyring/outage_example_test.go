package keyring_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// A program that watches its keyring file sees a new key version without a restart.
// As gormcrypt.Config.Keys, a Poll is watched by the plugin: there is no Watch to call.
func ExamplePoll() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err == nil {
		err = keyring.WriteFile(path, keys)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	source := keyring.Poll(keyring.File(path), keyring.PollConfig{
		Every:  10 * time.Millisecond,         // a file costs nothing to read; the default is 30 s
		Logger: slog.New(slog.DiscardHandler), // the default is slog.Default
	})
	inUse, err := source.Load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(inUse.Versions())

	// Elsewhere, a key version is added.
	next, _, err := keys.Add(keyring.DataKeys)
	if err == nil {
		err = keyring.WriteFile(path, next)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, stop := context.WithCancel(context.Background())
	err = source.Watch(ctx, func(ring *keyring.Keyring) error {
		if err := ring.Keeps(inUse); err != nil {
			return err // it is not used, and given again later
		}
		inUse = ring
		fmt.Println(inUse.Versions())
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// [1 i1]
	// [1 2 i1]
	// context canceled
}

// Counters of what a key server is used for, as /debug/vars shows them.
func ExampleResilient() {
	calls := new(expvar.Map)
	config := keyring.CallConfig{
		Tries:   3,
		Logger:  slog.New(slog.DiscardHandler),
		OnEvent: func(e keyring.Event) { calls.Add(e.Op+" "+e.Outcome(), 1) },
	}
	kek := keyring.Resilient(&flaky{}, config) // for a real one, see keyring/vaultkeys and keyring/cloudkeys

	ctx := context.Background()
	key, wrapped, err := keyring.GenerateKey(ctx, kek, keyring.MakeVersion(keyring.DataKeys, 1), keyring.Primary)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.Version(), key.State(), string(wrapped))
	fmt.Println(calls)
	// Output:
	// 1 primary (wrapped)
	// {"wrap ok": 1, "wrap unavailable": 2}
}

// flaky is a KEK that answers every third call, and wraps nothing.
type flaky struct{ calls int }

func (f *flaky) Name() string { return "flaky" }

func (f *flaky) Wrap(context.Context, []byte) ([]byte, error) {
	if f.calls++; f.calls%3 != 0 {
		return nil, fmt.Errorf("status 503: %w", keyring.ErrUnavailable)
	}
	return []byte("(wrapped)"), nil
}

func (f *flaky) Unwrap(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("it only wraps")
}
