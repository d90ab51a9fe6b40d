package dbkeys_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A key is made, reaches every process, seals, is replaced and retired, while two
// applications go on.
func TestLifeOfAKey(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		first := open(t, where.Open(t, nil), kek)
		must(t, first.Init(t.Context()))
		ada, bob := start(t, where, kek), start(t, where, kek)
		must(t, ada.db.AutoMigrate(&Note{}))
		must(t, ada.db.Create(&Note{ID: 1, Body: "under 1", Email: "one@example.org"}).Error)

		version, err := first.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		if version != data(2) || states(t, first) != "1 primary, 2 enabled, i1 primary" {
			t.Fatalf("created %s: %s", version, states(t, first))
		}
		must(t, eventually(t, func() error { return first.Promote(t.Context(), version) }))
		// Each has the version now, whether it has looked since or not.
		for _, application := range []application{ada, bob} {
			if _, err := application.crypt.Cipher().Keys().State(version); err != nil {
				t.Fatalf("promoted before a process had the key: %v", err)
			}
		}
		ada.has(t, version, keyring.Primary)
		must(t, ada.db.Create(&Note{ID: 2, Body: "under 2", Email: "two@example.org"}).Error)
		var notes []Note
		must(t, bob.db.Order("id").Find(&notes).Error)
		if len(notes) != 2 || notes[0].Body != "under 1" || notes[1].Body != "under 2" {
			t.Fatalf("bob read %v", notes)
		}

		retire := func() (rotation.Retirement, error) {
			return first.Retire(t.Context(), ada.db, rotation.RetireConfig{}, data(1))
		}
		var retirement rotation.Retirement
		err = eventually(t, func() (err error) { retirement, err = retire(); return err })
		if !errors.Is(err, rotation.ErrInUse) || len(retirement.Uses) == 0 {
			t.Fatalf("retired while a row has a value under it: %v, %v", retirement.Uses, err)
		}
		job, err := rotation.New(ada.db, rotation.Config{})
		must(t, err)
		_, err = job.Run(t.Context())
		must(t, err)
		must(t, eventually(t, func() error { _, err := retire(); return err }))
		bob.has(t, data(1), keyring.Retired)
		if states(t, first) != "1 retired, 2 primary, i1 primary" {
			t.Errorf("retired: %s", states(t, first))
		}
		notes = nil
		must(t, bob.db.Order("id").Find(&notes).Error)
		gormcrypttest.AssertSealed(t, bob.db, &Note{}, "Body")
		if _, err := retire(); err != nil {
			t.Errorf("retired twice: %v", err)
		}

		// A backup has values under it after all.
		must(t, first.Restore(t.Context(), data(1)))
		bob.has(t, data(1), keyring.Enabled)
		if err := first.Promote(t.Context(), data(1)); !errors.Is(err, dbkeys.ErrState) {
			t.Errorf("a key that was retired was promoted: %v", err)
		}
	})
}

// As long as one process does not have a key, it is not promoted, whatever else it
// does. It counts until it closes its store, or is not heard of.
func TestPromoteWaits(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		slow := open(t, where.Open(t, nil), kek)
		gone := open(t, where.Open(t, nil), kek, func(c *dbkeys.Config) { c.Lease = 300 * time.Millisecond })
		for _, store := range []*dbkeys.Store{slow, gone} { // and never look again
			_, err := store.Load(t.Context())
			must(t, err)
		}
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		err = operator.Promote(t.Context(), version)
		var behind *dbkeys.BehindError
		if !errors.As(err, &behind) || !isBehind(err) || behind.Version != version || len(behind.Processes) == 0 || !behind.Processes[0].Behind {
			t.Fatalf("promoted a key that two processes do not have: %v", err)
		}
		if !strings.Contains(err.Error(), behind.Processes[0].Name) || !strings.Contains(err.Error(), "try again") {
			t.Errorf("the error does not say who, or what to do: %v", err)
		}
		for end := time.Now().Add(20 * time.Second); len(behind.Processes) > 1 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if err := operator.Promote(t.Context(), version); !errors.As(err, &behind) {
				t.Fatalf("promoted a key that one process does not have: %v", err)
			}
		}
		if len(behind.Processes) != 1 {
			t.Fatalf("a process that is gone still counts: %v", behind.Processes)
		}
		if states(t, operator) != "1 primary, 2 enabled, i1 primary" {
			t.Errorf("after it was refused: %s", states(t, operator))
		}
		// It has loaded the key, but does not use it yet.
		_, err = slow.Load(t.Context())
		must(t, err)
		if err := operator.Promote(t.Context(), version); !isBehind(err) {
			t.Fatalf("promoted a key that one process does not use: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			_ = slow.Watch(ctx, func(*keyring.Keyring) error { return nil })
		}()
		must(t, eventually(t, func() error { return operator.Promote(t.Context(), version) }))
		stop()
		<-watched

		// It still seals under 1.
		if _, err := operator.Retire(t.Context(), where.Open(t, nil), rotation.RetireConfig{}, data(1)); !isBehind(err) {
			t.Fatalf("retired a key that a process seals under: %v", err)
		}
		processes, err := operator.Processes(t.Context())
		must(t, err)
		if len(processes) != 1 || !slices.Equal(processes[0].Writes, []keyring.Version{data(1), index(1)}) || !processes[0].Behind {
			t.Errorf("the processes are %v", processes)
		}
		must(t, slow.Close())
		if processes, err = operator.Processes(t.Context()); err != nil || len(processes) != 0 {
			t.Errorf("after it closed, there are %v, %v", processes, err)
		}
	})
}

// An operator retires a key without the models, by the manifest: the keys are those of
// the store.
func TestRetireByManifest(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		a := start(t, where, kek)
		must(t, a.db.AutoMigrate(&Note{}))
		described, err := gormcrypt.Manifest(a.db)
		must(t, err)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		config := rotation.RetireConfig{Manifest: &described}
		must(t, eventually(t, func() error { _, err := operator.Retire(t.Context(), where.Open(t, nil), config, version); return err }))
		a.has(t, version, keyring.Retired)
	})
}

// A process that others took for gone is heard of again, with the keys that it has.
func TestProcessComesBack(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		start(t, where, kek, func(c *dbkeys.Config) { c.Lease = 300 * time.Millisecond })
		alter(t, where.Plain(t), "DELETE FROM gormcrypt_key_processes")
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			processes, err := operator.Processes(t.Context())
			must(t, err)
			if len(processes) == 1 && !processes[0].Behind {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("after 20 s the processes are %v", processes)
			}
		}
	})
}

// A process that has changed the keys uses what came of it when the call returns,
// however seldom it looks.
func TestOwnChanges(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		must(t, open(t, where.Open(t, nil), kek).Init(t.Context()))
		a := start(t, where, kek, func(c *dbkeys.Config) { c.Poll.Every = time.Hour })
		must(t, a.db.AutoMigrate(&Note{}))
		version, err := a.store.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, a.store.Promote(t.Context(), version)) // which would wait for an hour for this process
		must(t, a.db.Create(&Note{ID: 1, Body: "at once"}).Error)
		if sealed := a.stored(t); !strings.HasPrefix(sealed, "gc1:2:") {
			t.Errorf("sealed as %.8s", sealed)
		}
	})
}

// What was read before a key was retired can be opened for a while.
func TestGrace(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		long := func(c *dbkeys.Config) { c.Grace = time.Hour }
		operator := open(t, where.Open(t, nil), kek)
		must(t, operator.Init(t.Context()))
		a := start(t, where, kek, long)
		must(t, a.db.AutoMigrate(&Note{}), a.db.Create([]Note{{ID: 1, Body: "one"}, {ID: 2, Body: "two"}}).Error)
		early := a.stored(t)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, eventually(t, func() error { return operator.Promote(t.Context(), version) }))
		a.has(t, version, keyring.Primary)
		job, err := rotation.New(a.db, rotation.Config{})
		must(t, err)
		_, err = job.Run(t.Context())
		must(t, err)
		must(t, eventually(t, func() error {
			_, err := operator.Retire(t.Context(), a.db, rotation.RetireConfig{}, data(1))
			return err
		}))
		column := func(a application) *ciphertext.Column {
			column, err := a.crypt.Cipher().Column(ciphertext.ColumnConfig{Table: "notes", Column: "body"})
			must(t, err)
			return column
		}
		time.Sleep(5 * soon.Every) // it looks again meanwhile
		for name, a := range map[string]application{"that was there": a, "that starts now": start(t, where, kek, long)} {
			var body string
			if err := column(a).OpenString(&body, early); err != nil || body != "one" {
				t.Errorf("a process %s cannot open what it has read before: %v", name, err)
			}
		}
		var body string
		if err := column(start(t, where, kek)).OpenString(&body, early); !errors.Is(err, keyring.ErrRetired) {
			t.Errorf("after the time of grace: %v", err)
		}
	})
}

// Keys that are in the database and nowhere else are not dropped with the table.
func TestDowngradeKeepsKeys(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, nil)
		store := open(t, db, newKeyServer("test"))
		must(t, store.Init(t.Context()))
		if err := migrations.Downgrade(t.Context(), db, 0); !errors.Is(err, migrations.ErrUnfinished) {
			t.Errorf("dropped the keys: %v", err)
		}
		_, err := store.Load(t.Context())
		must(t, err)
	})
}

// Any number of processes start at once on an empty database: all get the same keys.
func TestInitAtOnce(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		var group sync.WaitGroup
		checks := make(chan string, 8)
		for range 8 {
			store := open(t, where.Open(t, nil), kek)
			group.Go(func() {
				if err := store.Init(context.Background()); err != nil {
					t.Error(err)
					return
				}
				ring, err := store.Load(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				checks <- ring.String()
			})
		}
		group.Wait()
		close(checks)
		seen := map[string]bool{}
		for check := range checks {
			seen[check] = true
		}
		if len(seen) != 1 {
			t.Errorf("the processes have the keyrings %v", seen)
		}
	})
}

// Versions are made at once by many: each gets one of its own, and none is lost.
func TestCreateAtOnce(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		stores := make([]*dbkeys.Store, 6)
		for i := range stores {
			stores[i] = open(t, where.Open(t, nil), kek)
		}
		must(t, stores[0].Init(t.Context()))
		var group sync.WaitGroup
		made := make(chan keyring.Version, len(stores))
		for i, store := range stores {
			group.Go(func() {
				version, err := store.Create(context.Background(), keyring.Set(i%2))
				if err != nil {
					t.Error(err)
				}
				made <- version
			})
		}
		group.Wait()
		close(made)
		seen := map[keyring.Version]bool{}
		for version := range made {
			seen[version] = true
		}
		if len(seen) != len(stores) || states(t, stores[0]) != "1 primary, 2 enabled, 3 enabled, 4 enabled, i1 primary, i2 enabled, i3 enabled, i4 enabled" {
			t.Errorf("made %v: %s", seen, states(t, stores[0]))
		}
	})
}

// The key server is asked once for each key and process, and for none of the rows.
func TestKeyServerIsAskedOnce(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		operator, kek := operated(t, where)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, operator.Promote(t.Context(), version))
		line := kek.line()
		a := start(t, where, line)
		must(t, a.db.AutoMigrate(&Note{}))
		const keys = 3
		asked := func(after string, want int) {
			t.Helper()
			if got := line.count("unwrap"); got != want {
				t.Errorf("%s the key server was asked %d times, want %d", after, got, want)
			}
		}
		asked("at the start", keys)
		notes := make([]Note, 1000)
		for batch := range *rows / len(notes) {
			for i := range notes {
				n := batch*len(notes) + i + 1
				notes[i] = Note{ID: uint(n), Body: fmt.Sprint("note ", n), Email: fmt.Sprintf("%d@example.org", n)}
			}
			must(t, a.db.Create(&notes).Error)
		}
		read := 0
		var found []Note
		must(t, a.db.FindInBatches(&found, 1000, func(*gorm.DB, int) error {
			for _, note := range found {
				read++
				if want := fmt.Sprint("note ", note.ID); note.Body != want {
					return fmt.Errorf("note %d is %q", note.ID, note.Body)
				}
			}
			return nil
		}).Error)
		if read != *rows {
			t.Fatalf("read %d rows, want %d", read, *rows)
		}
		asked(fmt.Sprintf("after %d rows were written and read,", read), keys)
		// A new version, for which every process asks once. Nobody asks again for a
		// promotion.
		third, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		a.has(t, third, keyring.Enabled)
		asked("after a key was made", keys+1)
		must(t, eventually(t, func() error { return operator.Promote(t.Context(), third) }))
		a.has(t, third, keyring.Primary)
		asked("after it was promoted", keys+1)
		if got := line.count("wrap"); got != 0 {
			t.Errorf("the application had %d keys wrapped", got)
		}
	})
}

// While the key server is away, what runs goes on, and new keys wait.
func TestKeyServerAway(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		operator := open(t, where.Open(t, nil), kek.line())
		must(t, operator.Init(t.Context()))
		a := start(t, where, kek)
		must(t, a.db.AutoMigrate(&Note{}))
		kek.fail(fmt.Errorf("%w: connection refused", keyring.ErrUnavailable))

		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		for i := range 50 {
			must(t, a.db.Create(&Note{Body: fmt.Sprint(i), Email: "x@example.org"}).Error)
			var notes []Note
			must(t, a.db.Where("email = ?", "x@example.org").Find(&notes).Error)
			if len(notes) != i+1 {
				t.Fatalf("found %d notes, want %d", len(notes), i+1)
			}
			if err := operator.Promote(t.Context(), version); !isBehind(err) {
				t.Fatalf("a key was promoted that a process cannot load: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		store := open(t, where.Open(t, nil), kek)
		if _, err := store.Create(t.Context(), keyring.DataKeys); !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("created a key without the key server: %v", err)
		}
		if _, err := store.Load(t.Context()); !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("a process started without the key server: %v", err)
		}
		kek.fail(nil)
		must(t, eventually(t, func() error { return operator.Promote(t.Context(), version) }))
		a.has(t, version, keyring.Primary)
	})
}

// Keys are wrapped anew, and move to another key server, under an application that
// notices nothing.
func TestWrappingAnew(t *testing.T) {
	for name, wrap := range map[string]func(*keyServer) keyring.KEK{
		"by the key server": func(k *keyServer) keyring.KEK { return rewrapping{k} },
		"by us":             func(k *keyServer) keyring.KEK { return k },
	} {
		t.Run(name, func(t *testing.T) {
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				kek := newKeyServer("one")
				operator := open(t, where.Open(t, nil), wrap(kek))
				if _, err := operator.Rewrap(t.Context()); !errors.Is(err, keyring.ErrNotFound) {
					t.Errorf("wrapped no keys anew: %v", err)
				}
				must(t, operator.Init(t.Context()))
				old, err := operator.Create(t.Context(), keyring.DataKeys)
				must(t, err)
				a := start(t, where, wrap(kek))
				must(t, a.db.AutoMigrate(&Note{}), a.db.Create(&Note{ID: 1, Body: "stays"}).Error)
				_, err = operator.Retire(t.Context(), a.db, rotation.RetireConfig{}, old)
				must(t, err)
				body := a.stored(t)

				kek.turn()
				if n, err := operator.Rewrap(t.Context()); err != nil || n != 3 {
					t.Fatalf("wrapped %d keys anew: %v", n, err)
				}
				kek.forget()
				reads := func(kek keyring.KEK) {
					t.Helper()
					b := start(t, where, kek)
					var note Note
					if err := b.db.First(&note).Error; err != nil || note.Body != "stays" || b.stored(t) != body {
						t.Errorf("read %q, %v; the row may have been touched", note.Body, err)
					}
				}
				reads(wrap(kek))

				two := newKeyServer("two")
				if n, err := operator.MoveTo(t.Context(), two); err != nil || n != 3 {
					t.Fatalf("moved %d keys: %v", n, err)
				}
				reads(two)
				late := open(t, where.Open(t, nil), wrap(kek))
				if _, err := late.Load(t.Context()); !errors.Is(err, keyring.ErrInvalid) || !strings.Contains(err.Error(), "two") {
					t.Errorf("loaded what another key server has wrapped: %v", err)
				}
				must(t, a.db.Create(&Note{ID: 2, Body: "goes on"}).Error)
				must(t, open(t, where.Open(t, nil), two).Restore(t.Context(), old))
			})
		})
	}
}

// A program that may wrap keys, but not unwrap them, changes nothing: it could not
// start again.
func TestWrappedButNotUnwrapped(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		kek.forbid("unwrap")
		store := open(t, where.Open(t, nil), kek)
		if err := store.Init(t.Context()); !errors.Is(err, errForbidden) {
			t.Errorf("made keys that it cannot read: %v", err)
		}
		if err := store.Import(t.Context(), gormcrypttest.Keyring(t)); !errors.Is(err, errForbidden) {
			t.Errorf("imported keys that it cannot read: %v", err)
		}
		kek.forbid("")
		must(t, store.Init(t.Context()))
		before, err := store.List(t.Context())
		must(t, err)
		other := newKeyServer("other")
		other.forbid("unwrap")
		if _, err := store.MoveTo(t.Context(), other); !errors.Is(err, errForbidden) {
			t.Errorf("moved keys to where they cannot be read: %v", err)
		}
		if after, err := store.List(t.Context()); err != nil || !slices.Equal(after, before) {
			t.Errorf("what was refused left %v, %v", after, err)
		}
	})
}

// stored returns what the database holds of the first note.
func (a application) stored(t testing.TB) string {
	t.Helper()
	pool, err := a.db.DB()
	must(t, err)
	var text string
	must(t, pool.QueryRow("SELECT body FROM notes WHERE id = 1").Scan(&text))
	return text
}

// The keys of day one, from a file, move into the database with what they sealed.
func TestImport(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		ring := gormcrypttest.Keyring(t)
		ring, second, err := ring.Add(keyring.DataKeys)
		must(t, err)
		ring, err = ring.Promote(second)
		must(t, err)
		ring, err = ring.Retire(data(1))
		must(t, err)
		cipher, err := ciphertext.New(ring, ciphertext.Config{})
		must(t, err)
		column, err := cipher.Column(ciphertext.ColumnConfig{Table: "notes", Column: "body"})
		must(t, err)
		sealed, err := column.Seal(nil, "from day one")
		must(t, err)

		store := open(t, where.Open(t, nil), kek)
		for range 2 { // again is no error
			must(t, store.Import(t.Context(), ring))
		}
		loaded, err := store.Load(t.Context())
		must(t, err)
		if loaded.String() != ring.String() {
			t.Errorf("imported %s, and loaded %s", ring, loaded)
		}
		must(t, cipher.SetKeys(loaded))
		var body string
		if err := column.Open(&body, sealed); err != nil || body != "from day one" {
			t.Errorf("opened %q, %v", body, err)
		}
		if err := store.Restore(t.Context(), data(1)); !errors.Is(err, dbkeys.ErrState) {
			t.Errorf("restored a key that was never here: %v", err)
		}
		if err := store.Import(t.Context(), gormcrypttest.Keyring(t)); !errors.Is(err, dbkeys.ErrNotEmpty) {
			t.Errorf("imported another keyring over it: %v", err)
		}
	})
}

// What a Store refuses, and how.
func TestRefusals(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db, kek := where.Open(t, nil), newKeyServer("test")
		for name, config := range map[string]dbkeys.Config{
			"no DB": {KEK: kek}, "no KEK": {DB: db}, "a negative lease": {DB: db, KEK: kek, Lease: -1}, "a transaction": {DB: db.Begin(), KEK: kek},
		} {
			if _, err := dbkeys.Open(t.Context(), config); err == nil {
				t.Errorf("%s was taken", name)
			}
			if config.DB != nil && config.DB != db {
				config.DB.Rollback()
			}
		}
		store := open(t, db, kek)
		if _, err := store.Create(t.Context(), keyring.DataKeys); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("created a second key before the first: %v", err)
		}
		must(t, store.Init(t.Context()))
		for name, test := range map[string]struct {
			err  error
			want error
		}{
			"promote what is not there": {store.Promote(t.Context(), data(9)), keyring.ErrUnknownVersion},
			"promote no version":        {store.Promote(t.Context(), keyring.Version{}), keyring.ErrUnknownVersion},
			"restore what is primary":   {store.Restore(t.Context(), data(1)), dbkeys.ErrState},
		} {
			if !errors.Is(test.err, test.want) {
				t.Errorf("%s: %v, want %v", name, test.err, test.want)
			}
		}
		if _, err := store.Retire(t.Context(), db, rotation.RetireConfig{}, data(1)); !errors.Is(err, dbkeys.ErrState) {
			t.Errorf("retired the primary key: %v", err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.Create(cancelled, keyring.DataKeys); !errors.Is(err, context.Canceled) {
			t.Errorf("created a key with a context that is done: %v", err)
		}
		if text := fmt.Sprintf("%v %+v %#v", store, store, store); strings.Contains(text, "0x") {
			t.Errorf("it prints as %s", text)
		}
	})
}

// Whoever can write to the table, but has no key, can neither exchange keys nor
// promote an old one. What they did is told at the next load, and what runs goes on
// with what it has.
func TestTampering(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		swap := func(columns ...string) []string {
			var all []string
			for _, c := range columns {
				all = append(all, "UPDATE gormcrypt_keys SET "+c+" = CASE version WHEN '1' THEN (SELECT "+c+" FROM gormcrypt_keys WHERE version = '2') ELSE (SELECT "+c+" FROM gormcrypt_keys WHERE version = '1') END WHERE version IN ('1', '2')")
			}
			return all
		}
		for name, test := range map[string]struct {
			statements []string
			want       error
		}{
			"two keys are exchanged":           {swap("wrapped", "check_value"), keyring.ErrInvalid},
			"with their tags":                  {swap("wrapped", "check_value", "tag"), keyring.ErrInvalid},
			"only what is wrapped":             {swap("wrapped"), keyring.ErrWrongKey},
			"an old key seals again":           {swap("state"), keyring.ErrInvalid},
			"with tags":                        {swap("state", "tag"), keyring.ErrInvalid},
			"two are primary":                  {[]string{"UPDATE gormcrypt_keys SET state = 'primary' WHERE version = '1'"}, keyring.ErrInvalid},
			"the generation is put back":       {[]string{"UPDATE gormcrypt_keys SET changed = 1"}, keyring.ErrInvalid},
			"a check value is made up":         {[]string{"UPDATE gormcrypt_keys SET check_value = 'AAAAAAAAAAA' WHERE version = '1'"}, keyring.ErrWrongKey},
			"a state that nobody knows":        {[]string{"UPDATE gormcrypt_keys SET state = 'golden' WHERE version = '1'"}, keyring.ErrInvalid},
			"what is wrapped is no base64":     {[]string{"UPDATE gormcrypt_keys SET wrapped = '***' WHERE version = '1'"}, keyring.ErrInvalid},
			"what is wrapped is cut":           {[]string{"UPDATE gormcrypt_keys SET wrapped = substr(wrapped, 1, 40) WHERE version = '1'"}, keyring.ErrWrongKey},
			"a version that is none":           {[]string{"UPDATE gormcrypt_keys SET version = '01' WHERE version = '1'"}, keyring.ErrInvalid},
			"a key under the number of others": {[]string{"UPDATE gormcrypt_keys SET version = '7' WHERE version = '1'"}, keyring.ErrInvalid},
			"the primary key is gone":          {[]string{"DELETE FROM gormcrypt_keys WHERE version = '2'"}, keyring.ErrNoPrimary},
		} {
			t.Run(name, func(t *testing.T) {
				where := another(t, where)
				operator, kek := operated(t, where)
				version, err := operator.Create(t.Context(), keyring.DataKeys)
				must(t, err)
				must(t, operator.Promote(t.Context(), version))
				a := start(t, where, kek)
				must(t, a.db.AutoMigrate(&Note{}))
				for _, statement := range test.statements {
					alter(t, where.Plain(t), statement)
				}
				if _, err := open(t, where.Open(t, nil), kek).Load(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("loaded: %v, want %v", err, test.want)
				}
				time.Sleep(3 * soon.Every)
				must(t, a.db.Create(&Note{Body: "goes on"}).Error)
				if sealed := a.stored(t); !strings.HasPrefix(sealed, "gc1:2:") {
					t.Errorf("sealed as %.8s", sealed)
				}
			})
		}
	})
}

// Keys of one name are not keys of another.
func TestNames(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		named := func(name string) func(*dbkeys.Config) { return func(c *dbkeys.Config) { c.Name = name } }
		must(t, open(t, where.Open(t, nil), kek, named("billing")).Init(t.Context()))
		_, err := open(t, where.Open(t, nil), kek, named("billing")).Load(t.Context())
		must(t, err)
		for _, name := range []string{"", "shop", "billing "} {
			if _, err := open(t, where.Open(t, nil), kek, named(name)).Load(t.Context()); !errors.Is(err, keyring.ErrInvalid) {
				t.Errorf("loaded the keys of billing as %q: %v", name, err)
			}
		}
	})
}

// A store is a source like any other.
func TestSource(t *testing.T) {
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		empty := func(t *testing.T) *dbkeys.Store { return open(t, another(t, where).Open(t, nil), kek) }
		stored := func(t *testing.T, ring *keyring.Keyring) *dbkeys.Store {
			store := empty(t)
			must(t, store.Import(t.Context(), ring))
			return store
		}
		keyringtest.Run(t, keyringtest.Harness{
			Store:   func(t *testing.T, ring *keyring.Keyring) keyring.Source { return stored(t, ring) },
			Missing: func(t *testing.T) keyring.Source { return empty(t) },
			Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
				where := another(t, where)
				must(t, open(t, where.Open(t, nil), kek).Import(t.Context(), ring))
				alter(t, where.Plain(t), "UPDATE gormcrypt_keys SET wrapped = (SELECT wrapped FROM gormcrypt_keys WHERE version = 'i1') WHERE version = '1'")
				return open(t, where.Open(t, nil), kek)
			},
		})
	})
}

// The key server of these tests keeps what package keyring asks of one.
func TestKeyServer(t *testing.T) {
	kek := newKeyServer("test")
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(*testing.T) keyring.KEK { return rewrapping{kek} },
		Other: func(*testing.T) keyring.KEK { return newKeyServer("test") },
	})
}
