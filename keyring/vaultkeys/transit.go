package vaultkeys

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Transit is a key of the transit engine as key-encryption key. Keys are generated,
// wrapped and unwrapped by the server; its own key never leaves it. When a newer
// version of that is made there, Rewrap moves wrapped keys to it, and no row of data
// changes. It is safe for concurrent use.
//
// Beside ErrPermission, ErrLogin and ErrClosed, it returns keyring.ErrUnavailable
// when there was no answer, after two more tries, and keyring.ErrWrongKey for what this
// key has not wrapped, and for what is older than the key's
// min_decryption_version.
//
// The token needs update on MOUNT/encrypt/KEY, MOUNT/decrypt/KEY, MOUNT/rewrap/KEY and
// MOUNT/datakey/plaintext/KEY, as far as each is used. Do not give it create on
// MOUNT/encrypt/KEY: with that a misspelt key would be made.
type Transit struct {
	client     *Client
	mount, key string
}

// NewTransit returns a key of the engine at a mount, "transit" by default. It makes
// no call; make the key with: vault write -f MOUNT/keys/KEY.
func NewTransit(client *Client, mount, key string) (*Transit, error) {
	mount = strings.Trim(mount, "/")
	if mount == "" {
		mount = "transit"
	}
	if key == "" || strings.ContainsAny(key, "/?#%") || strings.Contains(mount+"/"+key, "..") {
		return nil, fmt.Errorf("transit key %q of mount %q: not a name that a key can have", key, mount)
	}
	return &Transit{client: client, mount: mount, key: key}, nil
}

// Name returns MOUNT/keys/KEY.
func (t *Transit) Name() string { return t.mount + "/keys/" + t.key }

// Format writes what it is, and its name.
func (t *Transit) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "vaultkeys.Transit(%s)", t.Name()) }

// Wrap encrypts a key on the server.
func (t *Transit) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	plaintext := base64.StdEncoding.EncodeToString(key)
	answer, err := t.client.call(ctx, http.MethodPut, t.path("encrypt"), map[string]string{"plaintext": plaintext}, plaintext)
	if err != nil {
		return nil, t.explain(err)
	}
	return t.ciphertext(answer)
}

// Unwrap decrypts on the server what Wrap, GenerateKey or Rewrap returned.
func (t *Transit) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if err := t.requireWrapped(wrapped); err != nil {
		return nil, err
	}
	answer, err := t.client.call(ctx, http.MethodPut, t.path("decrypt"), map[string]string{"ciphertext": string(wrapped)})
	if err != nil {
		return nil, t.explain(err)
	}
	defer answer.wipe()
	return t.plaintext(answer)
}

// GenerateKey returns a new key of 256 bits that the server made. The call is not
// repeated.
func (t *Transit) GenerateKey(ctx context.Context) (key, wrapped []byte, err error) {
	answer, err := t.client.callOnce(ctx, http.MethodPut, t.path("datakey/plaintext"), map[string]int{"bits": 8 * keyring.KeySize})
	if err != nil {
		return nil, nil, t.explain(err)
	}
	defer answer.wipe()
	if wrapped, err = t.ciphertext(answer); err != nil {
		return nil, nil, err
	}
	if key, err = t.plaintext(answer); err != nil {
		return nil, nil, err
	}
	if len(key) != keyring.KeySize {
		clear(key)
		return nil, nil, fmt.Errorf("%s: %w: a key of %d bytes, want %d", t.Name(), keyring.ErrUnavailable, len(key), keyring.KeySize)
	}
	return key, wrapped, nil
}

// Rewrap wraps a wrapped key under the newest version of the server's key. Neither
// leaves the server.
func (t *Transit) Rewrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if err := t.requireWrapped(wrapped); err != nil {
		return nil, err
	}
	answer, err := t.client.call(ctx, http.MethodPut, t.path("rewrap"), map[string]string{"ciphertext": string(wrapped)})
	if err != nil {
		return nil, t.explain(err)
	}
	return t.ciphertext(answer)
}

func (t *Transit) path(operation string) string { return t.mount + "/" + operation + "/" + t.key }

// prefix starts everything that the engine encrypts.
const prefix = "vault:v"

// requireWrapped keeps what is not wrapped from the network: a key, by mistake.
func (t *Transit) requireWrapped(wrapped []byte) error {
	if !bytes.HasPrefix(wrapped, []byte(prefix)) {
		return fmt.Errorf("%w: not wrapped by a transit key: it does not start with %q", keyring.ErrWrongKey, prefix)
	}
	return nil
}

func (t *Transit) ciphertext(answer secret) ([]byte, error) {
	text, err := answer.text("ciphertext")
	if err != nil || !bytes.HasPrefix(text, []byte(prefix)) {
		return nil, t.garbage()
	}
	return text, nil
}

func (t *Transit) plaintext(answer secret) ([]byte, error) {
	text, err := answer.text("plaintext")
	if err != nil {
		return nil, t.garbage()
	}
	defer clear(text)
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(key, text)
	if err != nil {
		clear(key)
		return nil, t.garbage()
	}
	return key[:n:n], nil
}

func (t *Transit) garbage() error {
	return fmt.Errorf("%s: %w: the answer is not that of a transit engine; is one mounted at %q?", t.Name(), keyring.ErrUnavailable, t.mount)
}

// explain says what a refusal of the engine means. The engine tells the reasons
// apart by their texts only.
func (t *Transit) explain(err error) error {
	var refused *refusal
	if !errors.As(err, &refused) {
		return err
	}
	switch has := func(text string) bool { return strings.Contains(refused.reasons, text) }; {
	case refused.status == http.StatusNotFound:
		return fmt.Errorf("%s: no transit engine is mounted at %q: vault secrets enable -path=%s transit: %w", t.Name(), t.mount, t.mount, err)
	case refused.status != http.StatusBadRequest:
		return err
	case has("encryption key not found"):
		return fmt.Errorf("%s: there is no such key: vault write -f %s: %w", t.Name(), t.Name(), err)
	case has("too old"):
		return fmt.Errorf("%w: it was wrapped by a version of %s below its min_decryption_version: lower that again, wrap all keys anew with Rewrap, and raise it only then: %w", keyring.ErrWrongKey, t.Name(), err)
	case has("too new"):
		return fmt.Errorf("%w: it was wrapped by a version of %s that this server does not have; was the server restored from an older copy?: %w", keyring.ErrWrongKey, t.Name(), err)
	case has("invalid ciphertext"), has("message authentication failed"), has("missing ciphertext"):
		return fmt.Errorf("%w: not wrapped by %s, or changed since: %w", keyring.ErrWrongKey, t.Name(), err)
	}
	return err
}
