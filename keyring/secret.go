package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SecretFile returns a source that reads the keyring, the JSON document that
// [WriteCleartext] writes, from a file that a container's runtime has mounted:
// a secret of Docker, Podman or Kubernetes, or what an agent wrote beside the
// application.
//
// Unlike [File] it accepts a file that everybody may read, because that is how
// those mount it by default (with mode 0444 or 0644): in a container whose only
// user is the application, nobody else is there. So it trusts whoever can see
// the file, and on a machine with other users File is the right one. It refuses,
// with ErrExposed, a file that others could change: one that the group or others
// may write, or that stands below a directory that they may write, unless that
// has the sticky bit, as the mounts of Kubernetes have. It trusts the file's
// owner, so keep none in /tmp, where the owner may be anybody.
//
// Kubernetes replaces a secret by turning a symbolic link. A Load gets all of the
// old file or all of the new one.
//
// It returns ErrNotFound when there is no such file, ErrInvalid when its content
// is malformed or it is a link that leads nowhere, and ErrWrongKey when a key does
// not match its check value.
func SecretFile(path string) Source { return secretFile(path) }

// Secret returns the [SecretFile] source of /run/secrets/NAME, where Docker and
// Podman mount the secret of that name. The name is a file's name alone: Load
// refuses any other with ErrInvalid.
func Secret(name string) Source {
	return sourceFunc(func(ctx context.Context) (*Keyring, error) {
		return loadNamed(ctx, "/run/secrets", name)
	})
}

// Credential returns a source that reads the keyring from a credential that
// systemd hands to a service, by LoadCredential=, LoadCredentialEncrypted= or
// SetCredentialEncrypted= in its unit: the [SecretFile] source of
// $CREDENTIALS_DIRECTORY/NAME. systemd lets only the user of the service read it,
// and that only while it runs. It returns ErrNotFound when the service was given
// no such credential. The name is a file's name alone: Load refuses any other
// with ErrInvalid.
func Credential(name string) Source {
	return sourceFunc(func(ctx context.Context) (*Keyring, error) {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		switch {
		case dir == "":
			return nil, fmt.Errorf("systemd credential: %w: CREDENTIALS_DIRECTORY is not set, as systemd does for a unit with LoadCredential= or its like", ErrNotFound)
		case !filepath.IsAbs(dir):
			return nil, fmt.Errorf("systemd credential: %w: CREDENTIALS_DIRECTORY is not an absolute path, so systemd has not set it", ErrInvalid)
		}
		ring, err := loadNamed(ctx, dir, name)
		if err != nil {
			return nil, fmt.Errorf("systemd credential: %w", err)
		}
		return ring, nil
	})
}

type sourceFunc func(ctx context.Context) (*Keyring, error)

func (f sourceFunc) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f(ctx)
}

// loadNamed loads dir/name. Its error does not quote a name that is none: it may
// be a key, pasted into the wrong place.
func loadNamed(ctx context.Context, dir, name string) (*Keyring, error) {
	if !filepath.IsLocal(name) || name == "." || strings.ContainsAny(name, "/\\\x00") {
		return nil, fmt.Errorf("secret file: %w: the name has to be that of a file in %s, without a path; for a file elsewhere, use SecretFile", ErrInvalid, dir)
	}
	return SecretFile(filepath.Join(dir, name)).Load(ctx)
}

type secretFile string

func (s secretFile) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := string(s)
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("secret file: %w", err)
	}
	defer clear(text)
	ring, err := parseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("secret file %s: %w", path, err)
	}
	return ring, nil
}

// readSecret reads a file that others cannot change. While Kubernetes turns a link,
// its target may be gone for a moment. A link that goes on leading nowhere is no
// missing file, which would send First on to another source.
func readSecret(path string) ([]byte, error) {
	const attempts = 100 // each some microseconds
	for range attempts {
		text, err := readUnchangeable(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
		if _, err := os.Lstat(path); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
	}
	return nil, fmt.Errorf("%w: %s is a symbolic link that leads nowhere", ErrInvalid, path)
}

func readUnchangeable(path string) ([]byte, error) {
	if err := checkDirectories(path); err != nil {
		return nil, err
	}
	return readFile(path, func(info fs.FileInfo) error {
		if changeable(info) {
			return fmt.Errorf("%w: others may write %s, which has mode %#o: chmod go-w it", ErrExposed, path, info.Mode().Perm())
		}
		return nil
	})
}

// checkDirectories refuses a path on which others could put another file in place:
// through the directories that it names, or those that it leads to.
func checkDirectories(path string) error {
	named, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(named)
	if err != nil {
		return err
	}
	for _, path := range []string{named, target} {
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			info, err := os.Stat(dir)
			if err != nil {
				return err
			}
			if changeable(info) && info.Mode()&fs.ModeSticky == 0 {
				return fmt.Errorf("%w: others may write the directory %s, which has mode %#o, and so replace %s: chmod go-w it, or chmod +t it",
					ErrExposed, dir, info.Mode().Perm(), path)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}
