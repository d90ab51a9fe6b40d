package vaultkeys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys/internal/vaulttest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// connect logs in with a token, until the test ends.
func connect(t *testing.T, address, token string) *vaultkeys.Client {
	t.Helper()
	client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: address}, Login: vaultkeys.Token{From: vaultkeys.Given(token)}, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func transit(t *testing.T, client *vaultkeys.Client, key string) *vaultkeys.Transit {
	t.Helper()
	kek, err := vaultkeys.NewTransit(client, "transit", key)
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func TestTransitIsAKEK(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/kek", nil)
	server.Write(t, "transit/keys/other-kek", nil)
	client := connect(t, server.Address, server.RootToken)
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return transit(t, client, "kek") },
		Other: func(t *testing.T) keyring.KEK { return transit(t, client, "other-kek") },
	})
}

// A newer version of the server's key takes over, and the older one can then be shut
// out.
func TestTransitKeyRotates(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/rotates", nil)
	kek := transit(t, connect(t, server.Address, server.RootToken), "rotates")
	key, first, err := kek.GenerateKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Write(t, "transit/keys/rotates/rotate", nil)
	second, err := kek.Rewrap(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(first, []byte("vault:v1:")) || !bytes.HasPrefix(second, []byte("vault:v2:")) {
		t.Errorf("wrapped as %.9s and %.9s", first, second)
	}
	server.Write(t, "transit/keys/rotates/config", map[string]any{"min_decryption_version": 2})
	if got, err := kek.Unwrap(t.Context(), second); err != nil || !bytes.Equal(got, key) {
		t.Errorf("the rewrapped key is not unwrapped: %v", err)
	}
	for name, call := range map[string]func(context.Context, []byte) ([]byte, error){"Unwrap": kek.Unwrap, "Rewrap": kek.Rewrap} {
		if _, err := call(t.Context(), first); !errors.Is(err, keyring.ErrWrongKey) || !strings.Contains(err.Error(), "min_decryption_version: lower that again") {
			t.Errorf("%s of what is too old: %v", name, err)
		}
		future := append([]byte("vault:v9"), first[len("vault:v1"):]...)
		if _, err := call(t.Context(), future); !errors.Is(err, keyring.ErrWrongKey) || !strings.Contains(err.Error(), "does not have") {
			t.Errorf("%s of what is too new: %v", name, err)
		}
	}
}

func TestTransitNamesTheMissingPolicy(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/policy", nil)
	wrapped, err := transit(t, connect(t, server.Address, server.RootToken), "policy").Wrap(t.Context(), make([]byte, keyring.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	token := server.Token(t, `# nothing`, api.TokenCreateRequest{})
	proxy := vaulttest.NewProxy(t, server.Address)
	kek := transit(t, connect(t, proxy.URL, token), "policy")
	for path, call := range map[string]func() error{
		"transit/encrypt/policy":           func() error { _, err := kek.Wrap(t.Context(), wrapped[:32]); return err },
		"transit/decrypt/policy":           func() error { _, err := kek.Unwrap(t.Context(), wrapped); return err },
		"transit/rewrap/policy":            func() error { _, err := kek.Rewrap(t.Context(), wrapped); return err },
		"transit/datakey/plaintext/policy": func() error { _, _, err := kek.GenerateKey(t.Context()); return err },
	} {
		before := count(proxy, "PUT /v1/"+path)
		err := call()
		if !errors.Is(err, vaultkeys.ErrPermission) || errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), `path "`+path+`" { capabilities = ["update"] }`) {
			t.Errorf("%s: %v", path, err)
		}
		if asked := count(proxy, "PUT /v1/"+path) - before; asked != 1 {
			t.Errorf("%s was asked for %d times, want 1", path, asked)
		}
	}
}

func count(proxy *vaulttest.Proxy, request string) int {
	n := 0
	for _, r := range proxy.Requests() {
		if r == request {
			n++
		}
	}
	return n
}

func TestTransitSaysWhatIsNotThere(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	client := connect(t, server.Address, server.RootToken)
	_, _, err := transit(t, client, "no-such-key").GenerateKey(t.Context())
	if err == nil || errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrWrongKey) || !strings.Contains(err.Error(), "vault write -f transit/keys/no-such-key") {
		t.Errorf("no such key: %v", err)
	}
	elsewhere, err := vaultkeys.NewTransit(client, "/no/such/mount/", "key")
	if err != nil || elsewhere.Name() != "no/such/mount/keys/key" {
		t.Fatal(elsewhere.Name(), err)
	}
	_, err = elsewhere.Unwrap(t.Context(), []byte("vault:v1:AAAA"))
	if err == nil || errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrWrongKey) || !strings.Contains(err.Error(), "vault secrets enable -path=no/such/mount transit") {
		t.Errorf("no such mount: %v", err)
	}
	for _, name := range []string{"", "a/b", "..", "a?b", "a%2fb"} {
		if kek, err := vaultkeys.NewTransit(client, "transit", name); err == nil {
			t.Errorf("%q was taken: %v", name, kek.Name())
		}
	}
}

func TestSealedServerIsUnavailable(t *testing.T) {
	t.Parallel()
	server := vaulttest.Own(t)
	server.Write(t, "transit/keys/app", nil)
	ring := stored(t, server, "secret/app")
	client := connect(t, server.Address, server.RootToken)
	kek := transit(t, client, "app")
	key, wrapped, err := kek.GenerateKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Root.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	if _, err := kek.Unwrap(t.Context(), wrapped); !errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), "Vault is sealed") {
		t.Errorf("Unwrap: %v", err)
	}
	if _, _, err := kek.GenerateKey(t.Context()); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("GenerateKey: %v", err)
	}
	if _, err := (vaultkeys.KV{Client: client, Path: "secret/app"}).Load(t.Context()); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("Load: %v", err)
	}
	for _, part := range server.UnsealKeys {
		if _, err := server.Root.Sys().Unseal(fmt.Sprintf("%x", part)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := kek.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("unsealed again: %v", err)
	}
	again, err := vaultkeys.KV{Client: client, Path: "secret/app"}.Load(t.Context())
	requireRing(t, outcome{ring: again, err: err}, ring)
}

// fake answers every call but the login with one text, and counts them.
func fake(t *testing.T, status int, answer string) (*vaultkeys.Client, *atomic.Int64) {
	t.Helper()
	calls := new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/auth/token/lookup-self" {
			fmt.Fprint(w, `{"data": {"ttl": 0}}`)
			return
		}
		calls.Add(1)
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return connect(t, server.URL, "hvs.secret-token"), calls
}

func TestGarbageIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status int
		text   string
		calls  int64 // when it may be repeated
	}{
		"HTML":                 {200, "<html>", 3},
		"nothing":              {200, "", 3},
		"no data":              {200, `{"data": null}`, 3},
		"other data":           {200, `{"data": {"keyring": "x"}}`, 1},
		"a number":             {200, `{"data": {"ciphertext": 1, "plaintext": 1}}`, 1},
		"a wrong prefix":       {200, `{"data": {"ciphertext": "x", "plaintext": "x"}}`, 1},
		"busy":                 {429, `{"errors": ["rate limit quota exceeded"]}`, 3},
		"a firewall":           {403, `<html>hvs.secret-token</html>`, 3},
		"a broken server":      {500, `{"errors": ["internal hvs.secret-token"]}`, 3},
		"a balancer":           {502, `<html>`, 3},
		"a standby that waits": {412, `{"errors": ["required index state not present"]}`, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, calls := fake(t, answer.status, answer.text)
			kek := transit(t, client, "app")
			for name, call := range map[string]func() error{
				"Wrap":   func() error { _, err := kek.Wrap(t.Context(), make([]byte, keyring.KeySize)); return err },
				"Unwrap": func() error { _, err := kek.Unwrap(t.Context(), []byte("vault:v1:AAAA")); return err },
				"Rewrap": func() error { _, err := kek.Rewrap(t.Context(), []byte("vault:v1:AAAA")); return err },
			} {
				calls.Store(0)
				err := call()
				if !errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrWrongKey) || strings.Contains(err.Error(), "hvs.secret-token") {
					t.Errorf("%s: %v", name, err)
				}
				if calls.Load() != answer.calls {
					t.Errorf("%s was called %d times, want %d", name, calls.Load(), answer.calls)
				}
			}
			calls.Store(0)
			if _, _, err := kek.GenerateKey(t.Context()); !errors.Is(err, keyring.ErrUnavailable) || calls.Load() != 1 {
				t.Errorf("GenerateKey was called %d times: %v", calls.Load(), err)
			}
		})
	}
}

func TestGeneratedKeyHasItsSize(t *testing.T) {
	t.Parallel()
	client, _ := fake(t, 200, `{"data": {"ciphertext": "vault:v1:AAAA", "plaintext": "AAAA"}}`)
	if key, _, err := transit(t, client, "app").GenerateKey(t.Context()); key != nil || !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("got %d bytes, %v", len(key), err)
	}
}

// A key that was given for a wrapped one by mistake stays here.
func TestKeyIsNotSentAsWrapped(t *testing.T) {
	t.Parallel()
	client, calls := fake(t, 500, "")
	kek := transit(t, client, "app")
	for _, call := range []func(context.Context, []byte) ([]byte, error){kek.Unwrap, kek.Rewrap} {
		if _, err := call(t.Context(), bytes.Repeat([]byte("k"), keyring.KeySize)); !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("got %v, want ErrWrongKey", err)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("the server was called %d times", calls.Load())
	}
}

func TestKVIsASource(t *testing.T) {
	server := vaulttest.Shared(t)
	client := connect(t, server.Address, server.RootToken)
	for _, store := range []string{"secret/source", "kv/data/source"} {
		t.Run(store, func(t *testing.T) {
			paths := 0
			source := func(t *testing.T, text string) keyring.Source {
				paths++
				path := fmt.Sprintf("%s-%d", store, paths)
				server.Store(t, path, "keyring", text)
				return vaultkeys.KV{Client: client, Path: path}
			}
			keyringtest.Run(t, keyringtest.Harness{
				Store: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
					return source(t, vaulttest.Document(t, ring))
				},
				Missing:   func(t *testing.T) keyring.Source { return vaultkeys.KV{Client: client, Path: store + "-missing"} },
				Malformed: source,
				Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
					return source(t, damaged(t, ring))
				},
			})
		})
	}
}

func TestKVSaysWhatIsNotThere(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	client := connect(t, server.Address, server.RootToken)
	stored(t, server, "kv/data/gone")
	if _, err := server.Root.Logical().Delete("kv/data/gone"); err != nil {
		t.Fatal(err)
	}
	stored(t, server, "kv/data/field")
	for path, source := range map[string]keyring.Source{
		"kv/data/gone":  vaultkeys.KV{Client: client, Path: "kv/data/gone"},
		"kv/field":      vaultkeys.KV{Client: client, Path: "kv/field"}, // without data/
		"kv/data/field": vaultkeys.KV{Client: client, Path: "kv/data/field", Field: "another"},
	} {
		if ring, err := source.Load(t.Context()); ring != nil || !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", path, ring, err)
		}
	}
	poor := connect(t, server.Address, server.Token(t, `# nothing`, api.TokenCreateRequest{}))
	_, err := vaultkeys.KV{Client: poor, Path: "kv/data/field"}.Load(t.Context())
	if !errors.Is(err, vaultkeys.ErrPermission) || !strings.Contains(err.Error(), `path "kv/data/field" { capabilities = ["read"] }`) {
		t.Errorf("without a policy: %v", err)
	}
}
