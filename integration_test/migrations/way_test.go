package migrations_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// step is a step of the way there, in the program that runs it.
type step struct {
	name  string
	after migrations.State
	run   func(c customers) error
}

var wayThere = []step{
	{"Expand", migrations.Expanded, func(c customers) error {
		return c.as(&readingCustomer{}).Expand(c.Context(), fast(migrations.WithoutTag))
	}},
	{"Backfill", migrations.Backfilled, func(c customers) error {
		_, err := c.as(&writingCustomer{}).Backfill(c.Context(), fast(migrations.Writing))
		return err
	}},
	{"Verify", migrations.Verified, func(c customers) error {
		_, err := c.as(&writingCustomer{}).Verify(c.Context(), fast(""))
		return err
	}},
	{"Enforce", migrations.Enforced, func(c customers) error {
		return c.as(&writingCustomer{}).Enforce(c.Context(), fast(migrations.Writing))
	}},
	{"Finish", migrations.Finished, func(c customers) error {
		return c.as(&settledCustomer{}).Finish(c.Context(), fast(migrations.Settled))
	}},
}

// requirePlain checks that the column holds what was written, as it was.
func (c customers) requirePlain(want map[int64]*string) {
	c.Helper()
	stored := c.stored("email")
	if len(stored) != len(want) {
		c.Errorf("there are %d rows, want %d", len(stored), len(want))
	}
	for id, email := range want {
		if got := stored[id]; got.Valid != (email != nil) || email != nil && got.String != *email {
			c.Errorf("row %d holds %.60q (%t)", id, got.String, got.Valid)
		}
	}
}

// requireSealed checks that it holds ciphertext, which opens to what was written, and
// is found.
func (c customers) requireSealed(want map[int64]*string) {
	c.Helper()
	terms := c.stored("email_index")
	for id, value := range c.stored("email") {
		if value.Valid && !strings.HasPrefix(value.String, "gc1:1:A") || value.Valid != (want[id] != nil) || terms[id].Valid != value.Valid {
			c.Errorf("row %d holds %.60q, with the term %q", id, value.String, terms[id].String)
		}
	}
	db := c.open(&settledCustomer{})
	var all []settledCustomer
	if err := db.Find(&all).Error; err != nil {
		c.Fatal(err)
	}
	if len(all) != len(want) {
		c.Errorf("there are %d rows, want %d", len(all), len(want))
	}
	for i, customer := range all {
		email := want[customer.ID]
		if (customer.Email == nil) != (email == nil) || email != nil && *customer.Email != *email {
			c.Errorf("row %d opens to something else", customer.ID)
		}
		if email == nil || i%37 > 0 && i > 30 {
			continue
		}
		var found []int64
		if err := db.Model(&settledCustomer{}).Where("email = ?", strings.ToUpper(*email)).Pluck("id", &found).Error; err != nil {
			c.Errorf("row %d: %v", customer.ID, err)
		} else if !slices.Contains(found, customer.ID) && strings.ToValidUTF8(*email, "") == *email {
			c.Errorf("row %d: found %v", customer.ID, found)
		}
	}
}

// The whole way, with values of every kind, and nothing lost.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		want := c.fill(1200)
		for _, step := range wayThere {
			if err := step.run(c); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if state, err := c.as(&settledCustomer{}).State(t.Context()); err != nil || state != step.after {
				t.Fatalf("after %s: %v %v", step.name, state, err)
			}
			if err := step.run(c); err != nil {
				t.Errorf("%s again: %v", step.name, err)
			}
		}
		c.requireSealed(want)
		if !c.hasIndex("idx_customers_email_index") {
			t.Error("the index of the terms is not there")
		}
		// No client can put plaintext there now.
		for _, statement := range []string{
			"UPDATE customers SET email = 'ada@example.org' WHERE id = 20", "INSERT INTO customers (id, email, name) VALUES (5000, 'gc1:', 'n')",
			"UPDATE customers SET email = 'gc1:x:AAAA' WHERE id = 20", "UPDATE customers SET email = '' WHERE id = 20", "UPDATE customers SET email_index = 'ada@example.org' WHERE id = 20",
		} {
			if _, err := c.pool.ExecContext(t.Context(), statement); err == nil || !strings.Contains(strings.ToLower(err.Error()), "check") {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if _, err := c.pool.ExecContext(t.Context(), "UPDATE customers SET email = NULL, email_index = NULL WHERE id = 20"); err != nil {
			t.Error(err)
		}
		if err := c.open(&settledCustomer{}).Model(&settledCustomer{ID: 20}).Update("email", want[20]).Error; err != nil {
			t.Error(err)
		}
		c.requireSealed(want)
	})
}

// back goes back from whatever state, by the deployments that it asks for.
func (c customers) back(want map[int64]*string) {
	c.Helper()
	asked := map[migrations.Deployment]bool{}
	deployed, model := migrations.Deployment(""), any(&settledCustomer{})
	for range 4 {
		_, err := c.as(model).Revert(c.Context(), fast(deployed))
		switch {
		case err == nil:
			if state, err := c.as(model).State(c.Context()); err != nil || state != migrations.None {
				if state == migrations.Reverted && !asked[migrations.WithoutTag] {
					asked[migrations.WithoutTag] = true
					deployed = migrations.WithoutTag
					continue
				}
				c.Fatalf("reverted to %s: %v", state, err)
			}
			c.requirePlain(want)
			return
		case !errors.Is(err, migrations.ErrDeployment):
			c.Fatal(err)
		case strings.Contains(err.Error(), "migrations.Reading"):
			deployed, model = migrations.Reading, &readingCustomer{}
		case strings.Contains(err.Error(), "migrations.WithoutTag"):
			deployed = migrations.WithoutTag
		}
	}
	c.Fatal("it does not end")
}

// Back from each state, and there again.
func TestRevertFromEachState(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for i, last := range wayThere {
			t.Run(string(last.after), func(t *testing.T) {
				t.Parallel()
				where := map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t)
				c := newCustomers(t, where)
				c.indexed = true
				want := c.fill(700)
				for range 2 {
					for _, step := range wayThere[:i+1] {
						if err := step.run(c); err != nil {
							t.Fatalf("%s: %v", step.name, err)
						}
					}
					if c.hasIndex("by_email") != (last.after != migrations.Finished) {
						t.Error("the index of the plaintext is dropped by Finish, and not before")
					}
					c.back(want)
					if _, err := c.pool.ExecContext(t.Context(), "SELECT email_index FROM customers"); err == nil {
						t.Error("the column of the index is still there")
					}
				}
				if !c.hasIndex("by_email") {
					t.Error("the index of the plaintext is gone")
				}
			})
		}
	})
}

// Each step refuses to run before its turn, and says what is missing.
func TestStepsInOrder(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		c.fill(30)
		for i, done := range wayThere {
			for j, other := range wayThere {
				if j <= i { // is its turn, or was
					continue
				}
				var turn *migrations.OrderError
				err := other.run(c)
				if !errors.Is(err, migrations.ErrOrder) || !strings.Contains(err.Error(), "run ") {
					t.Errorf("%s before %s: %v", other.name, done.name, err)
				}
				if !errors.As(err, &turn) || turn.Step != other.name || turn.Column != "customers.email" || i > 0 && turn.State != wayThere[i-1].after {
					t.Errorf("%s before %s: %+v", other.name, done.name, turn)
				}
			}
			if err := done.run(c); err != nil {
				t.Fatalf("%s: %v", done.name, err)
			}
		}
		if err := wayThere[0].run(c); !errors.Is(err, migrations.ErrOrder) {
			t.Errorf("Expand when it is finished: %v", err)
		}
	})
}

// Steps that depend on what is deployed ask for it, and for this program to be that.
func TestStepsAskForDeployments(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		c := newCustomers(t, where)
		want := c.fill(30)
		refused := func(what string, err error, says ...string) {
			t.Helper()
			if !errors.Is(err, migrations.ErrDeployment) {
				t.Errorf("%s: %v", what, err)
			}
			for _, one := range says {
				if err != nil && !strings.Contains(err.Error(), one) {
					t.Errorf("%s: %v, want %q", what, err, one)
				}
			}
		}
		if err := wayThere[0].run(c); err != nil {
			t.Fatal(err)
		}
		for _, deployed := range []migrations.Deployment{"", migrations.WithoutTag, migrations.Reading, migrations.Settled} {
			_, err := c.as(&writingCustomer{}).Backfill(ctx, fast(deployed))
			refused("Backfill", err, "migrations.Writing", "migrating=write")
		}
		_, err := c.as(&readingCustomer{}).Backfill(ctx, fast(migrations.Writing))
		refused("Backfill by a program with migrating=read", err, "migrating=read")
		c.requirePlain(want)
		for _, step := range wayThere[1:3] {
			if err := step.run(c); err != nil {
				t.Fatal(err)
			}
		}
		for _, deployed := range []migrations.Deployment{"", migrations.WithoutTag, migrations.Reading} {
			refused("Enforce", c.as(&writingCustomer{}).Enforce(ctx, fast(deployed)), "migrations.Writing", "migrations.Settled")
		}
		if err := wayThere[3].run(c); err != nil {
			t.Fatal(err)
		}
		for _, deployed := range []migrations.Deployment{"", migrations.WithoutTag, migrations.Reading, migrations.Writing} {
			refused("Finish", c.as(&settledCustomer{}).Finish(ctx, fast(deployed)), "migrations.Settled")
		}
		refused("Finish by a program with migrating=write", c.as(&writingCustomer{}).Finish(ctx, fast(migrations.Settled)), "migrating=write")
		_, err = c.as(&settledCustomer{}).Revert(ctx, fast(""))
		refused("Revert", err, "migrations.Reading", "migrating=read")
		_, err = c.as(&writingCustomer{}).Revert(ctx, fast(migrations.Reading))
		refused("Revert by a program with migrating=write", err, "migrating=read")
		c.requireSealed(want)
		// Not after all.
		if _, err := c.as(&writingCustomer{}).Backfill(ctx, fast(migrations.Writing)); err != nil {
			t.Error(err)
		}
	})
}

// A field that is none, or that the plugin does not know.
func TestColumnsThatCannotBe(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		db := c.open(&readingCustomer{})
		for _, field := range []string{"Name", "Missing", ""} {
			if _, err := migrations.Column(db, &readingCustomer{}, field); !errors.Is(err, gormcrypt.ErrModel) {
				t.Errorf("%q: %v", field, err)
			}
		}
		if _, err := migrations.Column(c.plain, &plainCustomer{}, "Email"); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without the plugin: %v", err)
		}
		if _, err := migrations.Column(db, &readingCustomer{}, "email"); err != nil {
			t.Errorf("by the name of the column: %v", err)
		}
	})
}
