// Package sources finds what jobs on a *gorm.DB work by: the manifest and the keys of
// its plugin or of a configuration, and its connections.
package sources

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Given is what a configuration says, for a *gorm.DB without the plugin.
type Given struct {
	Manifest       *manifest.Manifest
	Keys           keyring.Source
	Algorithm      ciphertext.Algorithm
	Normalizations map[string]func(string) string
}

// Opened is what values are opened and sealed by.
type Opened struct {
	Cipher         *ciphertext.Cipher
	Manifest       manifest.Manifest
	Normalizations map[string]func(string) string
}

// Open returns what the plugin has, or what is given without it.
func Open(ctx context.Context, db *gorm.DB, given Given) (Opened, error) {
	m, err := Manifest(db, given.Manifest)
	if err != nil {
		return Opened{}, err
	}
	keys, err := Keys(ctx, db, given.Keys)
	if err != nil {
		return Opened{}, err
	}
	if plugin := Plugin(db); plugin != nil {
		return Opened{plugin.Cipher(), m, plugin.Normalizations()}, nil
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{Algorithm: given.Algorithm})
	return Opened{cipher, m, given.Normalizations}, err
}

// Pool returns the connections of a *gorm.DB.
func Pool(db *gorm.DB) (*sql.DB, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	return pool, nil
}

// Plugin returns the plugin of a *gorm.DB, nil if it has none.
func Plugin(db *gorm.DB) *gormcrypt.Plugin {
	plugin, _ := db.Plugins[(&gormcrypt.Plugin{}).Name()].(*gormcrypt.Plugin)
	return plugin
}

// errTwice: what the plugin has is configured once more.
var errTwice = errors.New("gormcrypt: the *gorm.DB has the plugin, which has a manifest and keys already; leave Config.Manifest and Config.Keys empty, or open a *gorm.DB without it")

// Manifest returns the manifest of the plugin, or the given one without it.
func Manifest(db *gorm.DB, given *manifest.Manifest) (manifest.Manifest, error) {
	switch {
	case Plugin(db) != nil && given != nil:
		return manifest.Manifest{}, errTwice
	case Plugin(db) != nil:
		return gormcrypt.Manifest(db)
	case given == nil:
		return manifest.Manifest{}, fmt.Errorf("%w; or set Config.Manifest", gormcrypt.ErrNoPlugin)
	}
	return *given, given.Check()
}

// Keys returns the keyring of the plugin, or loads the given one without it.
func Keys(ctx context.Context, db *gorm.DB, given keyring.Source) (*keyring.Keyring, error) {
	plugin := Plugin(db)
	switch {
	case plugin != nil && given != nil:
		return nil, errTwice
	case plugin != nil:
		return plugin.Cipher().Keys(), nil
	case given == nil:
		return nil, fmt.Errorf("%w; or set Config.Keys", gormcrypt.ErrNoPlugin)
	}
	keys, err := given.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: loading the keyring: %w", err)
	}
	return keys, nil
}

// Chosen returns the tables of a manifest that are named, all if none is.
func Chosen(m manifest.Manifest, names []string) ([]manifest.Table, error) {
	if len(names) == 0 {
		return m.Tables, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(m.Tables, func(t manifest.Table) bool { return t.Name == name }) {
			return nil, fmt.Errorf("gormcrypt: the table %s has no encrypted column, or does not exist; those with one are %s", name, known(m))
		}
	}
	return slices.DeleteFunc(slices.Clone(m.Tables), func(t manifest.Table) bool { return !slices.Contains(names, t.Name) }), nil
}

func known(m manifest.Manifest) string {
	names := make([]string, len(m.Tables))
	for i, t := range m.Tables {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}
