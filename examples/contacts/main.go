// Contacts is an application whose phone numbers are to be encrypted while it runs. It
// is each of the deployments that this takes, one at a time, so that docs/cli.md can
// show what the people who run the database do in between.
//
//	go run ./examples/contacts -add 1000                # before: plaintext
//	go run ./examples/contacts -as reading -manifest m.json
//
// It uses the SQLite file contacts.db in the working directory, or PostgreSQL with -dsn,
// and the keyring in keys.json.
package main

import (
	"flag"
	"fmt"
	"os"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	_ "modernc.org/sqlite" // an SQLite that needs no C compiler

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func main() {
	as := flag.String("as", "plain", "the deployment: plain, reading, writing or settled")
	dsn := flag.String("dsn", "", "PostgreSQL instead of the SQLite file contacts.db")
	keys := flag.String("keys", "keys.json", "the keyring")
	add := flag.Int("add", 0, "how many contacts to add")
	raw := flag.Bool("raw", false, "show the last contacts as the database holds them, and do nothing else")
	manifest := flag.String("manifest", "", "write the manifest of the deployment to this file, and do nothing else")
	flag.Parse()
	if err := run(*as, *dsn, *keys, *manifest, *raw, *add); err != nil {
		fmt.Fprintln(os.Stderr, "contacts:", err)
		os.Exit(1)
	}
}

func run(as, dsn, keys, manifest string, raw bool, add int) error {
	program, ok := deployments[as]
	if !ok {
		return fmt.Errorf("-as %s: want plain, reading, writing or settled", as)
	}
	db, err := open(dsn)
	if err != nil {
		return err
	}
	if raw {
		return showRaw(db)
	}
	if as == "plain" {
		if err := db.AutoMigrate(program.model); err != nil {
			return err
		}
	} else {
		ring, err := keyring.FromFile(keys)
		if err != nil {
			return err
		}
		plugin := gormcrypt.New(gormcrypt.Config{Keys: ring, Models: []any{program.model}})
		if err := db.Use(plugin); err != nil {
			return err
		}
		defer plugin.Close()
	}
	if manifest != "" {
		return writeManifest(db, manifest)
	}
	return program.use(db, add)
}

func open(dsn string) (*gorm.DB, error) {
	dialector := sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:contacts.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)"})
	if dsn != "" {
		return gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	}
	return gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
}

// writeManifest writes what gormcrypt's command line needs to know of the application.
func writeManifest(db *gorm.DB, path string) error {
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return m.Write(file)
}

// showRaw prints contacts as somebody sees them who has the database only.
func showRaw(db *gorm.DB) error {
	var rows []struct{ Name, Phone string }
	if err := db.Table("contacts").Order("id DESC").Limit(2).Find(&rows).Error; err != nil {
		return err
	}
	for _, row := range rows {
		fmt.Printf("%s  %s\n", row.Name, row.Phone)
	}
	return nil
}
