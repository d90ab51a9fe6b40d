//go:build cgo

package gormcrypttest_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

func dsn(t testing.TB) string { return "file:" + filepath.Join(t.TempDir(), "test.db") }

type customer struct {
	ID     uint
	Name   string
	Email  string  `gorm:"serializer:encrypted"`
	Phone  *string `gorm:"serializer:encrypted"`
	Scan   []byte  `gorm:"serializer:encrypted;type:blob"`
	APIKey encryptedtype.EncryptedString
	Erased gorm.DeletedAt
}

// openGORM opens a database with the plugin.
func openGORM(t testing.TB, pool *sql.DB) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: gormcrypttest.Keyring(t), Models: []any{&customer{}}})); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&customer{}); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestWireUnderGORM(t *testing.T) {
	t.Parallel()
	wire := gormcrypttest.NewSilentWire(t)
	wire.Secret("ada@example.org", "sk_live_SECRET")
	db := openGORM(t, wire.Open("sqlite3", dsn(t)))

	before := wire.Statements()
	if err := db.Create(&customer{Email: "ada@example.org", APIKey: encryptedtype.NewEncryptedString("sk_live_SECRET")}).Error; err != nil {
		t.Fatal(err)
	}
	var read customer
	if err := db.First(&read).Error; err != nil || read.Email != "ada@example.org" {
		t.Fatalf("read %q, %v", read.Email, err)
	}
	if sent := wire.Statements() - before; sent != 2 {
		t.Errorf("%d statements were sent, want 2", sent)
	}
	if leaks := wire.Leaks(); leaks != nil {
		t.Errorf("leaks where there are none: %v", leaks)
	}

	if err := db.Exec("UPDATE customers SET name = ?", "ada@example.org").Error; err != nil {
		t.Fatal(err)
	}
	if err := db.First(&read).Error; err != nil {
		t.Fatal(err)
	}
	leaks := wire.Leaks()
	if len(leaks) != 2 || leaks[0].Where != "argument 1" || leaks[1].Where != "column name" {
		t.Errorf("leaks %v, want one in an argument and one in a result", leaks)
	}
}
