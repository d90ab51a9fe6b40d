package vaultkeys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
)

// recorded plays back answers of a Vault server, so that the examples run anywhere.
func recorded(answers map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[strings.TrimPrefix(r.URL.Path, "/v1/")]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			answer = `{"errors":["wrapping token is not valid or does not exist"]}`
		}
		fmt.Fprint(w, answer)
	}))
}

// A program that starts with nothing but a one-time token, and does not start
// without what it stands for.
func ExampleFromWrappedToken() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	server := recorded(map[string]string{
		"sys/wrapping/lookup": `{"data":{"creation_path":"secret/data/gormcrypt","creation_time":"2030-01-02T03:04:05.6Z","creation_ttl":60}}`,
		"sys/wrapping/unwrap": `{"data":{"data":{"keyring":` + exampleDocument() + `},"metadata":{"version":1}}}`,
	})
	defer server.Close()
	os.Setenv("GORMCRYPT_VAULT_TOKEN", "hvs.one-time") // by what starts the program

	keys, err := vaultkeys.FromWrappedToken(context.Background(), vaultkeys.WrappedToken{
		Env:          "GORMCRYPT_VAULT_TOKEN",
		CreationPath: "secret/data/gormcrypt",
		Server:       vaultkeys.Server{Address: server.URL}, // or VAULT_ADDR
		OnSecurityEvent: func(e vaultkeys.SecurityEvent) {
			// wake somebody up
		},
	})
	switch {
	case errors.Is(err, vaultkeys.ErrTokenInvalid):
		log.Fatal(err) // a security event
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(keys.Versions())
	fmt.Printf("the variable holds %q\n", os.Getenv("GORMCRYPT_VAULT_TOKEN"))
	// db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, ...}))

	// Output:
	// [1 i1]
	// the variable holds ""
}

func exampleDocument() string {
	ring, err := keyring.Generate()
	if err != nil {
		log.Fatal(err)
	}
	var document strings.Builder
	if err := keyring.WriteCleartext(&document, ring); err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(document.String())
	if err != nil {
		log.Fatal(err)
	}
	return string(text)
}

// A key that Vault makes, and gives back when it is shown the wrapped form, which
// may be kept anywhere.
func ExampleTransit() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	const wrapped = "vault:v2:BBgw3juvxErk8Q9H9UBbPbRCysj3SWvxMrygJgRdRap4RxDvJNu20yJ5xT34FGCmDlQZT7drJ3TIagHS"
	server := recorded(map[string]string{
		"auth/approle/login":               `{"auth":{"client_token":"hvs.login","lease_duration":3600,"renewable":true}}`,
		"auth/token/renew-self":            `{"auth":{"client_token":"hvs.login","lease_duration":3600,"renewable":true}}`,
		"transit/datakey/plaintext/orders": `{"data":{"ciphertext":"` + wrapped + `","key_version":2,"plaintext":"utaPk9m3FArL51MgfxGzkWvZkg0dD9vLV6xcvJZTT98="}}`,
		"transit/decrypt/orders":           `{"data":{"plaintext":"utaPk9m3FArL51MgfxGzkWvZkg0dD9vLV6xcvJZTT98="}}`,
	})
	defer server.Close()

	ctx := context.Background()
	client, err := vaultkeys.Connect(ctx, vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: server.URL},
		Login:  vaultkeys.AppRole{RoleID: "orders", SecretID: vaultkeys.FromFile("testdata/secret-id")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	kek, err := vaultkeys.NewTransit(client, "transit", "orders")
	if err != nil {
		log.Fatal(err)
	}
	key, stored, err := kek.GenerateKey(ctx)
	if err != nil {
		log.Fatal(err)
	}
	again, err := kek.Unwrap(ctx, stored)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %.9s... is a key of %d bytes, the same again: %t\n", kek.Name(), stored, len(key), bytes.Equal(key, again))
	clear(key)
	clear(again)

	// Output:
	// transit/keys/orders: vault:v2:... is a key of 32 bytes, the same again: true
}
