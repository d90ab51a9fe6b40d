package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// A field that was encrypted from its first day has no constraint, and so there can be
// plaintext that something else has written, which no program reads: an import in SQL,
// say. The steps seal it and have the database refuse more, with Settled throughout,
// beside programs that go on writing.
func TestEncryptedFromItsFirstDay(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys, err := keyring.Generate()
		must(t, err)
		c := customers{TB: t, where: where, keys: keys, plain: where.Open(t, nil), pool: where.Plain(t)}
		db := c.open(&settledCustomer{})
		must(t, db.AutoMigrate(&settledCustomer{}))
		own := "Ada@Example.org"
		must(t, db.Create(&settledCustomer{ID: 1000, Email: &own, Name: "n"}).Error)
		want := c.fillWith([]string{"Grace@Example.org"}, 300) // past the plugin; the second has NULL
		want[1000] = &own
		if err := db.First(&settledCustomer{}, 1).Error; !errors.Is(err, gormcrypt.ErrNotCiphertext) {
			t.Fatalf("reading plaintext: %v", err)
		}

		m, ctx := column(t, db, &settledCustomer{}, "Email"), context.Background()
		plan, err := m.Plan(ctx, fast(""))
		must(t, err)
		if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0], "if the field was encrypted from its first day, set Config.Deployed to Settled") {
			t.Errorf("without Settled: %q", plan.Problems)
		}
		if err := m.Expand(ctx, fast("")); !errors.Is(err, migrations.ErrProblems) {
			t.Errorf("Expand without Settled: %v", err)
		}
		plan, err = m.Plan(ctx, fast(migrations.Settled))
		must(t, err)
		if len(plan.Problems) > 0 || plan.Plaintext != 299 || plan.Ciphertext != 1 {
			t.Errorf("with Settled: %+v", plan)
		}

		must(t, m.Expand(ctx, fast(migrations.Settled)))
		// A program with migrating= in the way of Settled, and the other way round.
		writing := c.as(&writingCustomer{})
		for _, err := range []error{
			sealedBy(m, migrations.Writing), sealedBy(writing, migrations.Settled), sealedBy(m, migrations.Reading), sealedBy(m, ""),
		} {
			if !errors.Is(err, migrations.ErrDeployment) {
				t.Errorf("Backfill of another deployment: %v", err)
			}
		}

		stop := c.overwrite(db, want)
		must(t, sealedBy(m, migrations.Settled))
		stop()
		_, err = m.Verify(ctx, fast(migrations.Settled))
		must(t, err)
		must(t, m.Enforce(ctx, fast(migrations.Settled)))
		must(t, m.Finish(ctx, fast(migrations.Settled)))
		if state, err := m.State(ctx); err != nil || state != migrations.Finished {
			t.Errorf("it is %s, %v", state, err)
		}
		if _, err := c.pool.ExecContext(ctx, "UPDATE customers SET email = 'Ada@Example.org' WHERE id = 1"); err == nil {
			t.Error("the database takes plaintext")
		}
		for id, email := range want {
			if email == nil {
				continue
			}
			var found settledCustomer
			if err := db.Where(&settledCustomer{Email: email}).First(&found).Error; err != nil || found.ID != id || *found.Email != *email {
				t.Errorf("%d is found by %q as %+v: %v", id, *email, found, err)
			}
		}
	})
}

// overwrite has an application write every third row, until it is stopped.
func (c customers) overwrite(db *gorm.DB, want map[int64]*string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for round := 0; ; round++ {
			for id := int64(3); id <= 300; id += 3 {
				select {
				case <-end:
					return
				default:
				}
				email := fmt.Sprintf("customer%d-%d@example.org", id, round)
				if err := db.Model(&settledCustomer{ID: id}).Update("email", email).Error; err != nil {
					c.Errorf("writing row %d: %v", id, err)
					return
				}
				want[id] = &email
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(end); <-ended })
	c.Cleanup(stop)
	return stop
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sealedBy(m *migrations.Migration, deployed migrations.Deployment) error {
	_, err := m.Backfill(context.Background(), fast(deployed))
	return err
}

// A blind index that programs search before its terms were made finds what was written
// since. The steps make the others.
func TestIndexIsSearchedBeforeItIsFilled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys, err := keyring.Generate()
		must(t, err)
		c := customers{TB: t, where: where, keys: keys, plain: where.Open(t, nil), pool: where.Plain(t)}
		want := c.fillClients()
		db, ctx := c.open(&settledClient{}), context.Background()
		must(t, db.AutoMigrate(&settledClient{}))

		m := column(t, db, &settledClient{}, "EmailIndex")
		plan, err := m.Plan(ctx, fast(""))
		must(t, err)
		if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0], "if the index is searched already, set Config.Deployed to Settled") {
			t.Errorf("without Settled: %q", plan.Problems)
		}
		must(t, m.Expand(ctx, fast(migrations.Settled)))
		must(t, sealedBy(m, migrations.Settled))
		_, err = m.Verify(ctx, fast(migrations.Settled))
		must(t, err)
		must(t, m.Enforce(ctx, fast(migrations.Settled)))
		must(t, m.Finish(ctx, fast(migrations.Settled)))
		for id, email := range want {
			var found []settledClient
			if err := db.Where(&settledClient{Email: email}).Find(&found).Error; err != nil || email != nil && len(found) == 0 {
				t.Errorf("%d is not found: %v", id, err)
			}
		}
	})
}
