package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// checkNewKeyring refuses a new keyring where another has sealed values already: it would
// open none of them, under the same numbers.
func (a *app) checkNewKeyring(ctx context.Context, steps []step) error {
	isNew := false
	for _, s := range steps {
		isNew = isNew || s.keyring && !s.kept
	}
	if _, err := os.Stat(a.settings.Manifest); !isNew || a.settings.Database == "" || err != nil {
		return nil
	}
	described, err := a.readManifest()
	if err != nil {
		return err
	}
	db, err := a.openDatabase(ctx, database.ReadOnly)
	if err != nil {
		return err
	}
	for _, table := range described.Tables {
		if !db.Migrator().HasTable(table.Name) {
			return nil // there is nothing yet
		}
	}
	census, err := rotation.Census(ctx, db, rotation.CensusConfig{Manifest: described})
	if err != nil {
		return fmt.Errorf("looking for values that another keyring has sealed: %w", err)
	}
	for _, column := range census.Columns {
		for _, count := range column.Versions {
			return fmt.Errorf("%w: %s.%s has %d values under key version %s already, which a new keyring would not open; give the keyring of the application by --keys, or move it into the database by gormcrypt keys import", errRefused, column.Table, column.Column, count.Rows, count.Version)
		}
	}
	return nil
}
