package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

func exec(t testing.TB, where testdb.Database, statements ...string) {
	t.Helper()
	pool := where.Plain(t)
	for _, statement := range statements {
		if _, err := pool.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// requireError requires an error that says all of some texts.
func requireError(t testing.TB, err error, want ...string) {
	t.Helper()
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, want it to say %q", err, text)
		}
	}
}

// What cannot be checked is an error before anything is read.
func TestMistakes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := use(t, where, first, models()...)
		bare := where.Open(t, nil)
		ctx := context.Background()
		one := func(db *gorm.DB, config fsck.Config) error {
			_, err := fsck.Check(ctx, db, config)
			return err
		}
		if err := db.AutoMigrate(models()...); err != nil {
			t.Fatal(err)
		}
		if err := one(db, fsck.Config{}); err != nil {
			t.Errorf("without rows: %v", err)
		}
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(db))
		exec(t, where, "ALTER TABLE nothings DROP COLUMN secret")
		requireError(t, one(db, fsck.Config{}), "the table nothings has no column secret")
		exec(t, where, "DROP TABLE nothings")
		requireError(t, one(bare, fsck.Config{Manifest: &m, Keys: first}), "there is no table nothings")
		requireError(t, one(db, fsck.Config{Tables: []string{"patients", "patient"}}), "the table patient has no encrypted column", "those with one are patients, "+visit{}.TableName())
		requireError(t, one(db, fsck.Config{Keys: first}), "the *gorm.DB has the plugin")
		requireError(t, one(db, fsck.Config{Sample: 1.5}), "a sample of 1.5")
		requireError(t, one(db, fsck.Config{Workers: -1}), "cannot be negative")
		requireError(t, one(bare, fsck.Config{Manifest: &m}), "or set Config.Keys")
		if err := one(bare, fsck.Config{Keys: first}); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without a manifest: %v", err)
		}
		if err := one(bare, fsck.Config{Manifest: &m, Keys: &failing{err: keyring.ErrUnavailable}}); !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("without keys: %v", err)
		}
	})
}

// failing is a source that gives a keyring once, if it has one, and then fails.
type failing struct {
	ring *keyring.Keyring
	err  error
}

func (f *failing) Load(context.Context) (*keyring.Keyring, error) {
	ring := f.ring
	f.ring = nil
	if ring != nil {
		return ring, nil
	}
	return nil, f.err
}

// A source that does not answer when it is asked for a key says nothing of the value.
func TestKeysThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, second, 300)))
		report, err := fsck.Check(context.Background(), where.Open(t, nil), fsck.Config{Manifest: &m, Keys: &failing{ring: first, err: keyring.ErrUnavailable}})
		if !errors.Is(err, keyring.ErrUnavailable) || !report.Sound() {
			t.Errorf("%v, %v", err, report.Totals)
		}
		requireError(t, err, "loading the keyring again for key version i2")
	})
}

// A check that is cancelled ends with the error of its context, and leaves no files.
func TestCancelled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 1500)
		exec(t, where, "UPDATE patients SET phone = 'SECRET' WHERE id % 100 = 50", "UPDATE patients SET weight = phone WHERE id = 3")
		cause := errors.New("enough")
		for found := range 3 {
			ctx, cancel := context.WithCancelCause(context.Background())
			dir, n := t.TempDir(), 0
			_, err := fsck.Check(ctx, db, fsck.Config{Memory: 1, TempDir: dir, Found: func(fsck.Finding) {
				if n++; n > found*6 {
					cancel(cause)
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("after %d findings: %v", found*6, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%d files are left: %v", len(left), err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := fsck.Check(ctx, db, fsck.Config{}); !errors.Is(err, context.Canceled) {
			t.Errorf("before it began: %v", err)
		}
		_, err := fsck.Check(context.Background(), db, fsck.Config{Memory: 1, TempDir: "/does/not/exist"})
		requireError(t, err, "name another directory in Config.TempDir")
	})
}

// A role that may only read is enough; one that may not see everything gets an error.
func TestRights(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	first, second := rings(t)
	m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, second, 100)))
	as, role := where.AsNewRole(t)
	one := func() (fsck.Report, error) {
		return fsck.Check(context.Background(), as.Open(t, nil), fsck.Config{Manifest: &m, Keys: second})
	}
	_, err := one()
	requireError(t, err, "there is no table")
	schema := ""
	if err := where.Plain(t).QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	exec(t, where, "GRANT USAGE ON SCHEMA "+schema+" TO "+role, "GRANT SELECT ON nothings, patients TO "+role)
	_, err = one()
	requireError(t, err, "permission denied", visit{}.TableName())
	exec(t, where, "GRANT SELECT ON "+visits+" TO "+role, "ALTER ROLE "+role+" SET default_transaction_read_only = on")
	if report, err := one(); err != nil || !report.Sound() {
		t.Errorf("%v, %v", err, report.Totals)
	}
	exec(t, where, "CREATE POLICY p ON patients USING (id < 20)", "ALTER TABLE patients ENABLE ROW LEVEL SECURITY")
	_, err = one()
	requireError(t, err, "patients", "row-level security")
}

// A file that cannot be written is enough.
func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	first, second := rings(t)
	db := fill(t, where, first, second, 100)
	m := must[manifest.Manifest](t)(gormcrypt.Manifest(db))
	exec(t, where, "PRAGMA wal_checkpoint(TRUNCATE)", "UPDATE patients SET phone = weight WHERE id = 7")
	read := testdb.Database{Name: where.Name, DSN: where.DSN + "&mode=ro"}
	before := must[[]byte](t)(os.ReadFile(where.Path))
	report := check(t, read.Open(t, nil), fsck.Config{Manifest: &m, Keys: second})
	if report.Totals[fsck.Moved] != 1 || len(report.Totals) != 1 {
		t.Errorf("%v", report.Totals)
	}
	if after := must[[]byte](t)(os.ReadFile(where.Path)); string(after) != string(before) {
		t.Error("the file is another")
	}
	if err := read.Open(t, nil).Exec("DELETE FROM patients").Error; err == nil {
		t.Error("the file could be written")
	}
}

// Of a sample, what is found is in it; a small one is the whole table.
func TestSample(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 4000)
		exec(t, where, "UPDATE patients SET phone = 'SECRET'")
		report := check(t, db, fsck.Config{Sample: 0.4, Workers: 3, MaxFindings: 10_000})
		for _, c := range report.Columns {
			if c.Table != "patients" {
				continue
			}
			if c.Rows < 800 || c.Rows > 2400 {
				t.Errorf("%d rows are no sample of 4,000: %+v", c.Rows, c)
			}
			if c.Column == "phone" && c.Kinds[fsck.Plaintext] != c.Rows || c.Column != "phone" && len(c.Kinds) > 0 {
				t.Errorf("%+v", c)
			}
		}
		if !report.Sampled {
			t.Error("it does not say that it is a sample")
		}
		if report = check(t, db, fsck.Config{Sample: 0.2}); report.Sampled || report.Totals[fsck.Plaintext] != 4000 {
			t.Errorf("of a small sample: %v", report.Totals)
		}
	})
}

// By a manifest, a table may be named with its schema; and the types of its columns may
// change while connections are open.
func TestSchemasAndAlteredColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, second, 100)))
		schema := "main"
		if where.Name == "postgres" {
			if err := where.Plain(t).QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
				t.Fatal(err)
			}
		}
		for i := range m.Tables {
			if m.Tables[i].Name == "patients" {
				m.Tables[i].Name = schema + ".patients"
			}
		}
		exec(t, where, "UPDATE patients SET weight = 'SECRET' WHERE id = 17")
		db := where.Open(t, nil)
		for round := range 2 {
			report := check(t, db, fsck.Config{Manifest: &m, Keys: second, Tables: []string{schema + ".patients"}})
			requireFindings(t, []fsck.Finding{{Place: fsck.Place{Table: schema + ".patients", Key: "17", Column: "weight"}, Kind: fsck.Plaintext}}, report)
			switch {
			case round > 0:
			case where.Name == "postgres":
				exec(t, where, "ALTER TABLE patients ALTER COLUMN phone TYPE varchar(100000)")
			default:
				exec(t, where, "ALTER TABLE patients ADD COLUMN more text")
			}
		}
	})
}

// Values of a megabyte are read a few at a time.
func TestHugeValues(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, models()...)
		for i := range 40 {
			if err := db.Create(&nothing{Serial: fmt.Appendf(nil, "\x00\xff%02d", i), Secret: strings.Repeat("huge", 1<<18)}).Error; err != nil {
				t.Fatal(err)
			}
		}
		serial := func(i int) string { return fmt.Sprintf("x'00ff3%d3%d'", i/10, i%10) }
		if where.Name == "postgres" {
			serial = func(i int) string { return fmt.Sprintf("'\\x00ff3%d3%d'", i/10, i%10) }
		}
		exec(t, where,
			"UPDATE nothings SET secret = (SELECT secret FROM nothings WHERE serial = "+serial(7)+") WHERE serial = "+serial(31),
			"UPDATE nothings SET secret = substr(secret, 1, 1000001) WHERE serial = "+serial(12))
		report := check(t, db, fsck.Config{})
		if len(report.Findings) != 2 || report.Totals[fsck.Copied] != 1 || report.Totals[fsck.Foreign]+report.Totals[fsck.Damaged] != 1 {
			t.Errorf("%v: %v", report.Totals, lines(report.Findings))
		}
	})
}

// With another keyring nothing opens, which takes no longer than it must.
func TestAnotherKeyring(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, second, 300)))
		_, other := rings(t)
		report := check(t, where.Open(t, nil), fsck.Config{Manifest: &m, Keys: other})
		if len(report.Totals) != 1 || report.Totals[fsck.Damaged] != 300*12-27 || len(report.Findings) != 1000 {
			t.Errorf("%v, %d findings", report.Totals, len(report.Findings))
		}
		for _, c := range report.Columns {
			if c.Index && c.Unchecked != c.Rows {
				t.Errorf("%+v", c)
			}
		}
	})
}
