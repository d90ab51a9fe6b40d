package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// record has fields whose plaintext may be something else than their type.
type record struct {
	ID      int64
	Number  *int64            `gorm:"serializer:encrypted;type:text" encrypt:"migrating=write"`
	Notes   map[string]string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	Payout  *string           `gorm:"serializer:encrypted" encrypt:"bind=Account,migrating=write"`
	Account string
}

// failures returns the keys of values and what is wrong with them.
func failures(values []rotation.QuarantinedValue) []string {
	var all []string
	for _, value := range values {
		all = append(all, value.Key+" "+value.Column+": "+value.Reason)
	}
	slices.Sort(all)
	return all
}

func quarantine(t *testing.T, db *gorm.DB, job string) []string {
	t.Helper()
	values, err := rotation.Quarantine(context.Background(), db, job)
	if err != nil {
		t.Fatal(err)
	}
	return failures(values)
}

// migrateTo takes a column to Expanded, and fills it.
func backfilled(t *testing.T, m *migrations.Migration, config migrations.Config) (rotation.Report, error) {
	t.Helper()
	if err := m.Expand(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	config.Deployed = migrations.Writing
	return m.Backfill(t.Context(), config)
}

// Plaintext that does not fit its field is in the plan, and then in quarantine, as it
// was; and all else is sealed.
func TestValuesThatDoNotFit(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		execute(t, where, "CREATE TABLE records (id bigint PRIMARY KEY, number text, notes text, payout text, account text)", `INSERT INTO records VALUES
(1, '42', '{"a":"b"}', 'DE1', 'acme'), (2, 'abc SECRET', '{"a":', 'DE2', 'acme'), (3, NULL, NULL, NULL, NULL), (4, '', '', '', NULL), (5, ' 7', 'null', 'DE5', ''), (6, '9223372036854775808', '[1]', 'DE6', 'acme'), (7, '-0', ' {} ', 'DE7', 'acme'), (8, '1e3', '{} {}', 'DE8', 'acme')`)
		for field, want := range map[string][]string{
			"Number": {"2 number", "4 number", "5 number", "6 number", "8 number"},
			"Notes":  {"2 notes", "4 notes", "8 notes"},
			"Payout": {"4 payout", "5 payout"},
		} {
			db := open(t, where, keys, &record{})
			m := column(t, db, &record{}, field)
			plan, err := m.Plan(t.Context(), fast(""))
			if err != nil {
				t.Fatal(err)
			}
			query := "SELECT id || ' ' || coalesce(" + plan.Column + ", 'NULL') FROM records ORDER BY id"
			before := texts(t, where, query)
			report, err := backfilled(t, m, fast(""))
			if !errors.Is(err, rotation.ErrQuarantined) {
				t.Errorf("%s: %v", field, err)
			}
			failed := quarantine(t, db, report.Job)
			if d := cmp.Diff(failures(plan.Failed), failed); d != "" {
				t.Errorf("%s: the plan and the quarantine (-plan +quarantine)\n%s", field, d)
			}
			left := map[string]bool{}
			for i, one := range failed {
				key, reason, _ := strings.Cut(one, ": ")
				if len(failed) != len(want) || key != want[i] || strings.Contains(reason, "SECRET") || reason == "" {
					t.Errorf("%s: %q, want %q", field, failed, want)
				}
				left[strings.Fields(key)[0]] = true
			}
			for i, now := range texts(t, where, query) {
				id, value, _ := strings.Cut(now, " ")
				if isLeft := now == before[i]; isLeft != (left[id] || value == "NULL") {
					t.Errorf("%s: %.60q was %q", field, now, before[i])
				}
			}
			if state, err := m.State(t.Context()); err != nil || state != migrations.Backfilling {
				t.Errorf("%s: %s, %v", field, state, err)
			}
			// When they are repaired, it goes on.
			for _, one := range failed {
				execute(t, where, fmt.Sprintf("UPDATE records SET %s = NULL WHERE id = %s", plan.Column, strings.Fields(one)[0]))
			}
			config := fast(migrations.Writing)
			if _, err := m.Backfill(t.Context(), config); err != nil {
				t.Errorf("%s: %v", field, err)
			}
			if _, err := m.Verify(t.Context(), config); err != nil {
				t.Errorf("%s: %v", field, err)
			}
		}
	})
}

// part has a primary key of two columns.
type part struct {
	Shop  string                   `gorm:"primaryKey"`
	No    int64                    `gorm:"primaryKey;autoIncrement:false"`
	Name  string                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	Index encryptedtype.BlindIndex `gorm:"column:name_index" encrypt:"of=Name"`
}

// What somebody has pasted that reads like ciphertext is left alone, and listed, until
// somebody says that it is plaintext.
func TestPastedCiphertext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ours, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		pasted := sealUnder(t, theirs, "customers", "email")
		t.Run("a key of one column", func(t *testing.T) {
			c := newCustomers(t, where)
			c.keys = ours
			want := c.fill(60)
			want[50] = &pasted
			execute(t, where, "UPDATE customers SET email = '"+pasted+"' WHERE id = 50")
			takenForPlaintext(t, where, c.as(&readingCustomer{}), c.as(&writingCustomer{}), c.open(&writingCustomer{}), "SELECT email FROM customers WHERE id = 50", []any{50}, []any{51})
			for _, step := range wayThere[1:] {
				if err := step.run(c); err != nil {
					t.Fatal(err)
				}
			}
			c.requireSealed(want)
		})
		t.Run("a key of two columns", func(t *testing.T) {
			execute(t, where, "CREATE TABLE parts (shop text, no bigint, name text, name_index text, PRIMARY KEY (shop, no))",
				"INSERT INTO parts VALUES ('x', 1, 'SECRET', NULL), ('x', 2, '"+pasted+"', NULL), ('y', 2, 'SECRET', NULL)")
			db := open(t, where, ours, &part{})
			m := column(t, db, &part{}, "Name")
			takenForPlaintext(t, where, m, m, db, "SELECT name FROM parts WHERE shop = 'x' AND no = 2", []any{"x", 2}, []any{"y", 2})
			if _, err := m.Backfill(t.Context(), fast(migrations.Writing)); err != nil {
				t.Error(err)
			}
			var found part
			if err := db.Where("shop = 'x' AND no = 2").First(&found).Error; err != nil || found.Name != pasted {
				t.Errorf("%q, %v", found.Name, err)
			}
			if _, err := m.Verify(t.Context(), fast("")); err != nil {
				t.Error(err)
			}
		})
	})
}

func sealUnder(t *testing.T, keys *keyring.Keyring, table, name string) string {
	t.Helper()
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := cipher.Column(ciphertext.ColumnConfig{Table: table, Column: name})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealing.Seal(nil, "somebody else's")
	if err != nil {
		t.Fatal(err)
	}
	return string(sealed)
}

// takenForPlaintext checks that one value is in the plan, is left alone by Backfill, and
// is sealed when somebody says so, and that this is refused for others.
func takenForPlaintext(t *testing.T, where testdb.Database, first, m *migrations.Migration, db *gorm.DB, query string, key, other []any) {
	t.Helper()
	before := texts(t, where, query)[0]
	if err := first.Expand(t.Context(), fast(migrations.WithoutTag)); err != nil {
		t.Fatal(err)
	}
	config := fast(migrations.Writing)
	plan, err := m.Plan(t.Context(), config)
	if err != nil || plan.Ciphertext != 1 {
		t.Errorf("%v: %+v", err, plan)
	}
	requireOnly := func(failed []string) { // the value, and its term, which is not there
		t.Helper()
		if len(failed) != 2 || strings.Fields(failed[0])[0] != strings.Fields(failed[1])[0] || !strings.Contains(failed[0], "TakeForPlaintext") && !strings.Contains(failed[0], "authentication") || strings.Contains(strings.Join(failed, ""), before) {
			t.Errorf("%q", failed)
		}
	}
	requireOnly(failures(plan.Failed))
	if err := m.TakeForPlaintext(t.Context(), config, key...); !errors.Is(err, migrations.ErrOrder) {
		t.Errorf("before Backfill: %v", err)
	}
	report, err := m.Backfill(t.Context(), config)
	if !errors.Is(err, rotation.ErrQuarantined) {
		t.Errorf("%v: %+v", err, report)
	}
	listed := quarantine(t, db, report.Job)
	requireOnly(listed)
	if !strings.Contains(listed[0], "say so by TakeForPlaintext") {
		t.Errorf("%q do not say what to do", listed)
	}
	if now := texts(t, where, query)[0]; now != before {
		t.Errorf("it is %q, and was %q", now, before)
	}
	for _, wrong := range [][]any{other, key[:len(key)-1], append(slices.Clone(key), 1), append(slices.Clone(key[:len(key)-1]), 9999)} {
		if err := m.TakeForPlaintext(t.Context(), config, wrong...); err == nil {
			t.Errorf("%v was taken for plaintext", wrong)
		}
	}
	if err := m.TakeForPlaintext(t.Context(), fast(migrations.Reading), key...); !errors.Is(err, migrations.ErrDeployment) {
		t.Error(err)
	}
	if err := m.TakeForPlaintext(t.Context(), config, key...); err != nil {
		t.Error(err)
	}
	if now := texts(t, where, query)[0]; now == before || !strings.HasPrefix(now, "gc1:1:") {
		t.Errorf("it is %q", now)
	}
	if err := m.TakeForPlaintext(t.Context(), config, key...); err == nil {
		t.Error("it was sealed twice")
	}
}

// What the database refuses is in quarantine, and the whole row is as it was: also its
// term.
func TestValuesThatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for name, refuses := range map[string]func(c customers) (left []int64){
			"a constraint that was added": func(c customers) []int64 {
				execute(c, c.where, "CREATE TABLE strict (id bigint PRIMARY KEY, email text, email_index text CHECK (id <> 40 OR email_index IS NULL), name text)", "INSERT INTO strict SELECT id, email, NULL, name FROM customers", "DROP TABLE customers", "ALTER TABLE strict RENAME TO customers", "CREATE INDEX idx_customers_email_index ON customers (email_index)")
				return []int64{40}
			},
			"a unique term": func(c customers) []int64 {
				execute(c, c.where, "UPDATE customers SET email = 'same@example.org' WHERE id IN (41, 42)", "CREATE UNIQUE INDEX one ON customers (email_index)")
				return []int64{13, 42} // and there are NULL and null, which are the same in lower case
			},
			"an index of the plaintext": func(c customers) []int64 { // whose entries have a largest size in PostgreSQL
				if c.where.Name == "sqlite" {
					return nil
				}
				execute(c, c.where, "UPDATE customers SET email = repeat('long ', 20000) WHERE id = 43")
				return []int64{43}
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				where := map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t)
				c := newCustomers(t, where)
				c.indexed = true
				c.fill(80)
				if err := wayThere[0].run(c); err != nil {
					t.Fatal(err)
				}
				left := refuses(c)
				before, terms := c.stored("email"), c.stored("email_index")
				m := c.as(&writingCustomer{})
				report, err := m.Backfill(t.Context(), fast(migrations.Writing))
				if len(left) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, rotation.ErrQuarantined) {
					t.Fatal(err)
				}
				var listed []string
				for _, one := range quarantine(t, c.plain, report.Job) {
					if !strings.Contains(one, ": the database refuses its new value: ") {
						t.Error(one)
					}
					listed = append(listed, strings.Fields(one)[0])
				}
				for id, now := range c.stored("email") {
					is := slices.Contains(left, id)
					if was := before[id]; is != (now == was) && was.Valid || is && c.stored("email_index")[id] != terms[id] {
						t.Errorf("row %d holds %.60q", id, now.String)
					}
					if is != slices.Contains(listed, fmt.Sprint(id)) {
						t.Errorf("row %d is in quarantine: %t", id, !is)
					}
				}
			})
		}
	})
}
