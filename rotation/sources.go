package rotation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// sources returns what to open values by, from the plugin or the configuration.
func sources(db *gorm.DB, config Config) (*ciphertext.Cipher, manifest.Manifest, map[string]func(string) string, error) {
	m, err := manifestOf(db, config.Manifest)
	if err != nil {
		return nil, manifest.Manifest{}, nil, err
	}
	keys, err := keysOf(db.Statement.Context, db, config.Keys)
	if err != nil {
		return nil, manifest.Manifest{}, nil, err
	}
	if plugin := pluginOf(db); plugin != nil {
		return plugin.Cipher(), m, plugin.Normalizations(), nil
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{Algorithm: config.Algorithm})
	return cipher, m, config.Normalizations, err
}

// poolOf returns the connections of a *gorm.DB.
func poolOf(db *gorm.DB) (*sql.DB, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	return pool, nil
}

// pluginOf returns the plugin of a *gorm.DB, nil if it has none.
func pluginOf(db *gorm.DB) *gormcrypt.Plugin {
	plugin, _ := db.Plugins[(&gormcrypt.Plugin{}).Name()].(*gormcrypt.Plugin)
	return plugin
}

// errTwice: what the plugin has is configured once more.
var errTwice = errors.New("gormcrypt: the *gorm.DB has the plugin, which has a manifest and keys already; leave Config.Manifest and Config.Keys empty, or open a *gorm.DB without it")

// manifestOf returns the manifest of the plugin, or the given one without it.
func manifestOf(db *gorm.DB, given *manifest.Manifest) (manifest.Manifest, error) {
	switch {
	case pluginOf(db) != nil && given != nil:
		return manifest.Manifest{}, errTwice
	case pluginOf(db) != nil:
		return gormcrypt.Manifest(db)
	case given == nil:
		return manifest.Manifest{}, fmt.Errorf("%w; or set Config.Manifest", gormcrypt.ErrNoPlugin)
	}
	return *given, given.Check()
}

// keysOf returns the keyring of the plugin, or loads the given one without it.
func keysOf(ctx context.Context, db *gorm.DB, given keyring.Source) (*keyring.Keyring, error) {
	plugin := pluginOf(db)
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

// chosen returns the tables of a manifest that are named, all if none is.
func chosen(m manifest.Manifest, names []string) ([]manifest.Table, error) {
	if len(names) == 0 {
		return m.Tables, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(m.Tables, func(t manifest.Table) bool { return t.Name == name }) {
			return nil, fmt.Errorf("gormcrypt: the table %s has no encrypted column, or does not exist", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(m.Tables), func(t manifest.Table) bool { return !slices.Contains(names, t.Name) }), nil
}
