package migrations_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// The deployments of clients, whose names are encrypted already, and are to be searched.
type (
	sealedClient struct {
		ID    int64
		Email *string `gorm:"serializer:encrypted"`
		Name  string
	}
	readingClient struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower,migrating=read"`
		Name       string
	}
	writingClient struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower,migrating=write"`
		Name       string
	}
	settledClient struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
		Name       string
	}
)

func (sealedClient) TableName() string  { return "clients" }
func (readingClient) TableName() string { return "clients" }
func (writingClient) TableName() string { return "clients" }
func (settledClient) TableName() string { return "clients" }

// fillClients makes a table of clients, with their addresses sealed.
func (c customers) fillClients() map[int64]*string {
	c.Helper()
	db := c.open(&sealedClient{})
	if err := db.AutoMigrate(&sealedClient{}); err != nil {
		c.Fatal(err)
	}
	want := map[int64]*string{}
	for i, text := range ugly(c.where) {
		if len(text) < 1000 {
			want[int64(i+1)] = &text
		}
	}
	for id := int64(100); id < 300; id++ {
		want[id] = numeral(id)
	}
	for id, email := range want {
		if err := db.Create(&sealedClient{ID: id, Email: email, Name: "n"}).Error; err != nil {
			c.Fatal(err)
		}
	}
	return want
}

// clientProgram starts the program of a deployment with clients. Searches by their
// addresses are refused until the index is there.
func (c customers) clientProgram(deployment migrations.Deployment) *program {
	c.Helper()
	value := func(email *string) any { return email }
	var p *program
	var model any
	var opened *gorm.DB
	switch deployment {
	case migrations.Reading:
		model, opened = &readingClient{}, c.open(&readingClient{})
		p = programOf(opened, "email", value, func(c customer) readingClient { return readingClient(c) }, func(p readingClient) customer { return customer(p) })
	case migrations.Writing:
		model, opened = &writingClient{}, c.open(&writingClient{})
		p = programOf(opened, "email", value, func(c customer) writingClient { return writingClient(c) }, func(p writingClient) customer { return customer(p) })
	case migrations.Settled:
		return programOf(c.open(&settledClient{}), "email", value, func(c customer) settledClient { return settledClient(c) }, func(p settledClient) customer { return customer(p) })
	default:
		model, opened = &sealedClient{}, c.open(&sealedClient{}).Session(&gorm.Session{QueryFields: true})
		p = programOf(opened, "email", value, func(c customer) sealedClient { return sealedClient{c.ID, c.Email, c.Name} }, func(p sealedClient) customer { return customer{ID: p.ID, Email: p.Email, Name: p.Name} })
	}
	p.find = func(email string) ([]int64, error) { // is refused, and so not what finds nothing
		err := opened.Model(model).Where("email = ?", email).Pluck("id", &[]int64{}).Error
		if !errors.Is(err, gormcrypt.ErrNotQueryable) {
			return nil, errors.Join(errors.New("a search is not refused"), err)
		}
		var all []int64
		return all, opened.Model(model).Pluck("id", &all).Error
	}
	return p
}

// A new index of encrypted rows is made, and taken away again, under an application
// that reads and writes all the while, and searches when every row has its term.
func TestNewIndexUnderAnApplication(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		c := newCustomers(t, where)
		want := c.fillClients()
		a := c.startWith(c.clientProgram, c.draw, want)
		as := func(model any) *migrations.Migration { return column(t, c.open(model), model, "EmailIndex") }
		must := func(step string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
		}
		must("Expand", as(&readingClient{}).Expand(ctx, fast("")))
		a.roll(migrations.Reading)
		if _, err := as(&writingClient{}).Backfill(ctx, fast(migrations.Reading)); !errors.Is(err, migrations.ErrDeployment) {
			t.Errorf("Backfill beside migrating=read: %v", err)
		}
		a.roll(migrations.Writing)
		_, err := as(&writingClient{}).Backfill(ctx, fast(migrations.Writing))
		must("Backfill", err)
		_, err = as(&writingClient{}).Verify(ctx, fast(""))
		must("Verify", err)
		must("Enforce", as(&writingClient{}).Enforce(ctx, fast(migrations.Writing)))
		a.roll(migrations.Settled)
		must("Finish", as(&settledClient{}).Finish(ctx, fast(migrations.Settled)))
		if n := c.count("SELECT count(*) FROM clients WHERE (email IS NULL) <> (email_index IS NULL) OR substr(email_index, 1, 3) <> 'i1:'"); n > 0 {
			t.Errorf("%d rows do not have their term", n)
		}
		if _, err := c.pool.Exec("UPDATE clients SET email_index = 'x'"); err == nil {
			t.Error("the index takes what is no term")
		}
		// Back: without searches first, then without the index.
		if _, err := as(&settledClient{}).Revert(ctx, fast("")); !errors.Is(err, migrations.ErrDeployment) || !strings.Contains(err.Error(), "WithoutTag") {
			t.Errorf("Revert: %v", err)
		}
		a.roll(migrations.Writing)
		a.roll(migrations.WithoutTag)
		_, err = as(&writingClient{}).Revert(ctx, fast(migrations.WithoutTag))
		must("Revert", err)
		if _, err := c.pool.Exec("SELECT email_index FROM clients"); err == nil {
			t.Error("the column of the index is left")
		}
		last := c.clientProgram(migrations.WithoutTag)
		for id, email := range a.stop() {
			row, err := last.read(id)
			if err != nil || !equal(row.Email, email) {
				t.Fatalf("row %d: %v", id, err)
			}
		}
	})
}
