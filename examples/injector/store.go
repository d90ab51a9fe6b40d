package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // an SQLite that needs no C compiler

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// User is somebody whom the application may name.
type User struct {
	ID          string `gorm:"primaryKey"`
	Credentials []Credential
}

// TableName keeps clear of other tables, when the database is not ours.
func (User) TableName() string { return "injector_users" }

// Credential is a user's API key for one upstream. It opens in its own row only:
// whoever can write to the database cannot put it in for another user, or have
// it sent to another upstream.
type Credential struct {
	UserID   string                        `gorm:"primaryKey"`
	Upstream string                        `gorm:"primaryKey"`
	APIKey   encryptedtype.EncryptedString `encrypt:"bind=UserID,Upstream"`
}

// TableName keeps clear of other tables too.
func (Credential) TableName() string { return "injector_credentials" }

var (
	errUnknownUser = errors.New("unknown user")
	errNoAPIKey    = errors.New("the user has no API key for this upstream")
)

// store is the database, and the plugin that opens what is in it.
type store struct {
	db    *gorm.DB
	crypt *gormcrypt.Plugin
	keys  keyring.Source
}

func openStore(ctx context.Context, o options) (*store, error) {
	keys, err := keySource(o.keys)
	if err != nil {
		return nil, err
	}
	dialector := sqlite.New(sqlite.Config{
		DriverName: "sqlite", DSN: "file:" + (&url.URL{Path: o.file}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(2000)&_pragma=foreign_keys(on)",
	})
	if o.dsn != "" {
		dialector = postgres.Open(o.dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(10) // more requests wait for their turn
	s := &store{db: db, keys: keys, crypt: gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&User{}, &Credential{}}})}
	if err := db.WithContext(ctx).Use(s.crypt); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// keySource reads the option -keys. What holds keys elsewhere has its case here.
func keySource(option string) (keyring.Source, error) {
	sources := map[string]func(place string) keyring.Source{
		"file": keyring.File, "env": keyring.Env, "credential": keyring.Credential, "secret": keyring.Secret,
	}
	kind, place, _ := strings.Cut(option, ":")
	if source, ok := sources[kind]; ok && place != "" {
		return source(place), nil
	}
	return nil, errors.New("-keys must be file:PATH, env:NAME, credential:NAME or secret:NAME")
}

func (s *store) close() error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	return errors.Join(s.crypt.Close(), pool.Close())
}

// reload loads the keyring anew. If that fails, the one in use stays.
func (s *store) reload(ctx context.Context) error { return s.crypt.SetKeys(ctx, s.keys) }

func (s *store) migrate(ctx context.Context) error {
	return s.db.WithContext(ctx).AutoMigrate(&User{}, &Credential{})
}

// check finds out at start what would fail every request.
func (s *store) check(ctx context.Context) error {
	for _, table := range []any{&[]User{}, &[]Credential{}} {
		if err := s.db.WithContext(ctx).Limit(0).Find(table).Error; err != nil {
			return fmt.Errorf("looking into the database, which injector init prepares: %w", err)
		}
	}
	return nil
}

func (s *store) set(ctx context.Context, user, upstream, apiKey string) error {
	return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&User{ID: user}).Error; err != nil {
			return err
		}
		return tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Credential{
			UserID: user, Upstream: upstream, APIKey: encryptedtype.NewEncryptedString(apiKey),
		}).Error
	})
}

func (s *store) unset(ctx context.Context, user, upstream string) error {
	deleted := s.db.WithContext(ctx).Delete(&Credential{UserID: user, Upstream: upstream})
	if deleted.Error == nil && deleted.RowsAffected == 0 {
		return errNoAPIKey
	}
	return deleted.Error
}

// lookupTimeout is how long a request waits for the database.
const lookupTimeout = 5 * time.Second

// apiKey returns a user's key for an upstream. Besides errUnknownUser and
// errNoAPIKey it returns a *gormcrypt.Error for a key that does not open, and
// else the error of the database.
func (s *store) apiKey(ctx context.Context, user, upstream string) (encryptedtype.EncryptedString, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var found User
	err := s.db.WithContext(ctx).Preload("Credentials", "upstream = ?", upstream).Take(&found, "id = ?", user).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return encryptedtype.EncryptedString{}, errUnknownUser
	case err != nil:
		return encryptedtype.EncryptedString{}, err
	case len(found.Credentials) == 0 || found.Credentials[0].APIKey.IsNull():
		return encryptedtype.EncryptedString{}, errNoAPIKey
	}
	return found.Credentials[0].APIKey, nil
}
