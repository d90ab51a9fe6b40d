package migrations_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils/tests"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// That the verdicts are right is tested on databases, in integration_test/migrations.

type index = encryptedtype.BlindIndex

// use registers the plugin where there is no database.
func use(t *testing.T, naming schema.Namer, config gormcrypt.Config) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(tests.DummyDialector{}, &gorm.Config{NamingStrategy: naming})
	if err != nil {
		t.Fatal(err)
	}
	if config.Keys, err = keyring.Generate(); err != nil {
		t.Fatal(err)
	}
	if err := db.Use(gormcrypt.New(config)); err != nil {
		t.Fatal(err)
	}
	return db
}

// deployed returns the manifest of a program with the models, all of which have a
// table.
func deployed(t *testing.T, db *gorm.DB) manifest.Manifest {
	t.Helper()
	declarations, err := gormcrypt.Declarations(db)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{Format: manifest.Format}
	for _, declared := range declarations {
		m.Tables = append(m.Tables, declared.Table)
	}
	return m
}

func models(all ...any) []any { return all }

// customer is the model that changes.
func customer() any {
	type customer struct {
		ID         uint
		Account    string
		Email      string `gorm:"serializer:encrypted"`
		EmailIndex index  `encrypt:"of=Email,normalize=email"`
		Note       []byte `gorm:"serializer:encrypted"`
		Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
		TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	}
	return &customer{}
}

// Indexes of the database make searches fast, and no value unreadable: Check finds
// nothing when they come, go and change. Two models that do not agree on one are none.
func TestCheckLeavesDatabaseIndexesAlone(t *testing.T) {
	t.Parallel()
	without := customer()
	with := func() any {
		type customer struct {
			ID         uint
			Account    string
			Email      string `gorm:"serializer:encrypted"`
			EmailIndex index  `gorm:"index:by_email,where:account = 'a'" encrypt:"of=Email,normalize=email"`
			Note       []byte `gorm:"serializer:encrypted"`
			Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
			TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
		}
		return &customer{}
	}()
	other := func() any {
		type customer struct {
			ID         uint
			Account    string
			Email      string `gorm:"serializer:encrypted"`
			EmailIndex index  `gorm:"index:by_email,sort:desc" encrypt:"of=Email,normalize=email"`
			Note       []byte `gorm:"serializer:encrypted"`
			Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
			TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
		}
		return &customer{}
	}()
	manifestOf := func(models ...any) manifest.Manifest {
		return deployed(t, use(t, nil, gormcrypt.Config{Models: models}))
	}
	want := []manifest.DatabaseIndex{{Name: "by_email", Where: "account = 'a'", Parts: []manifest.IndexPart{{Column: "email_index"}}}}
	if got := manifestOf(with, without).Tables[0].DatabaseIndexes; !reflect.DeepEqual(got, want) {
		t.Errorf("the manifest has the indexes %+v", got)
	}
	for _, c := range [][2]any{{without, with}, {with, without}, {with, other}} {
		if err := migrations.Check(manifestOf(c[0]), c[1]); err != nil {
			t.Error(err)
		}
	}
	_, err := gormcrypt.Declarations(use(t, nil, gormcrypt.Config{Models: []any{with, other}}))
	if !errors.Is(err, gormcrypt.ErrModel) || !strings.Contains(err.Error(), "by_email") {
		t.Errorf("two that differ: %v", err)
	}
}

// What is found, in order, each with its problem and its fix.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		before, today []any
		want          []string
	}{
		{"nothing", models(customer()), models(customer()), nil},
		{"a new model", models(customer()), models(customer(), func() any {
			type order struct {
				ID   uint
				Note string `gorm:"serializer:encrypted"`
			}
			return &order{}
		}()), nil},
		{"everything at once", models(customer()), models(func() any {
			type customer struct {
				ID         uint
				Tenant     string
				Account    string
				Mail       string `gorm:"serializer:encrypted"`
				EmailIndex index  `encrypt:"of=Mail,normalize=email+lower"`
				Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Tenant,Account"`
				TaxID      string `gorm:"serializer:encrypted" encrypt:"context=customers.tax_number"`
			}
			return &customer{}
		}()), []string{
			"gormcrypt: customers.email: no model has this encrypted column any more; if it was renamed to customers.mail, add context=customers.email to the encrypt tag of that; if it is to be plaintext again, deploy it with migrating=write, and then migrating=read, first; if it is dropped, write the manifest again",
			"gormcrypt: customers.email_index: the blind index was of=email,normalize=email and is of=mail,normalize=email+lower, so stored terms do not match; leave it as it was, declare the new index under another name with migrating=read, and drop this one when that is finished",
			"gormcrypt: customers.note: no model has this encrypted column any more; if it was renamed or moved, add context=customers.note to the encrypt tag of the field that has it now; if it is to be plaintext again, deploy it with migrating=write, and then migrating=read, first; if it is dropped, write the manifest again",
			"gormcrypt: customers.payout: its values are bound to account (text), and do not open bound to tenant (text), account (text); leave bind= as it was, in the same order, or put the values into a new column",
			"gormcrypt: customers.tax_id: its context was customers.tax_id and is customers.tax_number, so its values do not open; write context=customers.tax_id in its encrypt tag",
			"gormcrypt: customers.tax_id: its values are of the type int, and do not open as string; leave the type as it was, or put the values into a new column",
			"gormcrypt: customers.tax_id: it is not deterministic any more: stored values open, but nothing is found by it, nor kept unique; leave deterministic; if neither is needed any more, write the manifest again",
		}},
		{"a renamed table", models(customer()), models(func() any {
			type client struct {
				ID         uint
				Account    string
				Email      string `gorm:"serializer:encrypted"`
				EmailIndex index  `encrypt:"of=Email,normalize=email"`
				Note       []byte `gorm:"serializer:encrypted"`
				Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
				TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
			}
			return &client{}
		}()), []string{
			"customers.email: no model has this encrypted column any more; if it was renamed to clients.email, add context=customers.email to the encrypt tag of that, and context=customers.email_index to that of its blind index;",
			"renamed to clients.note, add context=customers.note",
			"renamed to clients.payout, add context=customers.payout",
			"renamed to clients.tax_id, add context=customers.tax_id",
		}},
		{"a renamed table, with the names as they were", models(customer()), models(func() any {
			type client struct {
				ID         uint
				Account    string
				Email      string `gorm:"serializer:encrypted" encrypt:"context=customers.email"`
				EmailIndex index  `encrypt:"of=Email,normalize=email,context=customers.email_index"`
				Note       []byte `gorm:"serializer:encrypted" encrypt:"context=customers.note"`
				Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account,context=customers.payout"`
				TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic,context=customers.tax_id"`
			}
			return &client{}
		}()), nil},
		{"structs that results are read into, and copies", models(customer()), models(customer(), func() any {
			type result struct { // which has no primary key
				Mail any `gorm:"serializer:encrypted;type:text" encrypt:"context=customers.email"`
			}
			return &result{}
		}(), func() any {
			type archived struct {
				ID         uint
				Email      string `gorm:"serializer:encrypted" encrypt:"context=customers.email"`
				EmailIndex index  `encrypt:"of=Email,context=customers.email_index"`
			}
			return &archived{}
		}()), nil},
		{"a moved column, and a result of it", models(func() any {
			type letter struct {
				ID        uint
				Text      string `gorm:"serializer:encrypted"`
				TextIndex index  `encrypt:"of=Text"`
			}
			return &letter{}
		}()), models(func() any {
			type box struct {
				Text int `gorm:"serializer:encrypted;type:text" encrypt:"context=letters.text"`
			}
			return &box{}
		}(), func() any {
			type mail struct {
				ID        uint
				Text      string `gorm:"serializer:encrypted" encrypt:"context=letters.text"`
				TextIndex index  `encrypt:"of=Text,context=letters.text_index"`
			}
			return &mail{}
		}()), nil},
		{"a renamed column, and another one under its name", models(func() any {
			type letter struct {
				ID   uint
				Text string `gorm:"serializer:encrypted"`
			}
			return &letter{}
		}()), models(func() any {
			type letter struct {
				ID   uint
				Body string `gorm:"serializer:encrypted" encrypt:"context=letters.text"`
				Text string `gorm:"serializer:encrypted" encrypt:"context=letters.text2"`
			}
			return &letter{}
		}()), nil},
		{"two renamed columns", models(func() any {
			type letter struct {
				ID   uint
				A, B string `gorm:"serializer:encrypted"`
			}
			return &letter{}
		}()), models(func() any {
			type letter struct {
				ID   uint
				C, D string `gorm:"serializer:encrypted"`
			}
			return &letter{}
		}()), []string{"letters.a: no model has this encrypted column any more; if it was renamed or moved,", "letters.b: no model has this encrypted column any more; if it was renamed or moved,"}},
		{"a column that is bound to what was there", models(func() any {
			type letter struct {
				ID   uint
				A    string
				B    string `gorm:"primaryKey"`
				Text string `gorm:"serializer:encrypted" encrypt:"bind=A"`
			}
			return &letter{}
		}()), models(func() any {
			type letter struct {
				ID   uint
				B    string `gorm:"primaryKey"`
				Text string `gorm:"serializer:encrypted" encrypt:"bind=B"`
			}
			return &letter{}
		}()), []string{"bound to a (text), and do not open bound to b (text)"}},
		{"a mark that is gone", models(customer()), models(func() any {
			type customer struct {
				ID         uint
				Account    string
				Email      string `gorm:"serializer:encrypted"`
				EmailIndex index  `encrypt:"of=Email,normalize=email"`
				Note       []byte
				Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
				TaxID      int64  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
			}
			return &customer{}
		}()), []string{"customers.note: it is not encrypted any more, so that its ciphertext would be taken for plaintext; mark it with serializer:encrypted again; if it is to be plaintext again, deploy it with migrating=write, and then migrating=read, first"}},
		{"an index of columns of which one is new", models(func() any {
			type letter struct {
				ID   uint
				Text string `gorm:"serializer:encrypted"`
			}
			return &letter{}
		}()), models(func() any {
			type letter struct {
				ID    uint
				Text  string `gorm:"serializer:encrypted"`
				Head  string `gorm:"serializer:encrypted"`
				Both  index  `encrypt:"of=Text+Head"`
				Heads index  `encrypt:"of=Head"`
				Texts index  `encrypt:"of=Text,migrating=write"`
			}
			return &letter{}
		}()), []string{"letters.texts: the blind index is new and migrating=write, and programs of the last deployment do not write its terms; deploy it with migrating=read first"}},
		{"a new column that is migrating=write", models(customer()), models(customer(), func() any {
			type order struct {
				ID   uint
				Note string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
			}
			return &order{}
		}()), []string{"orders.note: it is migrating=write, and programs of the last deployment take its ciphertext for plaintext; deploy it with migrating=read first; or, if the column is new and empty, leave migrating= out"}},
		{"a renamed column that is migrating=write", models(func() any {
			type letter struct {
				ID   uint
				Text string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
			}
			return &letter{}
		}()), models(func() any {
			type letter struct {
				ID   uint
				Body string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
			}
			return &letter{}
		}()), []string{"if it was renamed to letters.body, add context=letters.text to the encrypt tag of that; if it is to be plaintext again, deploy it with migrating=read first;"}},
		{"tables of a schema", models(&inSchema{}), models(&inOtherSchema{}), []string{"app.letters.text: no model has this encrypted column any more; if it was renamed to mail.letters.text, add context=app.letters.text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := migrations.Check(deployed(t, use(t, nil, gormcrypt.Config{Models: c.before})), c.today...)
			var found []error
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				found = joined.Unwrap()
			}
			if len(found) != len(c.want) || (err == nil) != (len(c.want) == 0) {
				t.Fatalf("%v\nwant %d findings", err, len(c.want))
			}
			for i, want := range c.want {
				var change *migrations.Change
				if !errors.As(found[i], &change) || !errors.Is(found[i], migrations.ErrOrphans) || !strings.Contains(found[i].Error(), want) {
					t.Errorf("%v\nwant %s", found[i], want)
				}
			}
		})
	}
}

type inSchema struct {
	ID   uint
	Text string `gorm:"serializer:encrypted"`
}

type inOtherSchema inSchema

func (inSchema) TableName() string      { return "app.letters" }
func (inOtherSchema) TableName() string { return "mail.letters" }

type letter struct {
	ID        uint
	Text      string `gorm:"serializer:encrypted"`
	TextIndex index  `encrypt:"of=Text,normalize=soundex"`
}

// A program that adds names or functions has to give its *gorm.DB, unless the manifest
// has them.
func TestCheckOfProgramsThatAdd(t *testing.T) {
	t.Parallel()
	config := gormcrypt.Config{Models: models(&letter{}), Normalizations: map[string]func(string) string{"soundex": strings.ToUpper}}
	if err := migrations.Check(deployed(t, use(t, nil, config)), &letter{}); err != nil {
		t.Errorf("a function that is in the manifest: %v", err)
	}
	var refused *gormcrypt.ModelError
	err := migrations.Check(deployed(t, use(t, nil, gormcrypt.Config{Models: models(customer())})), &letter{})
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "soundex") || !strings.Contains(err.Error(), "migrations.CheckDB") || errors.Is(err, migrations.ErrOrphans) {
		t.Errorf("a function that is not: %v", err)
	}

	naming := schema.NamingStrategy{TablePrefix: "app_"}
	db := use(t, naming, config)
	m := deployed(t, db)
	if err := migrations.CheckDB(m, db); err != nil {
		t.Errorf("with the names of the program: %v", err)
	}
	if err := migrations.Check(m, &letter{}); !errors.Is(err, migrations.ErrOrphans) {
		t.Errorf("without: %v", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	db, err := gorm.Open(tests.DummyDialector{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{Format: manifest.Format}
	if err := migrations.CheckDB(m, db); !errors.Is(err, gormcrypt.ErrNoPlugin) {
		t.Errorf("without the plugin: %v", err)
	}
	if err := migrations.Check(manifest.Manifest{}, customer()); err == nil || !strings.Contains(err.Error(), "format 0") {
		t.Errorf("no manifest: %v", err)
	}
	if err := migrations.Check(m); err == nil || errors.Is(err, migrations.ErrOrphans) {
		t.Errorf("no models: %v", err)
	}
}
