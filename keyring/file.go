package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// FromFile returns the keyring in a file, the JSON document that
// [WriteCleartext] writes. It refuses, with ErrExposed, a file that the group
// or others may read or write (on systems with Unix permissions): chmod 600
// and the right owner make it acceptable. It returns ErrNotFound when there is
// no such file, ErrInvalid when its content is malformed, and ErrWrongKey when
// a key does not match its check value.
func FromFile(path string) (*Keyring, error) {
	return File(path).Load(context.Background())
}

// File returns a source that does what FromFile does, at every Load.
func File(path string) Source { return fileSource(path) }

type fileSource string

func (s fileSource) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := string(s)
	text, err := readFile(path, func(info fs.FileInfo) error {
		if exposed(info) {
			return fmt.Errorf("%w: %s has mode %#o: chmod 600 it, and give it to the user that runs the application", ErrExposed, path, info.Mode().Perm())
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("keyring file: %w: %w; make one with Generate and WriteFile", ErrNotFound, err)
	case err != nil:
		return nil, fmt.Errorf("keyring file: %w", err)
	}
	defer clear(text)
	ring, err := parseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("keyring file %s: %w", path, err)
	}
	return ring, nil
}

// maxFileSize bounds what is read before it is known to be a keyring, in
// bytes: room for some five thousand keys.
const maxFileSize = 1 << 20

// readFile reads a file that admit has nothing against. It asks it about the
// opened file, so that no other can be put in its place between the check and the
// reading.
func readFile(path string, admit func(fs.FileInfo) error) ([]byte, error) {
	// Opening a named pipe would wait for its writer, so look before.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrInvalid, path)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: give it to the user that runs the application, which has the id %d", err, os.Geteuid())
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrInvalid, path)
	case info.Size() > maxFileSize:
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrInvalid, path, maxFileSize)
	}
	if err := admit(info); err != nil {
		return nil, err
	}
	text := make([]byte, info.Size())
	if _, err := file.ReadAt(text, 0); err != nil {
		clear(text)
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}
