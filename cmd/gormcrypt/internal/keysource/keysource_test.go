package keysource_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// secret is what no error may have in it.
const secret = "c2VjcmV0LXRoYXQtbm8tZXJyb3ItbWF5LXNob3cteHg="

func open(t *testing.T, s *settings.Settings) (*keysource.Keys, error) {
	t.Helper()
	keys, err := keysource.Open(t.Context(), s)
	if err != nil {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is in %v", err)
		}
		return nil, err
	}
	t.Cleanup(func() {
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	return keys, nil
}

// file returns a keyring in a new file.
func file(t *testing.T) *keysource.Keys {
	t.Helper()
	keys, err := open(t, &settings.Settings{KeysFrom: "file:" + filepath.Join(t.TempDir(), "keys.json")})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// What is of no form that is known is said so, and never quoted: it may be a key that
// was pasted.
func TestWrongReferences(t *testing.T) {
	t.Parallel()
	passphrase := "passphrase-env:NAME"
	for _, s := range []settings.Settings{
		{}, {KeysFrom: secret}, {KeysFrom: "file"}, {KeysFrom: "file:"}, {KeysFrom: "files:" + secret}, {KeysFrom: "database:" + secret},
		{KeysFrom: "wrapped:x"}, {KeysFrom: "wrapped:x", WrappedBy: secret}, {KeysFrom: "wrapped:x", WrappedBy: "base64key://" + secret},
		{KeysFrom: "wrapped:x", WrappedBy: "passphrase:" + secret}, {KeysFrom: "wrapped:x", WrappedBy: "passphrase-file:"},
		{KeysFrom: "wrapped:x", WrappedBy: "passphrase-file:none"}, {KeysFrom: "wrapped:x", WrappedBy: "passphrase-env:GORMCRYPT_NOT_SET"},
		{KeysFrom: "wrapped:x", WrappedBy: "transit:key"}, {KeysFrom: "wrapped:x", WrappedBy: "transit:mount/"},
		{KeysFrom: "wrapped:x", WrappedBy: "transit:mount/key"}, {KeysFrom: "vault:secret/data/x"},
		{KeysFrom: "vault:secret/data/x", VaultLogin: secret}, {KeysFrom: "vault:secret/data/x", VaultLogin: "token:" + secret},
		{KeysFrom: "database"}, {KeysFrom: "database", WrappedBy: passphrase},
	} {
		if _, err := open(t, &s); !errors.Is(err, settings.ErrInvalid) {
			t.Errorf("%q, %q: %v, want ErrInvalid", s.KeysFrom, s.WrappedBy, err)
		}
	}
}

// A passphrase may not be where others read it.
func TestExposedPassphrase(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pass")
	if err := os.WriteFile(path, []byte("six words that nobody would guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings.Settings{KeysFrom: "wrapped:" + filepath.Join(dir, "keys.json"), WrappedBy: "passphrase-file:" + path}
	keys, err := open(t, &s)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, &s); !errors.Is(err, keyring.ErrExposed) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v, want ErrExposed", err)
	}
}

// A file that is no passphrase is not read to its end.
func TestLongPassphrase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(path, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, &settings.Settings{KeysFrom: "wrapped:x", WrappedBy: "passphrase-file:" + path})
	if !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("%v, want ErrInvalid", err)
	}
}

// Operators who add keys to a file at once each get a version of their own, and no key
// is lost.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	const operators = 12
	first := file(t)
	before, err := first.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	made := map[keyring.Version]string{}
	var wait sync.WaitGroup
	for range operators {
		wait.Go(func() {
			keys, err := open(t, &settings.Settings{KeysFrom: "file:" + first.Path})
			if err != nil {
				t.Error(err)
				return
			}
			err = keys.Change(t.Context(), func(ring *keyring.Keyring) (*keyring.Keyring, error) {
				after, version, err := ring.Add(keyring.DataKeys)
				if err != nil {
					return nil, err
				}
				check, err := after.CheckValue(version)
				mu.Lock()
				defer mu.Unlock()
				made[version] = check
				return after, err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	after, err := first.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := after.Keeps(before); err != nil {
		t.Error(err)
	}
	if got, want := len(after.Versions()), operators+2; got != want || len(made) != operators {
		t.Errorf("%d versions of which %d are new, want %d", got, len(made), want)
	}
	for version, check := range made {
		if got, err := after.CheckValue(version); err != nil || got != check {
			t.Errorf("key %s is another one: %v", version, err)
		}
	}
	if _, err := os.Stat(first.Path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is still there: %v", err)
	}
}

// Of several first keyrings at once, one is made.
func TestCreatedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	var wait sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[bool]int{}
	for range 8 {
		wait.Go(func() {
			keys, err := open(t, &settings.Settings{KeysFrom: "file:" + path})
			if err != nil {
				t.Error(err)
				return
			}
			err = keys.Create(t.Context())
			if err != nil && !errors.Is(err, os.ErrExist) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[err == nil]++
		})
	}
	wait.Wait()
	if outcomes[true] != 1 || outcomes[false] != 7 {
		t.Errorf("made %d times, refused %d times", outcomes[true], outcomes[false])
	}
}

// Who waits for a change of somebody else can be stopped.
func TestChangeCancelled(t *testing.T) {
	t.Parallel()
	keys := file(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := keys.Change(t.Context(), func(ring *keyring.Keyring) (*keyring.Keyring, error) {
		other, err := open(t, &settings.Settings{KeysFrom: "file:" + keys.Path})
		if err != nil {
			return nil, err
		}
		cancel()
		err = other.Change(ctx, func(ring *keyring.Keyring) (*keyring.Keyring, error) {
			t.Error("two changes at once")
			return ring, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		return ring, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A copy is never overwritten, and the same keyring has one copy.
func TestKeep(t *testing.T) {
	t.Parallel()
	keys := file(t)
	text, err := os.ReadFile(keys.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".before-retiring-1", ".before-retiring-1"} {
		if path, err := keys.Keep("retiring-1"); err != nil || path != keys.Path+want {
			t.Errorf("%s, %v", path, err)
		}
	}
	err = keys.Change(t.Context(), func(ring *keyring.Keyring) (*keyring.Keyring, error) {
		after, _, err := ring.Add(keyring.DataKeys)
		return after, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if path, err := keys.Keep("retiring-1"); err != nil || path != keys.Path+".before-retiring-1.2" {
		t.Errorf("%s, %v", path, err)
	}
	if kept, err := os.ReadFile(keys.Path + ".before-retiring-1"); err != nil || string(kept) != string(text) {
		t.Errorf("the first copy has changed: %v", err)
	}
	if info, err := os.Stat(keys.Path + ".before-retiring-1.2"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v", info.Mode(), err)
	}
}

// A keyring that comes from elsewhere is not written.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	keys, err := open(t, &settings.Settings{KeysFrom: "env:GORMCRYPT_NOT_SET"})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Create(t.Context()); !errors.Is(err, keysource.ErrReadOnly) || keys.Writable() {
		t.Errorf("%v, want ErrReadOnly", err)
	}
	err = keys.Change(t.Context(), func(*keyring.Keyring) (*keyring.Keyring, error) { return keyring.Generate() })
	if !errors.Is(err, keysource.ErrReadOnly) {
		t.Errorf("%v, want ErrReadOnly", err)
	}
	if _, err := keys.Load(t.Context()); !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "the variable GORMCRYPT_NOT_SET") {
		t.Errorf("%v, want ErrNotFound", err)
	}
}
