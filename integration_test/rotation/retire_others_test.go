package rotation_test

// What Retire does while others use the database.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A transaction that has written under the version before, and commits while the
// guards are on their way, is waited for and counted.
func TestRetireWaitsForOldTransactions(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		old, db := rotated(t, where, 5)
		tx := old.Begin()
		if err := tx.Create(&device{Serial: []byte("x"), Secret: "SECRET"}).Error; err != nil {
			t.Fatal(err)
		}
		var r rotation.Retirement
		var err error
		var group sync.WaitGroup
		group.Go(func() { r, err = rotation.Retire(ctx, db, rotation.RetireConfig{LockWait: 10 * time.Second}, data1) })
		time.Sleep(500 * time.Millisecond)
		if err := tx.Commit().Error; err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if d := gocmp.Diff([]rotation.Use{{Table: "devices", Column: "secret", Rows: 1}}, r.Uses); !errors.Is(err, rotation.ErrInUse) || d != "" {
			t.Errorf("%v (-want +got)\n%s", err, d)
		}
		if left := standing(t, where); len(left) > 0 {
			t.Errorf("guards are left: %v", left)
		}
	})
}

// However a writer with the old keyring races with Retire: either the version is
// not retired, or nothing of it is ever stored again.
func TestRetireRacesWithOldWriters(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := context.Background()
		rounds := 40
		if testing.Short() {
			rounds = 10
		}
		ring, _, _ := rings(t)
		old, db := use(t, where, ring, &device{}), use(t, where, ring, &device{})
		pool := where.Plain(t)
		if err := db.AutoMigrate(&device{}); err != nil {
			t.Fatal(err)
		}
		set := func(db *gorm.DB, keys *keyring.Keyring) {
			t.Helper()
			if err := db.Plugins["gormcrypt"].(*gormcrypt.Plugin).SetKeys(ctx, keys); err != nil {
				t.Fatal(err)
			}
		}
		retired, refused, stopped, late := 0, 0, 0, 0
		for round := range rounds {
			version, err := ring.Primary(keyring.DataKeys)
			if err != nil {
				t.Fatal(err)
			}
			set(old, ring)
			next, added, err := ring.Add(keyring.DataKeys)
			if err != nil {
				t.Fatal(err)
			}
			if ring, err = next.Promote(added); err != nil {
				t.Fatal(err)
			}
			set(db, ring)

			// Writers begin at about the time of Retire, and go on for longer.
			var group sync.WaitGroup
			over := make(chan struct{})
			failures := make([]int, 2)
			for w := range failures {
				group.Go(func() {
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					for i := 0; ; i++ {
						one := device{Serial: fmt.Appendf(nil, "%d/%d/%d", round, w, i), Secret: "SECRET"}
						if err := old.Transaction(func(tx *gorm.DB) error {
							err := tx.Create(&one).Error
							time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
							return err
						}); err != nil {
							failures[w]++
						}
						select {
						case <-over:
							return
						default:
						}
					}
				})
			}
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			r, err := rotation.Retire(ctx, db, rotation.RetireConfig{LockWait: 200 * time.Millisecond}, version)
			stored := rowsUnder(t, db, version)
			close(over)
			group.Wait()
			left := rowsUnder(t, db, version)
			switch {
			case err == nil:
				retired++
				if stored != 0 || left != 0 || failures[0]+failures[1] == 0 {
					t.Errorf("%s is retired; %d values were there after it, and %d at the end; %v writes failed", version, stored, left, failures)
				}
			case errors.Is(err, rotation.ErrInUse):
				refused++
				if len(r.Guards) > 0 {
					t.Errorf("guards are left: %+v", r.Guards)
				}
				if failures[0]+failures[1] > 0 {
					late++ // they met the guards
				}
			default:
				stopped++
				t.Logf("round %d: %v", round, err)
			}
			if _, err := pool.ExecContext(ctx, "DELETE FROM devices"); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("retired %d, refused %d, of these %d with guards in the way, failed %d", retired, refused, late, stopped)
		if retired == 0 || refused == 0 {
			t.Errorf("no race: retired %d, refused %d", retired, refused)
		}
	})
}

// Two that retire the same version at once do not remove each other's guards.
func TestRetireTwiceAtOnce(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, db := rotated(t, where, 5)
		errs := make([]error, 4)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				_, errs[i] = rotation.Retire(context.Background(), use(t, where, keysOf(db), models()...), rotation.RetireConfig{}, data1)
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		each := map[string]int{"sqlite": 2, "postgres": 1}[where.Name]
		if left := standing(t, where); len(left) != each*len(columnsOf(keyring.DataKeys)) {
			t.Errorf("guards: %v", left)
		}
	})
}

func keysOf(db *gorm.DB) *keyring.Keyring {
	return db.Plugins["gormcrypt"].(*gormcrypt.Plugin).Cipher().Keys()
}

// When the caller has no more time, nothing is left behind.
func TestRetireIsCancelled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		old, db := rotated(t, where, 5)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if r, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, data1); !errors.Is(err, context.Canceled) || r.Keys != nil {
			t.Errorf("%v: %+v", err, r)
		}
		// The second table cannot be had.
		tx := old.Begin()
		if err := tx.Exec("DELETE FROM patients WHERE id = -1").Error; err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(context.Background())
		var r rotation.Retirement
		var err error
		var group sync.WaitGroup
		group.Go(func() { r, err = rotation.Retire(ctx, db, rotation.RetireConfig{LockWait: 5 * time.Second}, data1) })
		if where.Name == "postgres" {
			waitFor(t, func() bool { return len(standing(t, where)) > 0 })
		}
		time.Sleep(200 * time.Millisecond)
		cancel()
		time.Sleep(200 * time.Millisecond)
		if err := tx.Rollback().Error; err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if !errors.Is(err, context.Canceled) || r.Keys != nil || len(r.Guards) > 0 {
			t.Errorf("%v: %+v", err, r)
		}
		if left := standing(t, where); len(left) > 0 {
			t.Errorf("guards are left: %v", left)
		}
		if err := old.Create(&device{Serial: []byte("x"), Secret: "SECRET"}).Error; err != nil {
			t.Error(err)
		}
	})
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// A table that others do not let go of is given up, with what was done before; and
// what cannot be undone is named.
func TestRetireOfATableInUse(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	old, db := rotated(t, where, 5)
	hold := func(table string) (release func()) {
		t.Helper()
		tx, err := where.Plain(t).BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(context.Background(), "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE"); err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback() }
	}
	release := hold("patients")
	config := rotation.RetireConfig{LockWait: 100 * time.Millisecond}
	r, err := rotation.Retire(context.Background(), db, config, data1)
	if err == nil || errors.Is(err, rotation.ErrInUse) || !strings.Contains(err.Error(), "patients") || !strings.Contains(err.Error(), "left open") || len(r.Guards) > 0 {
		t.Errorf("%v: %+v", err, r)
	}
	if left := standing(t, where); len(left) > 0 {
		t.Errorf("guards are left: %v", left)
	}
	if err := old.Create(&device{Serial: []byte("x"), Secret: "SECRET"}).Error; err != nil {
		t.Error(err)
	}
	if _, err := where.Plain(t).ExecContext(context.Background(), "DELETE FROM devices"); err != nil {
		t.Fatal(err)
	}

	var group sync.WaitGroup
	group.Go(func() { r, err = rotation.Retire(context.Background(), db, config, data1) })
	waitFor(t, func() bool { return len(standing(t, where)) > 0 })
	releaseToo := hold("devices")
	group.Wait()
	if left := standing(t, where); len(left) != 1 || len(r.Guards) != 1 || err == nil || !strings.Contains(err.Error(), `ALTER TABLE "devices" DROP CONSTRAINT IF EXISTS "`+left[0]+`"`) {
		t.Errorf("%v: %+v, in the database %v", err, r, left)
	}
	releaseToo()
	release()

	// The next refusal leaves it, and names it.
	if _, err := where.Plain(t).ExecContext(context.Background(), "UPDATE patients SET name = 'gc1:1:AAAA'"); err != nil {
		t.Fatal(err)
	}
	r, err = rotation.Retire(context.Background(), db, config, data1)
	if !errors.Is(err, rotation.ErrInUse) || len(r.Guards) != 1 || !strings.Contains(err.Error(), r.Guards[0].Name) {
		t.Errorf("%v: %+v", err, r)
	}
}

// Without the lock that keeps another Retire away, the guards may be what that one
// relies on: they stay, and are named.
func TestRetireLosesItsLock(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	_, db := rotated(t, where, 5)
	pool := where.Plain(t)
	tx, err := pool.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(context.Background(), "LOCK TABLE patients IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var r rotation.Retirement
	var group sync.WaitGroup
	group.Go(func() {
		r, err = rotation.Retire(context.Background(), db, rotation.RetireConfig{LockWait: 10 * time.Second}, data1)
	})
	waitFor(t, func() bool { return len(standing(t, where)) > 0 })
	killed := column1(t, pool, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 'devices'::regclass")
	if len(killed) != 1 {
		t.Fatalf("%d hold the lock", len(killed))
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if err == nil || r.Keys != nil || len(r.Guards) != len(columnsOf(keyring.DataKeys)) || !strings.Contains(err.Error(), r.Guards[0].Name) {
		t.Errorf("%v: %+v", err, r)
	}
}
