package vaultkeys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// KV is a source that reads a keyring document from a kv store, at every Load, so that
// keyring.Poll sees its changes. The program keeps a token then, with which whoever
// gets it reads the keys too: what that costs is the reason for FromWrappedToken and
// Transit.
//
// Load returns keyring.ErrNotFound when there is no secret or no such field,
// keyring.ErrInvalid and keyring.ErrWrongKey for what is no keyring, and the errors
// of Transit otherwise.
type KV struct {
	Client *Client
	// Path is that of the secret in the API: "secret/data/gormcrypt" in a store of version
	// 2, "secret/gormcrypt" in one of version 1. The token needs read on it.
	Path string
	// Field holds the document. The default is "keyring".
	Field string
}

// Load reads the keyring.
func (k KV) Load(ctx context.Context) (*keyring.Keyring, error) {
	answer, err := k.Client.call(ctx, http.MethodGet, k.Path, nil)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w; is it there, and does the path of a version 2 store hold data/?", keyring.ErrNotFound, err)
	} else if err != nil {
		return nil, err
	}
	defer answer.wipe()
	text, err := answer.text(cmp.Or(k.Field, "keyring"))
	if errors.Is(err, errNoField) {
		return nil, fmt.Errorf("%s: %w: %w", k.Path, keyring.ErrNotFound, err)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Path, err)
	}
	defer clear(text)
	ring, err := keyring.ReadCleartext(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Path, err)
	}
	return ring, nil
}
