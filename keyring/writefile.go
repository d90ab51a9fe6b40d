package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes the keyring to a file with its keys, unencrypted, in the form
// that FromFile reads and readable by the file's owner only. It replaces what
// is there in one step, so that a crash leaves either the old or the new file.
//
// Keys that only one file holds are lost with it, and so is everything that they
// sealed: keep a copy. WriteFile itself refuses, with ErrKeyLost, to replace a
// keyring by one that lacks a key version of it, or has another key under that
// version. A retired version may lose its key.
func WriteFile(path string, ring *Keyring) error {
	if ring == nil {
		return fmt.Errorf("writing the keyring: %w: it is nil", ErrInvalid)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // replace what a link leads to, not the link
	}
	old, err := File(path).Load(context.Background())
	if err := checkKeeps(path, ring, old, err); err != nil {
		return err
	}
	return replaceFile(path, 0o600, func(w io.Writer) error { return WriteCleartext(w, ring) })
}

// checkKeeps returns an error if the file of the old keyring, or of the error from
// loading it, must not be replaced by a new one.
func checkKeeps(path string, ring, old *Keyring, err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("the file that would be replaced: %w", err)
	}
	if err := ring.Keeps(old); err != nil {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	return nil
}

// replaceFile puts a file with new content in the place of another, in one step.
func replaceFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("writing the keyring: %w", err)
	}
	err = write(file)
	if err == nil && mode != 0o600 {
		err = file.Chmod(mode)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the keyring: %w", err), os.Remove(file.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename last. Not every system can; the file is complete then
// all the same.
func syncDir(dir string) error {
	if file, err := os.Open(dir); err == nil {
		_ = file.Sync()
		return file.Close()
	}
	return nil
}

// Keeps returns nil if r opens everything that old opens, but for what r retires
// by name. Otherwise its error wraps ErrKeyLost and names the key version.
func (r *Keyring) Keeps(old *Keyring) error {
	for _, before := range old.keys {
		after, ok := r.find(before.version)
		switch {
		case !ok:
			return fmt.Errorf("%w: key %s is missing; to give it up, retire it", ErrKeyLost, before.version)
		case before.state != Retired && after.state != Retired && before.check != after.check:
			return fmt.Errorf("%w: key %s is another one, with the check value %s instead of %s", ErrKeyLost, before.version, after.check, before.check)
		}
	}
	return nil
}
