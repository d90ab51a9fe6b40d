package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var (
	data1  = keyring.MakeVersion(keyring.DataKeys, 1)
	data2  = keyring.MakeVersion(keyring.DataKeys, 2)
	index1 = keyring.MakeVersion(keyring.IndexKeys, 1)
)

// standing returns the guards in a database, by asking its catalogue.
func standing(t testing.TB, where testdb.Database) []string {
	t.Helper()
	query := "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
	if where.Name == "postgres" {
		query = "SELECT conname::text FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype = 'c' ORDER BY conname"
	}
	return column(t, where, query)
}

// rotated returns a database that is rotated from the first keyring, and a
// *gorm.DB with each.
func rotated(t testing.TB, where testdb.Database, rows int) (old, current *gorm.DB) {
	t.Helper()
	first, _, promoted := rings(t)
	old = use(t, where, first, models()...)
	fill(t, old, rows)
	current = use(t, where, promoted, models()...)
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
		rotate(t, current, set)
	}
	return old, current
}

func rotate(t testing.TB, db *gorm.DB, set keyring.Set) {
	t.Helper()
	if report, err := run(t, db, rotation.Config{Set: set}); err != nil {
		t.Fatalf("%v: %+v", err, report)
	}
}

// rowsUnder returns how many values a census finds under a version.
func rowsUnder(t testing.TB, db *gorm.DB, version keyring.Version) int64 {
	t.Helper()
	report, err := rotation.Census(context.Background(), db, rotation.CensusConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, column := range report.Columns {
		for _, v := range column.Versions {
			if v.Version == version {
				n += v.Rows
			}
		}
	}
	return n
}

// columnsOf are the columns that can hold values under a version of a set.
func columnsOf(set keyring.Set) []string {
	all := []string{"devices.secret"}
	for _, column := range []string{"name", "phone", "tax_id", "scan", "weight", "born", "labels", "token", "payout"} {
		all = append(all, "patients."+column)
	}
	if set == keyring.IndexKeys {
		all = append(all, "patients.name_index")
	}
	return append(all, `visits of "2026".note`, `visits of "2026".doctor`)
}

// When nothing is left, the version is retired, and nobody can write under it.
func TestRetire(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		old, db := rotated(t, where, 30)
		pool := where.Plain(t)
		for _, version := range []keyring.Version{data1, index1} {
			for range 2 { // a second time nothing is new
				r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, version)
				if err != nil {
					t.Fatal(err)
				}
				if state, err := r.Keys.State(version); err != nil || state != keyring.Retired || len(r.Uses) > 0 || r.Version != version {
					t.Errorf("%v, %v: %+v", state, err, r)
				}
				var guarded []string
				for _, guard := range r.Guards {
					guarded = append(guarded, guard.Table+"."+guard.Column)
				}
				if d := gocmp.Diff(columnsOf(version.Set()), guarded); d != "" {
					t.Errorf("guarded (-want +got)\n%s", d)
				}
				// The process has the keyring by now.
				plugin := db.Plugins["gormcrypt"].(*gormcrypt.Plugin)
				if err := plugin.SetKeys(ctx, r.Keys); err != nil {
					t.Fatal(err)
				}
			}
		}
		each := 1
		if where.Name == "sqlite" {
			each = 2
		}
		if found, want := len(standing(t, where)), each*(len(columnsOf(keyring.DataKeys))+len(columnsOf(keyring.IndexKeys))); found != want {
			t.Errorf("%d guards in the database, want %d", found, want)
		}

		// A writer of old gets errors, and leaves nothing.
		var rows int64
		count := func() int64 {
			t.Helper()
			n, _ := column1(t, pool, "SELECT count(*) FROM devices")[0].(int64)
			return n
		}
		rows = count()
		for what, err := range map[string]error{
			"Create": old.Create(&device{Serial: []byte("x"), Secret: "SECRET"}).Error,
			"Save":   old.Save(&device{Serial: []byte("\x00\xff0"), Secret: "SECRET"}).Error,
			"Update": old.Model(&device{}).Where("serial = ?", []byte("\x00\xff1")).Update("secret", "SECRET").Error,
			"tax id": old.Model(&patient{}).Session(&gorm.Session{SkipHooks: true}).Where("account_id = ?", "account-3").Update("tax_id", "SECRET").Error,
		} {
			if err == nil || !strings.Contains(err.Error(), "retired") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s with the old keyring: %v", what, err)
			}
		}
		for _, statement := range []string{
			"UPDATE patients SET scan = $1 WHERE account_id = 'account-4'", "UPDATE patients SET name_index = $2 WHERE account_id = 'account-4'",
			`UPDATE "visits of ""2026""" SET note = $3`,
		} {
			value := map[bool]any{true: []byte("gc1:1:\x00\xff"), false: "gc1:1:AAAA"}[strings.Contains(statement, "$1")]
			if strings.Contains(statement, "$2") {
				value = "i1:a19456.2.1:AAAA"
			}
			if _, err := pool.ExecContext(ctx, statement[:strings.Index(statement, "$")]+"$1"+statement[strings.Index(statement, "$")+2:], value); err == nil {
				t.Errorf("%s is admitted", statement)
			}
		}
		if n := count(); n != rows || rowsUnder(t, db, data1)+rowsUnder(t, db, index1) > 0 {
			t.Errorf("%d rows, want %d; something is stored under a retired key", n, rows)
		}

		// Whoever has the new one writes, and so do those who write something else.
		for what, err := range map[string]error{
			"Create": db.Create(&device{Serial: []byte("y"), Secret: "SECRET"}).Error,
			"NULL":   db.Model(&patient{}).Session(&gorm.Session{SkipHooks: true}).Where("account_id = ?", "account-5").Update("phone", nil).Error,
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, value := range []string{"gc1:10:AAAA", "gc1:1", "plaintext", ""} {
			if _, err := pool.ExecContext(ctx, "UPDATE patients SET name = $1 WHERE account_id = 'account-6'", value); err != nil {
				t.Errorf("%q: %v", value, err)
			}
		}
	})
}

// One value in any column is enough, and the refusal says in which.
func TestRetireIsRefusedForEveryColumn(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		_, db := rotated(t, where, 10)
		pool := where.Plain(t)
		for _, version := range []keyring.Version{data1, index1} {
			for _, name := range columnsOf(version.Set()) {
				table, column, _ := strings.Cut(name, ".")
				quoted := `"` + strings.ReplaceAll(table, `"`, `""`) + `"`
				var value any = "gc1:" + version.String() + ":AAAA"
				if column == "name_index" {
					value = version.String() + ":AAAA"
				}
				if column == "scan" {
					value = []byte("gc1:" + version.String() + ":\x00\xff")
				}
				key := map[string]string{"devices": "serial", "patients": "id"}[table]
				if key == "" {
					key = "number"
				}
				one := column1(t, pool, "SELECT "+key+" FROM "+quoted+" ORDER BY "+key)[0]
				before := column1(t, pool, "SELECT "+column+" FROM "+quoted+" ORDER BY "+key)[0]
				update := "UPDATE " + quoted + " SET " + column + " = $1 WHERE " + key + " = $2"
				if _, err := pool.ExecContext(ctx, update, value, one); err != nil {
					t.Fatal(err)
				}
				r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, version)
				want := []rotation.Use{{Table: table, Column: column, Rows: 1}}
				if d := gocmp.Diff(want, r.Uses); !errors.Is(err, rotation.ErrInUse) || d != "" || r.Keys != nil || len(r.Guards) > 0 {
					t.Errorf("%s: %v: %+v", name, err, r)
				}
				if err != nil && !strings.Contains(err.Error(), name+": 1 row;") {
					t.Errorf("%s is not in: %v", name, err)
				}
				if left := standing(t, where); len(left) > 0 {
					t.Errorf("%s: guards are left: %v", name, left)
				}
				if _, err := pool.ExecContext(ctx, update, before, one); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, version); err != nil {
				t.Errorf("nothing is left: %v", err)
			}
			for _, statement := range removals(t, where) {
				if _, err := pool.ExecContext(ctx, statement); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// removals are statements that remove all guards.
func removals(t testing.TB, where testdb.Database) []string {
	t.Helper()
	query := `SELECT 'DROP TRIGGER "' || name || '"' FROM sqlite_master WHERE type = 'trigger'`
	if where.Name == "postgres" {
		query = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype = 'c' AND coninhcount = 0"
	}
	return column(t, where, query)
}

// A job that is not finished, and rows that it could not open, hold a version.
func TestRetireIsRefusedForTheLedger(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 10)
		db := use(t, where, promoted, models()...)
		pool := where.Plain(t)
		if _, err := pool.ExecContext(ctx, "UPDATE devices SET secret = 'gc1:1:spoilt'"); err != nil {
			t.Fatal(err)
		}
		config := rotation.Config{MaxPoisoned: 3, Workers: 1, Limits: rotation.Limits{Duty: 1}, Tables: []string{"devices"}}
		job, err := rotation.New(db, config)
		if err != nil {
			t.Fatal(err)
		}
		report, err := job.Run(ctx)
		if !errors.Is(err, rotation.ErrPoisoned) {
			t.Fatal(err)
		}
		wants := func(want ...rotation.Use) {
			t.Helper()
			r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, data1)
			if d := gocmp.Diff(want, r.Uses); !errors.Is(err, rotation.ErrInUse) || d != "" || r.Keys != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
			for _, use := range want {
				if err != nil && !strings.Contains(err.Error(), use.String()) {
					t.Errorf("%s is not in: %v", use, err)
				}
			}
			if left := standing(t, where); len(left) > 0 {
				t.Errorf("guards are left: %v", left)
			}
		}
		column := rotation.Use{Table: "devices", Column: "secret", Rows: 10}
		quarantine := rotation.Use{Table: "devices", Column: "secret", Rows: 10, Job: report.Job}
		unfinished := rotation.Use{Job: report.Job}
		for _, statement := range []string{"DELETE FROM patients", `DELETE FROM "visits of ""2026"""`} {
			if _, err := pool.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		wants(column, quarantine, unfinished)
		if _, err := pool.ExecContext(ctx, "DELETE FROM devices"); err != nil {
			t.Fatal(err)
		}
		wants(quarantine, unfinished)
		if err := rotation.Cancel(ctx, db, report.Job, ""); err != nil {
			t.Fatal(err)
		}
		wants(quarantine)
		// A quarantine that is of another version is none of its business, unless
		// there are values to be found in the same table.
		if _, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, index1); err != nil {
			t.Errorf("another version: %v", err)
		}
		for _, statement := range removals(t, where) {
			if _, err := pool.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := pool.ExecContext(ctx, "INSERT INTO devices (serial, secret) VALUES ($1, 'gc1:i1:AAAA')", []byte("1")); err != nil {
			t.Fatal(err)
		}
		r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, index1)
		if d := gocmp.Diff([]rotation.Use{{Table: "devices", Column: "secret", Rows: 1}, quarantine}, r.Uses); !errors.Is(err, rotation.ErrInUse) || d != "" {
			t.Errorf("%v (-want +got)\n%s", err, d)
		}
		if _, err := pool.ExecContext(ctx, "DELETE FROM devices"); err != nil {
			t.Fatal(err)
		}
		// A job over other tables settles nothing, and one over this table does.
		for _, table := range []string{"patients", "devices"} {
			wants(quarantine)
			config.Tables = []string{table}
			again, err := rotation.New(db, config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Run(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, data1); err != nil {
			t.Errorf("everything is settled: %v", err)
		}
	})
}

// By a manifest and a keyring, in a schema, of a partitioned table.
func TestRetireByAManifest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	where := testdb.Postgres(t)
	_, _, promoted := rings(t)
	pool := where.Plain(t)
	for _, statement := range []string{`CREATE TABLE odd (id bigint PRIMARY KEY, "a ""b""" varchar(200), b bytea) PARTITION BY RANGE (id)`,
		`CREATE TABLE odd_1 PARTITION OF odd FOR VALUES FROM (0) TO (2)`, `CREATE TABLE odd_2 PARTITION OF odd FOR VALUES FROM (2) TO (9)`,
		`INSERT INTO odd VALUES (1, 'gc1:2:AA', 'gc1:2:'), (2, 'plaintext', '\xff'), (3, NULL, 'gc1:1:')`} {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	schema := fmt.Sprint(column1(t, pool, "SELECT current_schema()")[0])
	m := manifest.Manifest{Format: manifest.Format, Tables: []manifest.Table{{Name: schema + ".odd", PrimaryKey: []string{"id"}, Columns: []manifest.Column{
		{Name: `a "b"`, Type: manifest.StringValue, Context: manifest.Context{Table: "odd", Column: "a"}}, {Name: "b", Type: manifest.StringValue, Context: manifest.Context{Table: "odd", Column: "b"}, Binary: true},
	}}}}
	db, config := where.Open(t, nil), rotation.RetireConfig{Manifest: &m, Keys: promoted}
	r, err := rotation.Retire(ctx, db, config, data1)
	if d := gocmp.Diff([]rotation.Use{{Table: schema + ".odd", Column: "b", Rows: 1}}, r.Uses); !errors.Is(err, rotation.ErrInUse) || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	if _, err := pool.ExecContext(ctx, "DELETE FROM odd WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	if r, err := rotation.Retire(ctx, db, config, data1); err != nil || len(r.Guards) != 2 {
		t.Errorf("%v: %+v", err, r)
	}
	for _, statement := range []string{`INSERT INTO odd_2 VALUES (4, 'gc1:1:AA')`, `UPDATE odd SET b = 'gc1:1:AA'`} {
		if _, err := pool.ExecContext(ctx, statement); err == nil {
			t.Errorf("%s is admitted", statement)
		}
	}
}

func TestRetireRefusesAtOnce(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		first, _, promoted := rings(t)
		db := use(t, where, promoted, &device{})
		if _, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, data1); err == nil {
			t.Error("there is no table, and yet nothing in use")
		}
		if err := db.AutoMigrate(&device{}); err != nil {
			t.Fatal(err)
		}
		for version, want := range map[keyring.Version]error{data2: keyring.ErrInvalid, keyring.MakeVersion(keyring.DataKeys, 3): keyring.ErrUnknownVersion, {}: keyring.ErrUnknownVersion} {
			if r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, version); !errors.Is(err, want) || r.Keys != nil {
				t.Errorf("%v: %v", version, err)
			}
		}
		m, err := gormcrypt.Manifest(db)
		if err != nil {
			t.Fatal(err)
		}
		plain := where.Open(t, nil)
		for what, err := range map[string]error{
			"nothing":      retireError(plain, rotation.RetireConfig{}),
			"no keys":      retireError(plain, rotation.RetireConfig{Manifest: &m}),
			"no manifest":  retireError(plain, rotation.RetireConfig{Keys: promoted}),
			"keys twice":   retireError(db, rotation.RetireConfig{Keys: promoted}),
			"no time":      retireError(db, rotation.RetireConfig{LockWait: -1}),
			"it is in use": retireError(plain, rotation.RetireConfig{Manifest: &m, Keys: first}),
		} {
			if err == nil {
				t.Errorf("%s: no error", what)
			}
		}
		m.Tables[0].Columns = slices.Clone(m.Tables[0].Columns)
		m.Tables[0].Columns[0].Name = "missing"
		if err := retireError(plain, rotation.RetireConfig{Manifest: &m, Keys: promoted}); err == nil || !strings.Contains(err.Error(), "devices") {
			t.Errorf("a column that is not there: %v", err)
		}
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		if err := retireError(db, rotation.RetireConfig{}); (err == nil) != (where.Name == "sqlite") {
			t.Errorf("one connection: %v", err)
		}
	})
}

func retireError(db *gorm.DB, config rotation.RetireConfig) error {
	_, err := rotation.Retire(context.Background(), db, config, data1)
	return err
}
