// Package testdb gives tests and benchmarks real databases: SQLite in a file,
// and PostgreSQL from wherever this machine can get one.
package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Database is an empty database, which is gone after the test.
type Database struct {
	// Name is "sqlite" or "postgres".
	Name string
	// DSN opens it again.
	DSN string
	// Path is the file of an SQLite database.
	Path string
}

// Main runs the tests of a package, stops what they started, and says what they
// ran on, where `go test` without arguments shows it. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	for _, engine := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintln(os.Stderr, "===", engine)
	}
	stopPostgres()
	os.Exit(code)
}

// used says which engines databases were opened on, or why not.
var (
	usedMu sync.Mutex
	used   = map[string]bool{}
)

func noteUse(engine string) {
	usedMu.Lock()
	defer usedMu.Unlock()
	used[engine] = true
}

var kinds = map[string]func(testing.TB) Database{"sqlite": SQLite, "postgres": Postgres}

// Each runs a test on an empty database of each kind, in parallel.
func Each(t *testing.T, test func(t *testing.T, database Database)) {
	t.Helper()
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// EachInTurn runs a test on an empty database of each kind, one after the
// other.
func EachInTurn(t *testing.T, test func(t *testing.T, database Database)) {
	t.Helper()
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// SQLite returns an SQLite database in a file of its own.
func SQLite(t testing.TB) Database {
	t.Helper()
	noteUse("ran on SQLite, " + sqliteEngine)
	path := filepath.Join(t.TempDir(), "test.db")
	return Database{Name: "sqlite", DSN: sqliteDSN(path), Path: path}
}

// Postgres returns a schema of its own in a PostgreSQL database. Where there is
// no PostgreSQL, it skips the test, and fails it if CI or imageVariable is set.
func Postgres(t testing.TB) Database {
	t.Helper()
	server, err := postgresServer()
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv(imageVariable) != "" {
			t.Fatalf("there is no PostgreSQL: %v", err)
		}
		message := "SKIPPED ON POSTGRESQL, there is none: " + err.Error()
		noteUse(message)
		t.Skip(message)
	}
	noteUse("ran on PostgreSQL, " + postgresFrom)
	schema := "t_" + strings.ToLower(rand.Text())[:16]
	execute(t, server, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, server, "DROP SCHEMA "+schema+" CASCADE") })
	return Database{Name: "postgres", DSN: withSearchPath(server, schema)}
}

// AsNewRole returns a PostgreSQL database as a new role sees it that has no rights,
// and the name of the role. Its rights are gone with the test. It skips the test if
// the DSN is not a URL.
func (d Database) AsNewRole(t testing.TB) (as Database, role string) {
	t.Helper()
	dsn, err := url.Parse(d.DSN)
	if err != nil || dsn.Scheme == "" {
		t.Skip("the DSN is no URL")
	}
	role = "r_" + strings.ToLower(rand.Text())[:16]
	execute(t, d.DSN, "CREATE ROLE "+role+" LOGIN PASSWORD 'test'")
	t.Cleanup(func() {
		execute(t, d.DSN, "DROP OWNED BY "+role)
		execute(t, d.DSN, "DROP ROLE "+role)
	})
	dsn.User = url.UserPassword(role, "test")
	return Database{Name: d.Name, DSN: dsn.String()}, role
}

func execute(t testing.TB, dsn, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// withSearchPath adds a schema to a DSN, in either of its two forms.
func withSearchPath(dsn, schema string) string {
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " search_path=" + schema
	case strings.Contains(dsn, "?"):
		return dsn + "&search_path=" + schema
	}
	return dsn + "?search_path=" + schema
}

// Open opens the database with GORM. Its connections are closed after the
// test. Without a logger it is silent.
func (d Database) Open(t testing.TB, config *gorm.Config) *gorm.DB {
	t.Helper()
	if d.Name == "sqlite" {
		return open(t, sqliteDialector(d.DSN), config)
	}
	return open(t, postgres.Open(d.DSN), config)
}

// OpenPool opens it like Open, through connections of the caller's.
func (d Database) OpenPool(t testing.TB, pool *sql.DB, config *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, d.Dialector(pool), config)
}

// Dialector returns GORM's dialector over connections of the caller's.
func (d Database) Dialector(pool *sql.DB) gorm.Dialector {
	if d.Name == "sqlite" {
		return sqlite.New(sqlite.Config{Conn: pool})
	}
	return postgres.New(postgres.Config{Conn: pool})
}

func open(t testing.TB, dialector gorm.Dialector, config *gorm.Config) *gorm.DB {
	t.Helper()
	if config == nil {
		config = &gorm.Config{}
	}
	if config.Logger == nil {
		config.Logger = logger.Discard
	}
	db, err := gorm.Open(dialector, config)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(4)
	t.Cleanup(func() { pool.Close() })
	return db
}

// Driver returns the name under which database/sql knows the driver for DSN.
func (d Database) Driver() string {
	if d.Name == "sqlite" {
		return sqliteDriver
	}
	return "pgx"
}

// Plain opens the database with nothing but database/sql, past GORM and every
// plugin.
func (d Database) Plain(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver(), d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// postgresServer starts PostgreSQL, or finds it, once for the process, and
// returns its DSN.
var postgresServer = sync.OnceValues(findPostgres)
