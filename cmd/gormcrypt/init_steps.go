package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
)

func (a *app) settingsStep(path string) step {
	return step{
		what: "the settings file " + path, kept: a.settings.File != "",
		make: func(context.Context) error {
			text, err := a.settings.Template(path)
			if err != nil {
				return err
			}
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = file.WriteString(text)
			if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
				return errors.Join(err, os.Remove(path)) // so that the next run does not take a part for all of it
			}
			return nil
		},
	}
}

// tablesStep returns false if there is no database yet.
func (a *app) tablesStep(ctx context.Context) (step, bool, error) {
	if a.settings.Database == "" {
		return step{}, false, nil
	}
	db, err := a.openDatabase(ctx, database.ReadWrite)
	if err != nil {
		return step{}, false, err
	}
	current, latest, err := migrations.Version(ctx, db)
	if err != nil {
		return step{}, false, err
	}
	return step{
		what: "gormcrypt's tables in the database", kept: current >= latest,
		make: func(ctx context.Context) error { return migrations.Upgrade(ctx, db) },
	}, true, nil
}

// keysStep is about a keyring that is not in the database. It returns ErrReadOnly if
// there is none, and none can be written.
func (a *app) keysStep(ctx context.Context) (step, error) {
	keys, err := a.openKeys(ctx)
	if err != nil {
		return step{}, err
	}
	what := "the keyring: " + keys.Where
	if !keys.Writable() {
		_, err := keys.Load(ctx)
		if errors.Is(err, keyring.ErrNotFound) {
			err = fmt.Errorf("%w: %w", keysource.ErrReadOnly, err)
		}
		return step{what: what, kept: true}, err
	}
	there, err := keys.Exists()
	if err == nil && there {
		_, err = keys.Load(ctx)
	}
	return step{what: what, kept: there, keyring: true, make: keys.Create}, err
}

// storedKeysStep is about keys in a database, whose tables may not be there yet.
func (a *app) storedKeysStep(ctx context.Context) (step, error) {
	there, err := keysource.Stored(ctx, a.settings)
	if err != nil {
		return step{}, fmt.Errorf("the keyring: %w", err)
	}
	if there {
		keys, err := a.openKeys(ctx)
		if err == nil {
			_, err = keys.Look(ctx)
		}
		return step{what: "the keyring in the database", kept: true}, err
	}
	kek, closeKEK, err := keysource.OpenKEK(ctx, a.settings) // what is wrong with it shows before anything is made
	if err != nil {
		return step{}, fmt.Errorf("the keyring: %w", err)
	}
	a.closers = append(a.closers, closeKEK)
	return step{
		what: "a keyring in the database, wrapped by " + kek.Name(), keyring: true,
		make: func(ctx context.Context) error { return keysource.CreateStored(ctx, a.settings, kek) },
	}, nil
}
