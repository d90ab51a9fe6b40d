package migrations_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// readingNumber takes addresses for numbers.
type readingNumber struct {
	ID         int64
	Email      *int64                   `gorm:"serializer:encrypted;type:text" encrypt:"migrating=read"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
}

func (readingNumber) TableName() string { return "customers" }

// Before Expand, when there is no column for terms yet, a plan tries the values all the
// same, and finds those that would be left. It changes nothing.
func TestPlanTriesBeforeExpand(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		want := c.fill(300)
		plan, err := c.as(&readingNumber{}).Plan(t.Context(), fast(""))
		if err != nil {
			t.Fatal(err)
		}
		if plan.State != migrations.None || plan.Plaintext != 299 || int64(len(plan.Failed)) != plan.Plaintext || len(plan.Problems) > 0 {
			t.Errorf("of %d plaintexts, %d failed, with %q, in the state %q", plan.Plaintext, len(plan.Failed), plan.Problems, plan.State)
		}
		if plan, err = c.as(&readingCustomer{}).Plan(t.Context(), fast("")); err != nil || len(plan.Failed) > 0 || len(plan.Problems) > 0 {
			t.Errorf("%d of texts failed, with %q: %v", len(plan.Failed), plan.Problems, err)
		}
		c.requirePlain(want)
	})
}

// A program that has planned goes on when Expand has given the column another type.
func TestPlanBeforeAndAfterExpand(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		if where.Name == "postgres" {
			if _, err := c.pool.ExecContext(t.Context(), "ALTER TABLE customers ALTER COLUMN email TYPE varchar(100)"); err != nil {
				t.Fatal(err)
			}
		}
		c.fillWith([]string{"", "gc1:"}, 100)
		m := c.as(&readingCustomer{})
		for range 2 {
			if plan, err := m.Plan(t.Context(), fast("")); err != nil || plan.Plaintext != 99 || len(plan.Problems) > 0 {
				t.Errorf("%d values, %q: %v", plan.Plaintext, plan.Problems, err)
			}
			if err := m.Expand(t.Context(), fast("")); err != nil {
				t.Fatal(err)
			}
		}
		w := c.as(&writingCustomer{})
		if _, err := w.Backfill(t.Context(), fast(migrations.Writing)); err != nil {
			t.Error(err)
		}
		for _, kind := range []string{"varchar", "text"} {
			if _, err := w.Verify(t.Context(), fast("")); err != nil {
				t.Error(err)
			}
			if where.Name == "postgres" {
				if _, err := c.pool.ExecContext(t.Context(), "ALTER TABLE customers ALTER COLUMN email TYPE "+kind); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// A plan has the statements that are sent.
func TestPlanSaysWhatIsSent(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		c.indexed = true
		c.fill(30)
		plan, err := c.as(&readingCustomer{}).Plan(t.Context(), fast(""))
		if err != nil {
			t.Fatal(err)
		}
		steps := strings.Join(plan.Steps, "\n")
		for _, want := range map[string][]string{
			"postgres": {`Expand: ALTER TABLE "customers" ADD COLUMN "email_index" text`, `Expand: CREATE INDEX CONCURRENTLY "idx_customers_email_index"`, "NOT VALID", `Finish: DROP INDEX CONCURRENTLY IF EXISTS "by_email"`},
			"sqlite":   {`Expand: ALTER TABLE "customers" ADD COLUMN "email_index" text`, `Expand: CREATE INDEX "main"."idx_customers_email_index"`, `Enforce: the definition of "customers" is given CONSTRAINT`, `Finish: DROP INDEX IF EXISTS "main"."by_email"`},
		}[where.Name] {
			if !strings.Contains(steps, want) {
				t.Errorf("it does not say %q:\n%s", want, steps)
			}
		}
	})
}
