//go:build cgo

package testdb

import (
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// With a C compiler, the tests use the engine that gorm.io/driver/sqlite comes
// with, as most programs do.

const (
	sqliteDriver = sqlite.DriverName
	sqliteEngine = "the engine in C"
)

func sqliteDSN(path string) string {
	return "file:" + path + "?_journal_mode=WAL&_busy_timeout=10000&_foreign_keys=on"
}

func sqliteDialector(dsn string) gorm.Dialector { return sqlite.Open(dsn) }
