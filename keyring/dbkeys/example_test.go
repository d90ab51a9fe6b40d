//go:build cgo

package dbkeys_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// User has an encrypted column.
type User struct {
	ID    int64
	Email string `gorm:"serializer:encrypted"`
}

// openExample opens a new SQLite database, and a key-encryption key. Programs that
// have a key server take the key from there.
func openExample() (db *gorm.DB, kek keyring.KEK, done func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	if db, err = gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")), &gorm.Config{Logger: logger.Discard}); err != nil {
		panic(err)
	}
	if kek, err = keyring.NewPassphrase([]byte("correct horse battery staple")); err != nil {
		panic(err)
	}
	return db, kek, func() {
		if pool, err := db.DB(); err == nil {
			pool.Close()
		}
		os.RemoveAll(dir)
	}
}

// A program keeps its keys in its database, and replaces the first data key. What
// happens here at once is spread over weeks, otherwise, and over processes.
func Example() {
	db, kek, done := openExample()
	defer done()
	if err := replaceKey(context.Background(), db, kek); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 retired
	// 2 primary
	// i1 primary
}

func replaceKey(ctx context.Context, db *gorm.DB, kek keyring.KEK) error {
	// In every process, at its start:
	store, err := dbkeys.Open(ctx, dbkeys.Config{DB: db, KEK: kek, Name: "shop", Poll: keyring.PollConfig{Every: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Init(ctx); err != nil {
		return err
	}
	crypt := gormcrypt.New(gormcrypt.Config{Keys: store, Models: []any{&User{}}})
	if err := db.Use(crypt); err != nil {
		return err
	}
	defer crypt.Close()
	if err := errors.Join(db.AutoMigrate(&User{}), db.Create(&User{Email: "ada@example.org"}).Error); err != nil {
		return err
	}

	// In one of them, or in another program:
	version, err := store.Create(ctx, keyring.DataKeys)
	if err != nil {
		return err
	}
	err = patiently(func() error { return store.Promote(ctx, version) })
	if err != nil {
		return err
	}
	job, err := rotation.New(db, rotation.Config{Limits: rotation.Limits{Duty: 1}})
	if err != nil {
		return err
	}
	if _, err := job.Run(ctx); err != nil {
		return err
	}
	err = patiently(func() error {
		_, err := store.Retire(ctx, db, rotation.RetireConfig{}, keyring.MakeVersion(keyring.DataKeys, 1))
		return err
	})
	if err != nil {
		return err
	}
	records, err := store.List(ctx)
	for _, record := range records {
		fmt.Println(record.Version, record.State)
	}
	return err
}

// patiently tries again until all processes have the latest keys. An operator waits a
// minute, and calls the same again.
func patiently(f func() error) error {
	for {
		if err := f(); !errors.Is(err, dbkeys.ErrBehind) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// What only opens values loads the keys without being heard of.
func ExampleStore_ReadOnly() {
	db, kek, done := openExample()
	defer done()
	ctx := context.Background()
	store, err := dbkeys.Open(ctx, dbkeys.Config{DB: db, KEK: kek})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if err := store.Init(ctx); err != nil {
		fmt.Println(err)
		return
	}
	ring, err := store.ReadOnly().Load(ctx) // as fsck.Check does with fsck.Config.Keys
	fmt.Println(len(ring.Versions()), err)
	processes, err := store.Processes(ctx)
	fmt.Println(len(processes), err)
	// Output:
	// 2 <nil>
	// 0 <nil>
}
