package main

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// primaries are the primary versions of both sets.
type primaries struct {
	versions map[keyring.Set]keyring.Version
	// guessed says that there is no keyring.
	guessed bool
}

// primaries returns the primary versions, none if no keyring is set. It registers
// nowhere, and needs no key.
func (a *app) primaries(ctx context.Context, db *gorm.DB) (primaries, error) {
	p := primaries{versions: map[keyring.Set]keyring.Version{}}
	if a.settings.KeysFrom == "" {
		p.guessed = true
		return p, nil
	}
	keys, err := a.openKeysReadOnly(ctx)
	if err != nil {
		return p, err
	}
	if keys.Store != nil {
		records, err := keys.Store.List(ctx)
		for _, record := range records {
			if record.State == dbkeys.Primary {
				p.versions[record.Version.Set()] = record.Version
			}
		}
		return p, err
	}
	ring, err := keys.Load(ctx)
	if err != nil {
		return p, err
	}
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
		version, err := ring.Primary(set)
		if err != nil && !errors.Is(err, keyring.ErrNoPrimary) {
			return p, err
		}
		if err == nil {
			p.versions[set] = version
		}
	}
	return p, nil
}

// or takes the highest versions of a census where there is no keyring.
func (p primaries) or(report rotation.CensusReport) primaries {
	if !p.guessed {
		return p
	}
	for _, column := range report.Columns {
		for _, count := range column.Versions {
			if set := count.Version.Set(); count.Version.Number() > p.versions[set].Number() {
				p.versions[set] = count.Version
			}
		}
	}
	return p
}
