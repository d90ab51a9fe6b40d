// Package conformance runs gormcrypt through every way into and out of a
// database that GORM has, on the database of your choice. The project runs it on
// SQLite and PostgreSQL, and writes docs/gorm-paths.md from what came of it. Run
// it on yours, if its dialect is another:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, func(t testing.TB) conformance.Database {
//			return conformance.Database{
//				Name: "mysql", Driver: "mysql", DSN: emptyDatabase(t),
//				Dialector: func(pool *sql.DB) gorm.Dialector { return mysql.New(mysql.Config{Conn: pool}) },
//			}
//		})
//	}
//
// # What is checked
//
// A row of the suite is one path, such as Create of a map. Its values hold
// markers that turn up nowhere else, in fields of every kind, and it passes if
//
//   - value: what was written is what is read, by another *gorm.DB with another
//     plugin under the same keyring;
//   - stored: every value of an encrypted column is ciphertext, or NULL, and every
//     one of a blind index is a term, or NULL, to plain database/sql;
//   - wire: no marker was in an SQL text, an argument or a result, between
//     database/sql and the driver;
//   - said: no marker is in what GORM's loggers wrote, at Info, with every
//     statement slow, or in an error, and the caller's maps and structs are what
//     they were.
//
// Some paths are refused: then the error must be the documented one, must name
// table and column, and nothing may have been sent or changed. No row is skipped:
// what a dialect lacks must be said, in Database.Lacks, and the report repeats it.
package conformance

import (
	"database/sql"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Database is an empty database of the dialect under test.
type Database struct {
	// Name heads its column in the page, such as "sqlite".
	Name string
	// Driver and DSN open it with sql.Open. The suite opens it many times, and
	// makes its tables there.
	Driver, DSN string
	// Dialector returns GORM's dialector over a pool of its connections.
	Dialector func(pool *sql.DB) gorm.Dialector
	// Lacks says why a feature is not there, such as "MySQL has no RETURNING".
	// The rows that need it do not run, and the report says why.
	Lacks map[Feature]string
}

// Feature is what a row may need of a dialect.
type Feature string

// The features that a dialect may lack.
const (
	Returning  Feature = "RETURNING"
	SavePoints Feature = "SAVEPOINT"
	Upserts    Feature = "ON CONFLICT"
)

// Run runs every row of the suite as a subtest of t, in parallel, on databases
// that it opens with open, one for each processor. The report says what came of
// each row; it is complete if none was deselected with -run.
//
// Some rows have GORM refuse a model because the plugin is not there. While a
// plugin is registered, for some microseconds, GORM knows the mark everywhere, so
// no other test may do that meanwhile: call Run from a test that is not parallel
// to such ones. Two calls of Run do not mind each other. Run gives the types of
// encryptedtype a default cipher, for the whole process.
func Run(t *testing.T, open func(t testing.TB) Database) *Report {
	t.Helper()
	s := newSuite(t, open)
	for _, section := range sections {
		t.Run(section.name, func(t *testing.T) {
			for i := range section.rows {
				r := &section.rows[i]
				result := s.report.add(section.name, r)
				t.Run(r.name(), func(t *testing.T) {
					if !r.alone {
						t.Parallel()
					}
					s.run(t, r, result)
				})
			}
		})
	}
	return s.report
}

// suite is one call of Run.
type suite struct {
	keys   *keyring.Keyring
	report *Report
	free   chan *place
}

// place is a database of which every row has one to itself.
type place struct {
	Database
	raw    *sql.DB // past GORM and the wire
	tables []table
}

// table is one of the suite's, with its encrypted columns and its blind indexes.
type table struct {
	name               string
	encrypted, indexes []string
}

func newSuite(t *testing.T, open func(testing.TB) Database) *suite {
	t.Helper()
	s := &suite{keys: gormcrypttest.Keyring(t), report: &Report{}, free: make(chan *place, runtime.GOMAXPROCS(0))}
	for range cap(s.free) {
		p := &place{Database: open(t)}
		p.prepare(t, s.keys)
		s.report.Database = p.Name
		s.free <- p
	}
	setDefaultCipher(t)
	return s
}

// run runs a row, and keeps what came of it.
func (s *suite) run(t testing.TB, r *row, result *Result) {
	p := <-s.free
	defer func() { s.free <- p }()
	if reason := p.Lacks[r.needs]; r.needs != "" && reason != "" {
		t.Logf("not there: %s", reason)
		result.Outcome, result.Reason = Lacking, reason
		return
	}
	c := newCheck(t, r, p, s.keys)
	defer func() {
		if fault := recover(); fault != nil {
			c.fail("run", "panic: %v\n%s", fault, debug.Stack())
		}
		c.finish()
		p.clear(t)
		result.Outcome = Passed
		if t.Failed() {
			result.Outcome, result.Reason = Failed, c.failures()
		}
	}()
	if r.alone {
		registering.Lock()
		defer registering.Unlock()
	}
	r.run(c)
}

// prepare makes the tables of the suite's models.
func (p *place) prepare(t *testing.T, keys keyring.Source) {
	t.Helper()
	var err error
	if p.raw, err = sql.Open(p.Driver, p.DSN); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.raw.Close() })
	db, err := gorm.Open(p.Dialector(p.raw), &gorm.Config{Logger: logger.Discard, NamingStrategy: names{}, DisableForeignKeyConstraintWhenMigrating: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := register(db, keys, models()...); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(tables()...); err != nil {
		t.Fatal(err)
	}
	for _, model := range tables() {
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(model); err != nil {
			t.Fatal(err)
		}
		p.tables = append(p.tables, table{stmt.Schema.Table, encryptedColumns(stmt.Schema), indexColumns(stmt.Schema)})
	}
}

func encryptedColumns(s *schema.Schema) []string {
	var columns []string
	for _, field := range s.Fields {
		if strings.EqualFold(field.TagSettings["SERIALIZER"], "encrypted") && field.DBName != "" {
			columns = append(columns, field.DBName)
		}
	}
	return columns
}

func indexColumns(s *schema.Schema) []string {
	var columns []string
	for _, field := range s.Fields {
		if field.FieldType == reflect.TypeFor[encryptedtype.BlindIndex]() {
			columns = append(columns, field.DBName)
		}
	}
	return columns
}

// clear empties the tables.
func (p *place) clear(t testing.TB) {
	t.Helper()
	for _, table := range p.tables {
		if _, err := p.raw.Exec("DELETE FROM " + table.name); err != nil {
			t.Errorf("emptying %s for the next row: %v", table.name, err)
		}
	}
}

// names are those that GORM gives tables and columns. It takes the plural of a
// word by many regular expressions, every time, which would be a tenth of what
// the suite takes.
type names struct{ schema.NamingStrategy }

var tableNames sync.Map

// TableName remembers what it has returned.
func (n names) TableName(model string) string {
	table, ok := tableNames.Load(model)
	if !ok {
		table, _ = tableNames.LoadOrStore(model, n.NamingStrategy.TableName(model))
	}
	return table.(string)
}

// registering is locked while a row runs that must not see GORM know the mark.
var registering sync.RWMutex

// register gives a *gorm.DB a plugin.
func register(db *gorm.DB, keys keyring.Source, models ...any) (*gormcrypt.Plugin, error) {
	registering.RLock()
	defer registering.RUnlock()
	crypt := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})
	return crypt, db.Use(crypt)
}

// defaultKeys are those of the process's default cipher: others than the suite's,
// so that GORM cannot get by with them. It is made once, for all calls of Run.
var defaultKeys = sync.OnceValues(keyring.Generate)

// setDefaultCipher gives the types of encryptedtype their default cipher.
func setDefaultCipher(t *testing.T) {
	t.Helper()
	keys, err := defaultKeys()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := encryptedtype.SetDefault(cipher); err != nil {
		t.Fatal(err)
	}
}
