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
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
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
	// crypt is the plugin of db, and key is which of the keys it seals by. Two
	// index keys are live in worlds that are turning, where both are sealed by;
	// otherwise one is.
	crypt   *gormcrypt.Plugin
	keys    keyrings
	key     int
	turning bool
	indexes map[*field]*ciphertext.Index
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
type pair struct {
	plain, secret *world
	failed        string // what went wrong first
}

func openPair(t *testing.T, open func(testing.TB) testdb.Database) *pair {
	t.Helper()
	keys := twoKeys(t)
	cipher, err := ciphertext.New(keys[1][0], ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
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
	secret.indexes = map[*field]*ciphertext.Index{}
	for _, of := range tables {
		for _, f := range of.indexed() {
			if secret.indexes[f], err = cipher.Index(ciphertext.IndexConfig{Table: of.name, Column: f.index, Bits: f.bits}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range []*world{plain, secret} {
		w.open = func() { w.openDatabase(t, open(t), keys) }
		w.open()
	}
	return &pair{plain: plain, secret: secret}
}

// keyrings are those of the same two data keys, each of which seals by another
// one, under one live index key and under two.
type keyrings [2][2]*keyring.Keyring

// twoKeys returns keyrings, all with the same keys.
func twoKeys(t *testing.T) (rings keyrings) {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	keys, data, err := keys.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	keys, index, err := keys.Add(keyring.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	must := func(keys *keyring.Keyring, err error) *keyring.Keyring {
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	one := must(keys.Retire(index))
	rings[0] = [2]*keyring.Keyring{one, must(one.Promote(data))}
	rings[1] = [2]*keyring.Keyring{keys, must(must(keys.Promote(data)).Promote(index))}
	return rings
}

// openDatabase has the world live in a database.
func (w *world) openDatabase(t *testing.T, where testdb.Database, keys keyrings) {
	w.Database = where
	w.past = w.Plain(t)
	w.tune(t, w.past)
	w.key, w.turning = 0, false
	w.wire, w.heard = gormcrypttest.NewSilentWire(t), 0
	pool := w.Plain(t)
	if w.encrypted {
		pool = w.wire.Open(w.Driver(), w.DSN)
	}
	w.keys = keys
	w.fresh, _ = w.openGORM(t, keys[1][0], w.Plain(t))
	w.fresh = w.fresh.Session(&gorm.Session{PrepareStmt: true})
	w.db, w.crypt = w.openGORM(t, keys[0][0], pool)
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
		if w.columns[of], err = w.past.Prepare("SELECT " + strings.Join(append(of.encryptedColumns(), of.indexColumns()...), ", ") + " FROM " + of.name + " ORDER BY id"); err != nil {
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
	return w.crypt.SetKeys(context.Background(), w.ring())
}

func (w *world) ring() *keyring.Keyring {
	if w.turning {
		return w.keys[1][w.key]
	}
	return w.keys[0][w.key]
}

// turn has the world live under two index keys, or under one. Under two, equal
// values have two ciphertexts, so the column of tax numbers is not unique then, in
// either world.
func (w *world) turn(turning bool) error {
	if w.turning == turning {
		return nil
	}
	w.turning = turning
	statement := "CREATE UNIQUE INDEX idx_accounts_tax_id ON accounts (tax_id)"
	if turning {
		statement = "DROP INDEX idx_accounts_tax_id"
	}
	if _, err := w.past.Exec(statement); err != nil {
		return err
	}
	// SQLite says of an ON CONFLICT that no index fits it by what the connection saw
	// last, without looking whether that is still so. A statement that runs looks.
	pool, err := w.db.DB()
	if err != nil {
		return err
	}
	if _, err := pool.Exec("SELECT count(*) FROM accounts"); err != nil || !w.encrypted {
		return err
	}
	return w.crypt.SetKeys(context.Background(), w.ring())
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
func (w *world) reset(inhabited, turning bool) error {
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
	key := 0
	if turning { // the inhabitants were sealed by the other key
		key = 1
	}
	return errors.Join(err, w.sealBy(key), w.turn(turning))
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
		out.failed(w.look(out, t, reflect.ValueOf(rows).Elem()))
	}
	var pairs []map[string]any
	out.failed(w.fresh.Table("account_teams").Order("account_id, team_id").Find(&pairs).Error)
	out.see("account_teams", pairs)
	return out
}

// look notes which values of the encrypted columns are NULL, and in the
// encrypted world those that are no ciphertext, and those of blind indexes that
// are not of what the rows hold.
func (w *world) look(out *outcome, t *table, held reflect.Value) error {
	rows, err := w.columns[t].Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	columns := t.encryptedColumns()
	indexed := t.indexed()
	values := make([]sql.NullString, len(columns)+len(indexed))
	pointers := make([]any, len(values))
	for i := range values {
		pointers[i] = &values[i]
	}
	for n := 0; rows.Next(); n++ {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		for i, f := range indexed {
			term, ciphertext := values[len(columns)+i], values[slices.Index(columns, f.column)]
			if ok := term.Valid == ciphertext.Valid && (!term.Valid || w.isTerm(term.String, f, held.Index(n))); w.encrypted && !ok {
				out.note("%s.%s holds %q, which is not a term of its field", t.name, f.index, term.String)
			}
		}
		for i, value := range values[:len(columns)] {
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

// isTerm reports whether the term that is stored is one of what a row holds.
func (w *world) isTerm(term string, f *field, row reflect.Value) bool {
	for _, name := range strings.Split(f.name, ".") {
		row = row.FieldByName(name)
	}
	plaintext := reflect.Indirect(row).Interface()
	if inner, ok := encryptedtype.Plaintext(plaintext); ok {
		plaintext = inner
	}
	terms, err := w.indexes[f].Terms(plaintext)
	return err == nil && slices.Contains(terms, term)
}
