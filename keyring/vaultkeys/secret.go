package vaultkeys

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// secret is the data of an answer, by its fields.
type secret map[string]json.RawMessage

// readSecret reads an answer, and clears it.
func readSecret(body []byte) (secret, error) {
	defer clear(body)
	var content secret
	if err := data(body, &content); err != nil {
		return nil, err
	}
	if content == nil {
		return nil, &noAnswer{errors.New("an answer without data")}
	}
	return content, nil
}

// wipe clears every field.
func (s secret) wipe() {
	for _, raw := range s {
		clear(raw)
	}
}

// errNoField: a secret has no field of that name.
var errNoField = errors.New("a field is missing")

// text returns one field, which the caller clears. In version 2 of the kv store
// the fields stand beside metadata.
func (s secret) text(name string) (secretText, error) {
	raw, ok := s[name]
	if _, versioned := s["metadata"]; !ok && versioned {
		var inner secret
		if err := json.Unmarshal(s["data"], &inner); err != nil {
			return nil, fmt.Errorf("%w: its data is not in the form of a kv store", keyring.ErrInvalid)
		}
		defer inner.wipe()
		raw, ok = inner[name]
	}
	if !ok {
		return nil, fmt.Errorf("%w: %q", errNoField, name)
	}
	var text secretText
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return nil, fmt.Errorf("%w: its field %q is not a text", keyring.ErrInvalid, name)
	}
	return text, nil
}

// secretText is a JSON string that is not made a Go string, which could not be
// cleared.
type secretText []byte

func (s *secretText) UnmarshalText(text []byte) error {
	*s = append(secretText{}, text...)
	clear(text) // the decoder's copy, or its place in what is cleared anyway
	return nil
}
