package cloudkeys_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets/azurekeyvault"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// fakeVault is Azure Key Vault as far as a key-encryption key needs it, with a real RSA
// key for each version of a key. It is the transport of its clients.
type fakeVault struct {
	keys   map[string]*rsa.PrivateKey // by name/version
	calls  atomic.Int32
	answer atomic.Pointer[func(*http.Request) (*http.Response, error)]
}

func newFakeVault() *fakeVault { return &fakeVault{keys: vaultKeys()} }

// vaultKeys are slow to make.
var vaultKeys = sync.OnceValue(func() map[string]*rsa.PrivateKey {
	keys := map[string]*rsa.PrivateKey{}
	for _, name := range []string{"app/1", "app/2"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

type azureToken struct{}

func (azureToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (f *fakeVault) kek(t *testing.T, name string) *cloudkeys.KEK {
	t.Helper()
	keeper, err := azurekeyvault.OpenKeeper(func(vault string) (*azkeys.Client, error) {
		return azkeys.NewClient(vault, azureToken{}, &azkeys.ClientOptions{ClientOptions: policy.ClientOptions{
			Transport: f, Retry: policy.RetryOptions{RetryDelay: 1, MaxRetryDelay: 1},
		}})
	}, "https://shop.vault.azure.net/keys/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cloudkeys.New(keeper, "azurekeyvault://shop.vault.azure.net/keys/"+name)
}

// Do implements policy.Transporter.
func (f *fakeVault) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" { // how clients learn where to get a token
		return jsonResponse(r, http.StatusUnauthorized, nil, `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`), nil
	}
	f.calls.Add(1)
	if answer := f.answer.Load(); answer != nil {
		return (*answer)(r)
	}
	var request struct {
		Alg   string
		Value string
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Alg != "RSA-OAEP-256" {
		return azureError(r, http.StatusBadRequest, "BadParameter", "alg"), nil
	}
	value, err := base64.RawURLEncoding.DecodeString(request.Value)
	if err != nil {
		return azureError(r, http.StatusBadRequest, "BadParameter", "value"), nil
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/keys/"), "/") // name, version, operation
	key := f.keys[path[0]+"/"+path[1]]
	if key == nil {
		return azureError(r, http.StatusNotFound, "KeyNotFound", "A key with that name and version was not found."), nil
	}
	if path[2] == "encrypt" {
		value, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, value, nil)
	} else {
		value, err = rsa.DecryptOAEP(sha256.New(), nil, key, value, nil)
	}
	if err != nil {
		return azureError(r, http.StatusBadRequest, "BadParameter", "The parameter is incorrect."), nil
	}
	return jsonResponse(r, http.StatusOK, map[string]string{"kid": "https://" + r.URL.Host, "value": base64.RawURLEncoding.EncodeToString(value)}, ""), nil
}

func azureError(r *http.Request, status int, code, message string) *http.Response {
	return jsonResponse(r, status, map[string]any{"error": map[string]string{"code": code, "message": message}}, "")
}

func jsonResponse(r *http.Request, status int, body any, challenge string) *http.Response {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
	response := w.Result()
	response.Request = r
	return response
}

func TestAzureKEK(t *testing.T) {
	t.Parallel()
	f := newFakeVault()
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return f.kek(t, "app/1") },
		Other: func(t *testing.T) keyring.KEK { return f.kek(t, "app/2") },
	})
}

// Why Open refuses it: with the public key, anybody wraps a key of their choice.
func TestAzureTakesForgedKeys(t *testing.T) {
	t.Parallel()
	f := newFakeVault()
	chosen := newKey()
	forged, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.keys["app/1"].PublicKey, chosen, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.kek(t, "app/1").Unwrap(t.Context(), forged); err != nil || !bytes.Equal(got, chosen) {
		t.Errorf("it is refused, so Open need not refuse the keeper: %v", err)
	}
}

func TestAzureURLs(t *testing.T) {
	t.Parallel()
	const keyURL = "azurekeyvault://shop.vault.azure.net/keys/app/0123456789abcdef0123456789abcdef"
	if _, err := cloudkeys.Open(t.Context(), keyURL); !errors.Is(err, cloudkeys.ErrUnauthenticated) || !strings.Contains(err.Error(), "OpenUnauthenticated") {
		t.Errorf("Open: %v", err)
	}
	kek, err := cloudkeys.OpenUnauthenticated(t.Context(), keyURL+"?algorithm=RSA-OAEP-256")
	if err != nil {
		t.Fatal(err)
	}
	if kek.Name() != keyURL {
		t.Errorf("its name is %s", kek.Name())
	}
	for _, without := range []string{"azurekeyvault://shop.vault.azure.net/keys/app", "azurekeyvault://shop.vault.azure.net/keys/app/", "azurekeyvault://shop.vault.azure.net/keys"} {
		if _, err := cloudkeys.OpenUnauthenticated(t.Context(), without); err == nil || !strings.Contains(err.Error(), "VERSION") {
			t.Errorf("%s: %v", without, err)
		}
	}
}

func TestAzureErrors(t *testing.T) {
	t.Parallel()
	key := newKey()
	refuse := func(status int, code string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			return azureError(r, status, code, "you sent "+string(body)), nil
		}
	}
	for name, test := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		want   error
		says   string
		calls  int32
	}{
		"forbidden":   {refuse(403, "Forbidden"), gcerrors.ErrPermissionDenied, "Microsoft.KeyVault/vaults/keys/encrypt/action", 1},
		"not there":   {refuse(404, "KeyNotFound"), gcerrors.ErrNotFound, "KeyNotFound", 1},
		"bad request": {refuse(400, "BadParameter"), gcerrors.ErrInvalidArgument, "BadParameter", 1},
		"throttled":   {refuse(429, "Throttled"), keyring.ErrUnavailable, "Throttled", 4},
		"internal":    {refuse(500, "InternalError"), keyring.ErrUnavailable, "InternalError", 4},
		"bad gateway": {refuse(502, ""), keyring.ErrUnavailable, "502", 4},
		"down":        {refuse(503, ""), keyring.ErrUnavailable, "503", 4},
		"no answer":   {func(*http.Request) (*http.Response, error) { return nil, errors.New("no such host") }, keyring.ErrUnavailable, "no such host", 4},
		"garbage":     {func(r *http.Request) (*http.Response, error) { return jsonResponse(r, 200, "MARKER", ""), nil }, keyring.ErrUnavailable, "", 1},
		"without a key": {func(r *http.Request) (*http.Response, error) {
			return jsonResponse(r, 200, map[string]string{}, ""), nil
		}, keyring.ErrUnavailable, "0 bytes", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeVault{}
			f.answer.Store(&test.answer)
			_, err := f.kek(t, "app/1").Wrap(t.Context(), key)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %v with %q", err, test.want, test.says)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "you sent") {
				t.Errorf("%v shows the answer", err)
			}
			requireHidden(t, key, err.Error())
			if calls := f.calls.Load(); calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
		})
	}
}
