package dbkeys_test

import (
	"context"
	"database/sql"
	"flag"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// Note is what the processes of these tests write and read.
type Note struct {
	ID         uint
	Body       string                   `gorm:"serializer:encrypted"`
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
}

var rows = flag.Int("dbkeys.rows", 100_000, "rows that are written and read while calls of the key server are counted")

// soon are intervals for tests, that wait for them.
var soon = keyring.PollConfig{Every: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}

// open returns the keys of a database for one more process, without using them.
func open(t testing.TB, db *gorm.DB, kek keyring.KEK, change ...func(*dbkeys.Config)) *dbkeys.Store {
	t.Helper()
	config := dbkeys.Config{DB: db, KEK: kek, Poll: soon, Grace: time.Millisecond}
	for _, f := range change {
		f(&config)
	}
	store, err := dbkeys.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// operated returns the keys of a database, which has the first of them, as an operator
// has them, and the key server that wraps them.
func operated(t testing.TB, where testdb.Database) (*dbkeys.Store, *keyServer) {
	t.Helper()
	kek := newKeyServer("test")
	operator := open(t, where.Open(t, nil), kek)
	must(t, operator.Init(t.Context()))
	return operator, kek
}

// application is a program that uses the keys of a database.
type application struct {
	db    *gorm.DB
	crypt *gormcrypt.Plugin
	store *dbkeys.Store
}

// start starts an application. It ends with the test.
func start(t testing.TB, where testdb.Database, kek keyring.KEK, change ...func(*dbkeys.Config)) application {
	t.Helper()
	db := where.Open(t, nil)
	a := application{db: db, store: open(t, db, kek, change...)}
	a.crypt = gormcrypt.New(gormcrypt.Config{Keys: a.store, Models: []any{&Note{}}})
	if err := db.Use(a.crypt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.crypt.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// has waits until the application has a version in a state.
func (a application) has(t testing.TB, version keyring.Version, state keyring.State) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got, err := a.crypt.Cipher().Keys().State(version); err == nil && got == state {
			return
		} else if time.Now().After(end) {
			t.Fatalf("key %s is %v, %v after 20 s; want %s", version, got, err, state)
		}
	}
}

// eventually calls f until it does not fail with ErrBehind.
func eventually(t testing.TB, f func() error) error {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := f(); !isBehind(err) || time.Now().After(end) {
			return err
		}
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// data and index are the versions of keys.
func data(n uint32) keyring.Version  { return keyring.MakeVersion(keyring.DataKeys, n) }
func index(n uint32) keyring.Version { return keyring.MakeVersion(keyring.IndexKeys, n) }

// alter changes what is in the database, past everything.
func alter(t testing.TB, pool *sql.DB, statement string) {
	t.Helper()
	result, err := pool.ExecContext(context.Background(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, err := result.RowsAffected(); n == 0 && err == nil && !strings.HasPrefix(statement, "CREATE") {
		t.Fatalf("%s: no row was there", statement)
	}
}

// states returns the states of all versions, such as "1 enabled, 2 primary".
func states(t testing.TB, store *dbkeys.Store) string {
	t.Helper()
	records, err := store.List(t.Context())
	must(t, err)
	var all []string
	for _, r := range records {
		all = append(all, r.Version.String()+" "+string(r.State))
	}
	return strings.Join(all, ", ")
}

// another returns another empty database of the same kind.
func another(t testing.TB, where testdb.Database) testdb.Database {
	t.Helper()
	if where.Name == "sqlite" {
		return testdb.SQLite(t)
	}
	return testdb.Postgres(t)
}
