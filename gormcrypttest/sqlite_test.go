//go:build cgo

package gormcrypttest_test

import (
	"database/sql"
	"path/filepath"
	"strings"
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

func TestWireOverSQLite(t *testing.T) {
	t.Parallel()
	wire := gormcrypttest.NewSilentWire(t)
	wire.Secret("SECRET")
	db := wire.Open("sqlite3", dsn(t))
	if _, err := db.Exec("SELECT 'SECRET' FROM nowhere"); err == nil {
		t.Error("no error")
	}
	rows, err := db.Query("SELECT 1, 'a SEC' || 'RET' AS said UNION ALL SELECT 2, 'SEC' || 'RET'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	leaks := wire.Leaks()
	if len(leaks) != 2 || leaks[0].Where != "the SQL text" || leaks[1].Where != "column said" {
		t.Errorf("leaks %v, want one in the SQL text, and one for both rows", leaks)
	}
}

func asserted(t *testing.T, db *gorm.DB, model any, fields ...string) []string {
	t.Helper()
	return failuresOf(t, func(tb gormcrypttest.TB) { gormcrypttest.AssertSealed(tb, db, model, fields...) })
}

func TestAssertSealed(t *testing.T) {
	t.Parallel()
	pool, err := sql.Open("sqlite3", dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db := openGORM(t, pool)
	requireFailure(t, asserted(t, db, &customer{}, "Email"), "the table is empty")

	phone := "+44 20 7946 0000"
	rows := []customer{
		{Name: "ada", Email: "ada@example.org", Phone: &phone, Scan: []byte{0, 1}, APIKey: encryptedtype.NewEncryptedString("sk")},
		{Name: "bob", Email: "bob@example.org"},
	}
	if err := db.Create(&rows).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(&rows[1]).Error; err != nil {
		t.Fatal(err)
	}
	for _, fields := range [][]string{nil, {"Email"}, {"Email", "Phone", "Scan", "APIKey"}} {
		if failures := asserted(t, db, &customer{}, fields...); failures != nil {
			t.Errorf("%q: %q", fields, failures)
		}
	}
	for field, want := range map[string]string{"email": "no field email", "Nothing": "no field Nothing", "Name": "not encrypted", "Erased": "not encrypted"} {
		requireFailure(t, asserted(t, db, &customer{}, field), want, "customer")
	}

	// It sees deleted rows, what was written past the plugin, and other types.
	execute := func(statement string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, stored := range []any{"SECRET", "", []byte("SECRET"), []byte{}, 424242, "gc1:1:", "gc9:1:AAAA"} {
		execute("UPDATE customers SET email = ? WHERE id = 2", stored)
		failures := asserted(t, db, &customer{}, "Email")
		requireFailure(t, failures, "customers.email", "the row id=2")
		if strings.Contains(failures[0], "SECRET") || strings.Contains(failures[0], "424242") {
			t.Errorf("the failure shows what is stored: %q", failures[0])
		}
		requireFailure(t, asserted(t, db, &customer{}), "customers.email")
	}
	execute("CREATE TABLE archive AS SELECT * FROM customers")
	requireFailure(t, asserted(t, db.Table("archive"), &customer{}, "Email"), "archive.email", "the row id=2")
	execute("UPDATE customers SET phone = NULL, email = NULL")
	requireFailure(t, asserted(t, db, &customer{}, "Scan", "Phone"), "customers.phone", "NULL in every row")
	if failures := asserted(t, db, &customer{}); failures != nil {
		t.Errorf("failures %q", failures)
	}
	execute("UPDATE customers SET scan = NULL, api_key = NULL")
	requireFailure(t, asserted(t, db, &customer{}), "NULL in every row")
	for range 30 {
		execute("INSERT INTO customers (email) VALUES ('SECRET')")
	}
	if failures := asserted(t, db, &customer{}, "Email"); len(failures) != 11 || !strings.Contains(failures[10], "and 20 more") {
		t.Errorf("%d failures: %q", len(failures), failures)
	}
	execute("DROP TABLE customers")
	requireFailure(t, asserted(t, db, &customer{}, "Email"), "no such table")
}

func TestAssertSealedWithoutEncryption(t *testing.T) {
	t.Parallel()
	type plain struct{ ID uint }
	type unlisted struct {
		ID   uint
		Text string `gorm:"serializer:encrypted"`
	}
	pool, err := sql.Open("sqlite3", dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	requireFailure(t, asserted(t, openGORM(t, pool), &plain{}), "no field is encrypted")
	requireFailure(t, asserted(t, openGORM(t, pool), &unlisted{}), "unlisted")
	requireFailure(t, asserted(t, openGORM(t, pool), "no model"), "parsing the model string")
	without, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	requireFailure(t, asserted(t, without, &customer{}), "plugin is not registered")
}

// Fields of embedded structs are found by their names, and by their paths.
func TestAssertSealedEmbedded(t *testing.T) {
	t.Parallel()
	type Address struct {
		Street string `gorm:"serializer:encrypted"`
	}
	type person struct {
		Name string
		Address
		Home *Address `gorm:"embedded;embeddedPrefix:home_"`
	}
	pool, err := sql.Open("sqlite3", dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: gormcrypttest.Keyring(t), Models: []any{&person{}}})); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&person{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&person{Address: Address{"a"}, Home: &Address{"b"}}).Error; err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec("UPDATE people SET home_street = 'SECRET'"); err != nil {
		t.Fatal(err)
	}
	if failures := asserted(t, db, &person{}, "Address.Street"); failures != nil {
		t.Errorf("failures %q", failures)
	}
	requireFailure(t, asserted(t, db, &person{}, "Home.Street"), "people.home_street: a row: ")
	requireFailure(t, asserted(t, db, &person{}, "Street"), "people.home_street")
}
