//go:build cgo

package vaultkeys_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys/internal/vaulttest"
)

// User is a row of the application.
type User struct {
	ID    uint
	Email string `gorm:"serializer:encrypted"`
}

// openUsers starts a process of the application: its database, with the keys there
// that a transit key has wrapped.
func openUsers(t *testing.T, path string, kek keyring.KEK) (*gorm.DB, *dbkeys.Store, error) {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(path), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	store, err := dbkeys.Open(t.Context(), dbkeys.Config{DB: db, KEK: kek, Poll: keyring.PollConfig{Logger: quiet()}})
	if err != nil {
		t.Fatal(err)
	}
	crypt := gormcrypt.New(gormcrypt.Config{Keys: store, Models: []any{&User{}}})
	t.Cleanup(func() {
		pool, err := db.DB()
		if err := errors.Join(crypt.Close(), store.Close(), err, pool.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := store.Init(t.Context()); err != nil {
		return nil, nil, err
	}
	return db, store, db.Use(crypt)
}

// The server's key is rotated, the keys in the database are wrapped anew under it, and
// the older version is shut out: no row of the application changes, and every process
// that starts then reads them. The server is asked once for each key and start.
func TestKeysInTheDatabaseMoveToANewerVersion(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/database", nil)
	proxy := vaulttest.NewProxy(t, server.Address)
	kek := func() *vaultkeys.Transit { return transit(t, connect(t, proxy.URL, server.RootToken), "database") }
	unwraps := func() int { return count(proxy, http.MethodPut+" /v1/transit/decrypt/database") }

	path := filepath.Join(t.TempDir(), "app.db")
	db, store, err := openUsers(t, path, kek())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.AutoMigrate(&User{}), db.Create([]User{{Email: "ada@example.org"}, {Email: "bob@example.org"}}).Error); err != nil {
		t.Fatal(err)
	}
	stored := func() (rows []string) {
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		result, err := pool.Query("SELECT email FROM users ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		defer result.Close()
		for result.Next() {
			var row string
			if err := result.Scan(&row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		return rows
	}
	before := stored()

	server.Write(t, "transit/keys/database/rotate", nil)
	if n, err := store.Rewrap(t.Context()); err != nil || n != 2 {
		t.Fatalf("wrapped %d keys anew: %v", n, err)
	}
	server.Write(t, "transit/keys/database/config", map[string]any{"min_decryption_version": 2})
	if after := stored(); len(before) != 2 || !slices.Equal(before, after) {
		t.Errorf("the rows were %v, and are %v", before, after)
	}
	asked := unwraps()
	again, _, err := openUsers(t, path, kek())
	if err != nil {
		t.Fatal(err)
	}
	var users []User
	if err := again.Order("id").Find(&users).Error; err != nil || len(users) != 2 || users[1].Email != "bob@example.org" {
		t.Errorf("a process that starts now read %v: %v", users, err)
	}
	if got := unwraps() - asked; got != 2 {
		t.Errorf("the server was asked %d times for 2 keys", got)
	}

	// Without wrapping anew, the next one would not start.
	server.Write(t, "transit/keys/database/rotate", nil)
	server.Write(t, "transit/keys/database/config", map[string]any{"min_decryption_version": 3})
	if _, _, err := openUsers(t, path, kek()); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("a process started with keys that the server has shut out: %v", err)
	}
}
