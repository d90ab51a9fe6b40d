//go:build linux

package memory_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// programs are what the test binary can be.
var programs = map[string]func(){
	"careful": careful, "naive": naive, "rotates": rotates, "reads": reads,
}

// The variables that the programs are configured by.
const (
	keysVariable = "GORMCRYPT_KEYS"
	kekVariable  = "GORMCRYPT_KEK"
	dsnVariable  = "GORMCRYPT_DSN"
	outVariable  = "GORMCRYPT_OUT"
)

// Customer has a column for each kind of derived key.
type Customer struct {
	ID         uint
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
	APIKey     encryptedtype.EncryptedString
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// open opens the database with a plugin.
func open(dsn string, config gormcrypt.Config) (*gorm.DB, *gormcrypt.Plugin) {
	config.Models = []any{&Customer{}}
	plugin := gormcrypt.New(config)
	database := testdb.Database{Name: "sqlite", DSN: dsn}
	pool := must(sql.Open(database.Driver(), dsn))
	db := must(gorm.Open(database.Dialector(pool), &gorm.Config{Logger: logger.Discard}))
	if err := errors.Join(db.Use(plugin), db.AutoMigrate(&Customer{})); err != nil {
		panic(err)
	}
	return db, plugin
}

// localKEK is a key-encryption key in this process.
type localKEK struct{ seal, open func([]byte) ([]byte, error) }

func newLocalKEK(key []byte) localKEK {
	aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
	return localKEK{
		seal: func(key []byte) ([]byte, error) { return aead.Seal(nil, nil, key, nil), nil },
		open: func(wrapped []byte) ([]byte, error) { return aead.Open(nil, nil, wrapped, nil) },
	}
}

func (localKEK) Name() string { return "local" }

func (k localKEK) Wrap(_ context.Context, key []byte) ([]byte, error) { return k.seal(key) }

func (k localKEK) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) { return k.open(wrapped) }

// noKEK is how the tests look into a keyring.
type noKEK struct{}

func (noKEK) Name() string { return "none" }

func (noKEK) Wrap(_ context.Context, key []byte) ([]byte, error) { return bytes.Clone(key), nil }

func (noKEK) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	return bytes.Clone(wrapped), nil
}

// crashing is a KEK that panics with the key in its hands.
type crashing struct{ localKEK }

//go:noinline
func (crashing) Wrap(_ context.Context, key []byte) ([]byte, error) {
	panic(fmt.Sprintf("wrapping a key of %d bytes", len(key)))
}

// application is what a program has in its hands.
type application struct {
	Ring   *keyring.Keyring
	Key    keyring.Key
	Source keyring.Source
	KEK    keyring.KEK
	Config gormcrypt.Config
	Plugin *gormcrypt.Plugin
	Cipher *ciphertext.Cipher
	Column *ciphertext.Column
	Index  *ciphertext.Index
	DB     *gorm.DB
	Rows   []Customer
	inside any
}

// careful handles its keys as the documentation says.
func careful() {
	source := keyring.Env(keysVariable)
	ring := must(source.Load(context.Background()))
	text, _ := keyring.TakeEnv(kekVariable)
	kekKey := must(base64.StdEncoding.DecodeString(text))
	kek := newLocalKEK(kekKey)
	clear(kekKey)
	primary := must(ring.Primary(keyring.DataKeys))
	key, wrapped, err := keyring.GenerateKey(context.Background(), kek, keyring.MakeVersion(keyring.DataKeys, primary.Number()+1), keyring.Enabled)
	if err != nil {
		panic(err)
	}
	key = must(keyring.UnwrapKey(context.Background(), kek, key.Version(), keyring.Enabled, key.CheckValue(), wrapped))

	config := gormcrypt.Config{Keys: ring}
	db, plugin := open(os.Getenv(dsnVariable), config)
	if err := db.Create(&Customer{Email: "eve@example.org", TaxID: "1", APIKey: encryptedtype.NewEncryptedString("x")}).Error; err != nil {
		panic(err)
	}
	app := &application{Ring: ring, Key: key, Source: source, KEK: kek, Config: config, Plugin: plugin, Cipher: plugin.Cipher(), DB: db}
	app.Column = must(app.Cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "api_key"}))
	must(app.Column.Seal(nil, "x"))
	app.Index = must(app.Cipher.Index(ciphertext.IndexConfig{Table: "customers", Column: "email_index"}))
	must(app.Index.Term("x"))
	if err := db.Where("email = ?", "ada@example.org").Find(&app.Rows).Error; err != nil || len(app.Rows) != 1 {
		panic(fmt.Sprint(len(app.Rows), " rows, ", err))
	}
	app.inside = map[string]any{"ring": ring, "key": key, "rows": &app.Rows, "cipher": app.Cipher}
	steps(map[string]func(){
		"show":  func() { work(app, *app, ring, key, app.Cipher, kek, app.Rows[0], show) },
		"dump":  heapDump,
		"panic": func() { work(app, *app, ring, key, app.Cipher, kek, app.Rows[0], crash) },
	})
	runtime.KeepAlive(app)
}

// work has everything among its arguments, whose words a stack trace prints.
//
//go:noinline
func work(app *application, value application, ring *keyring.Keyring, key keyring.Key, cipher *ciphertext.Cipher, kek keyring.KEK, row Customer, then func(v any)) {
	row.APIKey.Use(func(secret []byte) { lent(secret, app, then) })
	runtime.KeepAlive([]any{value, ring, key, cipher, kek, row})
}

//go:noinline
func lent(secret []byte, app *application, then func(v any)) {
	then(app)
	runtime.KeepAlive(secret)
}

// crash panics where the key itself is among the arguments.
func crash(v any) {
	app := v.(*application)
	_, _ = app.Ring.Wrap(context.Background(), crashing{}, must(app.Ring.Primary(keyring.DataKeys)))
}

// naive does what programs do that were written without a thought of it.
func naive() {
	key := must(base64.StdEncoding.DecodeString(os.Getenv(kekVariable)))
	app := &naiveApplication{Key: key, Text: os.Getenv(kekVariable), inside: key}
	steps(map[string]func(){
		"show": func() {
			pprof.Do(context.Background(), pprof.Labels("key", app.Text), func(context.Context) {
				naiveWork([32]byte(key), func() { show(app) })
			})
		},
		"dump": heapDump,
		"panic": func() {
			naiveWork([32]byte(key), func() { panic(fmt.Sprintf("cannot work with %+v", app)) })
		},
		"trace": func() { naiveWork([32]byte(key), func() { panic("cannot work") }) },
	})
	runtime.KeepAlive(app)
}

type naiveApplication struct {
	Key    []byte
	Text   string
	inside any
}

//go:noinline
func naiveWork(key [32]byte, then func()) {
	then()
	runtime.KeepAlive(key)
}
