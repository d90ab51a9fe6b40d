//go:build cgo

package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The model of a table of users in each deployment. In a program it is one struct, that
// is edited three times.
type (
	plainUser struct {
		ID    uint
		Email string
	}
	readingUser struct {
		ID         uint
		Email      string                   `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
	}
	writingUser struct {
		ID         uint
		Email      string                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
	}
	settledUser struct {
		ID         uint
		Email      string                   `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
	}
)

func (plainUser) TableName() string   { return "users" }
func (readingUser) TableName() string { return "users" }
func (writingUser) TableName() string { return "users" }
func (settledUser) TableName() string { return "users" }

// users makes a table with plaintext, and returns what opens its database as a program
// with a model does, and what removes it.
func users() (open func(model any) *gorm.DB, remove func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keyring.Generate()
	if err != nil {
		log.Fatal(err)
	}
	open = func(model any) *gorm.DB {
		db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")), &gorm.Config{Logger: logger.Discard})
		if err == nil && model != nil {
			err = db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{model}}))
		}
		if err != nil {
			log.Fatal(err)
		}
		return db
	}
	db := open(nil)
	err = errors.Join(db.AutoMigrate(&plainUser{}), db.Create([]plainUser{{Email: "Ada@example.org"}, {Email: "bob@example.org"}, {Email: "gc1: is no ciphertext"}}).Error)
	if err != nil {
		log.Fatal(err)
	}
	return open, func() { os.RemoveAll(dir) }
}

func stored(db *gorm.DB) string {
	var email string
	if err := db.Table("users").Select("email").Where("id = 1").Scan(&email).Error; err != nil {
		log.Fatal(err)
	}
	if strings.HasPrefix(email, "gc1:1:") {
		email = "gc1:1:..."
	}
	return email
}

// The whole way and back, deployment by deployment. Each open stands for all programs
// being deployed so, while they go on reading and writing.
func ExampleColumn() {
	open, remove := users()
	defer remove()
	ctx := context.Background()
	quick := rotation.Limits{Duty: 1} // the default leaves applications most of the time
	plain := open(nil)
	show := func(m *migrations.Migration, err error) {
		if err != nil {
			fmt.Println(err)
			return
		}
		state, err := m.State(ctx)
		fmt.Printf("%-11s %v; in the database: %s\n", state, err, stored(plain))
	}

	// The first deployment reads both, and writes plaintext.
	reading := open(&readingUser{})
	m, err := migrations.Column(reading, &readingUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	show(m, m.Expand(ctx, migrations.Config{})) // before it is deployed

	// The second reads both, and writes ciphertext.
	writing := open(&writingUser{})
	m, err = migrations.Column(writing, &writingUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Backfill(ctx, migrations.Config{Deployed: migrations.Writing, Limits: quick})
	show(m, err)
	_, err = m.Verify(ctx, migrations.Config{})
	show(m, err)
	show(m, m.Enforce(ctx, migrations.Config{Deployed: migrations.Writing}))
	err = plain.Exec("UPDATE users SET email = 'ada@example.org' WHERE id = 1").Error
	fmt.Println(strings.Contains(err.Error(), "CHECK constraint failed"))

	// The third knows ciphertext only.
	settled := open(&settledUser{})
	m, err = migrations.Column(settled, &settledUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	show(m, m.Finish(ctx, migrations.Config{Deployed: migrations.Settled}))
	var ada settledUser
	err = settled.Where("email = ?", "ADA@example.org").First(&ada).Error
	fmt.Println(ada.Email, err)

	// Back by the same deployments. Revert says which it waits for.
	_, err = m.Revert(ctx, migrations.Config{})
	fmt.Println(errors.Is(err, migrations.ErrDeployment))
	m, err = migrations.Column(reading, &readingUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Revert(ctx, migrations.Config{Deployed: migrations.Reading, Limits: quick})
	show(m, err)
	_, err = m.Revert(ctx, migrations.Config{Deployed: migrations.WithoutTag})
	show(m, err)
	// Output:
	// expanded    <nil>; in the database: Ada@example.org
	// backfilled  <nil>; in the database: gc1:1:...
	// verified    <nil>; in the database: gc1:1:...
	// enforced    <nil>; in the database: gc1:1:...
	// true
	// finished    <nil>; in the database: gc1:1:...
	// Ada@example.org <nil>
	// true
	// reverted    <nil>; in the database: Ada@example.org
	//             <nil>; in the database: Ada@example.org
}

// Those who run the database migrate it by what the programs have written of
// themselves, one file for each deployment, and have no models.
func ExampleOfManifest() {
	open, remove := users()
	defer remove()
	ctx := context.Background()
	write := func(model any) (file bytes.Buffer) { // a program writes its encrypted.json
		m, err := gormcrypt.Manifest(open(model))
		if err == nil {
			err = m.Write(&file)
		}
		if err != nil {
			log.Fatal(err)
		}
		return file
	}
	reading, writing := write(&readingUser{}), write(&writingUser{})

	keys := open(&readingUser{}).Plugins["gormcrypt"].(*gormcrypt.Plugin).Cipher().Keys() // or keyring.File, keyring.Env
	migration := func(file bytes.Buffer, column string) (*migrations.Migration, error) {
		m, err := manifest.Read(&file)
		if err != nil {
			return nil, err
		}
		return migrations.OfManifest(open(nil), migrations.Source{Manifest: m, Keys: keys}, "users", column)
	}
	_, err := migration(reading, "Email")
	fmt.Println(err)

	m, err := migration(reading, "email")
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Expand(ctx, migrations.Config{}); err != nil {
		log.Fatal(err)
	}
	m, err = migration(writing, "email")
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Backfill(ctx, migrations.Config{})
	var asks *migrations.DeploymentError
	if errors.As(err, &asks) {
		fmt.Printf("%s needs all programs to be %s\n", strings.ToLower(asks.Step), asks.Admitted[0])
	}
	_, err = m.Backfill(ctx, migrations.Config{Deployed: migrations.Writing, Limits: rotation.Limits{Duty: 1}})
	fmt.Println(err, stored(open(nil)))

	all, err := migrations.List(ctx, open(nil))
	for _, known := range all {
		_, next := known.State.Next()
		fmt.Printf("%s.%s is %s, and next is %s\n", known.Table, known.Column, known.State, strings.ToLower(next))
	}
	fmt.Println(err)
	// Output:
	// gormcrypt: the manifest has no encrypted column and no blind index "Email" of the table users; it has email, email_index
	// backfill needs all programs to be migrating=write
	// <nil> gc1:1:...
	// users.email is backfilled, and next is verify
	// <nil>
}

// A program with migrating=read looks at the table before anything is deployed.
func ExampleMigration_Plan() {
	open, remove := users()
	defer remove()
	m, err := migrations.Column(open(&readingUser{}), &readingUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := m.Plan(context.Background(), migrations.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan.Next)
	fmt.Printf("%d rows: %d plaintext, %d of them beginning as ciphertext does, %d ciphertext, %d NULL\n", plan.Rows, plan.Plaintext, plan.Lookalikes, plan.Ciphertext, plan.Nulls)
	for _, step := range plan.Steps {
		step, _, _ = strings.Cut(step, " CONSTRAINT ")
		fmt.Println("-", step)
	}
	fmt.Println("problems:", len(plan.Problems), "warnings:", len(plan.Warnings))
	// Output:
	// nothing was done yet: look at Plan, and run Expand
	// 3 rows: 3 plaintext, 1 of them beginning as ciphertext does, 0 ciphertext, 0 NULL
	// - Expand: ALTER TABLE "users" ADD COLUMN "email_index" text
	// - Expand: CREATE INDEX "main"."idx_users_email_index" ON "users" ("email_index")
	// - Backfill: the values of users.email, by compare and swap
	// - Verify: all rows are read
	// - Enforce: the definition of "users" is given
	// - Enforce: the definition of "users" is given
	// problems: 0 warnings: 0
}

// A column that was encrypted from its first day takes plaintext from what passes the
// plugin by, until it has a constraint.
func ExampleMigration_Enforce_encryptedFromTheFirstDay() {
	open, remove := users()
	defer remove()
	plain, db := open(nil), open(&settledUser{})
	if err := errors.Join(db.Migrator().DropTable(&settledUser{}), db.AutoMigrate(&settledUser{})); err != nil {
		log.Fatal(err)
	}
	byHand := plain.Exec("INSERT INTO users (id, email) VALUES (1, 'eve@example.org')").Error
	fmt.Println(byHand, stored(plain))

	m, err := migrations.Column(db, &settledUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	ctx, config := context.Background(), migrations.Config{Deployed: migrations.Settled}
	err = m.Expand(ctx, config)
	_, backfilled := m.Backfill(ctx, config)
	_, verified := m.Verify(ctx, config)
	err = errors.Join(err, backfilled, verified, m.Enforce(ctx, config), m.Finish(ctx, config))
	fmt.Println(err, stored(plain))

	byHand = plain.Exec("UPDATE users SET email = 'eve@example.org'").Error
	fmt.Println(strings.HasPrefix(byHand.Error(), "CHECK constraint failed"))
	// Output:
	// <nil> eve@example.org
	// <nil> gc1:1:...
	// true
}

// A table that is dropped in the middle of its migration leaves the record of that.
func ExampleForget() {
	open, remove := users()
	defer remove()
	ctx, plain := context.Background(), open(nil)
	m, err := migrations.Column(open(&readingUser{}), &readingUser{}, "Email")
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Expand(ctx, migrations.Config{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(migrations.Forget(ctx, plain, "users", "email"))
	if err := plain.Migrator().DropTable("users"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(migrations.Forget(ctx, plain, "users", "email"))
	// Output:
	// gormcrypt: the table users is there, and its migration of email is expanded; run Revert to go back, which forgets it in the end
	// <nil>
}
