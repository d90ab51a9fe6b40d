//go:build cgo

package gormcrypt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

type Customer struct {
	ID        uint
	AccountID string
	Email     string  `gorm:"serializer:encrypted"`
	Phone     *string `gorm:"serializer:encrypted"`
	Salary    int64   `gorm:"serializer:encrypted;type:text"`
	APIKey    encryptedtype.EncryptedString
	Payout    string `gorm:"serializer:encrypted" encrypt:"bind=AccountID"`
}

// openExample opens an empty SQLite database with the plugin, and with keys of its
// own if it is given none.
func openExample(keys *keyring.Keyring, models ...any) (*gorm.DB, func()) {
	if keys == nil {
		var err error
		if keys, err = keyring.Generate(); err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		panic(err)
	}
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
		panic(err)
	}
	if err := db.AutoMigrate(models...); err != nil {
		panic(err)
	}
	return db, func() {
		if pool, err := db.DB(); err == nil {
			pool.Close()
		}
		os.RemoveAll(dir)
	}
}

func Example() {
	keys, err := keyring.Generate() // later: keyring.FromEnv, or keyring.FromFile
	if err != nil {
		fmt.Println(err)
		return
	}
	db, closeDB := openExample(keys, &Customer{})
	defer closeDB()

	// Plain values go in and come out, in structs and in maps.
	customer := Customer{AccountID: "a1", Email: "ada@example.org", APIKey: encryptedtype.NewEncryptedString("sk_live_42")}
	if err := db.Create(&customer).Error; err != nil {
		fmt.Println(err)
		return
	}
	if err := db.Model(&customer).Updates(map[string]any{"phone": "+44 20 7946 0000"}).Error; err != nil {
		fmt.Println(err)
		return
	}
	var read Customer
	if err := db.First(&read, customer.ID).Error; err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(read.Email, *read.Phone)
	fmt.Println(read.APIKey, read.APIKey.Reveal())

	// The database holds ciphertext, which names its key version.
	var stored string
	db.Raw("SELECT email FROM customers").Row().Scan(&stored)
	fmt.Println(stored[:6], strings.Contains(stored, "ada"))
	// Output:
	// ada@example.org +44 20 7946 0000
	// [encrypted] sk_live_42
	// gc1:1: false
}

// Keys rotate while the application runs: the new version seals from now on,
// and each value opens under the version that it names.
func ExamplePlugin_SetKeys() {
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	db, closeDB := openExample(keys, &Customer{})
	defer closeDB()
	db.Create(&Customer{AccountID: "a1", Email: "before@example.org"})

	next, version, err := keys.Add(keyring.DataKeys)
	if err != nil {
		fmt.Println(err)
		return
	}
	if next, err = next.Promote(version); err != nil {
		fmt.Println(err)
		return
	}
	crypt := db.Plugins["gormcrypt"].(*gormcrypt.Plugin)
	if err := crypt.SetKeys(db.Statement.Context, next); err != nil {
		fmt.Println(err)
		return
	}
	db.Create(&Customer{AccountID: "a1", Email: "after@example.org"})

	var customers []Customer
	db.Order("id").Find(&customers)
	for _, customer := range customers {
		var stored string
		db.Raw("SELECT email FROM customers WHERE id = ?", customer.ID).Row().Scan(&stored)
		fmt.Println(stored[:6], customer.Email)
	}
	// Output:
	// gc1:1: before@example.org
	// gc1:2: after@example.org
}

// A value that does not open is an error that says which one, never an empty
// field.
func ExampleError() {
	db, closeDB := openExample(nil, &Customer{})
	defer closeDB()
	db.Create([]Customer{
		{AccountID: "a1", Email: "ada@example.org", Payout: "DE02 1203"},
		{AccountID: "b2", Email: "bob@example.org", Payout: "GB29 NWBK"},
	})

	// Somebody with access to the database has Bob's payouts go to Ada. Through
	// the plugin that would be refused.
	pool, err := db.DB()
	if err != nil {
		fmt.Println(err)
		return
	}
	pool.Exec("UPDATE customers SET payout = (SELECT payout FROM customers WHERE account_id = 'a1')")

	var bob Customer
	err = db.First(&bob, "account_id = ?", "b2").Error
	var detail *gormcrypt.Error
	fmt.Println(errors.Is(err, gormcrypt.ErrAuthentication), errors.As(err, &detail))
	fmt.Println(detail.Table, detail.Column, detail.Version)
	fmt.Printf("%q\n", bob.Payout)
	// Output:
	// true true
	// customers payout 1
	// ""
}

// SQL cannot make ciphertext, so an expression as the new value is refused
// before anything is sent, and so is a condition that would find nothing.
func ExampleErrExpression() {
	db, closeDB := openExample(nil, &Customer{})
	defer closeDB()
	err := db.Model(&Customer{ID: 1}).Update("salary", gorm.Expr("salary + ?", 100)).Error
	fmt.Println(errors.Is(err, gormcrypt.ErrExpression))
	err = db.Where("email = ?", "ada@example.org").First(&Customer{}).Error
	fmt.Println(errors.Is(err, gormcrypt.ErrNotQueryable))
	err = db.Clauses(clause.Eq{Column: "phone", Value: nil}).Find(&[]Customer{}).Error
	fmt.Println(err)
	// Output:
	// true
	// true
	// <nil>
}

// A model that cannot be encrypted as it is declared is refused when the plugin
// is registered.
func ExampleModelError() {
	type Employee struct {
		ID     uint
		Salary int64 `gorm:"serializer:encrypted"`
	}
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&Employee{}}})))
	// Output:
	// gormcrypt: gormcrypt_test.Employee.Salary: its column has the type int, which cannot hold ciphertext; add type:text to its gorm tag
}

// Results open wherever they go: maps have values of the fields' types.
func ExamplePlugin_results() {
	db, closeDB := openExample(nil, &Customer{})
	defer closeDB()
	db.Create(&Customer{AccountID: "a1", Email: "ada@example.org"})

	row := map[string]any{}
	db.Model(&Customer{}).Select("account_id", "email").Take(&row)
	fmt.Println(row)

	var emails []string
	db.Model(&Customer{}).Pluck("email", &emails)
	fmt.Println(emails)

	var contact struct{ Address string }
	db.Raw("SELECT email AS address FROM customers").Scan(&contact)
	fmt.Println(contact.Address)

	err := db.Raw("SELECT lower(email) FROM customers").Scan(&emails).Error
	fmt.Println(errors.Is(err, gormcrypt.ErrNotQueryable))
	// Output:
	// map[account_id:a1 email:ada@example.org]
	// [ada@example.org]
	// ada@example.org
	// true
}

type Subscriber struct {
	ID          uint
	Email       string                   `gorm:"serializer:encrypted"`
	EmailIndex  encryptedtype.BlindIndex `gorm:"uniqueIndex" encrypt:"of=Email,normalize=email"`
	EmailDomain encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=domain"`
	First, Last string                   `gorm:"serializer:encrypted"`
	NameIndex   encryptedtype.BlindIndex `gorm:"index" encrypt:"of=First+Last,normalize=lower"`
}

// A field with a blind index is searched as if it was not encrypted: conditions
// on it become conditions on its index. An index of a part of it, or of two
// fields, is named itself.
func Example_blindIndex() {
	db, closeDB := openExample(nil, &Subscriber{})
	defer closeDB()
	db.Create([]Subscriber{
		{Email: "Ada@Example.org", First: "Ada", Last: "King"},
		{Email: "bob@example.org", First: "Bob", Last: "Noyce"},
		{Email: "cyd@example.com", First: "Cyd", Last: "King"},
	})

	var found Subscriber
	err := db.Where("email = ?", "ada@example.org").First(&found).Error
	fmt.Println(found.Email, err)

	var several []Subscriber
	db.Where("email IN ?", []string{"bob@example.org", "CYD@example.com"}).Order("id").Find(&several)
	fmt.Println(several[0].First, several[1].First)

	var n int64
	db.Model(&Subscriber{}).Where("email_domain = ?", "@example.org").Count(&n)
	fmt.Println(n, "at example.org")

	var cyd Subscriber
	err = db.Where("name_index = (?, ?)", "cyd", "king").First(&cyd).Error
	fmt.Println(cyd.Email, err)

	err = db.Create(&Subscriber{Email: "ADA@example.org"}).Error
	fmt.Println("twice:", err)

	err = db.Where("email LIKE ?", "ada%").First(&found).Error
	fmt.Println(errors.Is(err, gormcrypt.ErrNotQueryable))
	// Output:
	// Ada@Example.org <nil>
	// Bob Cyd
	// 2 at example.org
	// cyd@example.com <nil>
	// twice: UNIQUE constraint failed: subscribers.email_index
	// true
}

// What a dry run shows is what is sent: the term, not the address.
func Example_blindIndexSQL() {
	db, closeDB := openExample(nil, &Subscriber{})
	defer closeDB()
	statement := db.Session(&gorm.Session{DryRun: true}).Where("email = ?", "ada@example.org").Find(&[]Subscriber{}).Statement
	fmt.Println(statement.SQL.String())
	fmt.Println(fmt.Sprint(statement.Vars[0])[:3], len(fmt.Sprint(statement.Vars[0])))
	// Output:
	// SELECT * FROM `subscribers` WHERE email_index = ?
	// i1: 25
}

type Visit struct {
	ID        uint
	Ward      string                   `gorm:"serializer:encrypted"`
	WardIndex encryptedtype.BlindIndex `encrypt:"of=Ward"`
}

// Whoever reads the database sees how often each term occurs. Here that is as
// good as the names of the wards, though no key is known.
func ExampleAnalyzeIndex() {
	db, closeDB := openExample(nil, &Visit{})
	defer closeDB()
	var visits []Visit
	for ward, n := range map[string]int{"emergency": 480, "surgery": 300, "maternity": 120, "oncology": 60, "burns": 20, "sleep": 20} {
		for range n {
			visits = append(visits, Visit{Ward: ward})
		}
	}
	db.CreateInBatches(visits, 200)

	report, err := gormcrypt.AnalyzeIndex(context.Background(), db, &Visit{}, "WardIndex")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report)
	// Output:
	// visits.ward_index: 1000 rows, of which 0 are NULL
	//
	// key version                          rows        share        terms
	// i1                                   1000     100.00 %            6
	//
	// the most frequent terms
	//                            1      48.00 % ##################
	//                            2      30.00 % ###########
	//                            3      12.00 % #####
	//                            4       6.00 % ###
	//                            5       2.00 % #
	//                            6       2.00 % #
	//
	// Shannon entropy                      1.87 bits, of 2.58 at most
	// min-entropy                          1.06 bits
	// known with 1 guess                48.00 % of the rows
	// known with 10 guesses            100.00 % of the rows
	// known by rank of frequency        98.00 % of the rows
}

// Hand-written SQL is sealed where it can be read. Seal makes the argument for a
// statement that cannot.
func ExampleSeal() {
	db, closeDB := openExample(nil, &Customer{})
	defer closeDB()
	db.Create(&Customer{AccountID: "a1", Email: "old@example.org"})

	err := db.Exec("UPDATE customers SET email = ? WHERE account_id = ?", "new@example.org", "a1").Error
	fmt.Println("sealed:", err)

	err = db.Exec("UPDATE customers SET (email, phone) = (?, ?)", "new@example.org", nil).Error
	fmt.Println("refused:", errors.Is(err, gormcrypt.ErrHandWritten))

	email, err := gormcrypt.Seal(db, &Customer{}, "Email", "newer@example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = db.Exec("UPDATE customers SET (email, phone) = (?, NULL)", email).Error
	var read Customer
	db.First(&read)
	fmt.Println("sealed by hand:", err, read.Email)
	// Output:
	// sealed: <nil>
	// refused: true
	// sealed by hand: <nil> newer@example.org
}
