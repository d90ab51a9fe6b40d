package dbkeys_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// keyServer is a key-encryption key that counts what it is asked, and fails when it
// is told to. It has versions, as those of real key servers.
type keyServer struct {
	name string
	// secrets are the versions of the key. Their first byte stands before what they
	// have wrapped.
	mu      sync.Mutex
	secrets [][]byte
	calls   map[string]int
	failure error
	// forbidden is an operation that fails.
	forbidden string
}

func newKeyServer(name string) *keyServer {
	k := &keyServer{name: name, calls: map[string]int{}}
	k.turn()
	return k
}

// line returns the same key server on a line of its own, with calls of its own.
func (k *keyServer) line() *keyServer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &keyServer{name: k.name, secrets: k.secrets, calls: map[string]int{}}
}

// turn makes a new version, under which is wrapped from now on.
func (k *keyServer) turn() {
	secret := make([]byte, chacha20poly1305.KeySize)
	rand.Read(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secrets = append(k.secrets, secret)
}

// fail has every call fail from now on, or none.
func (k *keyServer) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure = err
}

// count returns how often an operation was asked for.
func (k *keyServer) count(op string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[op]
}

// forbid has one operation fail.
func (k *keyServer) forbid(op string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forbidden = op
}

var errForbidden = errors.New("permission denied")

func (k *keyServer) begin(ctx context.Context, op string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls[op]++
	switch err := ctx.Err(); {
	case err != nil:
		return err
	case op == k.forbidden:
		return errForbidden
	}
	return k.failure
}

func (k *keyServer) Name() string { return k.name }

func (k *keyServer) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	if err := k.begin(ctx, "wrap"); err != nil {
		return nil, err
	}
	return k.wrap(key)
}

func (k *keyServer) wrap(key []byte) ([]byte, error) {
	k.mu.Lock()
	version := len(k.secrets) - 1
	aead, err := chacha20poly1305.NewX(k.secrets[version])
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(append([]byte{byte(version)}, nonce...), nonce, key, nil), nil
}

func (k *keyServer) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if err := k.begin(ctx, "unwrap"); err != nil {
		return nil, err
	}
	return k.unwrap(wrapped)
}

func (k *keyServer) unwrap(wrapped []byte) ([]byte, error) {
	wrong := fmt.Errorf("%s: %w", k.name, keyring.ErrWrongKey)
	if len(wrapped) < 1+chacha20poly1305.NonceSizeX {
		return nil, wrong
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if int(wrapped[0]) >= len(k.secrets) || k.secrets[wrapped[0]] == nil {
		return nil, wrong
	}
	aead, err := chacha20poly1305.NewX(k.secrets[wrapped[0]])
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, wrapped[1:1+aead.NonceSize()], wrapped[1+aead.NonceSize():], nil)
	if err != nil {
		return nil, wrong
	}
	return key, nil
}

// forget destroys all versions but the latest.
func (k *keyServer) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range len(k.secrets) - 1 {
		k.secrets[i] = nil
	}
}

// rewrapping is a key server that wraps anew without showing keys.
type rewrapping struct{ *keyServer }

func (k rewrapping) Rewrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if err := k.begin(ctx, "rewrap"); err != nil {
		return nil, err
	}
	key, err := k.unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	return k.wrap(key)
}
