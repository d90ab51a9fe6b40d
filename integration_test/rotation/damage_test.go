package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// run runs a rotation.
func run(t testing.TB, db *gorm.DB, config rotation.Config) (rotation.Report, error) {
	t.Helper()
	config.Limits.Duty = 1
	job, err := rotation.New(db, config)
	if err != nil {
		t.Fatal(err)
	}
	return job.Run(context.Background())
}

// accounts opens a database with accounts 1 to n.
func accounts(t *testing.T, where testdb.Database, keys *keyring.Keyring, n int) *gorm.DB {
	t.Helper()
	db := use(t, where, keys, &account{})
	if err := db.AutoMigrate(&account{}); err != nil {
		t.Fatal(err)
	}
	var rows []account
	for i := range n {
		rows = append(rows, account{ID: int64(i + 1), Email: fmt.Sprintf("SECRET-%d", i+1), Phone: pointer(fmt.Sprint("SECRET ", i+1)), TaxID: "SECRET"})
	}
	if err := db.CreateInBatches(rows, 100).Error; err != nil {
		t.Fatal(err)
	}
	return db
}

// What does not open is left as it is and listed with its reason. It does not stop
// the others, not even those in the same row; and the job is not called finished.
func TestValuesThatDoNotOpen(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 40)
		for id, set := range map[int]string{
			3: "email = 'SECRET in the clear'", 7: "email = substr(email, 1, 20)", 11: "email = 'gc1:9:' || substr(email, 7)", 13: "email = ''",
			17: "email = (SELECT phone FROM accounts WHERE id = 2)", 19: "email = 'gc2:1:' || substr(email, 7)",
			40: "email = 'x', phone = 'y'",
		} {
			execute(t, where.Plain(t), fmt.Sprintf("UPDATE accounts SET %s WHERE id = %d", set, id))
		}
		query := "SELECT email FROM accounts WHERE id IN (3, 7, 11, 13, 17, 19, 40) ORDER BY id"
		before := column(t, where, query)
		db := use(t, where, promoted, &account{})
		report, err := run(t, db, rotation.Config{ShardRows: 9})
		if !errors.Is(err, rotation.ErrQuarantined) || report.State != rotation.Quarantined || report.Quarantined != 8 {
			t.Fatalf("%v: %+v", err, report)
		}
		if d := cmp.Diff(before, column(t, where, query)); d != "" {
			t.Errorf("(-before +after)\n%s", d)
		}
		quarantine, err := rotation.Quarantine(context.Background(), db, report.Job)
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for _, value := range quarantine {
			if strings.Contains(value.Reason, "SECRET") || value.Reason == "" || value.NotedAt.IsZero() {
				t.Errorf("the reason is %q", value.Reason)
			}
			listed = append(listed, value.Key+" "+value.Column+" "+value.Version)
		}
		want := []string{"11 email 9", "13 email ", "17 email 1", "19 email ", "3 email ", "40 email ", "40 phone ", "7 email 1"}
		if d := cmp.Diff(want, listed); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		// Everything else is under the new version, phones of the same rows too.
		if got := column(t, where, "SELECT count(*) FROM accounts WHERE phone LIKE 'gc1:2:%'"); got[0] != "39" {
			t.Errorf("%s phones", got[0])
		}
		if got := column(t, where, "SELECT count(*) FROM accounts WHERE email LIKE 'gc1:2:%'"); got[0] != "33" {
			t.Errorf("%s emails", got[0])
		}
		// The application writes some anew and deletes others; the next job ends.
		execute(t, where.Plain(t), "DELETE FROM accounts WHERE id IN (3, 7, 40)")
		if err := db.Model(&account{}).Where("id IN ?", []int{11, 13, 17, 19}).Update("email", "SECRET, new").Error; err != nil {
			t.Fatal(err)
		}
		if report, err := run(t, db, rotation.Config{ShardRows: 9}); err != nil || report.State != rotation.Finished || report.Resumed {
			t.Errorf("%v: %+v", err, report)
		}
	})
}

// column returns the first column of a result, as text.
func column(t testing.TB, where testdb.Database, query string) []string {
	t.Helper()
	var all []string
	for _, value := range column1(t, where.Plain(t), query) {
		switch value := value.(type) {
		case nil:
			t.Fatal("there is a NULL")
		case []byte:
			all = append(all, string(value))
		default:
			all = append(all, fmt.Sprint(value))
		}
	}
	return all
}

// With another key under the old version nothing opens: the job pauses after a few
// values, and goes on with the right key.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		_, _, wrong := rings(t)
		accounts(t, where, first, 500)
		report, err := run(t, use(t, where, wrong, &account{}), rotation.Config{MaxPoisoned: 20, Limits: rotation.Limits{MaxRows: 10}})
		if !errors.Is(err, rotation.ErrPoisoned) || report.State != rotation.Paused || report.Quarantined > 200 || strings.Contains(err.Error(), "SECRET") {
			t.Fatalf("%v: %+v", err, report)
		}
		db := use(t, where, promoted, &account{})
		if err := rotation.Resume(context.Background(), db, report.Job); err != nil {
			t.Fatal(err)
		}
		again, err := run(t, db, rotation.Config{})
		if err != nil || again.Job != report.Job || !again.Resumed || again.State != rotation.Finished || again.Swapped != 500 {
			t.Errorf("%v: %+v", err, again)
		}
	})
}

// A key version that the keyring does not have, or has retired, is named.
func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 5)
		retired, err := promoted.Retire(keyring.MakeVersion(keyring.DataKeys, 1))
		if err != nil {
			t.Fatal(err)
		}
		db := use(t, where, retired, &account{})
		report, err := run(t, db, rotation.Config{})
		if !errors.Is(err, rotation.ErrQuarantined) || report.Quarantined != 10 {
			t.Fatalf("%v: %+v", err, report)
		}
		quarantine, err := rotation.Quarantine(context.Background(), db, report.Job)
		if err != nil || quarantine[0].Version != "1" || !strings.Contains(quarantine[0].Reason, "retired") {
			t.Errorf("%v: %+v", err, quarantine)
		}
	})
}

// A table that changes while a job runs ends the run with an error that says so,
// and the job goes on when it is as before.
func TestTableAlteredMeanwhile(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 300)
		db := use(t, where, promoted, &account{})
		altered := make(chan error, 1)
		go func() { // when some rows are sealed anew
			for {
				if jobs, err := rotation.Jobs(context.Background(), db); err == nil && len(jobs) == 1 && jobs[0].Swapped > 0 {
					_, err := where.Plain(t).Exec("ALTER TABLE accounts RENAME COLUMN phone TO telephone")
					altered <- err
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		slow := rotation.Config{Workers: 1, ShardRows: 50, Limits: rotation.Limits{MaxRows: 10, Rate: 100}}
		report, err := run(t, db, slow)
		if err == nil || !strings.Contains(err.Error(), "phone") || report.State != rotation.Running || report.Swapped == 0 {
			t.Fatalf("%v: %+v", err, report)
		}
		if err := <-altered; err != nil {
			t.Fatal(err)
		}
		if _, err := run(t, db, slow); err == nil || !strings.Contains(err.Error(), "the table accounts has no column phone") {
			t.Fatalf("%v", err)
		}
		execute(t, where.Plain(t), "ALTER TABLE accounts RENAME COLUMN telephone TO phone")
		again, err := run(t, db, rotation.Config{Workers: 1, ShardRows: 50})
		if err != nil || again.Job != report.Job || !again.Resumed || again.State != rotation.Finished || again.Swapped != 300 {
			t.Errorf("%v: %+v", err, again)
		}
	})
}

// Connections that drop are opened again, and nothing is done twice.
func TestConnectionsDrop(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	first, _, promoted := rings(t)
	accounts(t, where, first, 400)
	const name = "TestConnectionsDrop"
	named := where
	if named.DSN += " application_name=" + name; strings.Contains(where.DSN, "?") {
		named.DSN = where.DSN + "&application_name=" + name
	}
	db := use(t, named, promoted, &account{})
	pool := where.Plain(t)
	const enough = 12
	stop, dropped := make(chan struct{}), make(chan int64)
	go func() {
		var n int64
		for {
			select {
			case <-stop:
				dropped <- n
				return
			case <-time.After(150 * time.Millisecond):
				if n >= enough {
					continue // on a busy machine, a batch takes longer than until the next drop
				}
				result, err := pool.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
				if err == nil {
					killed, _ := result.RowsAffected()
					n += killed
				}
			}
		}
	}()
	report, err := run(t, db, rotation.Config{Workers: 2, ShardRows: 100, Lease: time.Second, Limits: rotation.Limits{MaxRows: 20, Rate: 400}})
	close(stop)
	if n := <-dropped; n < 5 || err != nil || report.State != rotation.Finished || report.Swapped != 400 {
		t.Errorf("%d connections dropped: %v: %+v", n, err, report)
	}
}

// A disk that is full ends the run, and everything still opens; when there is room
// the job goes on.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	first, _, promoted := rings(t)
	accounts(t, where, first, 2000)
	db := use(t, where, promoted, &account{})
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // the limit is one of the connection
	if err := migrations.Upgrade(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := pool.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+1)); err != nil { // for the table of the trigger
		t.Fatal(err)
	}
	// A ciphertext that is a little longer takes pages that are not there.
	execute(t, where.Plain(t), "CREATE TRIGGER grows AFTER UPDATE ON accounts BEGIN INSERT INTO filler VALUES (hex(zeroblob(2000))); END")
	execute(t, where.Plain(t), "CREATE TABLE filler (what text)")
	report, err := run(t, db, rotation.Config{Workers: 1, ShardRows: 500})
	if err == nil || !strings.Contains(err.Error(), "full") || report.State != rotation.Running {
		t.Fatalf("%v: %+v", err, report)
	}
	var rows []account
	if err := db.Find(&rows).Error; err != nil || len(rows) != 2000 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if _, err := pool.Exec("PRAGMA max_page_count = 1073741823"); err != nil {
		t.Fatal(err)
	}
	again, err := run(t, db, rotation.Config{Workers: 1, ShardRows: 500})
	if err != nil || again.Job != report.Job || again.State != rotation.Finished || again.Swapped != 2000 {
		t.Errorf("%v: %+v", err, again)
	}
}

// client is an account whose model and table have other names now. Its values are
// bound to the old ones.
type client struct {
	ID         int64
	Email      string                   `gorm:"serializer:encrypted" encrypt:"context=accounts.email"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,context=accounts.email_index"`
	Phone      *string                  `gorm:"serializer:encrypted" encrypt:"context=accounts.phone"`
	TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic,context=accounts.tax_id"`
}

// unbound is the same without the old names.
type unbound struct {
	ID         int64
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	Phone      *string                  `gorm:"serializer:encrypted"`
	TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
}

func (unbound) TableName() string { return "clients" }

// user is an account under another name, in the same table.
type user account

func (user) TableName() string { return "accounts" }

// A model and a table that are renamed while a job runs. A model alone changes
// nothing. A table that is gone ends the run, and another job goes on under the new
// name, with the old one in context=; without that it opens nothing, and says so.
// The first job is in the way of Retire until somebody cancels it.
func TestModelRenamed(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := t.Context()
		first, _, promoted := rings(t)
		accounts(t, where, first, 300)
		execute(t, where.Plain(t), "UPDATE accounts SET phone = 'gc1:1:SECRET' WHERE id = 1")
		slow := rotation.Config{Workers: 1, ShardRows: 50, Limits: rotation.Limits{MaxRows: 10, Rate: 90}}
		some := func(db *gorm.DB) (rotation.Report, error) { // of the rows
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			config := slow
			config.Progress = func(p rotation.Progress) {
				if p.Swapped > 0 {
					cancel()
				}
			}
			job, err := rotation.New(db, config)
			if err != nil {
				t.Fatal(err)
			}
			return job.Run(ctx)
		}
		begun, err := some(use(t, where, promoted, &account{}))
		if !errors.Is(err, context.Canceled) || begun.Swapped == 0 || begun.Swapped > 250 {
			t.Fatalf("%v: %+v", err, begun)
		}

		renamed := use(t, where, promoted, &user{})
		if report, err := some(renamed); !errors.Is(err, context.Canceled) || !report.Resumed || report.Job != begun.Job {
			t.Fatalf("%v: %+v", err, report)
		}

		job, err := rotation.New(renamed, slow)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, where.Plain(t), "ALTER TABLE accounts RENAME TO clients")
		if _, err := job.Run(ctx); err == nil || !strings.Contains(err.Error(), "there is no table accounts") {
			t.Fatal(err)
		}
		if _, err := rotation.New(renamed, slow); err == nil || !strings.Contains(err.Error(), "no table") {
			t.Error(err)
		}
		if left, err := rotation.Find(ctx, renamed, begun.Job); err != nil || left.State != rotation.Running {
			t.Errorf("%v: %+v", err, left)
		}

		report, err := run(t, use(t, where, promoted, &unbound{}), rotation.Config{MaxPoisoned: 10})
		if !errors.Is(err, rotation.ErrPoisoned) || report.Swapped > 0 {
			t.Fatalf("%v: %+v", err, report)
		}
		if err := rotation.Cancel(ctx, renamed, report.Job, "context= is missing"); err != nil {
			t.Fatal(err)
		}

		clients := use(t, where, promoted, &client{})
		if report, err = run(t, clients, rotation.Config{}); !errors.Is(err, rotation.ErrQuarantined) || report.Job == begun.Job || report.Quarantined != 1 {
			t.Fatalf("%v: %+v", err, report)
		}
		if err := clients.Model(&client{ID: 1}).Update("phone", "SECRET 1").Error; err != nil {
			t.Fatal(err)
		}
		if report, err = run(t, clients, rotation.Config{}); err != nil {
			t.Fatalf("%v: %+v", err, report)
		}
		var rows []client
		if err := clients.Order("id").Find(&rows).Error; err != nil || len(rows) != 300 || rows[299].Email != "SECRET-300" || *rows[0].Phone != "SECRET 1" {
			t.Errorf("%d rows: %v", len(rows), err)
		}

		if _, err := rotation.Retire(ctx, clients, rotation.RetireConfig{}, data1); !errors.Is(err, rotation.ErrInUse) || !strings.Contains(err.Error(), begun.Job) {
			t.Error(err)
		}
		if err := rotation.Cancel(ctx, clients, begun.Job, "the table is renamed"); err != nil {
			t.Fatal(err)
		}
		if _, err := rotation.Retire(ctx, clients, rotation.RetireConfig{}, data1); err != nil {
			t.Error(err)
		}
	})
}

// What the ledger cannot hold is an error that says so, and nothing is written by
// it.
func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 50)
		db := use(t, where, promoted, &account{})
		for damage, want := range map[string]string{
			"UPDATE gormcrypt_jobs SET phase = 'ended' WHERE state = 'running'":                   "has ended, and its state is running",
			"UPDATE gormcrypt_jobs SET phase = 'foo' WHERE state = 'running'":                     `there is no phase "foo"`,
			"UPDATE gormcrypt_shards SET table_number = 7 WHERE done = 0":                         "the plan has no table 7",
			`UPDATE gormcrypt_shards SET after_key = '[{"i":1},{"i":2}]' WHERE done = 0`:          "has 2 columns, and the table has 1",
			`UPDATE gormcrypt_shards SET after_key = '[' WHERE done = 0`:                          "a key in the ledger",
			"UPDATE gormcrypt_jobs SET plan = '{', plan_hash = 'another' WHERE state = 'running'": "plan of job",
		} {
			ctx, cancel := context.WithCancel(t.Context())
			config := rotation.Config{Workers: 1, Limits: slow, Progress: func(p rotation.Progress) {
				if p.Swapped > 0 {
					cancel()
				}
			}}
			job, err := rotation.New(db, config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := job.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			execute(t, where.Plain(t), damage)
			before := column(t, where, "SELECT email FROM accounts ORDER BY id")
			if report, err := run(t, db, rotation.Config{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v: %+v", damage, err, report)
			}
			if d := cmp.Diff(before, column(t, where, "SELECT email FROM accounts ORDER BY id")); d != "" {
				t.Errorf("%s: (-before +after)\n%s", damage, d)
			}
			execute(t, where.Plain(t), "DELETE FROM gormcrypt_quarantine")
			execute(t, where.Plain(t), "DELETE FROM gormcrypt_shards")
			execute(t, where.Plain(t), "DELETE FROM gormcrypt_jobs")
			if err := use(t, where, first, &account{}).Model(&account{}).Where("id > 0").Update("email", "SECRET").Error; err != nil { // stale again
				t.Fatal(err)
			}
		}
		if report, err := run(t, db, rotation.Config{}); err != nil || report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, report)
		}
	})
}
