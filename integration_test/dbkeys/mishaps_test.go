package dbkeys_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A process with the old KEK, which has all keys, neither takes a move back nor adds a
// key that those with the other KEK could not load.
func TestOldKEKAfterAMove(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		one, two := newKeyServer("one"), newKeyServer("two")
		operator, late := open(t, where.Open(t, nil), one), open(t, where.Open(t, nil), one)
		must(t, operator.Init(t.Context()))
		_, err := late.Load(t.Context())
		must(t, err)
		_, err = operator.MoveTo(t.Context(), two)
		must(t, err)
		for name, store := range map[string]*dbkeys.Store{"the one that moved": operator, "another": late} {
			if n, err := store.Rewrap(t.Context()); !errors.Is(err, keyring.ErrInvalid) {
				t.Errorf("%s wrapped %d keys anew by the old KEK: %v", name, n, err)
			}
			if _, err := store.Create(t.Context(), keyring.DataKeys); !errors.Is(err, keyring.ErrInvalid) {
				t.Errorf("%s made a key with the old KEK: %v", name, err)
			}
		}
		_, err = open(t, where.Open(t, nil), two).Load(t.Context())
		must(t, err)
	})
}

// What somebody put into a retired row is not signed by Restore.
func TestRestoreAuthenticates(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		named := func(name string) func(*dbkeys.Config) { return func(c *dbkeys.Config) { c.Name = name } }
		elsewhere := another(t, where)
		must(t, open(t, elsewhere.Open(t, nil), kek, named("billing")).Init(t.Context()))
		shop := open(t, where.Open(t, nil), kek, named("shop"))
		must(t, shop.Init(t.Context()))
		a := start(t, where, kek, named("shop"))
		must(t, a.db.AutoMigrate(&Note{}))
		version, err := a.store.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, eventually(t, func() error { _, err := shop.Retire(t.Context(), a.db, rotation.RetireConfig{}, version); return err }))
		must(t, a.crypt.Close(), a.store.Close())

		var wrapped, check string
		must(t, elsewhere.Plain(t).QueryRow("SELECT wrapped, check_value FROM gormcrypt_keys WHERE version = '1'").Scan(&wrapped, &check))
		alter(t, where.Plain(t), "UPDATE gormcrypt_keys SET wrapped = '"+wrapped+"', check_value = '"+check+"' WHERE version = '2'")
		time.Sleep(20 * time.Millisecond) // the time of grace
		if err := open(t, where.Open(t, nil), kek, named("shop")).Restore(t.Context(), version); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("the key of another table was taken for ours: %v", err)
		}
	})
}

// A key is not promoted whose wrapped form was damaged: processes that have it do not
// see that, and those that start could not load it.
func TestPromoteLooksAtTheWrappedKey(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		a := start(t, where, kek)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		a.has(t, version, keyring.Enabled)
		alter(t, where.Plain(t), "UPDATE gormcrypt_keys SET wrapped = (SELECT wrapped FROM gormcrypt_keys WHERE version = '1') WHERE version = '2'")
		if err := eventually(t, func() error { return a.store.Promote(t.Context(), version) }); !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("promoted a key that nobody can load: %v", err)
		}
	})
}

// The table lost its last key, as after a failover. The next one has the same version,
// and is promoted only when processes have that.
func TestTableThatWasPutBack(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		a := start(t, where, kek)
		lost, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		a.has(t, lost, keyring.Enabled)
		time.Sleep(5 * soon.Every) // it says so
		alter(t, where.Plain(t), "DELETE FROM gormcrypt_keys WHERE version = '2'")
		for range 2 { // by who made the lost one, too
			_, err := operator.Create(t.Context(), keyring.DataKeys)
			must(t, err)
		}
		time.Sleep(5 * soon.Every)
		if err := operator.Promote(t.Context(), lost); !isBehind(err) {
			t.Errorf("promoted a key of which a process has another one: %v", err)
		}
	})
}

// All keys are gone, and processes have some: nobody begins anew under their versions.
func TestInitWhileProcessesLive(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		must(t, open(t, where.Open(t, nil), kek).Init(t.Context()))
		a := start(t, where, kek)
		alter(t, where.Plain(t), "DELETE FROM gormcrypt_keys")
		if err := open(t, where.Open(t, nil), kek).Init(t.Context()); !isBehind(err) {
			t.Errorf("made other keys: %v", err)
		}
		if err := open(t, where.Open(t, nil), kek).Import(t.Context(), gormcrypttest.Keyring(t)); !isBehind(err) {
			t.Errorf("imported other keys: %v", err)
		}
		must(t, a.crypt.Close(), a.store.Close())
		must(t, open(t, where.Open(t, nil), kek).Init(t.Context()))
	})
}

// Retired rows are not authenticated, because their keys are not loaded. What somebody
// writes there has no key open values again, and none promoted too early.
func TestRetiredRowsThatWereChanged(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		a := start(t, where, kek)
		must(t, a.db.AutoMigrate(&Note{}))
		version, err := a.store.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, eventually(t, func() error {
			_, err := operator.Retire(t.Context(), a.db, rotation.RetireConfig{}, version)
			return err
		}))
		a.has(t, version, keyring.Retired)
		alter(t, where.Plain(t), "UPDATE gormcrypt_keys SET retired_at = 9000000000000000 WHERE version = '2'")
		ring, err := open(t, where.Open(t, nil), kek).Load(t.Context())
		must(t, err)
		if state, err := ring.State(version); state != keyring.Retired || err != nil {
			t.Errorf("the key is %s again, %v", state, err)
		}
		alter(t, where.Plain(t), "UPDATE gormcrypt_keys SET changed = 9223372036854775807 WHERE version = '2'")
		if _, err := operator.Create(t.Context(), keyring.DataKeys); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("a generation that there cannot be was taken: %v", err)
		}
	})
}

// A statement that hangs holds up neither the end of keys that are too old, nor those
// who change keys.
func TestReportThatHangs(t *testing.T) {
	where, kek := testdb.Postgres(t), newKeyServer("test")
	must(t, open(t, where.Open(t, nil), kek).Init(t.Context()))
	a := start(t, where, kek, func(c *dbkeys.Config) {
		c.Lease, c.Poll.MaxAge, c.Poll.Timeout = 300*time.Millisecond, 500*time.Millisecond, 200*time.Millisecond
	})
	must(t, a.db.AutoMigrate(&Note{}), a.db.Create(&Note{ID: 1, Body: "x"}).Error)
	tx, err := where.Plain(t).Begin()
	must(t, err)
	_, err = tx.Exec("LOCK TABLE gormcrypt_key_processes IN ACCESS EXCLUSIVE MODE")
	must(t, err)
	time.Sleep(400 * time.Millisecond) // somebody waits for it
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	created := make(chan error, 1)
	go func() {
		_, err := a.store.Create(ctx, keyring.DataKeys)
		created <- err
	}()
	time.Sleep(100 * time.Millisecond)
	_, err = where.Plain(t).Exec("ALTER TABLE gormcrypt_keys RENAME TO gormcrypt_keys_away")
	must(t, err)
	var note Note
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = a.db.First(&note, 1).Error; errors.Is(err, keyring.ErrExpired) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("20 s after they were taken away, keys that end after 500 ms are used: %v", err)
		}
	}
	select {
	case <-created:
	case <-time.After(20 * time.Second):
		t.Error("Create goes on long after its context")
	}
	must(t, tx.Rollback())
	_, err = where.Plain(t).Exec("ALTER TABLE gormcrypt_keys_away RENAME TO gormcrypt_keys")
	must(t, err)
}

// hanging is a key server that does not answer to Wrap.
type hanging struct{ *keyServer }

func (hanging) Wrap(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While a key is being made, keys are loaded as before.
func TestCreateThatHangs(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		a := start(t, where, hanging{kek})
		ctx, cancel := context.WithCancel(t.Context())
		created := make(chan error, 1)
		go func() {
			_, err := a.store.Create(ctx, keyring.DataKeys)
			created <- err
		}()
		version, err := operator.Create(t.Context(), keyring.IndexKeys)
		must(t, err)
		a.has(t, version, keyring.Enabled)
		cancel()
		if err := <-created; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// Somebody else has loaded a newer keyring before the plugin watches. It is given to the
// plugin before others are told that this process has it.
func TestLoadBeforeWatch(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		store := open(t, where.Open(t, nil), kek)
		_, err := store.Load(t.Context()) // the plugin's
		must(t, err)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		_, err = store.Load(t.Context()) // a probe's
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		used, watched := make(chan *keyring.Keyring, 10), make(chan struct{})
		go func() {
			defer close(watched)
			_ = store.Watch(ctx, func(ring *keyring.Keyring) error { used <- ring; return nil })
		}()
		must(t, eventually(t, func() error { return operator.Promote(t.Context(), version) }))
		select {
		case ring := <-used:
			if _, err := ring.State(version); err != nil {
				t.Error(err)
			}
		default:
			t.Error("promoted a key that the plugin was not given")
		}
		stop()
		<-watched
	})
}

// A store that was loaded long ago counts from when it is used again.
func TestStoreThatIsUsedAgain(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		store := open(t, where.Open(t, nil), kek, func(c *dbkeys.Config) { c.Lease = 2 * time.Second })
		_, err := store.Load(t.Context())
		must(t, err)
		alter(t, where.Plain(t), "UPDATE gormcrypt_key_processes SET expires_at = 0")
		_, err = store.Load(t.Context())
		must(t, err)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		if err := operator.Promote(t.Context(), version); !isBehind(err) {
			t.Errorf("promoted without a process that has just loaded the keys: %v", err)
		}
	})
}

// Close is called again when it failed.
func TestCloseAgain(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		store := open(t, where.Open(t, nil), kek)
		_, err := store.Load(t.Context())
		must(t, err)
		pool := where.Plain(t)
		_, err = pool.Exec("ALTER TABLE gormcrypt_key_processes RENAME TO away")
		must(t, err)
		if store.Close() == nil {
			t.Error("closed without the table")
		}
		_, err = pool.Exec("ALTER TABLE away RENAME TO gormcrypt_key_processes")
		must(t, err, store.Close())
		if processes, err := operator.Processes(t.Context()); err != nil || len(processes) > 0 {
			t.Errorf("it is there still: %v, %v", processes, err)
		}
	})
}

// A lease that is too short is refused, and a time of grace without end needs no key
// that was never here.
func TestDurations(t *testing.T) {
	where, kek := testdb.SQLite(t), newKeyServer("test")
	for _, lease := range []time.Duration{-1, 1, 60, time.Millisecond} {
		if _, err := dbkeys.Open(t.Context(), dbkeys.Config{DB: where.Open(t, nil), KEK: kek, Lease: lease}); err == nil {
			t.Errorf("a lease of %v was taken", lease)
		}
	}
	ring, second, err := gormcrypttest.Keyring(t).Add(keyring.DataKeys)
	must(t, err)
	ring, err = ring.Promote(second)
	must(t, err)
	ring, err = ring.Retire(data(1))
	must(t, err)
	store := open(t, where.Open(t, nil), kek, func(c *dbkeys.Config) { c.Grace = math.MaxInt64 })
	must(t, store.Import(t.Context(), ring))
	_, err = store.Load(t.Context())
	must(t, err)
}

// Everything at once on one store over one connection, with contexts that end at any
// time: nothing waits for ever, and the keys can be loaded after.
func TestOneConnection(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, kek := operated(t, where)
		db := where.Open(t, nil)
		pool, err := db.DB()
		must(t, err)
		pool.SetMaxOpenConns(1)
		store := open(t, db, kek, func(c *dbkeys.Config) { c.Lease, c.Poll.Every = 100*time.Millisecond, 2*time.Millisecond })
		before := runtime.NumGoroutine()
		end := time.Now().Add(time.Second)
		var group sync.WaitGroup
		do := func(f func(ctx context.Context)) {
			group.Go(func() {
				for i := 0; time.Now().Before(end); i++ {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%40+1)*time.Millisecond)
					f(ctx)
					cancel()
				}
			})
		}
		for range 2 {
			do(func(ctx context.Context) { _ = store.Watch(ctx, func(*keyring.Keyring) error { return nil }) })
		}
		do(func(ctx context.Context) { _, _ = store.Load(ctx) })
		do(func(ctx context.Context) {
			if version, err := store.Create(ctx, keyring.DataKeys); err == nil {
				_ = store.Promote(ctx, version)
			}
			time.Sleep(20 * time.Millisecond)
		})
		do(func(ctx context.Context) { _, _ = store.Processes(ctx); _, _ = store.Rewrap(ctx) })
		do(func(context.Context) { time.Sleep(30 * time.Millisecond); _ = store.Close() })
		group.Wait()
		must(t, store.Close())
		for wait := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+20; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(wait) {
				t.Fatalf("there were %d goroutines, and are %d", before, runtime.NumGoroutine())
			}
		}
		_, err = open(t, where.Open(t, nil), kek).Load(t.Context())
		must(t, err)
	})
}
