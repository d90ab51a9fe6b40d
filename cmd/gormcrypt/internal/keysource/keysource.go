// Package keysource finds the keyring that the settings name, and writes it back where
// that can be done.
package keysource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// ErrReadOnly: the place that the keyring comes from is written by something else.
var ErrReadOnly = errors.New("this keyring cannot be written from here")

// Keys is a keyring and where it is. It is not safe for concurrent use.
type Keys struct {
	keyring.Source
	// Where says it for people: "the file keys.json".
	Where string
	// Store is set for keys in a database, whose states are those of package dbkeys.
	Store *dbkeys.Store
	// Path is the file, and KEK what wraps the keys, if there are.
	Path string
	KEK  keyring.KEK

	// db is the database of the keys.
	db      *gorm.DB
	save    func(ctx context.Context, ring *keyring.Keyring) error
	closers []func() error
}

// Open finds the keyring. It loads nothing yet. Keys in a database get connections of
// their own, because who loads them says so there.
func Open(ctx context.Context, s *settings.Settings) (*Keys, error) {
	if s.KeysFrom == "" {
		return nil, s.Missing("keys.from")
	}
	k := &Keys{}
	if err := k.open(ctx, s); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// InDatabase says whether the settings have the keys in a database.
func InDatabase(s *settings.Settings) bool { return s.KeysFrom == "database" }

func (k *Keys) open(ctx context.Context, s *settings.Settings) error {
	if InDatabase(s) {
		return k.openStore(ctx, s)
	}
	scheme, name, _ := strings.Cut(s.KeysFrom, ":")
	if name == "" {
		return invalid(s, "keys.from")
	}
	switch scheme {
	case "file":
		k.Source, k.Path, k.Where = keyring.File(name), name, "the file "+name
		k.save = func(_ context.Context, ring *keyring.Keyring) error { return keyring.WriteFile(name, ring) }
	case "env":
		k.Source, k.Where = keyring.Env(name), "the variable "+name
	case "secret":
		k.Source, k.Where = keyring.Secret(name), "the secret "+name
	case "credential":
		k.Source, k.Where = keyring.Credential(name), "the credential "+name
	case "vault":
		return k.openVault(ctx, s, name)
	case "wrapped":
		return k.openWrapped(ctx, s, name)
	default:
		return invalid(s, "keys.from")
	}
	return nil
}

func invalid(s *settings.Settings, name string) error {
	for _, one := range settings.All {
		if one.Name == name {
			return fmt.Errorf("%w: %s, from %s, is not of a form that is known: %s", settings.ErrInvalid, name, s.Origin(name), one.Usage)
		}
	}
	return settings.ErrInvalid
}

func (k *Keys) openWrapped(ctx context.Context, s *settings.Settings, path string) error {
	kek, err := k.openKEK(ctx, s)
	if err != nil {
		return err
	}
	k.Source, k.Path, k.Where = keyring.WrappedFile(path, kek), path, "the file "+path+", wrapped by "+kek.Name()
	k.save = func(ctx context.Context, ring *keyring.Keyring) error {
		return keyring.WriteWrappedFile(ctx, path, ring, kek)
	}
	return nil
}

// Load loads the keyring. An error says where it was looked for.
func (k *Keys) Load(ctx context.Context) (*keyring.Keyring, error) {
	ring, err := k.Source.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Where, err)
	}
	return ring, nil
}

// Close gives up what Open has opened.
func (k *Keys) Close() error {
	var all []error
	for len(k.closers) > 0 {
		last := len(k.closers) - 1
		all = append(all, k.closers[last]())
		k.closers = k.closers[:last]
	}
	return errors.Join(all...)
}
