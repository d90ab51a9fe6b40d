package cloudkeys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// storedKey is a key as a file or a table may hold it, for everybody to read.
type storedKey struct {
	Version keyring.Version
	State   keyring.State
	Check   string
	Wrapped []byte
}

func store(ctx context.Context, kek keyring.KEK, ring *keyring.Keyring) ([]byte, error) {
	var keys []storedKey
	for _, version := range ring.Versions() {
		state, err := ring.State(version)
		if err != nil {
			return nil, err
		}
		key := storedKey{Version: version, State: state}
		if state != keyring.Retired {
			if key.Check, err = ring.CheckValue(version); err != nil {
				return nil, err
			}
			if key.Wrapped, err = ring.Wrap(ctx, kek, version); err != nil {
				return nil, err
			}
		}
		keys = append(keys, key)
	}
	return json.Marshal(keys)
}

func load(ctx context.Context, kek keyring.KEK, text []byte) (*keyring.Keyring, error) {
	var stored []storedKey
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	var keys []keyring.Key
	for _, s := range stored {
		key, err := keyring.UnwrapKey(ctx, kek, s.Version, s.State, s.Check, s.Wrapped)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keyring.New(keys...)
}

// A keyring that is stored wrapped is the same in the next process, and nothing
// without the key-encryption key.
func TestKeyring(t *testing.T) {
	t.Parallel()
	master := newKey()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	ring, second, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if ring, err = ring.Promote(second); err != nil {
		t.Fatal(err)
	}
	text, err := store(t.Context(), open(t, localURL(master)), ring)
	if err != nil {
		t.Fatal(err)
	}
	var clear bytes.Buffer
	if err := keyring.WriteCleartext(&clear, ring); err != nil {
		t.Fatal(err)
	}

	loaded, err := load(t.Context(), open(t, localURL(master)), text)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := keyring.WriteCleartext(&again, loaded); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(clear.Bytes(), again.Bytes()) || !slices.Equal(ring.Versions(), loaded.Versions()) {
		t.Error("the keyring is another one")
	}
	if _, err := load(t.Context(), open(t, localURL(newKey())), text); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("another key-encryption key: %v", err)
	}
	// A key under the number of another is not taken for it.
	var stored []storedKey
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	stored[0].Wrapped, stored[1].Wrapped = stored[1].Wrapped, stored[0].Wrapped
	if text, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t.Context(), open(t, localURL(master)), text); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("exchanged keys: %v", err)
	}
}

// GenerateKey makes the key in this process, since keepers make none.
func TestGenerateKey(t *testing.T) {
	t.Parallel()
	kek := open(t, localURL(newKey()))
	version := keyring.MakeVersion(keyring.DataKeys, 7)
	key, wrapped, err := keyring.GenerateKey(t.Context(), kek, version, keyring.Enabled)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyring.UnwrapKey(t.Context(), kek, version, keyring.Enabled, key.CheckValue(), wrapped)
	if err != nil || again.CheckValue() != key.CheckValue() {
		t.Errorf("unwrapped %v, %v", again, err)
	}
}
