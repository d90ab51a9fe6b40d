package keysource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// openStore opens the keys in a database.
func (k *Keys) openStore(ctx context.Context, s *settings.Settings) error {
	kek, err := k.openKEK(ctx, s)
	if err != nil {
		return err
	}
	return k.store(ctx, s, kek)
}

// OpenRecords opens the keys in a database for what needs no key and writes nothing:
// the List and the Processes of the Store.
func OpenRecords(ctx context.Context, s *settings.Settings) (*Keys, error) {
	k := &Keys{}
	if err := k.storeReadOnly(ctx, s, noKEK{}); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// OpenReadOnly is Open for what changes nothing: keys in a database come through a
// connection that cannot write, and nobody hears of who looks at them.
func OpenReadOnly(ctx context.Context, s *settings.Settings) (*Keys, error) {
	if !InDatabase(s) {
		return Open(ctx, s)
	}
	k := &Keys{}
	if err := k.openStoreReadOnly(ctx, s); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Keys) openStoreReadOnly(ctx context.Context, s *settings.Settings) error {
	kek, err := k.openKEK(ctx, s)
	if err != nil {
		return err
	}
	return k.storeReadOnly(ctx, s, kek)
}

func (k *Keys) storeReadOnly(ctx context.Context, s *settings.Settings, kek keyring.KEK) (err error) {
	if err := k.connectDatabase(ctx, s, database.ReadOnly); err != nil {
		return err
	}
	current, latest, err := migrations.Version(ctx, k.db)
	switch { // opening the keys would make the tables
	case err != nil:
		return err
	case current == 0:
		return fmt.Errorf("%s has no tables of gormcrypt yet; run gormcrypt init", k.Where)
	case current != latest:
		return fmt.Errorf("the tables of the keys have version %d, and the latest is %d; run gormcrypt init", current, latest)
	}
	if k.Store, err = openDBKeys(ctx, s, k.db, kek); err != nil {
		return err
	}
	k.Source = k.Store.ReadOnly()
	return nil
}

// Stored says whether there are keys in the database. It changes nothing, also where
// there are no tables for them yet.
func Stored(ctx context.Context, s *settings.Settings) (there bool, err error) {
	k := &Keys{}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := k.connectDatabase(ctx, s, database.ReadOnly); err != nil {
		return false, err
	}
	current, latest, err := migrations.Version(ctx, k.db)
	if err != nil || current < latest {
		return false, err
	}
	store, err := openDBKeys(ctx, s, k.db, noKEK{})
	if err != nil {
		return false, err
	}
	records, err := store.List(ctx)
	return len(records) > 0, err
}

// CreateStored makes the tables of keys in the database, and the first keys, wrapped by
// what OpenKEK returned. If there are keys, it makes none.
func CreateStored(ctx context.Context, s *settings.Settings, kek keyring.KEK) (err error) {
	k := &Keys{}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := k.store(ctx, s, kek); err != nil {
		return err
	}
	return k.Store.Init(ctx)
}

func (k *Keys) store(ctx context.Context, s *settings.Settings, kek keyring.KEK) (err error) {
	if err := k.connectDatabase(ctx, s, database.ReadWrite); err != nil {
		return err
	}
	if k.Store, err = openDBKeys(ctx, s, k.db, kek); err != nil {
		return err
	}
	k.Source = k.Store
	k.closers = append(k.closers, k.Store.Close)
	return nil
}

// connectDatabase connects to the database of the keys.
func (k *Keys) connectDatabase(ctx context.Context, s *settings.Settings, access database.Access) error {
	name, where := "keys.database", s.KeysDatabase
	k.Where = "the database of the keys"
	if where == "" {
		name, where = "database", s.Database
		k.Where = "the database"
	}
	if where == "" {
		return s.Missing(name)
	}
	db, closeDatabase, err := database.Open(ctx, where, access)
	if err != nil {
		return fmt.Errorf("%s, from %s: %w", k.Where, s.Origin(name), err)
	}
	k.db = db
	k.closers = append(k.closers, closeDatabase)
	return nil
}

func openDBKeys(ctx context.Context, s *settings.Settings, db *gorm.DB, kek keyring.KEK) (*dbkeys.Store, error) {
	return dbkeys.Open(ctx, dbkeys.Config{DB: db, KEK: kek, Name: s.KeysName, Poll: keyring.PollConfig{Logger: quiet}})
}

// Look loads the keyring, and nobody hears of it: others would wait for a process that
// loads no newer keys.
func (k *Keys) Look(ctx context.Context) (*keyring.Keyring, error) {
	if k.Store == nil {
		return k.Load(ctx)
	}
	return k.Store.ReadOnly().Load(ctx)
}

// Now returns the time by the clock of the database of the keys.
func (k *Keys) Now(ctx context.Context) (time.Time, error) {
	clock, err := backfill.Clock(k.db.Name())
	if err != nil {
		return time.Time{}, err
	}
	var now int64
	err = k.db.WithContext(ctx).Raw("SELECT " + clock).Scan(&now).Error
	return time.UnixMilli(now), err
}

// noKEK stands where no key is loaded.
type noKEK struct{}

var errNoKEK = errors.New("no key is loaded here")

func (noKEK) Name() string                                       { return "none" }
func (noKEK) Wrap(context.Context, []byte) ([]byte, error)       { return nil, errNoKEK }
func (noKEK) Unwrap(_ context.Context, _ []byte) ([]byte, error) { return nil, errNoKEK }
