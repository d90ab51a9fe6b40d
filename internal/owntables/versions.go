package owntables

import (
	"embed"
	"io/fs"
	"path"
	"strings"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"
)

// files are a directory for each dialect, with two files for each version: what
// goes there from the version before, and what goes back. A file that was released
// is never changed. They have neither ? nor @, which GORM would read.
//
//go:embed postgres sqlite
var files embed.FS

// versionsOf returns the versions of a dialect, the first one first.
func versionsOf(dialect string) []*gormigrate.Migration {
	ups, err := fs.Glob(files, dialect+"/*.up.sql")
	if err != nil {
		panic(err) // of a pattern that is fixed
	}
	var all []*gormigrate.Migration
	for _, up := range ups {
		name := strings.TrimSuffix(up, ".up.sql")
		all = append(all, &gormigrate.Migration{ID: path.Base(name), Migrate: executes(up), Rollback: executes(name + ".down.sql")})
	}
	return all
}

// executes returns what executes the statements of a file.
func executes(file string) func(*gorm.DB) error {
	return func(tx *gorm.DB) error {
		statements, err := files.ReadFile(file)
		if err != nil {
			return err
		}
		return tx.Exec(string(statements)).Error
	}
}
