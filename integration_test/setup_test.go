package integration_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func generate(t testing.TB) *keyring.Keyring {
	t.Helper()
	return must[*keyring.Keyring](t)(keyring.Generate())
}

// database is a database with the plugin, its models, all that was logged, and
// the wire that all that GORM sends goes over.
type database struct {
	*gorm.DB
	testdb.Database
	crypt *gormcrypt.Plugin
	log   *logBuffer
	wire  *gormcrypttest.Wire
	plain *sql.DB // past GORM, the plugin and the wire
}

// open opens a database with the plugin under a keyring, and creates the
// tables of the models.
func open(t testing.TB, where testdb.Database, keys keyring.Source, models ...any) *database {
	t.Helper()
	db := reopen(t, where, keys, models...)
	if err := db.AutoMigrate(models...); err != nil {
		t.Fatal(err)
	}
	return db
}

// reopen opens it again: another *gorm.DB, another plugin, the same tables.
func reopen(t testing.TB, where testdb.Database, keys keyring.Source, models ...any) *database {
	t.Helper()
	log := &logBuffer{}
	wire, pool := overWire(t, where)
	db := &database{
		Database: where, log: log, wire: wire, plain: where.Plain(t),
		crypt: gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models}),
	}
	db.DB = where.OpenPool(t, pool, &gorm.Config{Logger: talkative(log)})
	if err := db.Use(db.crypt); err != nil {
		t.Fatal(err)
	}
	return db
}

// overWire opens a database over a wire, which fails the test if what these
// tests encrypt crosses it: every such text has SECRET in it, and the number
// is 424242. Tests that have it stored as it is, to see what happens then, do so
// by a connection of their own.
func overWire(t testing.TB, where testdb.Database) (*gormcrypttest.Wire, *sql.DB) {
	t.Helper()
	wire := gormcrypttest.NewWire(t)
	wire.Secret("SECRET", "424242")
	return wire, wire.Open(where.Driver(), where.DSN)
}

// talkative returns GORM's own logger, which logs every statement.
func talkative(log *logBuffer) logger.Interface {
	return logger.New(log, logger.Config{LogLevel: logger.Info, SlowThreshold: time.Nanosecond})
}

// logBuffer is what GORM's own logger, at its most talkative, has written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Printf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(&b.text, format+"\n", args...)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// requireUnsaid checks that none of the secrets was logged.
func (db *database) requireUnsaid(t *testing.T, secrets ...string) {
	t.Helper()
	log := db.log.String()
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("%q was logged:\n%s", secret, log)
		}
	}
}

// column returns the raw values of a column, in the order of the key.
func (db *database) column(t testing.TB, table, column string) []sql.NullString {
	t.Helper()
	rows, err := db.plain.Query(`SELECT "` + column + `" FROM ` + table + ` ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var values []sql.NullString
	for rows.Next() {
		var value sql.NullString
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// requireSealed checks that every value of a column is ciphertext, or NULL.
func (db *database) requireSealed(t testing.TB, table string, columns ...string) {
	t.Helper()
	for _, column := range columns {
		values := db.column(t, table, column)
		if len(values) == 0 {
			t.Errorf("%s has no rows", table)
		}
		for i, value := range values {
			if value.Valid && !strings.HasPrefix(value.String, "gc1:") {
				t.Errorf("row %d of %s.%s holds %.40q", i, table, column, value.String)
			}
		}
	}
}

// execute runs plain SQL, with placeholders written as ?.
func (db *database) execute(t testing.TB, statement string, args ...any) {
	t.Helper()
	if db.Name == "postgres" {
		for i := range args {
			statement = strings.Replace(statement, "?", "$"+string(rune('1'+i)), 1)
		}
	}
	if _, err := db.plain.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

// refusingValuer is a value that its owner does not give.
type refusingValuer struct{}

func (refusingValuer) Value() (driver.Value, error) { return nil, errors.New("SECRET") }
