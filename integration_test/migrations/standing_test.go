package migrations_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The database knows what was begun and not reverted, without models, and is not
// changed by being asked.
func TestList(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		e := newEmployees(t, where)
		e.customers.fill(30)
		requireList := func(want ...migrations.Standing) []migrations.Standing {
			t.Helper()
			got, err := migrations.List(t.Context(), e.plain)
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(migrations.Standing{}, "Begun", "Changed")); err != nil || d != "" {
				t.Fatalf("%v (-want +got)\n%s", err, d)
			}
			return got
		}
		requireList()
		if tables := own(t, where); len(tables) > 0 {
			t.Errorf("it has made the tables %v", tables)
		}
		began := time.Now().Truncate(time.Millisecond)
		if err := e.as(&readingEmployee{}).Expand(t.Context(), fast("")); err != nil {
			t.Fatal(err)
		}
		for _, step := range wayThere[:2] {
			if err := step.run(e.customers); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range requireList(migrations.Standing{Table: "customers", Column: "email", State: migrations.Backfilled}, migrations.Standing{Table: "employees", Column: "salary", State: migrations.Expanded}) {
			if s.Begun.Before(began) || s.Changed.After(time.Now()) || i == 0 && !s.Begun.Before(s.Changed) {
				t.Errorf("%s was begun at %v, and changed at %v", s.Table, s.Begun, s.Changed)
			}
		}
		if _, err := e.as(&readingEmployee{}).Revert(t.Context(), fast(migrations.WithoutTag)); err != nil {
			t.Fatal(err)
		}
		requireList(migrations.Standing{Table: "customers", Column: "email", State: migrations.Backfilled})
		downgradeBeyond(t, where)
		if _, err := migrations.List(t.Context(), e.plain); !errors.Is(err, migrations.ErrNewer) {
			t.Errorf("tables of a newer version: %v", err)
		}
		if err := migrations.Forget(t.Context(), e.plain, "customers", "email"); !errors.Is(err, migrations.ErrNewer) {
			t.Errorf("tables of a newer version: %v", err)
		}
	})
}

// downgradeBeyond makes the tables look as if a newer build had made them.
func downgradeBeyond(t *testing.T, where testdb.Database) {
	t.Helper()
	execute(t, where, "INSERT INTO gormcrypt_schema (id) VALUES ('9999_later')")
}

// A table that was dropped leaves a record, and a job, that nothing can end. Forget
// does, and refuses as long as there is a table to revert.
func TestForgetATableThatWasDropped(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := t.Context()
		c := newCustomers(t, where)
		c.fill(700)
		if err := migrations.Forget(ctx, c.plain, "customers", "email"); err == nil || !strings.Contains(err.Error(), "no migration of customers.email; it knows of none") {
			t.Errorf("without tables: %v", err)
		}
		if tables := own(t, where); len(tables) > 0 {
			t.Errorf("it has made the tables %v", tables)
		}
		if err := wayThere[0].run(c); err != nil {
			t.Fatal(err)
		}
		// A run that stops in the middle leaves its job.
		stopped, stop := context.WithCancel(ctx)
		config := fast(migrations.Writing)
		config.Progress = func(rotation.Progress) { stop() }
		config.Limits.Rate = 50
		if _, err := c.as(&writingCustomer{}).Backfill(stopped, config); !errors.Is(err, context.Canceled) {
			t.Fatalf("Backfill: %v", err)
		}
		if err := migrations.Forget(ctx, c.plain, "customers", "email"); err == nil || !strings.Contains(err.Error(), "run Revert") {
			t.Errorf("with the table: %v", err)
		}
		requireJob := func(want rotation.State) {
			t.Helper()
			jobs, err := rotation.Jobs(ctx, c.plain)
			if err != nil || len(jobs) != 1 || jobs[0].State != want {
				t.Errorf("jobs %+v: %v", jobs, err)
			}
		}
		requireJob(rotation.Running)
		if state, err := c.as(&writingCustomer{}).State(ctx); err != nil || state != migrations.Backfilling {
			t.Errorf("%s: %v", state, err)
		}
		written := c.written(&readingCustomer{})
		execute(t, where, "DROP TABLE customers")
		if err := migrations.Downgrade(ctx, c.plain, 0); !errors.Is(err, migrations.ErrUnfinished) {
			t.Errorf("Downgrade: %v", err)
		}
		if err := migrations.Forget(ctx, c.plain, "customers", "mail"); err == nil || !strings.Contains(err.Error(), "it knows of customers.email") {
			t.Errorf("another column: %v", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := migrations.Forget(cancelled, c.plain, "customers", "email"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		requireJob(rotation.Running)
		if err := migrations.Forget(ctx, c.plain, "customers", "email"); err != nil {
			t.Fatal(err)
		}
		requireJob(rotation.Cancelled)
		if all, err := migrations.List(ctx, c.plain); err != nil || len(all) > 0 {
			t.Errorf("it is left with %v: %v", all, err)
		}
		// A table of that name begins from the start.
		if err := c.plain.AutoMigrate(&plainCustomer{}); err != nil {
			t.Fatal(err)
		}
		if state, err := c.ofManifest(written, "customers", "email").State(ctx); err != nil || state != migrations.None {
			t.Errorf("%s: %v", state, err)
		}
		if err := migrations.Downgrade(ctx, c.plain, 0); err != nil {
			t.Error(err)
		}
	})
}
