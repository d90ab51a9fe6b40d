//go:build cgo

package gormcrypt

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// A *gorm.DB that is dropped leaves the registry.
func TestRegistryForgetsDroppedDatabases(t *testing.T) {
	t.Parallel()
	type forgotten struct {
		ID   uint
		Text string `gorm:"serializer:encrypted"`
	}
	registered := func() (n int) {
		registry.Range(func(_, m any) bool {
			if m.(*modelPolicy).schema.Name == "forgotten" {
				n++
			}
			return true
		})
		return n
	}
	func() {
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "test.db")))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Use(New(Config{Keys: keys, Models: []any{&forgotten{}}})); err != nil {
			t.Fatal(err)
		}
		if registered() != 1 {
			t.Fatal("the model is not registered")
		}
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for range 200 {
		runtime.GC()
		if registered() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the registry still has the model")
}
