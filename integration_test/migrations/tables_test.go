package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// at returns the tables of a version, by name.
func at(version int) []string {
	if version == 0 {
		return nil
	}
	all := []string{"gormcrypt_schema"}
	for _, more := range [][]string{
		{"gormcrypt_jobs", "gormcrypt_quarantine", "gormcrypt_shards"},
		{"gormcrypt_columns"},
		{"gormcrypt_key_processes", "gormcrypt_keys"},
	}[:version] {
		all = append(all, more...)
	}
	slices.Sort(all)
	return all
}

const latest = 3

// isAt checks that the tables are at a version, and that those and no others are
// there.
func isAt(t *testing.T, where testdb.Database, version int) {
	t.Helper()
	current, last, err := migrations.Version(t.Context(), where.Open(t, nil))
	if err != nil || current != version || last != latest {
		t.Errorf("version %d of %d, want %d of %d: %v", current, last, version, latest, err)
	}
	if d := cmp.Diff(at(version), own(t, where)); d != "" {
		t.Errorf("tables (-want +got)\n%s", d)
	}
}

// own returns the tables whose name has gormcrypt in it.
func own(t *testing.T, where testdb.Database) []string {
	t.Helper()
	query := "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%gormcrypt%' ORDER BY name"
	if where.Name == "postgres" {
		query = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() AND table_name LIKE '%gormcrypt%' ORDER BY table_name"
	}
	return texts(t, where, query)
}

func texts(t testing.TB, where testdb.Database, query string) []string {
	t.Helper()
	rows, err := where.Plain(t).QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func execute(t testing.TB, where testdb.Database, statements ...string) {
	t.Helper()
	pool := where.Plain(t)
	for _, statement := range statements {
		if _, err := pool.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func upgrade(t *testing.T, db *gorm.DB) {
	t.Helper()
	if err := migrations.Upgrade(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

func downgrade(t *testing.T, db *gorm.DB, version int) {
	t.Helper()
	if err := migrations.Downgrade(t.Context(), db, version); err != nil {
		t.Fatal(err)
	}
}

type note struct {
	ID   int64
	Text string `gorm:"serializer:encrypted"`
}

// notes returns a rotation of a table of notes that has something to do.
func notes(t *testing.T, where testdb.Database, config rotation.Config) *rotation.Rotation {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	db := where.Open(t, nil)
	plugin := gormcrypt.New(gormcrypt.Config{Keys: ring, Models: []any{&note{}}})
	if err := errors.Join(db.Use(plugin), db.AutoMigrate(&note{})); err != nil {
		t.Fatal(err)
	}
	rows := make([]note, 40)
	for i := range rows {
		rows[i].Text = fmt.Sprint("SECRET ", i)
	}
	if err := db.Create(&rows).Error; err != nil {
		t.Fatal(err)
	}
	added, version, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := added.Promote(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := plugin.SetKeys(t.Context(), promoted); err != nil {
		t.Fatal(err)
	}
	job, err := rotation.New(db, config)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// impatient returns a database whose connections do not wait for locks by themselves,
// and whose transactions see what was there when they began.
func impatient(t *testing.T, where testdb.Database) testdb.Database {
	t.Helper()
	switch {
	case where.Name == "sqlite":
		where.DSN = strings.Replace(where.DSN, "10000", "0", 1)
	case strings.Contains(where.DSN, "://"):
		where.DSN += "&default_transaction_isolation=repeatable%20read"
	default:
		where.DSN += " default_transaction_isolation='repeatable read'"
	}
	return where
}

// Processes that start at once make the tables once.
func TestUpgradesAtOnce(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, each := range []testdb.Database{where, impatient(t, where)} {
			dbs := make([]*gorm.DB, 8)
			for i := range dbs {
				dbs[i] = each.Open(t, nil)
			}
			for range 5 {
				errs := make([]error, len(dbs))
				var group sync.WaitGroup
				begin := make(chan struct{})
				for i, db := range dbs {
					group.Go(func() {
						<-begin
						errs[i] = migrations.Upgrade(context.Background(), db)
					})
				}
				close(begin)
				group.Wait()
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				isAt(t, where, latest)
				downgrade(t, dbs[0], 0)
			}
		}
	})
}

// Where there is nothing to do, nothing is written, and no lock is taken.
func TestUpgradeTwice(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		upgrade(t, where.Open(t, nil))
		isAt(t, where, latest)
		execute(t, where, "INSERT INTO gormcrypt_columns VALUES ('t', 'c', 'expanded', '', '', '', 0, 0)")
		// Somebody else writes.
		tx, err := where.Plain(t).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for _, statement := range []string{"UPDATE gormcrypt_schema SET id = id", "UPDATE gormcrypt_columns SET state = state"} {
			if _, err := tx.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		db := where.Open(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for range 3 {
			if err := migrations.Upgrade(ctx, db); err != nil {
				t.Fatal(err)
			}
			// In a transaction of the caller's, too.
			if err := db.Transaction(func(tx *gorm.DB) error { return migrations.Upgrade(ctx, tx) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		isAt(t, where, latest)
		if found := texts(t, where, "SELECT state FROM gormcrypt_columns"); len(found) != 1 {
			t.Errorf("%q are left", found)
		}
	})
}

// From each version to each that is before it, and up again, and then rotations work.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		isAt(t, where, 0)
		downgrade(t, db, 0)
		isAt(t, where, 0)
		for from := range latest + 1 {
			for to := range from + 1 {
				upgrade(t, db)
				downgrade(t, db, from)
				isAt(t, where, from)
				downgrade(t, db, to)
				isAt(t, where, to)
				if err := migrations.Downgrade(t.Context(), db, to+1); err == nil || !strings.HasPrefix(err.Error(), "gormcrypt: ") {
					t.Errorf("down from %d to %d: %v", to, to+1, err)
				}
				isAt(t, where, to)
			}
		}
		for _, version := range []int{-1, latest + 1} {
			if err := migrations.Downgrade(t.Context(), db, version); err == nil || !strings.Contains(err.Error(), fmt.Sprint("give one from 0 to ", latest)) {
				t.Errorf("down to %d: %v", version, err)
			}
		}
		upgrade(t, db)
		job := notes(t, where, rotation.Config{Limits: rotation.Limits{Duty: 1}})
		if report, err := job.Run(t.Context()); err != nil || report.Swapped != 40 {
			t.Errorf("%v: %+v", err, report)
		}
		// The job is over, and so may go. The next run makes what it needs.
		downgrade(t, db, 0)
		isAt(t, where, 0)
		if jobs, err := rotation.Jobs(t.Context(), db); err != nil || len(jobs) > 0 {
			t.Errorf("%v: %+v", err, jobs)
		}
		isAt(t, where, latest)
	})
}

// earlier makes a ledger as builds did that had no versions, by taking away what
// tells them apart.
func earlier(t *testing.T, where testdb.Database) {
	t.Helper()
	downgrade(t, where.Open(t, nil), 1)
	execute(t, where, "DROP TABLE gormcrypt_schema")
}

// A ledger without a version is taken over, with the job in it.
func TestALedgerWithoutAVersion(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx, cancel := context.WithCancel(t.Context())
		job := notes(t, where, rotation.Config{Workers: 1, ShardRows: 10, Limits: rotation.Limits{MaxRows: 5, Rate: 20}, Progress: func(p rotation.Progress) {
			if p.Swapped > 0 {
				cancel()
			}
		}})
		begun, err := job.Run(ctx)
		if !errors.Is(err, context.Canceled) || begun.Job == "" {
			t.Fatalf("%v: %+v", err, begun)
		}
		earlier(t, where)
		if current, _, err := migrations.Version(t.Context(), where.Open(t, nil)); err != nil || current != 0 {
			t.Errorf("version %d: %v", current, err)
		}
		if err := migrations.Downgrade(t.Context(), where.Open(t, nil), 0); !errors.Is(err, migrations.ErrUnfinished) || !strings.Contains(err.Error(), begun.Job) {
			t.Errorf("down: %v", err)
		}
		if d := cmp.Diff([]string{"gormcrypt_jobs", "gormcrypt_quarantine", "gormcrypt_shards"}, own(t, where)); d != "" {
			t.Fatalf("tables (-want +got)\n%s", d)
		}
		report, err := job.Run(t.Context())
		if err != nil || !report.Resumed || report.Job != begun.Job || report.State != rotation.Finished || report.Swapped != 40 {
			t.Errorf("%v: %+v", err, report)
		}
		isAt(t, where, latest)
		earlier(t, where)
		downgrade(t, where.Open(t, nil), 0)
		isAt(t, where, 0)
	})
}

// What a newer build has made is left alone.
func TestANewerVersion(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		for _, version := range []int{latest, 1} { // and what is known below it need not be there
			upgrade(t, db)
			downgrade(t, db, version)
			execute(t, where, "INSERT INTO gormcrypt_schema VALUES ('0003_future')")
			jobs := func() error { _, err := rotation.Jobs(t.Context(), db); return err }
			for what, err := range map[string]error{
				"up": migrations.Upgrade(t.Context(), db), "down": migrations.Downgrade(t.Context(), db, 0), "down to the latest": migrations.Downgrade(t.Context(), db, latest), "jobs": jobs(),
			} {
				if !errors.Is(err, migrations.ErrNewer) || !strings.HasPrefix(err.Error(), "gormcrypt: a newer version") || !strings.Contains(err.Error(), "0003_future") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if current, last, err := migrations.Version(t.Context(), db); err != nil || current != version+1 || last != latest {
				t.Errorf("version %d of %d: %v", current, last, err)
			}
			if d := cmp.Diff(at(version), own(t, where)); d != "" {
				t.Errorf("tables (-want +got)\n%s", d)
			}
			execute(t, where, "DELETE FROM gormcrypt_schema WHERE id = '0003_future'")
		}
	})
}

// What is not finished is not lost.
func TestDowngradeWithUnfinishedWork(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		const job = "INSERT INTO gormcrypt_jobs VALUES ('%s', '', '', '%[1]s', '', 1, '', 0, '', 0, 0, 0)"
		db := where.Open(t, nil)
		upgrade(t, db)
		for _, state := range []string{"finished", "cancelled", "quarantined"} {
			execute(t, where, fmt.Sprintf(job, state))
		}
		execute(t, where, "INSERT INTO gormcrypt_columns VALUES ('t', 'done', 'finished', '', '', '', 0, 0)")
		refused := func(version int, want string) {
			t.Helper()
			err := migrations.Downgrade(t.Context(), db, version)
			if !errors.Is(err, migrations.ErrUnfinished) || !strings.HasPrefix(err.Error(), "gormcrypt: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("down to %d: %v", version, err)
			}
			isAt(t, where, latest)
		}
		for _, state := range []string{"running", "paused"} {
			execute(t, where, fmt.Sprintf(job, state))
			refused(0, "job "+state+"; let it finish, or cancel it")
			if found := texts(t, where, "SELECT id FROM gormcrypt_jobs"); len(found) != 4 {
				t.Errorf("jobs %q are left", found)
			}
			if found := texts(t, where, "SELECT column_name FROM gormcrypt_columns"); len(found) != 1 {
				t.Errorf("columns %q are left", found)
			}
			execute(t, where, "DELETE FROM gormcrypt_jobs WHERE id = '"+state+"'")
		}
		execute(t, where, "INSERT INTO gormcrypt_columns VALUES ('t', 'c', 'expanded', '', '', '', 0, 0)")
		refused(0, "the migration of t.c; ")
		refused(1, "the migration of t.c; ")
		// To where nothing goes, it goes.
		downgrade(t, db, latest)
		execute(t, where, "UPDATE gormcrypt_columns SET state = 'finished'", fmt.Sprintf(job, "running"))
		downgrade(t, db, 1)
		if found := texts(t, where, "SELECT id FROM gormcrypt_jobs"); len(found) != 4 {
			t.Errorf("jobs %q are left", found)
		}
		isAt(t, where, 1)
	})
}

// A job that begins while the tables are about to go is not lost: either it is seen,
// or its process waits, and finds that they are gone.
func TestDowngradeWaitsForWork(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		upgrade(t, db)
		tx, err := where.Plain(t).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec("INSERT INTO gormcrypt_jobs VALUES ('late', '', '', 'running', '', 1, '', 0, '', 0, 0, 0)"); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(func() { err = migrations.Downgrade(context.Background(), db, 0) })
		time.Sleep(300 * time.Millisecond)
		commit := tx.Commit()
		group.Wait()
		if commit != nil || !errors.Is(err, migrations.ErrUnfinished) {
			t.Errorf("%v, %v", commit, err)
		}
		isAt(t, where, latest)
	})
}

// A role that may not create tables is told what to do, and uses those that are
// there. No right is needed but to read the version.
func TestARoleWithFewRights(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	as, role := where.AsNewRole(t)
	db := as.Open(t, nil)
	schema := texts(t, where, "SELECT current_schema()::text")[0]
	refused := func(what string) {
		t.Helper()
		err := migrations.Upgrade(t.Context(), db)
		if err == nil || !strings.HasPrefix(err.Error(), "gormcrypt: ") || !strings.Contains(err.Error(), "a role with the right to create tables has to call migrations.Upgrade once") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("without the schema")
	execute(t, where, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	refused("without tables")
	upgrade(t, where.Open(t, nil))
	refused("without SELECT")
	execute(t, where, "GRANT SELECT ON gormcrypt_schema TO "+role)
	upgrade(t, db)
	if current, _, err := migrations.Version(t.Context(), db); err != nil || current != latest {
		t.Errorf("version %d: %v", current, err)
	}
	if err := migrations.Downgrade(t.Context(), db, 0); err == nil {
		t.Error("it may remove the tables")
	}
	isAt(t, where, latest)
	downgrade(t, where.Open(t, nil), 1)
	refused("with an earlier version")
	isAt(t, where, 1)
}

// So is who has a connection that only reads.
func TestAConnectionThatOnlyReads(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1) // the setting is one of the connection
		only := "PRAGMA query_only = on"
		if where.Name == "postgres" {
			only = "SET default_transaction_read_only = on"
		}
		if _, err := pool.Exec(only); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Upgrade(t.Context(), db); err == nil || !strings.Contains(err.Error(), "the right to create tables") {
			t.Error(err)
		}
		upgrade(t, where.Open(t, nil))
		upgrade(t, db)
	})
}

// A search path that begins with another schema does not make a second set of tables.
func TestTablesInALaterSchema(t *testing.T) {
	t.Parallel()
	where, first := testdb.Postgres(t), testdb.Postgres(t)
	schema := func(where testdb.Database) string { return texts(t, where, "SELECT current_schema()::text")[0] }
	both := where
	both.DSN = strings.Replace(where.DSN, schema(where), schema(first)+","+schema(where), 1)
	upgrade(t, where.Open(t, nil))
	for range 2 {
		downgrade(t, both.Open(t, nil), 1)
		isAt(t, where, 1)
		upgrade(t, both.Open(t, nil))
		isAt(t, where, latest)
		isAt(t, first, 0)
		earlier(t, where)
		upgrade(t, both.Open(t, nil))
		isAt(t, where, latest)
		isAt(t, first, 0)
	}
	downgrade(t, both.Open(t, nil), 0)
	isAt(t, where, 0)
	upgrade(t, both.Open(t, nil))
	isAt(t, where, 0)
	isAt(t, first, latest)
}

// tenants is a plugin as applications have them, which adds a condition to every
// statement and refuses some.
type tenants struct{}

func (tenants) Name() string { return "tenants" }

func (tenants) Initialize(db *gorm.DB) error {
	limit := func(db *gorm.DB) { _ = db.AddError(errors.New("not for this tenant")) }
	return errors.Join(
		db.Callback().Query().Before("gorm:query").Register("tenants", limit), db.Callback().Row().Before("gorm:row").Register("tenants", limit),
		db.Callback().Raw().Before("gorm:raw").Register("tenants", limit), db.Callback().Create().Before("gorm:create").Register("tenants", limit),
		db.Callback().Delete().Before("gorm:delete").Register("tenants", limit),
	)
}

// However the application has set up its *gorm.DB, the tables are the same, and its
// log has nothing of them.
func TestSetUps(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	type setUp struct {
		config gorm.Config
		plugin gorm.Plugin
	}
	for name, of := range map[string]func() setUp{
		"names": func() setUp {
			return setUp{config: gorm.Config{NamingStrategy: schema.NamingStrategy{TablePrefix: "app_", SingularTable: true, NameReplacer: strings.NewReplacer("ID", "key")}}}
		},
		"prepared": func() setUp {
			return setUp{config: gorm.Config{PrepareStmt: true, TranslateError: true, QueryFields: true, CreateBatchSize: 1}}
		},
		"plugin": func() setUp {
			return setUp{plugin: gormcrypt.New(gormcrypt.Config{Keys: ring, Models: []any{&note{}}})}
		},
		"another": func() setUp { return setUp{plugin: tenants{}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				var lines bytes.Buffer
				setUp := of()
				setUp.config.Logger = logger.New(log.New(&lines, "", 0), logger.Config{LogLevel: logger.Info})
				db := where.Open(t, &setUp.config)
				if setUp.plugin != nil {
					if err := db.Use(setUp.plugin); err != nil {
						t.Fatal(err)
					}
				}
				lines.Reset()
				db = db.Where("id = ?", 1) // of a chain that the caller goes on with
				upgrade(t, db)
				isAt(t, where, latest)
				downgrade(t, db, 1)
				isAt(t, where, 1)
				upgrade(t, db)
				isAt(t, where, latest)
				downgrade(t, db, 0)
				isAt(t, where, 0)
				if lines.Len() > 0 {
					t.Errorf("logged: %s", &lines)
				}
			})
		})
	}
}

// Nothing is changed where the caller does not expect it, and nothing waits for the
// caller's own locks.
func TestNotForDryRunsAndInTransactions(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		for want, f := range map[string]func(tx *gorm.DB) error{
			"dry runs":         func(*gorm.DB) error { return migrations.Upgrade(t.Context(), db.Session(&gorm.Session{DryRun: true})) },
			"in a transaction": func(tx *gorm.DB) error { return migrations.Upgrade(t.Context(), tx) },
		} {
			if err := db.Transaction(f); err == nil || !strings.HasPrefix(err.Error(), "gormcrypt: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		isAt(t, where, 0)
	})
}

// While somebody else writes for long, it waits, until ctx is done.
func TestUpgradeWaits(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		lock := "SELECT pg_advisory_xact_lock(7453301722466908528)"
		if where.Name == "sqlite" {
			lock = "CREATE TABLE t (n int)"
		}
		tx, err := where.Plain(t).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec(lock); err != nil {
			t.Fatal(err)
		}
		db := impatient(t, where).Open(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := migrations.Upgrade(ctx, db); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		var group sync.WaitGroup
		group.Go(func() { err = migrations.Upgrade(context.Background(), db) })
		time.Sleep(time.Second)
		if found := own(t, where); len(found) > 0 {
			t.Errorf("it did not wait: %q", found)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if err != nil {
			t.Error(err)
		}
		isAt(t, where, latest)
	})
}
