package keysource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Writable says whether the keyring is in a file, which Create and Change write.
func (k *Keys) Writable() bool { return k.save != nil }

// Exists says whether there is a file for the keyring, whatever is in it.
func (k *Keys) Exists() (bool, error) {
	_, err := os.Lstat(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create writes a first keyring into a file where there is none yet. It returns
// ErrReadOnly, and fs.ErrExist.
func (k *Keys) Create(ctx context.Context) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	switch there, err := k.Exists(); {
	case err != nil:
		return err
	case there:
		return fmt.Errorf("%s: %w", k.Where, fs.ErrExist)
	}
	ring, err := keyring.Generate()
	if err != nil {
		return err
	}
	return k.save(ctx, ring)
}

// Change replaces the keyring in its file by what change makes of it. Changes at the
// same time, also by other processes of this command line, wait for each other. It
// returns ErrReadOnly for a keyring that is not in a file, and the errors of change and
// of keyring.WriteFile, which never loses a key.
func (k *Keys) Change(ctx context.Context, change func(*keyring.Keyring) (*keyring.Keyring, error)) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := k.Load(ctx)
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return err
	}
	return k.save(ctx, after)
}

func (k *Keys) lock(ctx context.Context) (unlock func(), err error) {
	if k.save == nil {
		return nil, fmt.Errorf("%w: it comes from %s", ErrReadOnly, k.Where)
	}
	return lockFile(ctx, k.Path)
}

// Keep copies the file of the keyring to another beside it, readable by its owner
// only, and returns that one's path: PATH.before-retiring-1, say, or with a number
// behind if that is taken by another keyring.
func (k *Keys) Keep(before string) (string, error) {
	text, err := os.ReadFile(k.Path)
	if err != nil {
		return "", err
	}
	defer clear(text)
	for n := 1; ; n++ {
		path := k.Path + ".before-" + before
		if n > 1 {
			path = fmt.Sprintf("%s.%d", path, n)
		}
		err := writeNew(path, text)
		if !errors.Is(err, fs.ErrExist) {
			return path, err
		}
		if kept, err := os.ReadFile(path); err == nil && slices.Equal(kept, text) {
			return path, nil
		}
	}
}

// writeNew writes a file that is not there yet, and has it last.
func writeNew(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
