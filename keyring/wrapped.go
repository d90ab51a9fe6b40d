package keyring

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// wrappedFormat names the layout of a wrapped keyring document.
const wrappedFormat = "gormcrypt-wrapped-keyring-1"

// wrappedInfo separates the key of a document's tag from all other keys.
const wrappedInfo = "gormcrypt/1 wrapped keyring"

// wrappedDocument is a keyring whose keys are wrapped by a KEK, one by one. A KEK
// authenticates what it has wrapped, but not where that stands, so the tag does:
// see makeTag.
type wrappedDocument struct {
	Format string         `json:"format"`
	KEK    string         `json:"kek"`
	Keys   []wrappedEntry `json:"keys"`
	Tag    string         `json:"tag"`
}

type wrappedEntry struct {
	Version Version `json:"version"`
	State   State   `json:"state"`
	Check   string  `json:"check,omitempty"`
	Wrapped string  `json:"wrapped,omitempty"`
}

// identity is what an entry says of its key, whatever the key's state.
type identity struct {
	version        Version
	check, wrapped string
}

func (e wrappedEntry) identity() identity { return identity{e.Version, e.Check, e.Wrapped} }

// WriteWrapped writes the keyring as a JSON document in which each key is wrapped by
// a KEK. Who reads it learns versions, states and check values, and needs the KEK
// for more. [WrappedFile] reads it. Each key is one call of the KEK; nothing is
// written if one of them fails.
//
// The document is authenticated: see [WrappedFile].
func WriteWrapped(ctx context.Context, w io.Writer, ring *Keyring, kek KEK) error {
	if err := checkWrappable(ring, kek); err != nil {
		return err
	}
	text, err := wrapDocument(ctx, ring, kek, nil)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func checkWrappable(ring *Keyring, kek KEK) error {
	switch {
	case ring == nil:
		return fmt.Errorf("writing the wrapped keyring: %w: it is nil", ErrInvalid)
	case kek == nil:
		return fmt.Errorf("writing the wrapped keyring: %w: there is no KEK to wrap it by", ErrInvalid)
	}
	return nil
}

// wrapDocument returns the text of a document. A key that before holds wrapped is
// not wrapped again, so that processes that have unwrapped it need not do so again.
func wrapDocument(ctx context.Context, ring *Keyring, kek KEK, before *wrappedDocument) ([]byte, error) {
	doc := wrappedDocument{Format: wrappedFormat, KEK: kek.Name()}
	for _, key := range ring.keys {
		if key.err != nil {
			return nil, fmt.Errorf("writing the wrapped keyring: %w", key.err)
		}
		entry := wrappedEntry{Version: key.version, State: key.state, Check: key.check}
		if key.state != Retired {
			if entry.Wrapped = before.wrapped(key); entry.Wrapped == "" {
				wrapped, err := key.Wrap(ctx, kek)
				if err != nil {
					return nil, err
				}
				entry.Wrapped = base64.RawURLEncoding.EncodeToString(wrapped)
			}
		}
		doc.Keys = append(doc.Keys, entry)
	}
	tag, err := doc.makeTag(ring)
	if err != nil {
		return nil, err
	}
	doc.Tag = base64.RawURLEncoding.EncodeToString(tag)
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the wrapped keyring: %w", err)
	}
	return append(text, '\n'), nil
}

// wrapped returns the text of a key as the document holds it, and "" if it does not.
func (d *wrappedDocument) wrapped(key Key) string {
	if d == nil {
		return ""
	}
	for _, entry := range d.Keys {
		if entry.Version == key.version && entry.Check == key.check {
			return entry.Wrapped
		}
	}
	return ""
}

// makeTag returns the HMAC-SHA-256 of the whole document, but for the tag.
//
// Its key is derived from all live keys together. Who has none of them cannot
// exchange, promote, retire, drop or add a key, not even one that the same KEK has
// wrapped for another keyring. A tag under the primary key alone would be less: who
// knows one key that the KEK has wrapped, of another application say, could put it
// in front of the keys that he does not know, and read what is sealed from then on.
// So he can only make a document of keys that he knows, and of nothing else, which
// opens no value that there is.
func (d *wrappedDocument) makeTag(ring *Keyring) ([]byte, error) {
	var secret []byte
	defer func() { clear(secret) }()
	for _, key := range ring.keys {
		if key.state == Retired {
			continue
		}
		part, err := key.derive(wrappedInfo, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("deriving from key %s: %w", key.version, err)
		}
		secret = append(secret, part...)
		clear(part)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, wrappedInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of the tag: %w", err)
	}
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	mac.Write(d.canonical())
	return mac.Sum(nil), nil
}

// canonical returns what the tag authenticates: each field with its length in
// front, so that no two documents have the same.
func (d *wrappedDocument) canonical() []byte {
	var b []byte
	add := func(fields ...string) {
		for _, field := range fields {
			b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
			b = append(b, field...)
		}
	}
	add(d.Format, d.KEK)
	for _, entry := range d.Keys {
		add(entry.Version.String(), entry.State.String(), entry.Check, entry.Wrapped)
	}
	return b
}

// parseWrapped reads the text of a document that kek is to unwrap. Nothing in it is
// authenticated yet, but no key in it has to be unwrapped twice.
func parseWrapped(text []byte, kek KEK) (*wrappedDocument, error) {
	var doc wrappedDocument
	if err := decodeDocument(text, wrappedFormat, &doc); err != nil {
		return nil, err
	}
	switch {
	case doc.Format != wrappedFormat:
		return nil, fmt.Errorf("%w: its \"format\" is not %q", ErrInvalid, wrappedFormat)
	case doc.KEK != kek.Name():
		return nil, fmt.Errorf("%w: its \"kek\" is not %s; give the KEK that wrapped it", ErrWrongKey, kek.Name())
	case len(doc.Keys) == 0:
		return nil, fmt.Errorf("%w: it holds no keys", ErrInvalid)
	}
	seen := map[string]bool{}
	for i, entry := range doc.Keys {
		if err := entry.validate(); err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		for _, once := range []string{entry.Version.String(), entry.Wrapped} {
			if once != "" && seen[once] {
				return nil, fmt.Errorf("keys[%d]: %w: key %s stands twice in the document", i, ErrInvalid, entry.Version)
			}
			seen[once] = true
		}
	}
	return &doc, nil
}

func (e wrappedEntry) validate() error {
	switch {
	case e.Version.IsZero():
		return fmt.Errorf("%w: \"version\" is missing", ErrInvalid)
	case e.State == Retired && (e.Wrapped != "" || e.Check != ""):
		return fmt.Errorf("%w: key %s has no \"state\" or is retired, and holds a key", ErrInvalid, e.Version)
	case e.State != Retired && (e.Wrapped == "" || e.Check == ""):
		return fmt.Errorf("%w: key %s has no \"wrapped\" or no \"check\"", ErrInvalid, e.Version)
	}
	return nil
}

// open unwraps the keys that known does not hold, and checks the tag.
func (d *wrappedDocument) open(ctx context.Context, kek KEK, known map[identity]Key) (*Keyring, error) {
	keys := make([]Key, 0, len(d.Keys))
	for i, entry := range d.Keys {
		if key, ok := known[entry.identity()]; ok {
			keys = append(keys, key.WithState(entry.State))
			continue
		}
		wrapped, err := base64.RawURLEncoding.Strict().DecodeString(entry.Wrapped)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w: key %s is not base64url without padding", i, ErrInvalid, entry.Version)
		}
		key, err := UnwrapKey(ctx, kek, entry.Version, entry.State, entry.Check, wrapped)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys = append(keys, key)
	}
	ring, err := New(keys...)
	if err != nil {
		return nil, err
	}
	if err := d.authenticate(ring); err != nil {
		return nil, err
	}
	return ring, nil
}

// errTag: see makeTag.
var errTag = errors.New("the list of its keys was changed after it was written: restore it from a copy, and find out who could write to it")

func (d *wrappedDocument) authenticate(ring *Keyring) error {
	tag, err := base64.RawURLEncoding.Strict().DecodeString(d.Tag)
	if err != nil {
		return fmt.Errorf("%w: its \"tag\" is not base64url without padding", ErrInvalid)
	}
	want, err := d.makeTag(ring)
	if err != nil {
		return err
	}
	if !hmac.Equal(tag, want) {
		return fmt.Errorf("%w: %w", ErrInvalid, errTag)
	}
	return nil
}
