package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// table is one that somebody made without GORM, named t, with a key and a note under
// the first version.
type table struct {
	*testing.T
	where           testdb.Database
	first, promoted *keyring.Keyring
	manifest        manifest.Manifest
	rows            int
}

// newTable makes a table with a row for each key, which is SQL.
func newTable(t *testing.T, where testdb.Database, columns string, keys ...string) *table {
	t.Helper()
	one := &table{T: t, where: where, rows: len(keys)}
	one.first, _, one.promoted = rings(t)
	one.manifest = manifest.Manifest{Format: manifest.Format, Tables: []manifest.Table{{Name: "t", PrimaryKey: []string{"k"},
		Columns: []manifest.Column{{Name: "note", Type: manifest.StringValue, Context: manifest.Context{Table: "t", Column: "note"}}}}}}
	pool := where.Plain(t)
	execute(t, pool, "CREATE TABLE t ("+columns+")")
	column := one.column(one.first)
	for _, key := range keys {
		sealed, err := column.Seal(nil, "SECRET "+key)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, pool, fmt.Sprintf("INSERT INTO t (k, note) VALUES (%s, '%s')", key, sealed))
	}
	return one
}

func (t *table) column(keys *keyring.Keyring) *ciphertext.Column {
	t.Helper()
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "t", Column: "note"})
	if err != nil {
		t.Fatal(err)
	}
	return column
}

// run rotates the table.
func (t *table) run(db *gorm.DB, config rotation.Config) (rotation.Report, error) {
	t.Helper()
	config.Manifest, config.Keys, config.Limits.Duty = &t.manifest, t.promoted, 1
	if config.ShardRows == 0 {
		config.ShardRows = 7
	}
	job, err := rotation.New(db, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return job.Run(ctx)
}

// isRotated checks that everything is under the second version.
func (t *table) isRotated(report rotation.Report, err error) {
	t.Helper()
	if err != nil || report.State != rotation.Finished || report.Swapped != int64(t.rows) {
		t.Errorf("%v: %+v", err, report)
	}
	opener := t.column(t.promoted)
	found := 0
	for _, value := range column(t.T, t.where, "SELECT note || '' FROM t") {
		var opened string
		if err := opener.OpenString(&opened, value); err != nil || !strings.HasPrefix(value, "gc1:2:") || !strings.HasPrefix(opened, "SECRET ") {
			t.Errorf("%v: %.10s", err, value)
		}
		found++
	}
	if found != t.rows {
		t.Errorf("%d rows of %d", found, t.rows)
	}
}

// numberedKeys returns keys, of a format with a number.
func numberedKeys(format string, n int) []string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf(format, i))
	}
	return keys
}

func TestKeysOfEveryType(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		columns string
		keys    []string
	}{
		"uuid":                 {"k uuid PRIMARY KEY, note text", numberedKeys("gen_random_uuid() /* %d */", 40)},
		"char":                 {"k char(36) PRIMARY KEY, note text", numberedKeys("gen_random_uuid()::text /* %d */", 40)},
		"bit":                  {"k bit(8) PRIMARY KEY, note text", numberedKeys("%d::bit(8)", 40)},
		"varchar":              {"k varchar(9) PRIMARY KEY, note text", numberedKeys("'k%d'", 40)},
		"numeric":              {"k numeric(10,2) PRIMARY KEY, note text", numberedKeys("%d - 20.25", 40)},
		"timestamp":            {"k timestamptz PRIMARY KEY, note text", numberedKeys("'2026-03-28 22:00 UTC'::timestamptz + interval '%d minutes 1 microsecond'", 40)},
		"bigint":               {"k bigint PRIMARY KEY, note text", append(numberedKeys("%d", 40), "9223372036854775807", "-9223372036854775808")},
		"bytes":                {`k bytea PRIMARY KEY, note text`, numberedKeys(`'\x00ff'::bytea || '%d'::bytea`, 40)},
		"ordered without case": {`k text PRIMARY KEY, note text`, numberedKeys(`(CASE %[1]d %% 2 WHEN 0 THEN 'Ä' ELSE 'b' END) || %[1]d`, 40)},
	} {
		t.Run("postgres "+name, func(t *testing.T) {
			t.Parallel()
			where := testdb.Postgres(t)
			one := newTable(t, where, c.columns, c.keys...)
			one.isRotated(one.run(where.Open(t, nil), rotation.Config{Limits: rotation.Limits{MaxRows: 3}}))
		})
	}
	for name, c := range map[string]struct {
		columns string
		keys    []string
	}{
		"of every class": {"k PRIMARY KEY, note text", append(numberedKeys("%d", 20), "'text'", "''", "x'00ff'", "1.5", "'7'", "-1", "9e999", "-9e999")},
		"without rowid":  {"k text PRIMARY KEY, note text) WITHOUT ROWID --", numberedKeys("'k%d'", 40)},
		"strict":         {"k INTEGER PRIMARY KEY, note TEXT) STRICT --", numberedKeys("%d", 40)},
		"a time":         {"k datetime PRIMARY KEY, note datetime", numberedKeys("'2026-01-01 00:00:%02d'", 40)},
	} {
		t.Run("sqlite "+name, func(t *testing.T) {
			t.Parallel()
			where := testdb.SQLite(t)
			columns, rest, _ := strings.Cut(c.columns, ") ")
			if rest != "" {
				columns += "\n) " + rest // what comes behind is a comment
			}
			one := newTable(t, where, columns, c.keys...)
			one.isRotated(one.run(where.Open(t, nil), rotation.Config{Limits: rotation.Limits{MaxRows: 3}}))
		})
	}
}

// A key that is NULL, or whose text is another value in this session, would be
// skipped or gone through for ever.
func TestKeysThatCannotBeFoundAgain(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		one := newTable(t, where, "k varchar(9), note text", append(numberedKeys("'k%d'", 30), "NULL", "NULL")...)
		if report, err := one.run(where.Open(t, nil), rotation.Config{}); err == nil || !strings.Contains(err.Error(), "2 rows of t cannot be found again") || report.Job != "" {
			t.Errorf("%v: %+v", err, report)
		}
	})
	t.Run("postgres, by its settings", func(t *testing.T) {
		where := testdb.Postgres(t)
		one := newTable(t, where, "k float8 PRIMARY KEY, note text", numberedKeys("%d / 3.0", 30)...)
		if _, err := one.run(with(t, where, "extra_float_digits", "0"), rotation.Config{}); err == nil || !strings.Contains(err.Error(), "extra_float_digits") {
			t.Error(err)
		}
		one.isRotated(one.run(where.Open(t, nil), rotation.Config{}))
	})
}

// with opens PostgreSQL with a setting in every session.
func with(t *testing.T, where testdb.Database, setting, value string) *gorm.DB {
	t.Helper()
	if where.DSN += " " + setting + "=" + value; strings.Contains(where.DSN, "?") {
		where.DSN = strings.Replace(where.DSN, " "+setting+"="+value, "&"+setting+"="+value, 1)
	}
	return where.Open(t, nil)
}

// Rows that a policy hides are not taken for rows that are not there.
func TestRowsBehindAPolicy(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	one := newTable(t, where, "k bigint PRIMARY KEY, note text", numberedKeys("%d", 40)...)
	if err := migrations.Upgrade(t.Context(), where.Open(t, nil)); err != nil {
		t.Fatal(err)
	}
	db, role := nobody(t, where)
	grant(t, where, role)
	execute(t, where.Plain(t), "CREATE POLICY p ON t USING (k < 20)")
	execute(t, where.Plain(t), "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
	for _, dry := range []bool{false, true} {
		if report, err := one.run(db, rotation.Config{DryRun: dry}); err == nil || !strings.Contains(err.Error(), "row-level security") || report.State == rotation.Finished {
			t.Errorf("%v: %+v", err, report)
		}
	}
}

// grant gives a role what a run needs, without the right to create tables.
func grant(t *testing.T, where testdb.Database, role string) {
	t.Helper()
	pool := where.Plain(t)
	var schema string
	if err := pool.QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	execute(t, pool, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	execute(t, pool, "GRANT SELECT, UPDATE ON t TO "+role)
	execute(t, pool, "GRANT SELECT, INSERT, UPDATE, DELETE ON gormcrypt_jobs, gormcrypt_shards, gormcrypt_quarantine TO "+role)
	execute(t, pool, "GRANT SELECT ON gormcrypt_schema TO "+role)
}

// A role without the right to create tables uses a ledger that another has made,
// under limits that are too short for a whole table.
func TestARoleWithFewRights(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	one := newTable(t, where, "k bigint PRIMARY KEY, note text", numberedKeys("%d", 40)...)
	db, role := nobody(t, where)
	if _, err := one.run(db, rotation.Config{}); err == nil || !strings.Contains(err.Error(), "the right to create tables") {
		t.Error(err)
	}
	if err := migrations.Upgrade(t.Context(), where.Open(t, nil)); err != nil {
		t.Fatal(err)
	}
	grant(t, where, role)
	execute(t, where.Plain(t), "ALTER ROLE "+role+" SET idle_session_timeout = '200ms'")
	one.isRotated(one.run(db, rotation.Config{Workers: 1, Limits: rotation.Limits{Rate: 20}}))
	if jobs, err := rotation.Jobs(t.Context(), db); err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs: %v", len(jobs), err)
	}
}

// What a constraint refuses goes to the quarantine, and the rest is sealed anew.
func TestRowsThatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		one := newTable(t, where, "k integer PRIMARY KEY, note text, CHECK (k <> 5 OR note LIKE 'gc1:1:%' OR note = 'mended')", numberedKeys("%d", 40)...)
		report, err := one.run(where.Open(t, nil), rotation.Config{ShardRows: 50})
		if !errors.Is(err, rotation.ErrQuarantined) || report.Swapped != 39 || report.Quarantined != 1 || report.Pass != 2 {
			t.Fatalf("%v: %+v", err, report)
		}
		quarantine, err := rotation.Quarantine(t.Context(), where.Open(t, nil), report.Job)
		if err != nil || quarantine[0].Key != "5" || quarantine[0].Version != "1" || !strings.HasPrefix(quarantine[0].Reason, "the database refuses it") {
			t.Errorf("%v: %+v", err, quarantine)
		}
	})
	t.Run("postgres, at the end of the transaction", func(t *testing.T) {
		where := testdb.Postgres(t)
		one := newTable(t, where, "k integer PRIMARY KEY, note text", numberedKeys("%d", 40)...)
		pool := where.Plain(t)
		execute(t, pool, "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k = 7 THEN RAISE 'SECRET'; END IF; RETURN NULL; END $$")
		execute(t, pool, "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()")
		report, err := one.run(where.Open(t, nil), rotation.Config{ShardRows: 50})
		if !errors.Is(err, rotation.ErrQuarantined) || report.Swapped != 39 {
			t.Fatalf("%v: %+v", err, report)
		}
		quarantine, err := rotation.Quarantine(t.Context(), where.Open(t, nil), report.Job)
		if err != nil || quarantine[0].Key != "7" || !strings.HasSuffix(quarantine[0].Reason, "SQLSTATE P0001") {
			t.Errorf("%v: %+v", err, quarantine)
		}
	})
}

// A row that a transaction holds for longer than a few passes is waited for. The
// other rows are done meanwhile, and the run says what it waits for.
func TestARowThatIsLockedForLong(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	one := newTable(t, where, "k integer PRIMARY KEY, note text", numberedKeys("%d", 40)...)
	tx, err := where.Plain(t).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT * FROM t WHERE k = 5 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	waits := ""
	report, err := one.run(where.Open(t, nil), rotation.Config{Progress: func(p rotation.Progress) {
		if p.Waits != "" && waits == "" && p.Swapped == 39 {
			waits = p.Waits
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		}
	}})
	one.isRotated(report, err)
	if !strings.HasPrefix(waits, "1 rows are stale after pass ") || report.Deferred == 0 {
		t.Errorf("it waited because %q: %+v", waits, report)
	}
}

// Who inserts a row that refers to one of ours, whose unique column is sealed anew,
// is in no deadlock with us, and does not have others wait.
func TestForeignKeysToAUniqueColumn(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	one := newTable(t, where, "k integer PRIMARY KEY, note text UNIQUE", numberedKeys("%d", 40)...)
	pool := where.Plain(t)
	execute(t, pool, "CREATE TABLE child (k integer REFERENCES t (k))")
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO child VALUES (5)"); err != nil {
		t.Fatal(err)
	}
	ended := false
	report, err := one.run(where.Open(t, nil), rotation.Config{ShardRows: 50, Workers: 1, Progress: func(p rotation.Progress) {
		if ended || p.Swapped < 39 {
			return
		}
		ended = true
		if _, err := tx.Exec("UPDATE t SET note = note WHERE k < 20"); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}})
	one.isRotated(report, err)
	if !ended {
		t.Error("nothing was sealed anew before the transaction ended")
	}
}

// A type that is altered while a job runs makes prepared statements fail once.
func TestATypeIsAlteredMeanwhile(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	one := newTable(t, where, "k integer PRIMARY KEY, note text", numberedKeys("%d", 100)...)
	altered := false
	report, err := one.run(where.Open(t, nil), rotation.Config{Workers: 1, ShardRows: 50, Limits: rotation.Limits{MaxRows: 10, Rate: 50}, Progress: func(p rotation.Progress) {
		if p.Swapped > 0 && !altered {
			altered = true
			execute(t, where.Plain(t), "ALTER TABLE t ALTER note TYPE varchar(500)")
		}
	}})
	one.isRotated(report, err)
	if !altered {
		t.Error("nothing was altered")
	}
}
