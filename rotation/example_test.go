//go:build cgo

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// User has an encrypted column.
type User struct {
	ID    int64
	Email string `gorm:"serializer:encrypted"`
}

// openExample opens an SQLite database with users that are sealed under version 1,
// while version 2 seals what is written from now on. Without models it is the same
// database without the plugin.
func openExample(path string, keys *keyring.Keyring, models ...any) *gorm.DB {
	db, err := gorm.Open(sqlite.Open(path), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		panic(err)
	}
	if len(models) > 0 {
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
			panic(err)
		}
	}
	return db
}

func example() (db *gorm.DB, path string, keys *keyring.Keyring, done func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "app.db")
	first, err := keyring.Generate()
	if err != nil {
		panic(err)
	}
	db = openExample(path, first, &User{})
	if err := db.AutoMigrate(&User{}); err != nil {
		panic(err)
	}
	if err := db.Create([]User{{Email: "ada@example.org"}, {Email: "bob@example.org"}}).Error; err != nil {
		panic(err)
	}
	added, version, err := first.Add(keyring.DataKeys)
	if err != nil {
		panic(err)
	}
	if keys, err = added.Promote(version); err != nil {
		panic(err)
	}
	if err := db.Plugins["gormcrypt"].(*gormcrypt.Plugin).SetKeys(context.Background(), keys); err != nil {
		panic(err)
	}
	return db, path, keys, func() {
		if pool, err := db.DB(); err == nil {
			pool.Close()
		}
		os.RemoveAll(dir)
	}
}

// A dry run says what there is to do; a run does it.
func ExampleRotation_Run() {
	db, _, _, done := example()
	defer done()
	ctx := context.Background()
	for _, dry := range []bool{true, false} {
		job, err := rotation.New(db, rotation.Config{DryRun: dry})
		if err != nil {
			fmt.Println(err)
			return
		}
		report, err := job.Run(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		if dry {
			for _, table := range report.Plan.Tables {
				fmt.Println(table.Table, table.Rows, table.Columns)
			}
			continue
		}
		fmt.Println(report.State, report.Swapped, "rows under version", report.Target)
	}
	// Output:
	// users 2 [{email 2}]
	// finished 2 rows under version 2
}

// The job needs no models: a manifest and a keyring are enough.
func ExampleNew_manifest() {
	db, path, keys, done := example()
	defer done()
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file strings.Builder // which is a file elsewhere
	if err := m.Write(&file); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(file.String())

	read, err := manifest.Read(strings.NewReader(file.String()))
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := rotation.New(openExample(path, nil), rotation.Config{Manifest: &read, Keys: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := job.Run(context.Background())
	fmt.Println(report.State, err)
	// Output:
	// {
	//   "format": 1,
	//   "tables": [
	//     {
	//       "name": "users",
	//       "primary_key": [
	//         "id"
	//       ],
	//       "columns": [
	//         {
	//           "name": "email",
	//           "type": "string",
	//           "context": {
	//             "table": "users",
	//             "column": "email"
	//           }
	//         }
	//       ]
	//     }
	//   ]
	// }
	//
	// finished <nil>
}

// A version is retired when nothing is left under it, and not before.
func ExampleRetire() {
	db, _, _, done := example()
	defer done()
	ctx := context.Background()
	old := keyring.MakeVersion(keyring.DataKeys, 1)

	_, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, old)
	fmt.Println(errors.Is(err, rotation.ErrInUse))

	job, err := rotation.New(db, rotation.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := job.Run(ctx); err != nil {
		fmt.Println(err)
		return
	}
	retirement, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, old)
	if err != nil {
		fmt.Println(err)
		return
	}
	state, err := retirement.Keys.State(old)
	fmt.Println(state, err)
	// Output:
	// true
	// retired <nil>
}

// A census counts values by key version, without a key.
func ExampleCensus() {
	db, _, _, done := example()
	defer done()
	if err := db.Create(&User{Email: "eve@example.org"}).Error; err != nil {
		fmt.Println(err)
		return
	}
	census, err := rotation.Census(context.Background(), db, rotation.CensusConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, column := range census.Columns {
		for _, version := range column.Versions {
			fmt.Printf("%s.%s: %d under version %s\n", column.Table, column.Column, version.Rows, version.Version)
		}
	}
	// Output:
	// users.email: 2 under version 1
	// users.email: 1 under version 2
}
