package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// A model that cannot be encrypted as it is declared is refused when the plugin
// is registered, with an error that names the field and the fix.
func TestModelsThatAreRefused(t *testing.T) {
	t.Parallel()
	type owner struct {
		Email string `gorm:"primaryKey;serializer:encrypted"`
	}
	for name, c := range map[string]struct {
		model any
		want  []string // parts of the message
	}{
		"integer column": {&struct {
			ID     uint
			Salary int64 `gorm:"serializer:encrypted"`
		}{}, []string{"Salary", "type int", "type:text"}},
		"bool column": {&struct {
			ID   uint
			Flag bool `gorm:"serializer:encrypted"`
		}{}, []string{"Flag", "type bool", "type:text"}},
		"float column": {&struct {
			ID uint
			F  float64 `gorm:"serializer:encrypted"`
		}{}, []string{"type float", "type:text"}},
		"time column": {&struct {
			ID uint
			At time.Time `gorm:"serializer:encrypted"`
		}{}, []string{"At", "type time", "type:text"}},
		"integer column by type:": {&struct {
			ID   uint
			Text string `gorm:"serializer:encrypted;type:bigint"`
		}{}, []string{"type bigint", "type:text"}},
		"char pads": {&struct {
			Text string `gorm:"serializer:encrypted;type:char(500)"`
		}{}, []string{"char(500)", "type:text"}},
		"citext ignores case": {&struct {
			Text string `gorm:"serializer:encrypted;type:citext"`
		}{}, []string{"citext", "type:text"}},
		"jsonb": {&struct {
			Text string `gorm:"serializer:encrypted;type:jsonb"`
		}{}, []string{"jsonb", "type:text"}},
		"small size": {&struct {
			Text string `gorm:"serializer:encrypted;size:255"`
		}{}, []string{"size:255", "too small", "type:text"}},
		"small varchar": {&struct {
			Text string `gorm:"serializer:encrypted;type:varchar(20)"`
		}{}, []string{"varchar(20)", "too small"}},
		"varchar of anything": {&struct {
			Text string `gorm:"serializer:encrypted;type:varchar(max)"`
		}{}, []string{"not a number", "type:text"}},
		"small size, int": {&struct {
			N int `gorm:"serializer:encrypted;type:text;size:40"`
		}{}, []string{"size:40", "8 bytes"}},
		"small size, bool": {&struct {
			B bool `gorm:"serializer:encrypted;type:text;size:40"`
		}{}, []string{"1 bytes"}},
		"small size, time": {&struct {
			At time.Time `gorm:"serializer:encrypted;type:text;size:40"`
		}{}, []string{"16 bytes"}},
		"small size, padded": {&struct {
			Text string `gorm:"serializer:encrypted;size:500" encrypt:"pad=1024"`
		}{}, []string{"too small"}},
		"small encryptedtype": {&struct {
			Key encryptedtype.EncryptedString `gorm:"size:100"`
		}{}, []string{"size:100", "too small"}},
		"default": {&struct {
			Text string `gorm:"serializer:encrypted;default:SECRET"`
		}{}, []string{"default:", "in the clear", "hook"}},
		"default NULL": {&struct {
			Text string `gorm:"serializer:encrypted;default:null"`
		}{}, []string{"default:"}},
		"primary key": {&owner{}, []string{"primary key", "another column"}},
		"unique": {&struct {
			Text string `gorm:"serializer:encrypted;unique"`
		}{}, []string{"unique", "deterministic"}},
		"unique index": {&struct {
			Text string `gorm:"serializer:encrypted;uniqueIndex"`
		}{}, []string{"unique", "deterministic"}},
		"index with the option unique": {&struct {
			Text string `gorm:"serializer:encrypted;index:,unique"`
		}{}, []string{"unique", "deterministic"}},
		"unique index of several columns": {&struct {
			Tenant string `gorm:"index:by_both,unique"`
			Text   string `gorm:"serializer:encrypted;index:by_both"`
		}{}, []string{"unique", "deterministic"}},
		"index": {&struct {
			Text string `gorm:"serializer:encrypted;index"`
		}{}, []string{"index", "remove"}},
		"option without mark": {&struct {
			Text string `encrypt:"pad=16"`
		}{}, []string{"not marked", "serializer:encrypted"}},
		"unknown option": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"compress"`
		}{}, []string{`"compress"`, "known are"}},
		"migrating without a step": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"migrating"`
		}{}, []string{"migrating=", "migrating=read in the first deployment"}},
		"migrating in another step": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"migrating=done"`
		}{}, []string{"migrating=done", "nothing when the migration is finished"}},
		"migrating a time": {&struct {
			Moment time.Time `gorm:"serializer:encrypted;type:text" encrypt:"migrating=read"`
		}{}, []string{"migrating", "beside"}},
		"migrating beside, and not null": {&struct {
			Number int64                `gorm:"serializer:encrypted;not null" encrypt:"migrating=read"`
			Sealed encryptedtype.Beside `encrypt:"of=Number"`
		}{}, []string{"not null", "remove not null"}},
		"beside nothing": {&struct {
			Number int64                `gorm:"serializer:encrypted;type:text"`
			Sealed encryptedtype.Beside `encrypt:"of=Missing"`
		}{}, []string{"beside no encrypted field", "of=Field"}},
		"beside what is not migrating": {&struct {
			Number int64                `gorm:"serializer:encrypted;type:text"`
			Sealed encryptedtype.Beside `encrypt:"of=Number"`
		}{}, []string{"not migrating", "remove it"}},
		"migrating anything": {&struct {
			Any any `gorm:"serializer:encrypted;type:text" encrypt:"migrating=write"`
		}{}, []string{"migrating", "give it a type"}},
		"deterministic=yes": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"deterministic=yes"`
		}{}, []string{"not known"}},
		"empty tag": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:""`
		}{}, []string{"not known"}},
		"option twice": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"pad=2,pad=4"`
		}{}, []string{"pad=", "twice"}},
		"pad of nothing": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"pad=1"`
		}{}, []string{"pad=1", "2 to 65536"}},
		"pad of words": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"pad=x"`
		}{}, []string{"pad=x"}},
		"context of one name": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"context=users"`
		}{}, []string{"context=table.column"}},
		"bind to nothing": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"bind=Missing"`
		}{}, []string{"bind=Missing", "Go name"}},
		"bind to no name": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"bind="`
		}{}, []string{"not known"}},
		"bind to itself": {&struct {
			Text string `gorm:"serializer:encrypted" encrypt:"bind=Text"`
		}{}, []string{"itself"}},
		"bind to encrypted": {&struct {
			A string `gorm:"serializer:encrypted"`
			B string `gorm:"serializer:encrypted" encrypt:"bind=A"`
		}{}, []string{"bound to A", "serializer"}},
		"bind to a float": {&struct {
			A float64
			B string `gorm:"serializer:encrypted" encrypt:"bind=A"`
		}{}, []string{"float64", "a string, an integer"}},
		"bind to a time": {&struct {
			A time.Time
			B string `gorm:"serializer:encrypted" encrypt:"bind=A"`
		}{}, []string{"time.Time", "a string, an integer"}},
		"channel": {&struct {
			C chan int `gorm:"serializer:encrypted"`
		}{}, []string{"chan int", "choose"}},
		"interface": {&struct {
			E error `gorm:"serializer:encrypted"`
		}{}, []string{"error", "concrete"}},
		"complex": {&struct {
			C complex128 `gorm:"serializer:encrypted"`
		}{}, []string{"complex128"}},
		"half a Valuer": {&struct {
			V refusingValuer `gorm:"serializer:encrypted"`
		}{}, []string{"Scan"}},
		"foreign key": {&parent{}, []string{"key of the relation", "another column"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.SQLite(t).Open(t, withTableNames())
			err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{c.model}}))
			var detail *gormcrypt.ModelError
			if !errors.Is(err, gormcrypt.ErrModel) || !errors.As(err, &detail) || detail.Fix == "" || detail.Field == "" {
				t.Fatalf("error %v, want a *ModelError with a field and a fix", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if name != "default" && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error holds a value: %v", err)
			}
		})
	}
}

// withTableNames gives the structs without a name a table.
func withTableNames() *gorm.Config {
	return &gorm.Config{NamingStrategy: schema.NamingStrategy{TablePrefix: "unnamed"}}
}

type parent struct {
	ID       uint
	Code     string  `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Children []child `gorm:"foreignKey:ParentCode;references:Code"`
}

// parentless is what it is without its relation.
type parentless struct {
	ID   uint
	Code string `gorm:"serializer:encrypted" encrypt:"deterministic"`
}

func dataKeysOnly(t *testing.T) *keyring.Keyring {
	t.Helper()
	return must[*keyring.Keyring](t)(keyring.New(keyring.DataKey(1, keyring.Primary, []byte("0123456789abcdef0123456789abcdef"))))
}

type child struct {
	ID         uint
	ParentCode string
}

// Columns that are large enough, and unique ones that are deterministic, are
// fine.
func TestModelsThatAreAccepted(t *testing.T) {
	t.Parallel()
	for name, model := range map[string]any{
		"size:500": &struct {
			Text string `gorm:"serializer:encrypted;size:500"`
		}{},
		"varchar(1000)": &struct {
			Text string `gorm:"serializer:encrypted;type:varchar(1000)"`
		}{},
		"int in varchar": &struct {
			N int32 `gorm:"serializer:encrypted;type:varchar(100)"`
		}{},
		"blob": &struct {
			B []byte `gorm:"serializer:encrypted;type:blob"`
		}{},
		"unique": &struct {
			Text string `gorm:"serializer:encrypted;unique" encrypt:"deterministic"`
		}{},
		"several options": &struct {
			A, B int64
			Text string `gorm:"serializer:encrypted" encrypt:"bind=A,B, pad=16,context=x.y.z"`
		}{},
	} {
		db := testdb.SQLite(t).Open(t, withTableNames())
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{model}})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A struct with encrypted fields that was not listed is refused on every path,
// with an error that says so, and nothing is sent.
func TestModelsThatWereNotListed(t *testing.T) {
	// Alone: while another test registers a plugin, GORM knows the serializer.
	type unlisted struct {
		ID   uint
		Text string `gorm:"serializer:encrypted"`
	}
	// GORM's own error is another one for a map that it cannot store.
	type unlistedMap struct {
		unlisted
		Notes map[string]string `gorm:"serializer:encrypted"`
	}
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &letter{})
		createLetters(t, db)
		before, sent := db.log.String(), db.wire.Statements()
		for name, use := range map[string]func() error{
			"create": func() error { return db.Create(&unlisted{Text: "SECRET"}).Error },
			"map":    func() error { return db.Model(&unlisted{}).Create(map[string]any{"text": "SECRET"}).Error },
			"update": func() error { return db.Model(&unlisted{ID: 1}).Update("text", "SECRET").Error },
			"find":   func() error { return db.Find(&[]unlisted{}).Error },
			"delete": func() error { return db.Delete(&unlisted{ID: 1}).Error },
			"rows":   func() error { _, err := db.Model(&unlisted{}).Rows(); return err },
			"maps":   func() error { return db.Find(&[]unlistedMap{}).Error },
			"dest":   func() error { return db.Model(&letter{}).Select("id, email AS text").Find(&[]*unlisted{}).Error },
			"raw":    func() error { return db.Raw("SELECT id, email AS text FROM letters").Find(&unlisted{}).Error },
		} {
			err := use()
			if !errors.Is(err, gormcrypt.ErrModel) || !strings.Contains(err.Error(), "Config.Models") {
				t.Errorf("%s: error %v, want ErrModel", name, err)
			}
		}
		if now := db.wire.Statements(); now != sent {
			t.Errorf("%d statements were sent", now-sent)
		}
		if err := db.Raw("SELECT id, email AS text FROM letters").Scan(&unlisted{}).Error; err == nil {
			t.Error("Scan read ciphertext as text")
		}
		if err := db.AutoMigrate(&unlisted{}); err == nil {
			t.Error("AutoMigrate made a table for it")
		}
		if said := strings.TrimPrefix(db.log.String(), before); strings.Contains(said, "SECRET") || strings.Contains(said, "INSERT") {
			t.Errorf("it was sent: %s", said)
		}
	})
}

// Two models of one table agree on what is encrypted, and how.
func TestModelsOfOneTable(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Open(t, nil)
	err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{&customer{}, &otherCustomer{}}}))
	if !errors.Is(err, gormcrypt.ErrModel) || !strings.Contains(err.Error(), "encrypted otherwise") {
		t.Errorf("error %v", err)
	}
}

type otherCustomer struct {
	ID    uint
	Email string `gorm:"serializer:encrypted" encrypt:"pad=64"`
}

func (otherCustomer) TableName() string { return "customers" }

// Tables of the same name in two schemas of the database are two tables.
func TestSchemasOfTheDatabase(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	plain := where.Plain(t)
	for _, schema := range []string{"a", "b"} {
		if _, err := plain.Exec("CREATE SCHEMA IF NOT EXISTS gormcrypt_" + schema); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, where, generate(t), &userInA{})
	if err := db.AutoMigrate(&userInB{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = plain.Exec("DROP SCHEMA gormcrypt_a CASCADE")
		_, _ = plain.Exec("DROP SCHEMA gormcrypt_b CASCADE")
	})
	if err := db.Create(&userInA{Email: "SECRET"}).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&userInB{Email: "plain"}).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Table("gormcrypt_a.users").Where("id > 0").Updates(map[string]any{"email": "SECRET"}).Error; err != nil {
		t.Fatal(err)
	}
	db.requireSealed(t, "gormcrypt_a.users", "email")
	var read userInB
	if err := db.Where("email = ?", "plain").First(&read).Error; err != nil || read.Email != "plain" {
		t.Errorf("read %+v, %v", read, err)
	}
	var a userInA
	if err := db.First(&a).Error; err != nil || a.Email != "SECRET" {
		t.Errorf("read %+v, %v", a, err)
	}
	db.requireUnsaid(t, "SECRET")
}

type userInA struct {
	ID    uint
	Email string `gorm:"serializer:encrypted"`
}

func (userInA) TableName() string { return "gormcrypt_a.users" }

type userInB struct {
	ID    uint
	Email string
}

func (userInB) TableName() string { return "gormcrypt_b.users" }

// GORM forgets a model that it could not parse for another table. The plugin
// has it parse the model again.
func TestModelsThatGORMForgot(t *testing.T) {
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &letter{})
		createLetters(t, db)
		_ = db.Table("letters_archive").Migrator().HasTable(&letter{})
		for range 2 {
			var got letter
			if err := db.First(&got).Error; err != nil || got.Email != "1@SECRET" {
				t.Errorf("read %q, %v", got.Email, err)
			}
		}
		_ = db.Table("letters_archive").Migrator().HasTable(&letter{})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := db.First(&letter{}).Error; err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if err := db.Model(&letter{}).Where("id = 1").Update("email", "new@SECRET").Error; err != nil {
			t.Error(err)
		}
		db.requireSealed(t, "letters", "email")
		db.requireUnsaid(t, "SECRET")
	})
}

// Printed, with a *gorm.DB or by itself, the plugin is its name: the texts that it
// remembers are nobody's business.
func TestPluginPrintsItsName(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	db := open(t, where, generate(t), &parentless{})
	if err := db.Exec("UPDATE parentlesses SET id = id WHERE id = 4711").Error; err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, db.crypt); text != "gormcrypt" {
			t.Errorf("%s prints %.200s", verb, text)
		}
		if text := fmt.Sprintf(verb, db.Config.Plugins); strings.Contains(text, "4711") {
			t.Errorf("%s of the plugins prints %.200s", verb, text)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	for name, c := range map[string]struct {
		config gormcrypt.Config
		want   string
	}{
		"no keys":        {gormcrypt.Config{}, "Config.Keys is not set"},
		"no keyring":     {gormcrypt.Config{Keys: (*keyring.Keyring)(nil)}, "nil"},
		"missing source": {gormcrypt.Config{Keys: keyring.Env("GORMCRYPT_TEST_UNSET")}, "GORMCRYPT_TEST_UNSET"},
		"algorithm":      {gormcrypt.Config{Keys: generate(t), Algorithm: ciphertext.AESSIV}, "AES-SIV"},
		"plain model":    {gormcrypt.Config{Keys: generate(t), Models: []any{&child{}}}, "no encrypted field"},
		"no index key":   {gormcrypt.Config{Keys: dataKeysOnly(t), Models: []any{&parentless{}}}, "Add(keyring.IndexKeys)"},
		"no model":       {gormcrypt.Config{Keys: generate(t), Models: []any{"customer"}}, "parsing the model string"},
		"no models":      {gormcrypt.Config{Keys: generate(t)}, "list a pointer to every struct"},
	} {
		if err := where.Open(t, nil).Use(gormcrypt.New(c.config)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
	}
	keys := generate(t)
	crypt := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&parentless{}}})
	if err := crypt.SetKeys(t.Context(), keys); err == nil {
		t.Error("SetKeys worked before the plugin was registered")
	}
	if err := where.Open(t, nil).Use(crypt); err != nil {
		t.Fatal(err)
	}
	if err := crypt.SetKeys(t.Context(), nil); err == nil {
		t.Error("no source was taken")
	}
	// A keyring that does not open what the one in use sealed is none to go on
	// with.
	if err := crypt.SetKeys(t.Context(), generate(t)); !errors.Is(err, keyring.ErrKeyLost) {
		t.Errorf("another keyring: %v", err)
	}
	if err := crypt.SetKeys(t.Context(), dataKeysOnly(t)); !errors.Is(err, keyring.ErrKeyLost) {
		t.Errorf("a keyring without the index key: %v", err)
	}
	if err := where.Open(t, nil).Use(crypt); err == nil || !strings.Contains(err.Error(), "for each *gorm.DB") {
		t.Errorf("the plugin was registered twice: %v", err)
	}
}

// A *gorm.DB without the plugin refuses models with encrypted fields on every
// path, maps included, even where another in the process has the plugin.
func TestWithoutThePlugin(t *testing.T) {
	// Alone: while another test registers a plugin, GORM knows the serializer.
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		with := open(t, where, generate(t), &customer{}, &order{})
		if err := with.Create(ada()).Error; err != nil {
			t.Fatal(err)
		}
		wire, pool := overWire(t, where)
		without := where.OpenPool(t, pool, nil)
		before := wire.Statements()
		for name, use := range map[string]func() error{
			"create":         func() error { return without.Create(&customer{Name: "x", Email: "SECRET"}).Error },
			"create a slice": func() error { return without.Create([]customer{{Name: "x", Email: "SECRET"}}).Error },
			"create a map": func() error {
				return without.Model(&customer{}).Create(map[string]any{"name": "x", "email": "SECRET"}).Error
			},
			"save":    func() error { return without.Save(&customer{ID: 1, Email: "SECRET"}).Error },
			"update":  func() error { return without.Model(&customer{ID: 1}).Update("email", "SECRET").Error },
			"updates": func() error { return without.Model(&customer{ID: 1}).Updates(customer{Email: "SECRET"}).Error },
			"typed update": func() error {
				return without.Model(&customer{ID: 1}).Update("api_key", encryptedtype.NewEncryptedString("SECRET")).Error
			},
			"typed argument": func() error {
				return without.Exec("UPDATE customers SET email = ?", encryptedtype.NewEncryptedString("SECRET")).Error
			},
			"find":            func() error { return without.First(&customer{}).Error },
			"raw":             func() error { return without.Raw("SELECT * FROM customers").Scan(&customer{}).Error },
			"struct as where": func() error { return without.Where(&customer{Email: "SECRET"}).Delete(&customer{}).Error },
			"migrate":         func() error { return without.AutoMigrate(&customer{}) },
		} {
			err := use()
			refused := err != nil && (errors.Is(err, gormcrypt.ErrNoPlugin) || strings.Contains(err.Error(), "invalid serializer type encrypted"))
			if !refused || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if sent := wire.Statements() - before; sent != 1 { // the raw SELECT
			t.Errorf("%d statements were sent", sent)
		}
		if n := len(with.column(t, "customers", "id")); n != 1 {
			t.Errorf("the table has %d rows now", n)
		}
		with.requireSealed(t, "customers", "email", "api_key")
	})
}

// Why the message of a *gorm.DB without the plugin is GORM's, and does not name
// the fix. GORM has one way to learn what serializer:encrypted means, which is
// to register a serializer for the whole process. With it, structs are refused
// in our own words; but GORM does not ask it about the values of maps, which a
// *gorm.DB without the plugin then stores as they are. If this fails, GORM has
// become better: then let the serializer stay registered.
func TestSerializerOfTheWholeProcessWouldLeak(t *testing.T) {
	// Alone: the process has one serializer of that name.
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		schema.RegisterSerializer("encrypted", refusingSerializer{})
		defer schema.RegisterSerializer("encrypted", nil)
		type note struct {
			ID   uint
			Text string `gorm:"serializer:encrypted"`
		}
		db, plain := where.Open(t, nil), where.Plain(t)
		if err := db.AutoMigrate(&note{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&note{Text: "SECRET"}).Error; !errors.Is(err, errRefusingSerializer) {
			t.Errorf("a struct: error %v", err)
		}
		if err := db.Model(&note{}).Create(map[string]any{"text": "SECRET"}).Error; err != nil {
			t.Errorf("a map: error %v", err)
		}
		var stored string
		if err := plain.QueryRow("SELECT text FROM notes").Scan(&stored); err != nil || stored != "SECRET" {
			t.Errorf("of a map, %q is stored, error %v", stored, err)
		}
		if err := db.Model(&note{}).Where("1 = 1").Update("text", "another SECRET").Error; err != nil {
			t.Errorf("an update: error %v", err)
		}
		if err := plain.QueryRow("SELECT text FROM notes").Scan(&stored); err != nil || stored != "another SECRET" {
			t.Errorf("of an update, %q is stored, error %v", stored, err)
		}
	})
}

// refusingSerializer is one with a message of its own, and all that GORM lets
// it do.
type refusingSerializer struct{}

var errRefusingSerializer = errors.New("register the plugin with db.Use")

func (refusingSerializer) Value(context.Context, *schema.Field, reflect.Value, any) (any, error) {
	return "", errRefusingSerializer
}

func (refusingSerializer) Scan(context.Context, *schema.Field, reflect.Value, any) error {
	return errRefusingSerializer
}

// In a program that never makes a plugin, GORM itself refuses such models on
// every path, maps included, because it does not know the serializer.
func TestAProgramWithoutThePlugin(t *testing.T) {
	const variable = "GORMCRYPT_TEST_WITHOUT_PLUGIN"
	if os.Getenv(variable) != "" {
		db := testdb.SQLite(t).Open(t, nil)
		for _, use := range []func() error{
			func() error { return db.AutoMigrate(&order{}) },
			func() error { return db.Create(&order{Address: "SECRET"}).Error },
			func() error { return db.Model(&order{}).Create(map[string]any{"address": "SECRET"}).Error },
			func() error { return db.Model(&order{ID: 1}).Update("address", "SECRET").Error },
			func() error { return db.Where(&order{Address: "SECRET"}).Find(&[]order{}).Error },
			func() error { return db.Find(&[]order{}).Error },
			func() error { return db.AutoMigrate(&struct{ Key encryptedtype.EncryptedString }{}) },
		} {
			if err := use(); err == nil || err.Error() != "invalid serializer type encrypted" {
				t.Errorf("error %v", err)
			}
		}
		return
	}
	t.Parallel()
	command := exec.Command(os.Args[0], "-test.run=^TestAProgramWithoutThePlugin$")
	command.Env = append(os.Environ(), variable+"=1")
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Two databases with two keyrings in one process do not get in each other's
// way, whoever comes first.
func TestTwoDatabasesWithTwoKeyrings(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		other := testdb.SQLite(t)
		first, second := generate(t), generate(t)
		databases := []*database{
			open(t, where, first, &letter{}, &customer{}, &order{}),
			open(t, other, second, &letter{}, &customer{}, &order{}),
		}
		var group sync.WaitGroup
		for i, db := range databases {
			for worker := range 4 {
				group.Go(func() {
					for round := range 10 {
						secret := strings.Repeat("x", i+1)
						row := &letter{Account: "a", Email: secret, Phone: secret, Payout: secret}
						if err := db.Create(row).Error; err != nil {
							t.Error(err)
							return
						}
						if err := db.Model(row).Updates(map[string]any{"phone": secret + "!"}).Error; err != nil {
							t.Error(err)
							return
						}
						var read letter
						if err := db.First(&read, row.ID).Error; err != nil {
							t.Error(err)
							return
						}
						if read.Email != secret || read.Phone != secret+"!" || read.Payout != secret {
							t.Errorf("worker %d, round %d of database %d read %+v", worker, round, i, read)
						}
					}
				})
			}
		}
		group.Wait()
		if err := reopen(t, where, second, &letter{}).First(&letter{}).Error; !errors.Is(err, gormcrypt.ErrAuthentication) {
			t.Errorf("under the other keyring: %v", err)
		}
	})
}

// A *gorm.DB that is dropped leaves nothing of itself in the process.
func TestPluginsAreCollected(t *testing.T) {
	t.Parallel()
	collected := make(chan bool)
	func() {
		db := open(t, testdb.SQLite(t), generate(t), &letter{})
		runtime.AddCleanup(db.crypt, func(struct{}) { close(collected) }, struct{}{})
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("the plugin is still there")
}

// Each write is one encryption: what is logged is what is stored.
func TestOneEncryptionForEachWrite(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		if err := db.Create(ada()).Error; err != nil {
			t.Fatal(err)
		}
		for _, column := range []string{"email", "phone", "salary", "api_key"} {
			stored := db.column(t, "customers", column)[0].String
			if !strings.Contains(db.log.String(), stored) {
				t.Errorf("the %s in the log is not the one in the table", column)
			}
		}
		if got := reflect.TypeOf(db.crypt.Cipher()); got == nil {
			t.Error("the plugin has no cipher")
		}
	})
}
