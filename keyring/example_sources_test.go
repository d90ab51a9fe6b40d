package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// The variable is gone once it was read.
func ExampleFromEnv() {
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	var document bytes.Buffer
	if err := keyring.WriteCleartext(&document, keys); err != nil {
		fmt.Println(err)
		return
	}
	os.Setenv("EXAMPLE_KEYS", document.String()) // your shell, or your container's configuration

	loaded, err := keyring.FromEnv("EXAMPLE_KEYS")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())
	_, set := os.LookupEnv("EXAMPLE_KEYS")
	fmt.Println("still set:", set)
	_, err = keyring.FromEnv("EXAMPLE_KEYS")
	fmt.Println(err)
	// Output:
	// [1 i1]
	// still set: false
	// environment variable EXAMPLE_KEYS: no keyring found: it was read before in this process, and removed; use the keyring or the source of that time
}

func ExampleTakeEnv() {
	os.Setenv("EXAMPLE_TOKEN", "hvs.once")
	token, found := keyring.TakeEnv("EXAMPLE_TOKEN")
	fmt.Println(len(token), found)
	_, found = keyring.TakeEnv("EXAMPLE_TOKEN")
	fmt.Println(found)
	// Output:
	// 8 true
	// false
}

// A keyring as Kubernetes mounts it: anybody in the container may read the file,
// and only its owner may write it.
func ExampleSecretFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json") // /etc/gormcrypt/keys.json, say
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := errors.Join(keyring.WriteFile(path, keys), os.Chmod(path, 0o444)); err != nil {
		fmt.Println(err)
		return
	}

	loaded, err := keyring.SecretFile(path).Load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())

	_ = os.Chmod(path, 0o666)
	_, err = keyring.SecretFile(path).Load(context.Background())
	fmt.Println(errors.Is(err, keyring.ErrExposed))
	// Output:
	// [1 i1]
	// true
}

// docker run --secret, or secrets: in a compose file, mounts /run/secrets/NAME.
func ExampleSecret() {
	_, err := keyring.Secret("example-keyring").Load(context.Background())
	fmt.Println(errors.Is(err, keyring.ErrNotFound))
	_, err = keyring.Secret("../example-keyring").Load(context.Background())
	fmt.Println(errors.Is(err, keyring.ErrInvalid))
	// Output:
	// true
	// true
}

// A unit with LoadCredentialEncrypted=keyring:/etc/credstore.encrypted/keyring
// finds the keyring in $CREDENTIALS_DIRECTORY/keyring.
func ExampleCredential() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keyring.WriteFile(filepath.Join(dir, "keyring"), keys); err != nil {
		fmt.Println(err)
		return
	}
	os.Setenv("CREDENTIALS_DIRECTORY", dir) // systemd does
	defer os.Unsetenv("CREDENTIALS_DIRECTORY")

	loaded, err := keyring.Credential("keyring").Load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())
	// Output:
	// [1 i1]
}

// In production a credential, on a developer's machine a file.
func ExampleFirst() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keyring.WriteFile(path, keys); err != nil {
		fmt.Println(err)
		return
	}
	source := keyring.First(keyring.Credential("keyring"), keyring.File(path))
	loaded, err := source.Load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())
	// Output:
	// [1 i1]
}

func ExampleFromPassphrase() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	kek, err := keyring.NewPassphrase([]byte("spleen-plywood-tartar-uncut-deacon-lurch"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keyring.WriteWrappedFile(ctx, path, keys, kek); err != nil {
		fmt.Println(err)
		return
	}

	loaded, err := keyring.FromPassphrase(path, []byte("spleen-plywood-tartar-uncut-deacon-lurch"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())
	_, err = keyring.FromPassphrase(path, []byte("spleen plywood tartar uncut deacon lurch"))
	fmt.Println(errors.Is(err, keyring.ErrWrongKey))
	// Output:
	// [1 i1]
	// true
}

// hardware stands for a key that never leaves its place. Real ones are those of a
// key server: see vaultkeys and cloudkeys.
type hardware struct{ cipher.AEAD }

func newHardware() (hardware, error) {
	block, err := aes.NewCipher(bytes.Repeat([]byte{42}, 32))
	if err != nil {
		return hardware{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return hardware{aead}, err
}

func (hardware) Name() string { return "hardware/1" }

func (h hardware) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	return h.Seal(nil, nil, key, nil), ctx.Err()
}

func (h hardware) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	fmt.Println("unwrapping a key")
	key, err := h.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, keyring.ErrWrongKey
	}
	return key, ctx.Err()
}

// A key is unwrapped once, however often the file is loaded.
func ExampleWrappedFile() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	kek, err := newHardware()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keyring.WriteWrappedFile(ctx, path, keys, kek); err != nil {
		fmt.Println(err)
		return
	}

	source := keyring.WrappedFile(path, kek)
	for range 3 {
		loaded, err := source.Load(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(loaded.Versions())
	}
	// Output:
	// unwrapping a key
	// unwrapping a key
	// [1 i1]
	// [1 i1]
	// [1 i1]
}
