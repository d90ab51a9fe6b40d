//go:build cgo

package fsck_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// User has an encrypted column, and one that is bound to its row.
type User struct {
	ID     int64
	Email  string `gorm:"serializer:encrypted"`
	Payout string `gorm:"serializer:encrypted" encrypt:"bind=ID"`
}

// Somebody with access to the database has paid himself, and hidden what he copied.
func ExampleCheck() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	keys, err := keyring.Generate()
	if err != nil {
		panic(err)
	}
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")), &gorm.Config{Logger: logger.Discard})
	if err == nil {
		err = db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&User{}}}))
	}
	if err == nil {
		err = db.AutoMigrate(&User{})
	}
	if err == nil {
		err = db.Create([]User{{1, "ada@example.org", "IBAN 1"}, {2, "bob@example.org", "IBAN 2"}, {3, "eve@example.org", "IBAN 3"}}).Error
	}
	if err != nil {
		panic(err)
	}
	pool, err := db.DB()
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	for _, statement := range []string{
		"UPDATE users SET payout = (SELECT payout FROM users WHERE id = 3) WHERE id = 1",
		"UPDATE users SET email = (SELECT email FROM users WHERE id = 3) WHERE id = 2",
		"UPDATE users SET email = 'ada@example.org' WHERE id = 1",
	} {
		if _, err := pool.Exec(statement); err != nil {
			panic(err)
		}
	}

	report, err := fsck.Check(context.Background(), db, fsck.Config{})
	if err != nil {
		fmt.Println("it could not be checked:", err)
		return
	}
	for _, column := range report.Columns {
		fmt.Printf("%s.%s: %d rows, %d open\n", column.Table, column.Column, column.Rows, column.Sound)
	}
	for _, finding := range report.Findings {
		fmt.Printf("%s.%s of %s: %s", finding.Table, finding.Column, finding.Key, finding.Kind)
		if finding.From != nil {
			fmt.Printf(", from %s of %s", finding.From.Column, finding.From.Key)
		}
		fmt.Println()
	}
	// Output:
	// users.email: 3 rows, 2 open
	// users.payout: 3 rows, 2 open
	// users.email of 1: plaintext
	// users.email of 3: copied, from email of 2
	// users.payout of 1: moved, from payout of 3
}
