package keyring

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
)

// documentFormat names the layout of a keyring document, so that a later one
// can be told from it.
const documentFormat = "gormcrypt-keyring-1"

// document is a keyring as files and environment variables hold it.
type document struct {
	Format string          `json:"format"`
	Keys   []documentEntry `json:"keys"`
}

type documentEntry struct {
	Version Version `json:"version"`
	State   State   `json:"state"`
	Check   string  `json:"check,omitempty"`
	Key     string  `json:"key,omitempty"`
}

// WriteCleartext writes the keyring with its keys, unencrypted, as the JSON
// document that FromEnv and FromFile read. Whoever reads it reads every value
// that the keys have sealed: write it to a place that only the application
// can read, with mode 0600 for a file.
func WriteCleartext(w io.Writer, ring *Keyring) error {
	doc := document{Format: documentFormat}
	for _, key := range ring.keys {
		if key.err != nil {
			return fmt.Errorf("writing the keyring: %w", key.err)
		}
		entry := documentEntry{Version: key.version, State: key.state, Check: key.check}
		if key.state != Retired {
			_ = key.lend(func(secret []byte) error {
				entry.Key = base64.RawURLEncoding.EncodeToString(secret)
				return nil
			})
		}
		doc.Keys = append(doc.Keys, entry)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the keyring: %w", err)
	}
	defer clear(text)
	_, err = w.Write(append(text, '\n'))
	return err
}

// parseDocument reads a keyring document. Its errors name versions and
// positions, never a part of the text.
func parseDocument(text []byte) (*Keyring, error) {
	var doc document
	if err := decodeDocument(text, documentFormat, &doc); err != nil {
		return nil, err
	}
	if doc.Format != documentFormat {
		return nil, fmt.Errorf("%w: its \"format\" is not %q", ErrInvalid, documentFormat)
	}
	keys := make([]Key, 0, len(doc.Keys))
	for i, entry := range doc.Keys {
		key, err := entry.key()
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys = append(keys, key)
	}
	return New(keys...)
}

func (e documentEntry) key() (Key, error) {
	if e.Version.IsZero() {
		return Key{}, fmt.Errorf("%w: \"version\" is missing", ErrInvalid)
	}
	if e.State == Retired {
		if e.Key != "" {
			return Key{}, fmt.Errorf("%w: key %s has no \"state\" or is retired, and holds a key; give its state, or remove the key", ErrInvalid, e.Version)
		}
		return makeKey(e.Version, Retired, nil), nil
	}
	material, err := base64.RawURLEncoding.Strict().DecodeString(e.Key)
	if err != nil {
		return Key{}, fmt.Errorf("%w: key %s is not base64url without padding", ErrInvalid, e.Version)
	}
	defer clear(material)
	key := makeKey(e.Version, e.State, material)
	switch {
	case key.err != nil:
		return Key{}, key.err
	case e.Check == "":
		return Key{}, fmt.Errorf("%w: key %s has no \"check\"; without it a wrong key would only be noticed at the first read", ErrInvalid, e.Version)
	case subtle.ConstantTimeCompare([]byte(e.Check), []byte(key.check)) != 1:
		return Key{}, fmt.Errorf("key version %s: %w", e.Version, ErrWrongKey)
	}
	return key, nil
}
