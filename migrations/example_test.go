//go:build cgo

package migrations_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/migrations"
)

// A deployment makes gormcrypt's own tables, with a role that may create tables,
// before programs use them that run with one that may not.
func ExampleUpgrade() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	if err := migrations.Upgrade(ctx, db); err != nil {
		log.Fatal(err)
	}
	current, latest, err := migrations.Version(ctx, db)
	fmt.Println(current == latest, err)

	// When gormcrypt is to leave no trace:
	if err := migrations.Downgrade(ctx, db, 0); err != nil {
		log.Fatal(err)
	}
	current, _, err = migrations.Version(ctx, db)
	fmt.Println(current, err)
	// Output:
	// true <nil>
	// 0 <nil>
}
