package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WrappedFile returns a source that reads the keyring from a file, the JSON document
// that [WriteWrapped] and [WriteWrappedFile] write, and unwraps its keys by a KEK.
// The file may be read by anybody, since it is of no use without the KEK. It has to
// be writable by its owner only, or it is refused with ErrExposed.
//
// A Load calls the KEK once for each key that is not retired, and none for a key that
// the source has unwrapped before: a file that has not changed costs no call. Loads
// wait for each other.
//
// The document is authenticated as a whole, with a key that is derived from all of
// its keys. Who can write the file and has no key of it cannot exchange two keys,
// change the state of one, drop one, or add one, though the same KEK has wrapped it.
// What he can do is to put an older document back, in which a key that is retired
// now is not, or an older one is primary; and who may wrap with the KEK, or has
// keys that it has wrapped, can make a document of these alone, which opens nothing
// that there is. A process that has a keyring refuses one that lacks a key of it.
//
// It returns ErrNotFound when there is no such file, ErrInvalid when its content is
// malformed or was changed, ErrWrongKey when it was wrapped by another KEK or a key
// does not match its check value, and the errors of the KEK.
func WrappedFile(path string, kek KEK) Source {
	return &wrappedFile{path: path, kek: kek, turn: make(chan struct{}, 1)}
}

type wrappedFile struct {
	path string
	kek  KEK
	// turn is held by the Load that is running, so that two of them do not unwrap
	// the same key. Unlike a mutex it can be waited for no longer than a context.
	turn chan struct{}
	// known holds the keys of the document that was loaded last.
	known map[identity]Key
}

func (s *wrappedFile) Load(ctx context.Context) (*Keyring, error) {
	_, ring, err := s.load(ctx)
	return ring, err
}

func (s *wrappedFile) load(ctx context.Context) (*wrappedDocument, *Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.kek == nil {
		return nil, nil, fmt.Errorf("wrapped keyring file %s: %w: there is no KEK to unwrap it by", s.path, ErrInvalid)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	text, err := readFile(s.path, func(info fs.FileInfo) error {
		if changeable(info) {
			return fmt.Errorf("%w: others may write %s, which has mode %#o: chmod go-w it", ErrExposed, s.path, info.Mode().Perm())
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("wrapped keyring file: %w: %w; make one with WriteWrappedFile", ErrNotFound, err)
	case err != nil:
		return nil, nil, fmt.Errorf("wrapped keyring file: %w", err)
	}
	doc, ring, err := s.open(ctx, text)
	if err != nil {
		return nil, nil, fmt.Errorf("wrapped keyring file %s: %w", s.path, err)
	}
	return doc, ring, nil
}

func (s *wrappedFile) open(ctx context.Context, text []byte) (*wrappedDocument, *Keyring, error) {
	doc, err := parseWrapped(text, s.kek)
	if err != nil {
		return nil, nil, err
	}
	ring, err := doc.open(ctx, s.kek, s.known)
	if err != nil {
		return nil, nil, err
	}
	s.known = doc.identify(ring)
	return doc, ring, nil
}

// identify returns the keys of the document, which ring holds, by their identities.
func (d *wrappedDocument) identify(ring *Keyring) map[identity]Key {
	keys := map[identity]Key{}
	for _, entry := range d.Keys {
		if key, ok := ring.find(entry.Version); ok && key.state != Retired {
			keys[entry.identity()] = key
		}
	}
	return keys
}

// WriteWrappedFile writes the keyring to a file as [WriteWrapped] does, in the form
// that [WrappedFile] reads. A new file is readable by its owner only, and one that is
// replaced keeps its mode. As with [WriteFile] a crash leaves either the old or the
// new file, and a keyring that lacks a key of the old one is refused with ErrKeyLost.
//
// The old file is opened by the same KEK, and not replaced if that fails. The keys
// that it holds stay wrapped as they are, so that processes that have unwrapped them
// need not ask the KEK again. To move a keyring to another KEK, another passphrase,
// or a newer version of the same KEK, write it to another path, load it from there,
// and give up the old file then.
func WriteWrappedFile(ctx context.Context, path string, ring *Keyring, kek KEK) error {
	if err := checkWrappable(ring, kek); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // replace what a link leads to, not the link
	}
	before, old, err := (&wrappedFile{path: path, kek: kek, turn: make(chan struct{}, 1)}).load(ctx)
	if err := checkKeeps(path, ring, old, err); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	text, err := wrapDocument(ctx, ring, kek, before)
	if err != nil {
		return err
	}
	return replaceFile(path, mode, func(w io.Writer) error {
		_, err := bytes.NewReader(text).WriteTo(w)
		return err
	})
}
