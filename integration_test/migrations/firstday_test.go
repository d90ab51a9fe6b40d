package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A field that was encrypted from its first day has no constraint, and so there can be
// plaintext that something else has written, which no program reads: an import in SQL,
// say. The steps seal it and have the database refuse more, with Settled throughout,
// beside programs that go on writing.
func TestEncryptedFromItsFirstDay(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := fromItsFirstDay(t, where)
		db := c.open(&settledCustomer{})
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
		// Whoever owns the table can take the constraint away, and then the steps begin anew.
		grace := "Grace@Example.org"
		c.withoutConstraints("UPDATE customers SET email = '" + grace + "', email_index = NULL WHERE id = 1")
		want[1] = &grace
		if err := sealedBy(m, migrations.Writing); !errors.Is(err, migrations.ErrOrder) {
			t.Errorf("Backfill of what is finished, as if it were migrating: %v", err)
		}
		must(t, sealedBy(m, migrations.Settled))
		_, err = m.Verify(ctx, fast(migrations.Settled))
		must(t, err)
		must(t, m.Enforce(ctx, fast(migrations.Settled)))
		must(t, m.Finish(ctx, fast(migrations.Settled)))
		if _, err := c.pool.ExecContext(ctx, "UPDATE customers SET email = 'Ada@Example.org' WHERE id = 1"); err == nil {
			t.Error("the database takes plaintext again")
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

// withoutConstraints executes a statement as the owner of the table can: past, or after
// dropping, what Enforce has added.
func (c customers) withoutConstraints(statement string) {
	c.Helper()
	ctx := context.Background()
	conn, err := c.pool.Conn(ctx)
	must(c.TB, err)
	defer conn.Close()
	before, after := "PRAGMA ignore_check_constraints = ON", "PRAGMA ignore_check_constraints = OFF"
	if c.where.Name == "postgres" {
		before, after = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'customers'::regclass AND contype = 'c' LOOP EXECUTE 'ALTER TABLE customers DROP CONSTRAINT ' || name; END LOOP; END $$", "SELECT 1"
	}
	for _, one := range []string{before, statement, after} {
		_, err := conn.ExecContext(ctx, one)
		must(c.TB, err)
	}
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

// What looks like ciphertext that was cut, changed or quoted is not sealed a second time:
// it could be restored. It waits in quarantine for somebody who knows.
func TestDamagedCiphertextIsNotTakenForPlaintext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		c := fromItsFirstDay(t, where)
		db := c.open(&settledCustomer{})
		for id := int64(1); id <= 6; id++ {
			email := "ada@example.org"
			must(t, db.Create(&settledCustomer{ID: id, Email: &email, Name: "n"}).Error)
		}
		execute(t, where,
			"UPDATE customers SET email = substr(email, 1, 40) WHERE id = 1", "UPDATE customers SET email = email || ' ' WHERE id = 2",
			"UPDATE customers SET email = 'gc2' || substr(email, 4) WHERE id = 3", `UPDATE customers SET email = '"' || email || '"' WHERE id = 4`,
			"UPDATE customers SET email = upper(email) WHERE id = 5")
		damaged := c.stored("email")

		m := column(t, db, &settledCustomer{}, "Email")
		plan, err := m.Plan(ctx, fast(migrations.Settled))
		must(t, err)
		if len(plan.Failed) != 2*5 { // with their terms
			t.Errorf("the plan has %+v", plan.Failed)
		}
		must(t, m.Expand(ctx, fast(migrations.Settled)))
		if err := sealedBy(m, migrations.Settled); !errors.Is(err, rotation.ErrQuarantined) {
			t.Fatalf("Backfill: %v", err)
		}
		if now := c.stored("email"); !maps.Equal(now, damaged) {
			t.Errorf("there is %v, and was %v", now, damaged)
		}
		if err := m.TakeForPlaintext(ctx, fast(migrations.Writing), 1); !errors.Is(err, migrations.ErrDeployment) {
			t.Errorf("as if it were migrating: %v", err)
		}
		for id := 1; id <= 5; id++ {
			must(t, m.TakeForPlaintext(ctx, fast(migrations.Settled), id))
		}
		must(t, sealedBy(m, migrations.Settled))
		var taken settledCustomer
		if err := db.First(&taken, 5).Error; err != nil || *taken.Email != damaged[5].String {
			t.Errorf("row 5 has %v, %v", taken.Email, err)
		}
	})
}

// What has no way back, or would be found by what is not there any more, is refused
// before anything has begun.
func TestFirstDayProblems(t *testing.T) {
	t.Parallel()
	type visit struct {
		ID   int64
		At   time.Time                `gorm:"serializer:encrypted;type:text"`
		Data any                      `gorm:"serializer:encrypted;type:text"`
		Name string                   `gorm:"serializer:encrypted"`
		Town string                   `gorm:"serializer:encrypted"`
		Both encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Name+Town"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		keys, err := keyring.Generate()
		must(t, err)
		db := open(t, where, keys, &visit{})
		must(t, db.AutoMigrate(&visit{}))
		for field, says := range map[string]string{"At": "has no one form", "Data": "has no one form", "Name": "is of several fields", "Both": "the index has no migrating="} {
			m := column(t, db, &visit{}, field)
			if err := m.Expand(ctx, fast(migrations.Settled)); !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", field, err)
			}
			if state, err := m.State(ctx); err != nil || state != migrations.None {
				t.Errorf("%s is %s, %v", field, state, err)
			}
		}
	})
}

// fromItsFirstDay returns a database whose table of customers has never had another
// form.
func fromItsFirstDay(t *testing.T, where testdb.Database) customers {
	t.Helper()
	keys, err := keyring.Generate()
	must(t, err)
	c := customers{TB: t, where: where, keys: keys, plain: where.Open(t, nil), pool: where.Plain(t)}
	must(t, c.open(&settledCustomer{}).AutoMigrate(&settledCustomer{}))
	return c
}
