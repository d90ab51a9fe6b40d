// Quickstart is an application that keeps its customers' API keys for other
// services. It writes and reads them as plain Go values, shows what the
// database really holds, rotates the key, and ends by searching everything that
// it left on disk for every secret it wrote.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -dsn postgres://user@localhost/database
//	GORMCRYPT_VAULT_TOKEN=$(vault read -wrap-ttl=60s -field=wrapping_token secret/data/gormcrypt) \
//		go run ./examples/quickstart -keys vault -vault-path secret/data/gormcrypt
//
// It exits with 3 when the one-time token from Vault was not valid, which is a
// security event, with 4 when nobody knows whether it was, and with 1 for every
// other error. Build it to see that: go run itself always exits with 1.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/brianvoe/gofakeit/v7"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // an SQLite that needs no C compiler

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Customer is what the application works with. Company and Plan are plain
// columns; the rest is encrypted.
type Customer struct {
	ID      uint
	Company string `gorm:"unique"`
	Plan    string
	Email   string  `gorm:"serializer:encrypted"`
	Phone   *string `gorm:"serializer:encrypted"`
	Credit  int64   `gorm:"serializer:encrypted;type:text"`
	Payout  string  `gorm:"serializer:encrypted" encrypt:"bind=Company"` // opens in its own row only
	APIKey  encryptedtype.EncryptedString
}

// TableName keeps clear of other tables, when the database is not ours.
func (Customer) TableName() string { return "gormcrypt_quickstart_customers" }

func main() {
	dsn := flag.String("dsn", "", "run on this PostgreSQL database, in a table of its own, instead of an SQLite file")
	rows := flag.Int("rows", 300, "number of customers")
	keep := flag.Bool("keep", false, "leave the files, and the table in PostgreSQL, behind to look at")
	from := keysFrom{}
	flag.StringVar(&from.kind, "keys", "generate", "where the keys come from: generate, or vault for a one-time token in "+tokenVariable)
	flag.StringVar(&from.vaultPath, "vault-path", "secret/data/gormcrypt", "with -keys vault, the path that the token must have been made by")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, from, *dsn, *rows, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(exitCode(err))
	}
}

func run(ctx context.Context, out io.Writer, from keysFrom, dsn string, rows int, keep bool) (err error) {
	if rows < 10 {
		return errors.New("-rows must be 10 at least")
	}
	dir, err := os.MkdirTemp("", "gormcrypt-quickstart-")
	if err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	a := &app{out: out, dir: dir, ctx: ctx, keep: keep, from: from}
	defer func() { err = errors.Join(err, a.close()) }()
	for _, step := range []func() error{
		func() error { return a.open(dsn) },
		func() error { return a.create(rows) },
		a.show, a.update, a.upsert, a.readBack, a.rotate, a.search,
	} {
		if err := errors.Join(ctx.Err(), step()); err != nil {
			return err
		}
	}
	if keep {
		fmt.Fprintln(out, "\nThe files are in", dir)
	}
	return nil
}

type app struct {
	ctx   context.Context
	out   io.Writer
	dir   string
	keep  bool
	db    *gorm.DB
	raw   *sql.DB // the same database, past GORM and the plugin
	crypt *gormcrypt.Plugin
	log   *os.File
	from  keysFrom
	keys  string // the keyring's file, when the keys are generated

	want    map[string]Customer // by company: what the application last wrote
	secrets map[string]bool     // every plaintext that it ever wrote
}

// open opens the database, with the plugin and a log of everything.
func (a *app) open(dsn string) (err error) {
	a.want, a.secrets = map[string]Customer{}, map[string]bool{}
	a.keys = filepath.Join(a.dir, "keys.json")
	keys, err := a.loadKeys()
	if err != nil {
		return err
	}
	if a.log, err = os.Create(filepath.Join(a.dir, "app.log")); err != nil {
		return err
	}
	where, dialector := "an SQLite file", sqlite.New(sqlite.Config{
		DriverName: "sqlite", DSN: "file:" + filepath.Join(a.dir, "app.db") + "?_pragma=journal_mode(WAL)",
	})
	if dsn != "" {
		where, dialector = "PostgreSQL", postgres.Open(dsn)
	}
	a.db, err = gorm.Open(dialector, &gorm.Config{
		Logger: logger.New(log.New(a.log, "", log.LstdFlags), logger.Config{LogLevel: logger.Info}),
	})
	if err != nil {
		return err
	}
	a.db = a.db.WithContext(a.ctx)
	if a.raw, err = a.db.DB(); err != nil {
		return err
	}

	// This is all there is to set up.
	a.crypt = gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&Customer{}}})
	if err := a.db.Use(a.crypt); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Customers and their API keys, in %s.\n", where)
	return errors.Join(a.db.Migrator().DropTable(&Customer{}), a.db.AutoMigrate(&Customer{}))
}

// remember notes what a customer should be read as, and what must never show.
func (a *app) remember(c Customer) {
	a.want[c.Company] = c
	for _, secret := range []string{c.Email, c.Payout, c.APIKey.Reveal(), fmt.Sprint(c.Credit)} {
		a.secrets[secret] = true
	}
	if c.Phone != nil {
		a.secrets[*c.Phone] = true
	}
}

func (a *app) create(rows int) error {
	fake := gofakeit.New(0)
	customers := make([]Customer, rows)
	for i := range customers {
		customers[i] = Customer{
			Company: fmt.Sprintf("%s %d", fake.Company(), i+1),
			Plan:    fake.RandomString([]string{"free", "team", "enterprise"}),
			Email:   fake.Email(),
			Credit:  100_000_000_000 + int64(fake.Number(0, 1_000_000_000)),
			Payout:  "DE" + fake.Numerify("####################"),
			APIKey:  encryptedtype.NewEncryptedString("sk_live_" + fake.Password(true, true, true, false, false, 32)),
		}
		if i%4 > 0 { // some have no phone, which stays NULL
			phone := "+" + fake.Numerify("## ### #### ####")
			customers[i].Phone = &phone
		}
		a.remember(customers[i])
	}
	fmt.Fprintf(a.out, "\nCreated %d customers.\n", rows)
	return a.db.CreateInBatches(&customers, 100).Error
}

// show prints what the database holds beside what the application sees.
func (a *app) show() error {
	var customers []Customer
	if err := a.db.Order("id").Limit(2).Find(&customers).Error; err != nil {
		return err
	}
	for _, c := range customers {
		fmt.Fprintf(a.out, "\n%-10s %-36s %s\n", "", "the application sees", "the database holds")
		held := map[string]any{}
		rows, err := a.raw.QueryContext(a.ctx, fmt.Sprintf("SELECT company, plan, email, phone, credit, payout, api_key FROM %s WHERE id = %d", c.TableName(), c.ID))
		if err != nil {
			return err
		}
		columns, values := []string{"company", "plan", "email", "phone", "credit", "payout", "api_key"}, make([]sql.NullString, 7)
		for rows.Next() {
			if err := rows.Scan(&values[0], &values[1], &values[2], &values[3], &values[4], &values[5], &values[6]); err != nil {
				return err
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for i, column := range columns {
			held[column] = "NULL"
			if values[i].Valid {
				held[column] = shorten(values[i].String)
			}
		}
		phone := "nil"
		if c.Phone != nil {
			phone = *c.Phone
		}
		for _, line := range [][2]string{
			{"company", c.Company}, {"plan", c.Plan}, {"email", c.Email}, {"phone", phone},
			{"credit", fmt.Sprint(c.Credit)}, {"payout", c.Payout}, {"api_key", c.APIKey.Reveal()},
		} {
			fmt.Fprintf(a.out, "%-10s %-36.36s %s\n", line[0], line[1], held[line[0]])
		}
		fmt.Fprintf(a.out, "%-10s %-36v (printed with %%v, and so in every log)\n", "api_key", c.APIKey)
	}
	return nil
}

func shorten(s string) string {
	if len(s) <= 48 {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", s[:32], len(s))
}

// update changes values in the two ways that leak elsewhere: by a map, and by
// column name.
func (a *app) update() error {
	var c Customer
	if err := a.db.Order("id").First(&c).Error; err != nil {
		return err
	}
	c.Email, c.APIKey = "new-owner@example.org", encryptedtype.NewEncryptedString("sk_live_rotated-by-the-customer")
	a.remember(c)
	if err := a.db.Model(&c).Updates(map[string]any{"email": c.Email, "api_key": "sk_live_rotated-by-the-customer"}).Error; err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nUpdated %s by a map.\n", c.Company)
	return nil
}

func (a *app) upsert() error {
	var c Customer
	if err := a.db.Order("id").Offset(1).First(&c).Error; err != nil {
		return err
	}
	c.Credit, c.Payout = 987_654_321_098, "DE00 upserted with its row"
	a.remember(c)
	again := c
	again.ID = 0
	fmt.Fprintf(a.out, "Upserted %s, on conflict with its company.\n", c.Company)
	return a.db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "company"}},
		DoUpdates: clause.AssignmentColumns([]string{"credit", "payout"}),
	}).Create(&again).Error
}

// readBack compares every customer with what was written.
func (a *app) readBack() error {
	var customers []Customer
	if err := a.db.Find(&customers).Error; err != nil {
		return err
	}
	if len(customers) != len(a.want) {
		return fmt.Errorf("read %d customers, want %d", len(customers), len(a.want))
	}
	for _, c := range customers {
		want := a.want[c.Company]
		samePhone := c.Phone == nil && want.Phone == nil || c.Phone != nil && want.Phone != nil && *c.Phone == *want.Phone
		if c.Email != want.Email || !samePhone || c.Credit != want.Credit || c.Payout != want.Payout || !c.APIKey.Equal(want.APIKey) {
			return fmt.Errorf("customer %d was read as something else than was written", c.ID)
		}
	}
	fmt.Fprintf(a.out, "Read %d customers back: all as written.\n", len(customers))
	return nil
}

// rotate adds a key version while the application runs. What is written from
// now on is sealed under it; what is there stays readable.
func (a *app) rotate() error {
	if a.from.kind == "vault" {
		fmt.Fprintln(a.out, "\nNo rotation here: this keyring is Vault's. Whoever may write it there adds a version, and it comes with the next token.")
		return nil
	}
	keys, version, err := a.crypt.Cipher().Keys().Add(keyring.DataKeys)
	if err != nil {
		return err
	}
	if keys, err = keys.Promote(version); err != nil {
		return err
	}
	if err := keyring.WriteFile(a.keys, keys); err != nil {
		return err
	}
	if err := a.crypt.SetKeys(a.ctx, keyring.File(a.keys)); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nAdded key version %s. The keyring is now %v.\n", version, keys)

	var customers []Customer
	if err := a.db.Order("id").Limit(len(a.want) / 3).Find(&customers).Error; err != nil {
		return err
	}
	if err := a.db.Save(&customers).Error; err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Saved %d customers again. In the database, by the prefix of their API keys:\n", len(customers))
	rows, err := a.raw.QueryContext(a.ctx, "SELECT substr(api_key, 1, 6), count(*) FROM "+Customer{}.TableName()+" GROUP BY 1 ORDER BY 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var prefix string
		var count int
		if err := rows.Scan(&prefix, &count); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "  %s %5d\n", prefix, count)
	}
	return errors.Join(rows.Err(), a.readBack())
}

// search looks for every secret in everything that was written.
func (a *app) search() error {
	places, err := a.places()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nSearching for the %d secrets that were written, in\n", len(a.secrets))
	secrets, companies := 0, 0
	for _, place := range places {
		fmt.Fprintf(a.out, "  %-38s %9d bytes\n", place.name, len(place.content))
		for secret := range a.secrets {
			secrets += bytes.Count(place.content, []byte(secret))
		}
		for company := range a.want {
			companies += bytes.Count(place.content, []byte(company))
		}
	}
	fmt.Fprintf(a.out, "Company names, which are not encrypted, found: %d\n", companies)
	fmt.Fprintf(a.out, "Secrets found: %d\n", secrets)
	if secrets > 0 {
		return errors.New("a secret leaked")
	}
	if companies < len(a.want) {
		return errors.New("the search does not even find what is not encrypted")
	}
	return nil
}

type place struct {
	name    string
	content []byte
}

// places returns the contents of the files of the database and of the log. In
// PostgreSQL, whose files are not ours to read, it is the text of every row.
func (a *app) places() ([]place, error) {
	paths := []string{a.log.Name()}
	var places []place
	if a.db.Name() == "postgres" {
		rows, err := a.textOfRows()
		if err != nil {
			return nil, err
		}
		places = append(places, place{"every row of the table, as text", []byte(strings.Join(rows, "\n"))})
	} else {
		files, err := filepath.Glob(filepath.Join(a.dir, "app.db*"))
		if err != nil {
			return nil, err
		}
		paths = append(files, paths...)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		places = append(places, place{filepath.Base(path), content})
	}
	return places, nil
}

// textOfRows returns what the database holds, past GORM and the plugin.
func (a *app) textOfRows() ([]string, error) {
	pool, err := a.db.DB()
	if err != nil {
		return nil, err
	}
	result, err := pool.Query("SELECT c::text FROM " + Customer{}.TableName() + " c")
	if err != nil {
		return nil, err
	}
	defer result.Close()
	var rows []string
	for result.Next() {
		var row string
		if err := result.Scan(&row); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, result.Err()
}

func (a *app) close() error {
	var errs []error
	if a.crypt != nil && a.db.Name() == "postgres" && !a.keep {
		errs = append(errs, a.db.WithContext(context.Background()).Migrator().DropTable(&Customer{}))
	}
	if a.raw != nil {
		errs = append(errs, a.raw.Close())
	}
	if a.log != nil {
		errs = append(errs, a.log.Close())
	}
	return errors.Join(errs...)
}
