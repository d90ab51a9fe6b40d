package integration_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// The types of encryptedtype under plain database/sql: they read what GORM
// wrote, and GORM reads what they wrote. It is one test, and alone, because the
// default cipher belongs to the process.
func TestEncryptedTypesUnderDatabaseSQL(t *testing.T) {
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		_, db.plain = overWire(t, where) // plain database/sql, and nothing leaks from it
		if err := db.Create(ada()).Error; err != nil {
			t.Fatal(err)
		}
		if err := encryptedtype.SetDefault(db.crypt.Cipher()); err != nil {
			t.Fatal(err)
		}

		var key encryptedtype.EncryptedString
		if err := db.plain.QueryRow("SELECT api_key FROM customers").Scan(&key); err != nil || key.Reveal() != "sk_SECRET" {
			t.Errorf("database/sql reads %q, %v", key.Reveal(), err)
		}
		db.execute(t, "UPDATE customers SET api_key = ? WHERE name = ?", encryptedtype.NewEncryptedString("sk_SECRET 2"), "ada")
		db.requireSealed(t, "customers", "api_key")
		var read customer
		if err := db.First(&read).Error; err != nil || read.APIKey.Reveal() != "sk_SECRET 2" {
			t.Errorf("GORM reads %q, %v", read.APIKey.Reveal(), err)
		}
		db.execute(t, "UPDATE customers SET api_key = ?", encryptedtype.EncryptedString{})
		if err := db.plain.QueryRow("SELECT api_key FROM customers").Scan(&key); err != nil || !key.IsNull() {
			t.Errorf("NULL is read as %q, %v", key.Reveal(), err)
		}

		// As an argument of hand-written SQL, a typed value is sealed by GORM.
		if err := db.Exec("UPDATE customers SET api_key = ? WHERE name = ?", encryptedtype.NewEncryptedString("sk_SECRET 3"), "ada").Error; err != nil {
			t.Fatal(err)
		}
		if err := db.First(&read).Error; err != nil || read.APIKey.Reveal() != "sk_SECRET 3" {
			t.Errorf("after Exec, GORM reads %q, %v", read.APIKey.Reveal(), err)
		}
		if err := db.Exec("UPDATE customers SET api_key = ?", encryptedtype.NewEncrypted(make(chan int))).Error; !errors.Is(err, gormcrypt.ErrType) {
			t.Errorf("a channel: %v", err)
		}
		if err := db.Exec("UPDATE customers SET api_key = ?", (*encryptedtype.EncryptedString)(nil)).Error; err != nil {
			t.Errorf("a nil pointer: %v", err)
		}

		// A value that was written for no column is not for columns that expect
		// their own.
		db.execute(t, "UPDATE customers SET email = ?", encryptedtype.NewEncryptedString("SECRET"))
		if err := db.First(&customer{}).Error; !errors.Is(err, gormcrypt.ErrAuthentication) || !strings.Contains(err.Error(), "customers.email") {
			t.Errorf("error %v, want ErrAuthentication for customers.email", err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}
