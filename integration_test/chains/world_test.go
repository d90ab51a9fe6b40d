package chains

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// world is a database, with the plugin or without, and the models for it.
type world struct {
	testdb.Database
	encrypted bool
	types     rowTypes
	generics  map[*table]generics
	// db is what chains run on, and fresh is another *gorm.DB, which reads what
	// they wrote.
	db, fresh *gorm.DB
	// crypt is the plugin of db, and key is which of the keys it seals by.
	crypt *gormcrypt.Plugin
	keys  [2]*keyring.Keyring
	key   int
	// past is the database past GORM and the plugin, and columns are statements
	// that read what is stored in the encrypted columns.
	past    *sql.DB
	columns map[*table]*sql.Stmt
	now     time.Time
	// panics are what operations panicked with. Then a transaction may be open
	// that nobody will end, so the world moves to another database.
	panics []string
	open   func()
	// wire is what db sends its statements over, and heard is how many of its
	// leaks were seen. said is what was logged since the last search, and leaks
	// is where there were secrets.
	wire    *gormcrypttest.Wire
	heard   int
	said    strings.Builder
	loggers []logger.Interface
	leaks   []string
	// asked and refused count the operations that may be refused.
	asked, refused int
}

// pair are the two worlds of a test.
type pair struct{ plain, secret *world }

func openPair(t *testing.T, open func(testing.TB) testdb.Database) *pair {
	t.Helper()
	keys := twoKeys(t)
	plain := &world{
		types: rowTypes{
			accounts: reflect.TypeFor[plainAccount](), cards: reflect.TypeFor[plainCard](), teams: reflect.TypeFor[plainTeam](), wallets: reflect.TypeFor[plainWallet](),
		},
		generics: map[*table]generics{accounts: generic[plainAccount]{}, cards: generic[plainCard]{}, teams: generic[plainTeam]{}, wallets: generic[plainWallet]{}},
	}
	secret := &world{
		encrypted: true,
		types: rowTypes{
			accounts: reflect.TypeFor[secretAccount](), cards: reflect.TypeFor[secretCard](), teams: reflect.TypeFor[secretTeam](), wallets: reflect.TypeFor[secretWallet](),
		},
		generics: map[*table]generics{accounts: generic[secretAccount]{}, cards: generic[secretCard]{}, teams: generic[secretTeam]{}, wallets: generic[secretWallet]{}},
	}
	for _, w := range []*world{plain, secret} {
		w.open = func() { w.openDatabase(t, open(t), keys) }
		w.open()
	}
	return &pair{plain, secret}
}

// twoKeys returns two keyrings of the same two keys. Each seals by another one.
func twoKeys(t *testing.T) [2]*keyring.Keyring {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	first, added, err := keys.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Promote(added)
	if err != nil {
		t.Fatal(err)
	}
	return [2]*keyring.Keyring{first, second}
}

// openDatabase has the world live in a database.
func (w *world) openDatabase(t *testing.T, where testdb.Database, keys [2]*keyring.Keyring) {
	w.Database = where
	w.past = w.Plain(t)
	w.tune(t, w.past)
	w.key = 0
	w.wire, w.heard = gormcrypttest.NewSilentWire(t), 0
	pool := w.Plain(t)
	if w.encrypted {
		pool = w.wire.Open(w.Driver(), w.DSN)
	}
	w.keys = keys
	w.fresh, _ = w.openGORM(t, keys[0], w.Plain(t))
	w.fresh = w.fresh.Session(&gorm.Session{PrepareStmt: true})
	w.db, w.crypt = w.openGORM(t, keys[0], pool)
	w.loggers = []logger.Interface{
		logger.New(w, logger.Config{LogLevel: logger.Info}),
		logger.NewSlogLogger(slog.New(slog.NewTextHandler(&w.said, nil)), logger.Config{LogLevel: logger.Info}),
	}
	for _, table := range tables {
		if err := w.db.AutoMigrate(w.empty(table)); err != nil {
			t.Fatal(err)
		}
	}
	w.wire.Secret(secrets...)
	w.now = start
	for _, rows := range inhabitants {
		if err := w.db.Create(w.rows(rows)).Error; err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range stored {
		if _, err := w.past.Exec("CREATE TABLE saved_" + name + " AS SELECT * FROM " + name); err != nil {
			t.Fatal(err)
		}
	}
	w.columns = map[*table]*sql.Stmt{}
	for _, of := range tables {
		var err error
		if w.columns[of], err = w.past.Prepare("SELECT " + strings.Join(of.encryptedColumns(), ", ") + " FROM " + of.name + " ORDER BY id"); err != nil {
			t.Fatal(err)
		}
	}
}

// stored are the names of the tables, in an order in which they can be filled.
var stored = []string{"accounts", "cards", "teams", "account_teams", "wallets"}

func (w *world) openGORM(t *testing.T, keys keyring.Source, pool *sql.DB) (*gorm.DB, *gormcrypt.Plugin) {
	db := w.OpenPool(t, pool, &gorm.Config{
		NowFunc: func() time.Time { return w.now }, TranslateError: true, PrepareStmtMaxSize: 100,
	})
	w.tune(t, pool)
	if !w.encrypted {
		return db, nil
	}
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&secretAccount{}, &secretCard{}, &secretTeam{}, &secretWallet{}}})
	if err := db.Use(plugin); err != nil {
		t.Fatal(err)
	}
	return db, plugin
}

// sealBy has the world seal by one of its keys.
func (w *world) sealBy(key int) error {
	if w.key == key || !w.encrypted {
		return nil
	}
	w.key = key
	return w.crypt.SetKeys(context.Background(), w.keys[key])
}

// tune has a database forget about power failures: nobody will miss its rows.
func (w *world) tune(t *testing.T, pool *sql.DB) {
	pool.SetMaxOpenConns(1) // the setting is one of the connection
	statement := "SET synchronous_commit = off; SET idle_in_transaction_session_timeout = '10s'"
	if w.Name == "sqlite" {
		statement = "PRAGMA synchronous = off"
	}
	if _, err := pool.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// reset empties the tables, but for the inhabitants if it is to be inhabited.
func (w *world) reset(inhabited bool) error {
	if len(w.panics) > 0 {
		w.panics = nil
		w.open()
	}
	var statement strings.Builder
	for _, name := range slices.Backward(stored) {
		statement.WriteString("DELETE FROM " + name + "; ")
	}
	if w.Name == "sqlite" { // what it counts from
		statement.WriteString("DELETE FROM sqlite_sequence; ")
	}
	for _, name := range stored {
		if inhabited {
			statement.WriteString("INSERT INTO " + name + " SELECT * FROM saved_" + name + "; ")
		}
		if w.Name == "postgres" && name != "account_teams" {
			statement.WriteString("SELECT setval('" + name + "_id_seq', coalesce(max(id), 1), max(id) IS NOT NULL) FROM " + name + "; ")
		}
	}
	_, err := w.past.ExecContext(context.Background(), statement.String())
	w.now = start
	w.said.Reset()
	w.leaks = nil
	return errors.Join(err, w.sealBy(0))
}

// Printf is how GORM's own logger writes.
func (w *world) Printf(format string, args ...any) { fmt.Fprintf(&w.said, format+"\n", args...) }

// session returns the *gorm.DB for a chain, with one of the loggers.
func (w *world) session(logger int) *gorm.DB {
	session := &gorm.Session{}
	if w.encrypted {
		session.Logger = w.loggers[logger]
	}
	return w.db.Session(session)
}

// search searches things for secrets, as they are printed.
func (w *world) search(where string, things ...any) {
	if !w.encrypted {
		return
	}
	for _, thing := range things {
		w.searchText(where, fmt.Sprintf("%+v", thing))
	}
}

func (w *world) searchText(where, text string) {
	for _, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			w.leaks = append(w.leaks, fmt.Sprintf("%q is in %s: %s", secret, where, text[max(0, i-300):min(len(text), i+100)]))
		}
	}
}

// leaked returns the secrets that were found since it was last called, in the
// log and on the wire among others.
func (w *world) leaked() []string {
	found := w.wire.Leaks()
	for _, leak := range found[w.heard:] {
		w.leaks = append(w.leaks, leak.String())
	}
	w.heard = len(found)
	w.searchText("the log", w.said.String())
	leaks := w.leaks
	w.leaks = nil
	w.said.Reset()
	return leaks
}

// contents reads the tables by a *gorm.DB that did not write them, and what is
// stored in the encrypted columns.
func (w *world) contents() *outcome {
	out := &outcome{world: w}
	for _, t := range tables {
		rows := w.slice(t)
		out.failed(w.fresh.Unscoped().Order("id").Find(rows).Error)
		out.see(t.name, rows)
		out.failed(w.look(out, t))
	}
	var pairs []map[string]any
	out.failed(w.fresh.Table("account_teams").Order("account_id, team_id").Find(&pairs).Error)
	out.see("account_teams", pairs)
	return out
}

// look notes which values of the encrypted columns are NULL, and in the
// encrypted world those that are no ciphertext.
func (w *world) look(out *outcome, t *table) error {
	rows, err := w.columns[t].Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	columns := t.encryptedColumns()
	values := make([]sql.NullString, len(columns))
	pointers := make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		for i, value := range values {
			switch {
			case !value.Valid:
				out.note("%s.%s is NULL", t.name, columns[i])
			case w.encrypted && !strings.HasPrefix(value.String, "gc1:"):
				out.note("%s.%s holds %.60q", t.name, columns[i], value.String)
			}
		}
		out.note("%s: next row", t.name)
	}
	return rows.Err()
}
