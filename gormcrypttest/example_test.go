//go:build cgo

package gormcrypttest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

// testingT stands for the *testing.T of a test. It prints how the test fails.
type testingT struct {
	cleanups []func()
	dir      string
}

func newT() *testingT {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	t := &testingT{dir: dir}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return t
}

func (t *testingT) Helper()          {}
func (t *testingT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *testingT) Errorf(format string, args ...any) {
	fmt.Println(strings.ReplaceAll(fmt.Sprintf(format, args...), t.dir, "..."))
}

func (t *testingT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *testingT) end() {
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
}

type Patient struct {
	ID        uint
	Name      string
	Diagnosis string `gorm:"serializer:encrypted"`
}

// openPatients opens a database over connections with the plugin.
func openPatients(t gormcrypttest.TB, pool *sql.DB) *gorm.DB {
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: gormcrypttest.Keyring(t), Models: []any{&Patient{}}})); err != nil {
		t.Fatalf("%v", err)
	}
	if err := db.AutoMigrate(&Patient{}); err != nil {
		t.Fatalf("%v", err)
	}
	return db
}

// The whole of it: nothing crosses the wire, the columns hold ciphertext, and
// the files hold no plaintext.
func Example() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	path := filepath.Join(t.dir, "app.db")

	wire := gormcrypttest.NewWire(t)
	wire.Secret("chickenpox")
	db := openPatients(t, wire.Open("sqlite3", path))

	db.Create(&Patient{Name: "Ada", Diagnosis: "chickenpox"})
	db.Model(&Patient{}).Where("name = ?", "Ada").Update("diagnosis", "chickenpox, again")
	var ada Patient
	db.First(&ada)
	fmt.Println(ada.Diagnosis)

	gormcrypttest.AssertSealed(t, db, &Patient{}, "Diagnosis")
	gormcrypttest.ScanFiles(t, path, "chickenpox")
	// Output:
	// chickenpox, again
}

// What fails the test: a statement that goes past the plugin.
func ExampleNewWire() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	wire := gormcrypttest.NewWire(t)
	wire.Secret("chickenpox")
	pool := wire.Open("sqlite3", filepath.Join(t.dir, "app.db"))
	openPatients(t, pool)

	pool.Exec("UPDATE patients SET diagnosis = ?", "it is chickenpox")
	// Output:
	// gormcrypttest: secret 1, of 10 bytes, is as it is in argument 1 of: UPDATE patients SET diagnosis = ?
}

// A silent wire is for tests that expect leaks, or look at them in their own
// way.
func ExampleNewSilentWire() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	wire := gormcrypttest.NewSilentWire(t)
	db := wire.Open("sqlite3", filepath.Join(t.dir, "app.db"))

	wire.Secret("chickenpox")
	var back string
	err := db.QueryRow("SELECT hex(?) AS answer", "chickenpox").Scan(&back)
	fmt.Println(back, err)
	for _, leak := range wire.Leaks() {
		fmt.Println(leak.Secret, "is", leak.Form, "in", leak.Where)
	}
	// Output:
	// 636869636B656E706F78 <nil>
	// chickenpox is as it is in argument 1
	// chickenpox is in hex in column answer
}

// What is refused must not be sent in part.
func ExampleWire_Statements() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	wire := gormcrypttest.NewWire(t)
	db := openPatients(t, wire.Open("sqlite3", filepath.Join(t.dir, "app.db")))

	before := wire.Statements()
	err := db.Where("diagnosis LIKE ?", "chicken%").Delete(&Patient{}).Error
	fmt.Println(err != nil, wire.Statements()-before)
	// Output:
	// true 0
}

// newConnector stands for that of a driver, such as stdlib.GetConnector of pgx.
func newConnector(path string) driver.Connector {
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	return connector{db.Driver(), path}
}

type connector struct {
	driver driver.Driver
	path   string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.path) }

func (c connector) Driver() driver.Driver { return c.driver }

// Wrap is for drivers that are configured in Go.
func ExampleWire_Wrap() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	wire := gormcrypttest.NewWire(t)
	wire.Secret("chickenpox")

	db := sql.OpenDB(wire.Wrap(newConnector(filepath.Join(t.dir, "app.db"))))
	defer db.Close()
	_, err := db.Exec("CREATE TABLE chickenpox (id integer)")
	fmt.Println(err)
	// Output:
	// gormcrypttest: secret 1, of 10 bytes, is as it is in the SQL text of: CREATE TABLE [secret 1] (id integer)
	// <nil>
}

func ExampleAssertSealed() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	pool, err := sql.Open("sqlite3", filepath.Join(t.dir, "app.db"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer pool.Close()
	db := openPatients(t, pool)
	db.Create([]Patient{{Name: "Ada", Diagnosis: "chickenpox"}, {Name: "Bob"}})
	gormcrypttest.AssertSealed(t, db, &Patient{}, "Diagnosis")

	pool.Exec("UPDATE patients SET diagnosis = 'chickenpox' WHERE name = 'Bob'")
	gormcrypttest.AssertSealed(t, db, &Patient{}) // all encrypted fields
	// Output:
	// gormcrypttest: patients.diagnosis: the row id=2: the stored value is not ciphertext: it was there before the column was encrypted, or was written past the plugin
}

func ExampleScanFiles() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	log := filepath.Join(t.dir, "app.log")
	if err := os.WriteFile(log, []byte("GET /patients?diagnosis=chickenpox"), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	gormcrypttest.ScanFiles(t, t.dir, "chickenpox", "Ada Lovelace")
	// Output:
	// gormcrypttest: .../app.log: secret 1, of 10 bytes, as it is at offset 24
}

func ExampleKeyring() {
	t := newT() // in a test, its *testing.T
	defer t.end()
	fmt.Println(gormcrypttest.Keyring(t).Versions())
	// Output:
	// [1 i1]
}
