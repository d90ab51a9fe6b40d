package gormcrypttest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Wire stands between database/sql and a driver, and looks for secrets in
// everything that goes from one to the other: SQL texts, arguments, the values
// of results, and errors. Otherwise the driver behaves as it does by itself.
//
//	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: wire.Open("sqlite3", dsn)}))
//	db, err := gorm.Open(postgres.New(postgres.Config{Conn: wire.Open("pgx", dsn)}))
//
// What a program does with the driver's own connection goes past the wire.
// (*sql.Conn).Raw hands out one of the wire's; the driver's is what its method
// Unwrap() driver.Conn returns.
//
// Where a driver is handed a driver.Valuer as it is, as pgx is, its Value method
// is called once more, to see what it gives.
//
// A Wire is safe for concurrent use, by any number of databases.
type Wire struct {
	t          TB
	silent     bool
	statements atomic.Int64

	mu      sync.RWMutex
	needles needles
	leaks   []Leak
}

// NewWire returns a wire that fails t, by Errorf, when a secret crosses it. It
// does so in whatever goroutine that happens, so databases must not be used
// after the test; those of Open are closed by then.
func NewWire(t TB) *Wire { return &Wire{t: t} }

// NewSilentWire returns a wire that only records. It is for tests that ask for
// Leaks themselves.
func NewSilentWire(t TB) *Wire { return &Wire{t: t, silent: true} }

// Secret has the wire look for secrets from now on. It fails the test, by
// Fatalf, if one is shorter than six bytes: it would be found by chance.
func (w *Wire) Secret(secrets ...string) {
	w.t.Helper()
	w.mu.Lock()
	err := w.needles.add(secrets...)
	w.mu.Unlock()
	if err != nil {
		w.t.Fatalf("gormcrypttest: %v", err)
	}
}

// Open opens a database with a registered driver, such as "pgx", over the wire.
// The database is closed when the test ends. Like sql.Open, it does not connect
// yet. It fails the test, by Fatalf, if there is no such driver.
func (w *Wire) Open(driverName, dsn string) *sql.DB {
	w.t.Helper()
	connector, err := connectorOf(driverName, dsn)
	if err != nil {
		w.t.Fatalf("gormcrypttest: %v", err)
		return nil
	}
	db := sql.OpenDB(w.Wrap(connector))
	w.t.Cleanup(func() { db.Close() })
	return db
}

// connectorOf returns what sql.Open would connect with.
func connectorOf(driverName, dsn string) (driver.Connector, error) {
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if d, ok := db.Driver().(driver.DriverContext); ok {
		return d.OpenConnector(dsn)
	}
	return dsnConnector{db.Driver(), dsn}, nil
}

// dsnConnector connects with a driver that has no connectors.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

func (c dsnConnector) Driver() driver.Driver { return c.driver }

// Wrap returns a connector, for sql.OpenDB, whose connections are watched. Its
// Driver method returns the driver that is underneath.
func (w *Wire) Wrap(c driver.Connector) driver.Connector { return connector{c, w} }

// Statements returns how many statements were sent so far. A prepared one
// counts each time that it is executed, and not when it is prepared. What
// begins and ends transactions does not count.
func (w *Wire) Statements() int { return int(w.statements.Load()) }

// Leaks returns what the wire has found so far. A secret in a column counts
// once for each result, however many rows have it.
func (w *Wire) Leaks() []Leak {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.Clone(w.leaks)
}

// Leak is a secret that crossed the wire. Its String method does not show the
// secret.
type Leak struct {
	// Secret is what was registered.
	Secret string
	// Form is how it was written, such as "as it is" or "in base64".
	Form string
	// Where it was: "the SQL text", "argument 2", "column email" or "the error".
	Where string
	// Statement is the SQL text, with the secrets in it masked.
	Statement string

	number int
}

// String names the secret by its number, in the order in which they were
// registered.
func (l Leak) String() string {
	return fmt.Sprintf("secret %d, of %d bytes, is %s in %s of: %.500s", l.number, len(l.Secret), l.Form, l.Where, l.Statement)
}

// sent is called after a statement went to the driver.
func (w *Wire) sent(statement string, args []driver.NamedValue, err error) {
	w.statements.Add(1)
	for _, arg := range args {
		where := fmt.Sprintf("argument %d", arg.Ordinal)
		if arg.Name != "" {
			where = "argument " + arg.Name
		}
		w.look(statement, where, arg.Value)
	}
	w.lookAtError(statement, err)
}

func (w *Wire) lookAtError(statement string, err error) {
	if err != nil {
		// PostgreSQL's hold details, which they do not say.
		w.look(statement, "the error", []any{err.Error(), err})
	}
}

// look reports the secrets in a value, and whether there are any.
func (w *Wire) look(statement, where string, v any) bool {
	var leaks []Leak
	texts := texts(v) // which may run the program's own code, so not under the lock
	w.mu.RLock()
	for _, text := range texts {
		w.needles.find(text, func(_ int, n needle) {
			if !slices.ContainsFunc(leaks, func(l Leak) bool { return l.Secret == n.secret.text }) {
				leaks = append(leaks, Leak{n.secret.text, n.form, where, "", n.secret.number})
			}
		})
	}
	if leaks != nil {
		statement = w.needles.mask(statement)
	}
	w.mu.RUnlock()
	for i := range leaks {
		leaks[i].Statement = statement
		if !w.silent {
			w.t.Errorf("gormcrypttest: %v", leaks[i])
		}
	}
	if leaks != nil {
		w.mu.Lock()
		w.leaks = append(w.leaks, leaks...)
		w.mu.Unlock()
	}
	return leaks != nil
}
