package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Source loads a keyring. Load is called once when an application starts and
// again whenever it wants to see changes, possibly from several goroutines. It
// returns an error rather than a keyring that is incomplete, and no error may
// hold a part of a key. The harness in keyringtest checks an implementation.
type Source interface {
	Load(ctx context.Context) (*Keyring, error)
}

// FromEnv returns the keyring that the named environment variable holds, as
// the JSON document that [WriteCleartext] writes. It returns ErrNotFound when
// the variable is unset or empty, ErrInvalid when its content is malformed,
// and ErrWrongKey when a key does not match its check value. The variable
// stays set; processes started later inherit it.
func FromEnv(name string) (*Keyring, error) {
	return Env(name).Load(context.Background())
}

// Env returns a source that does what FromEnv does, at every Load.
func Env(name string) Source { return envSource(name) }

type envSource string

func (s envSource) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := string(s)
	text := os.Getenv(name)
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("environment variable %s: %w: set it to a keyring document", name, ErrNotFound)
	}
	ring, err := parseDocument([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", name, err)
	}
	return ring, nil
}

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

// maxFileSize bounds what is read before it is known to be a keyring, in
// bytes: room for some five thousand keys.
const maxFileSize = 1 << 20

func (s fileSource) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, err := readPrivate(string(s))
	if err != nil {
		return nil, fmt.Errorf("keyring file: %w", err)
	}
	defer clear(text)
	ring, err := parseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("keyring file %s: %w", string(s), err)
	}
	return ring, nil
}

// readPrivate reads a file that only its owner may read. The permissions are
// those of the opened file, so that no other can be put in its place between
// the check and the reading.
func readPrivate(path string) ([]byte, error) {
	// Opening a named pipe would wait for its writer, so look before.
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w; make one with Generate and WriteFile", ErrNotFound, err)
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrInvalid, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case exposed(info):
		return nil, fmt.Errorf("%w: %s has mode %#o: chmod 600 it, and give it to the user that runs the application", ErrExposed, path, info.Mode().Perm())
	case info.Size() > maxFileSize:
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrInvalid, path, maxFileSize)
	}
	text := make([]byte, info.Size())
	if _, err := file.ReadAt(text, 0); err != nil {
		clear(text)
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}
