package vaultkeys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Credential gets what a login needs: a token, a secret ID. It is a function, so that
// nothing that prints a configuration shows it. It may use the client for calls that
// need no token.
type Credential func(ctx context.Context, client *api.Client) (string, error)

// FromEnv takes a credential out of an environment variable, at once and as
// keyring.TakeEnv does, and keeps it for every login.
func FromEnv(name string) Credential {
	value, _ := keyring.TakeEnv(name)
	value = strings.TrimSpace(value)
	return func(context.Context, *api.Client) (string, error) {
		if value == "" {
			return "", fmt.Errorf("environment variable %s was empty or not set", name)
		}
		return value, nil
	}
}

// FromFile reads a credential from a file, at each login: one that an agent or
// Kubernetes replaces from time to time.
func FromFile(path string) Credential {
	return func(context.Context, *api.Client) (string, error) {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, 64<<10))
		defer clear(text)
		if err != nil {
			return "", err
		}
		value := string(bytes.TrimSpace(text))
		if value == "" {
			return "", fmt.Errorf("%s is empty", path)
		}
		return value, nil
	}
}

// Given is a credential that the program has from elsewhere.
func Given(value string) Credential {
	return func(context.Context, *api.Client) (string, error) { return value, nil }
}

// Unwrapped exchanges a one-time token for a secret ID at the first login, with the
// checks and the errors of FromWrappedToken, and keeps it for later ones. For a secret
// ID, CreationPath is like "auth/approle/role/NAME/secret-id", and the default Field is
// "secret_id". Server stays empty: it is that of the login.
func Unwrapped(token WrappedToken) Credential {
	var value string
	var outcome error
	taken := false
	return func(ctx context.Context, client *api.Client) (string, error) {
		if taken {
			return value, outcome
		}
		if token.Server != (Server{}) {
			return "", errors.New("a one-time token of a login: Server is that of the login, so leave it empty")
		}
		if err := errors.Join(ctx.Err(), token.check()); err != nil {
			return "", err
		}
		var text secretText
		text, taken, outcome = token.text(ctx, client, cmp.Or(token.Field, "secret_id"))
		value = string(text)
		clear(text)
		return value, outcome
	}
}

func (c Credential) get(ctx context.Context, client *api.Client, what string) (string, error) {
	if c == nil {
		return "", fmt.Errorf("%w: %s is missing in the configuration", ErrLogin, what)
	}
	value, err := c(ctx, client)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return value, nil
}
