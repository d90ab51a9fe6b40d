package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The deployments of customers, of which Email is migrated.
type (
	plainCustomer struct {
		ID    int64
		Email *string
		Name  string
	}
	readingCustomer struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
		Name       string
	}
	writingCustomer struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
		Name       string
	}
	settledCustomer struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
		Name       string
	}
)

func (plainCustomer) TableName() string   { return "customers" }
func (readingCustomer) TableName() string { return "customers" }
func (writingCustomer) TableName() string { return "customers" }
func (settledCustomer) TableName() string { return "customers" }

// customers has a database with a table of customers, and opens it as each deployment
// does.
type customers struct {
	testing.TB
	where testdb.Database
	keys  *keyring.Keyring
	plain *gorm.DB
	pool  *sql.DB
	// indexed says that the plaintext has an index, and so no long texts.
	indexed bool
}

func newCustomers(t testing.TB, where testdb.Database) customers {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := customers{TB: t, where: where, keys: keys, plain: where.Open(t, nil), pool: where.Plain(t)}
	if err := c.plain.AutoMigrate(&plainCustomer{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens the database as a program with a model.
func (c customers) open(model any) *gorm.DB {
	c.Helper()
	return open(c, c.where, c.keys, model)
}

func open(t testing.TB, where testdb.Database, keys *keyring.Keyring, models ...any) *gorm.DB {
	t.Helper()
	db := where.Open(t, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
		t.Fatal(err)
	}
	return db
}

// as returns the migration, in a program with a model.
func (c customers) as(model any) *migrations.Migration {
	c.Helper()
	return column(c, c.open(model), model, "Email")
}

func column(t testing.TB, db *gorm.DB, model any, field string) *migrations.Migration {
	t.Helper()
	m, err := migrations.Column(db, model, field)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fast is a configuration without gentleness.
func fast(deployed migrations.Deployment) migrations.Config {
	return migrations.Config{Deployed: deployed, ShardRows: 500, Workers: 2, Limits: rotation.Limits{Duty: 1}}
}

// ugly are texts that a column may hold.
func ugly(where testdb.Database) []string {
	all := []string{
		"", " ", "NULL", "gc1:", "gc1:1:", "gc1:1:AAAA", "gc1:1:with spaces, and long enough to be one of ours, if it had none",
		"gc1:i1:" + strings.Repeat("A", 60), "gc2:1:AbCd", "i1:Zt0", "\u00e4\U0001f512\u0301", "it's \"; DROP TABLE customers --", "null", "{}", "[encrypted]", strings.Repeat("long ", 1<<20/5),
	}
	if where.Name == "sqlite" {
		all = append(all, "\xff\xfe not UTF-8", "a\x00b")
	}
	return all
}

// hasIndex reports whether the database has an index.
func (c customers) hasIndex(name string) bool {
	c.Helper()
	if c.where.Name == "sqlite" {
		return c.count("SELECT count(*) FROM sqlite_master WHERE name = '"+name+"'") > 0
	}
	return c.count("SELECT count(*) FROM pg_class WHERE relname = '"+name+"' AND relnamespace = current_schema()::regnamespace") > 0
}

// fill writes customers as the program without the tag does: the first with every
// kind of text and with NULL. It returns what each has.
func (c customers) fill(rows int) map[int64]*string {
	c.Helper()
	special := ugly(c.where)
	if c.indexed {
		special = slices.DeleteFunc(special, func(text string) bool { return len(text) > 1000 })
		execute(c, c.where, "CREATE INDEX by_email ON customers (email)")
	}
	return c.fillWith(special, rows)
}

func (c customers) fillWith(special []string, rows int) map[int64]*string {
	c.Helper()
	want := map[int64]*string{}
	var all []plainCustomer
	for i := range rows {
		text := fmt.Sprintf("Customer%d@Example.org", i)
		if i < len(special) {
			text = special[i]
		}
		email := &text
		if i == len(special) {
			email = nil
		}
		all = append(all, plainCustomer{ID: int64(i + 1), Email: email, Name: "n"})
		want[int64(i+1)] = email
	}
	if err := c.plain.CreateInBatches(&all, 200).Error; err != nil {
		c.Fatal(err)
	}
	return want
}

// stored returns a column of the table, by id, as it is in the database.
func (c customers) stored(column string) map[int64]sql.NullString {
	c.Helper()
	rows, err := c.pool.QueryContext(context.Background(), "SELECT id, "+column+" FROM customers")
	if err != nil {
		c.Fatal(err)
	}
	defer rows.Close()
	all := map[int64]sql.NullString{}
	for rows.Next() {
		var id int64
		var value sql.NullString
		if err := rows.Scan(&id, &value); err != nil {
			c.Fatal(err)
		}
		all[id] = value
	}
	if err := rows.Err(); err != nil {
		c.Fatal(err)
	}
	return all
}

// count returns a number from the database.
func (c customers) count(query string) int {
	c.Helper()
	var n int
	if err := c.pool.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		c.Fatal(err)
	}
	return n
}
