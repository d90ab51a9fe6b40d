//go:build cgo

package gormcrypt_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The tests of this file run on the fake clock of a synctest bubble, with GORM, the
// plugin and SQLite as they are.

// Patient is a model with every kind of key: a data key, an index key for a blind
// index, and one for a deterministic column.
type Patient struct {
	ID        uint
	Name      string                   `gorm:"serializer:encrypted"`
	NameIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Name"`
	Insurance string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
}

// keyServer is a key server, in the memory of the test, that can be broken.
type keyServer struct {
	aead   cipher.AEAD
	mu     sync.Mutex
	broken func(ctx context.Context) (key []byte, err error)
	calls  int
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &keyServer{aead: aead}
}

func (s *keyServer) Name() string { return "transit/keys/app" }

// Wrap is how an administrator wraps keys, whom no outage stops.
func (s *keyServer) Wrap(_ context.Context, key []byte) ([]byte, error) {
	return s.aead.Seal(nil, nil, key, nil), nil
}

func (s *keyServer) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	s.mu.Lock()
	s.calls++
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken(ctx)
	}
	key, err := s.aead.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, keyring.ErrWrongKey
	}
	return key, nil
}

func (s *keyServer) breaks(broken func(context.Context) ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.calls = broken, 0
}

func (s *keyServer) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// keyStore holds the keys of a keyring as the key server has wrapped them, and
// unwraps all of them with each load.
type keyStore struct {
	server *keyServer
	kek    keyring.KEK

	mu      sync.Mutex
	keys    []wrappedKey
	instead keyring.Source // of the keys, if it is not nil
}

type wrappedKey struct {
	version keyring.Version
	state   keyring.State
	check   string
	wrapped []byte
}

func (s *keyStore) store(t *testing.T, ring *keyring.Keyring) {
	t.Helper()
	var keys []wrappedKey
	for _, version := range ring.Versions() {
		wrapped, err := ring.Wrap(t.Context(), s.server, version)
		if err != nil {
			t.Fatal(err)
		}
		state, _ := ring.State(version)
		check, _ := ring.CheckValue(version)
		keys = append(keys, wrappedKey{version, state, check, wrapped})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

func (s *keyStore) gives(instead keyring.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = instead
}

func (s *keyStore) Load(ctx context.Context) (*keyring.Keyring, error) {
	s.mu.Lock()
	stored, instead := s.keys, s.instead
	s.mu.Unlock()
	if instead != nil {
		return instead.Load(ctx)
	}
	var keys []keyring.Key
	for _, k := range stored {
		key, err := keyring.UnwrapKey(ctx, s.kek, k.version, k.state, k.check, k.wrapped)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keyring.New(keys...)
}

// hospital is an application: a database with the plugin, its key store, and what
// is logged and counted.
type hospital struct {
	*gorm.DB
	crypt  *gormcrypt.Plugin
	server *keyServer
	store  *keyStore
	keys   *keyring.Keyring // what the administrator has

	mu     sync.Mutex
	log    bytes.Buffer
	counts map[string]int
}

// Write takes what is logged.
func (h *hospital) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

// Printf takes what GORM logs.
func (h *hospital) Printf(format string, args ...any) { fmt.Fprintf(h, format+"\n", args...) }

// logged returns what was logged since it was asked last.
func (h *hospital) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.log.Reset()
	return h.log.String()
}

// counted returns how often an event was told since that was asked last.
func (h *hospital) counted(event string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer delete(h.counts, event)
	return h.counts[event]
}

func (h *hospital) count(e keyring.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[e.Op+" "+e.Outcome()]++
}

// openHospital opens an empty database. The test closes it, in its bubble.
func openHospital(t *testing.T, maxAge time.Duration) *hospital {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	h := &hospital{server: newKeyServer(t), keys: keys, counts: map[string]int{}}
	log := slog.New(slog.NewTextHandler(h, nil))
	h.store = &keyStore{server: h.server, kek: keyring.Resilient(h.server, keyring.CallConfig{Logger: log, OnEvent: h.count})}
	h.store.store(t, keys)
	h.DB, err = gorm.Open(sqlite.Open(":memory:"), &gorm.Config{
		Logger: logger.New(h, logger.Config{LogLevel: logger.Error, IgnoreRecordNotFoundError: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := h.DB.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // each connection would be a database of its own
	t.Cleanup(func() { _ = pool.Close() })
	h.crypt = gormcrypt.New(gormcrypt.Config{
		Keys:   keyring.Poll(h.store, keyring.PollConfig{MaxAge: maxAge, Logger: log, OnEvent: h.count}),
		Models: []any{&Patient{}},
	})
	if err := h.Use(h.crypt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.crypt.Close() })
	if err := h.AutoMigrate(&Patient{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// work writes, changes, reads and searches every five seconds for a while, and fails
// the test if any of it fails.
func (h *hospital) work(t *testing.T, length time.Duration) {
	t.Helper()
	for until := time.Now().Add(length); time.Now().Before(until); time.Sleep(5 * time.Second) {
		if err := h.use(); err != nil {
			t.Fatalf("at %s: %v", time.Now().Format(time.TimeOnly), err)
		}
	}
}

// use is one round of work.
func (h *hospital) use() error {
	name := "patient of " + time.Now().String()
	patient := Patient{Name: name, Insurance: "none"}
	var read, found, first Patient
	err := errors.Join(
		h.Create(&patient).Error,
		h.Model(&patient).Updates(map[string]any{"insurance": name}).Error,
		h.First(&read, patient.ID).Error,
		h.First(&found, "name = ? AND insurance = ?", name, name).Error,
		h.First(&first).Error,
	)
	if err == nil && (read.Name != name || found.ID != patient.ID || first.Name == "") {
		err = fmt.Errorf("read %q, found %d, want %q and %d", read.Name, found.ID, name, patient.ID)
	}
	return err
}

// promote has the administrator add a data key and seal with it.
func (h *hospital) promote(t *testing.T) keyring.Version {
	t.Helper()
	next, version, err := h.keys.Add(keyring.DataKeys)
	if err == nil {
		next, err = next.Promote(version)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.keys = next
	h.store.store(t, next)
	return version
}

// sealing returns the version that seals.
func (h *hospital) sealing(t *testing.T) keyring.Version {
	t.Helper()
	version, err := h.crypt.Cipher().Keys().Primary(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// For ten minutes the key server is away, slow, talks garbage or turns callers away,
// or what stands in place of the keys is not them. Meanwhile the application works
// with the keys that it has, a new version waits, the key server is left in peace,
// and the log says what to do.
func TestKeyServerOutage(t *testing.T) {
	t.Parallel()
	truncated := func(t *testing.T) keyring.Source {
		ring, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := keyring.WriteCleartext(&text, ring); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, text.Bytes()[:text.Len()/2], 0o600); err != nil {
			t.Fatal(err)
		}
		return keyring.File(path)
	}
	for name, outage := range map[string]struct {
		// broken is what the key server does, and instead what the store holds.
		broken  func(context.Context) ([]byte, error)
		instead func(*testing.T) keyring.Source
		// event is what is counted in the outage, at most so often, and calls are
		// how often the server is called at most.
		event  string
		times  int
		calls  int
		advice []string
	}{
		"down": {
			broken: func(context.Context) ([]byte, error) {
				return nil, fmt.Errorf("dial tcp 10.0.0.7:8200: connect: connection refused: %w", keyring.ErrUnavailable)
			},
			event: "load unavailable", times: 6, calls: 24,
			advice: []string{"connection refused", "the key server is not available, and new keys wait for it"},
		},
		"slow": {
			broken: func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
			event:  "load unavailable", times: 6, calls: 24,
			advice: []string{"no answer within 5s", "the key server is not available, and new keys wait for it"},
		},
		"rate-limiting": {
			broken: func(context.Context) ([]byte, error) {
				return nil, fmt.Errorf("status 429, too many requests: %w", keyring.ErrUnavailable)
			},
			event: "load unavailable", times: 6, calls: 24,
			advice: []string{"status 429", "the key server is not available, and new keys wait for it"},
		},
		"answering another key": {
			broken: func(context.Context) ([]byte, error) {
				key := make([]byte, keyring.KeySize)
				rand.Read(key)
				return key, nil
			},
			event: "load wrong key", times: 6, calls: 6,
			advice: []string{"key version 1: the key is not the one that belongs here: it was changed, or wrapped by another; restore it from a copy", "the one in use stays in use"},
		},
		"answering no key": {
			broken: func(context.Context) ([]byte, error) { return []byte("<html>502 Bad Gateway</html>"), nil },
			event:  "load invalid", times: 6, calls: 6,
			advice: []string{"key 1 is 28 bytes long; want 32 random bytes", "the one in use stays in use"},
		},
		"a keyring that was cut off": {
			instead: truncated,
			event:   "load invalid", times: 6, calls: 0,
			advice: []string{"the JSON document is empty or cut off; restore it from a copy", "the one in use stays in use"},
		},
		"another keyring": {
			instead: func(t *testing.T) keyring.Source {
				ring, err := keyring.Generate()
				if err != nil {
					t.Fatal(err)
				}
				return ring
			},
			event: "use key lost", times: 40, calls: 0, // the source answers, so there is no backing off
			advice: []string{"a key would be lost: key 1 is another one, with the check value", "the one in use stays in use; see to what the source holds"},
		},
		"no keyring": {
			instead: func(t *testing.T) keyring.Source { return keyring.File(filepath.Join(t.TempDir(), "gone")) },
			event:   "load not found", times: 6, calls: 0,
			advice: []string{"no keyring found", "make one with Generate and WriteFile", "the one in use stays in use"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openHospital(t, 0)
				h.work(t, 2*time.Minute)
				h.logged()

				h.server.breaks(outage.broken)
				if outage.instead != nil {
					h.store.gives(outage.instead(t))
				}
				h.work(t, time.Minute)
				version := h.promote(t)
				h.work(t, 9*time.Minute)
				if got := h.sealing(t); got == version {
					t.Error("the new version seals, and its key cannot have been loaded")
				}
				if n := h.counted(outage.event); n < 2 || n > outage.times {
					t.Errorf("%d times %q, want 2 to %d", n, outage.event, outage.times)
				}
				if n := h.server.called(); n > outage.calls {
					t.Errorf("the key server was called %d times, want %d at most", n, outage.calls)
				}
				log := h.logged()
				for _, advice := range outage.advice {
					if !strings.Contains(log, advice) {
						t.Errorf("the log does not say %q:\n%s", advice, log)
					}
				}
				t.Logf("%d calls of the key server; the last line of the log:\n%s", h.server.called(), lastLine(log))

				h.server.breaks(nil)
				h.store.gives(nil)
				h.work(t, 5*time.Minute)
				if got := h.sealing(t); got != version {
					t.Errorf("five minutes after the outage version %s seals, want %s", got, version)
				}
				if log := h.logged(); !strings.Contains(log, `msg="keyring in use"`) {
					t.Errorf("the log does not say that a keyring came into use:\n%s", log)
				}
				var all []Patient
				if err := h.Find(&all).Error; err != nil || len(all) != 17*12 {
					t.Errorf("read %d rows: %v", len(all), err)
				}
			})
		})
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// With a MaxAge, what is sealed and opened after it fails, says why, and changes
// nothing, until the key server is back.
func TestExpiredKeysFailClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHospital(t, 30*time.Minute)
		h.work(t, time.Minute)
		h.server.breaks(func(context.Context) ([]byte, error) { return nil, keyring.ErrUnavailable })
		h.work(t, 29*time.Minute)
		time.Sleep(2 * time.Minute)
		h.logged()

		var before, after int64
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(h.Model(&Patient{}).Count(&before).Error)
		var p Patient
		names := []string{}
		for call, failed := range map[string]struct {
			err  error
			says string
		}{
			"Create":           {h.Create(&Patient{Name: "a", Insurance: "b"}).Error, "patients."},
			"Update":           {h.Model(&Patient{}).Where("id = ?", 1).Update("name", "changed").Error, "patients.name"},
			"Updates(map)":     {h.Model(&Patient{}).Where("id = ?", 1).Updates(map[string]any{"insurance": "changed"}).Error, "cannot seal patients.insurance (key version i1)"},
			"First":            {h.First(&p).Error, "cannot open patients.name (key version 1): the keyring was not confirmed"},
			"Pluck":            {h.Model(&Patient{}).Pluck("name", &names).Error, "cannot open patients.name (key version 1): the keyring was not confirmed"},
			"by a blind index": {h.First(&p, "name = ?", "a").Error, "patients.name_index: key version i1"},
			"deterministic":    {h.First(&p, "insurance = ?", "a").Error, "cannot seal patients.insurance (key version i1)"},
			"Delete":           {h.Where("insurance = ?", "a").Delete(&Patient{}).Error, "cannot seal patients.insurance (key version i1)"},
		} {
			if !errors.Is(failed.err, gormcrypt.ErrExpired) {
				t.Fatalf("%s: error %v, want ErrExpired", call, failed.err)
			}
			for _, says := range []string{failed.says, "see to the key server, and the keys are used again once it answers"} {
				if !strings.Contains(failed.err.Error(), says) {
					t.Errorf("%s: %v\ndoes not say %s", call, failed.err, says)
				}
			}
		}
		if p.ID != 0 || len(names) != 0 {
			t.Errorf("something was read: %v, %v", p, names)
		}
		must(h.Model(&Patient{}).Count(&after).Error)
		if before != after {
			t.Errorf("there were %d rows, and now there are %d", before, after)
		}

		h.server.breaks(nil)
		time.Sleep(time.Minute) // PollConfig.Every, and the tries of a call
		h.work(t, time.Minute)
		must(h.First(&p, 1).Error)
		if p.Name == "changed" || p.Insurance == "changed" {
			t.Errorf("it was changed: %v", p)
		}
	})
}

// A row that does not open because the keyring has expired is not one that will
// never open.
func TestExpiredKeysStopARotation(t *testing.T) {
	t.Parallel()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	next, version, err := keys.Add(keyring.DataKeys)
	if err == nil {
		next, err = next.Promote(version)
	}
	if err != nil {
		t.Fatal(err)
	}
	crypt := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&Patient{}}})
	db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "app.db")+"?_synchronous=OFF"), &gorm.Config{Logger: logger.Discard})
	if err == nil {
		err = errors.Join(db.Use(crypt), db.AutoMigrate(&Patient{}), db.Create([]Patient{{Name: "Ada"}, {Name: "Bob"}}).Error)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := crypt.SetKeys(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	job, err := rotation.New(db, rotation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := crypt.SetKeys(t.Context(), expired(t, next)); err != nil {
		t.Fatal(err)
	}
	report, err := job.Run(t.Context())
	if !errors.Is(err, keyring.ErrExpired) || report.Quarantined != 0 || report.Pass != 1 {
		t.Errorf("the run ended in pass %d with %d values in quarantine, and %v", report.Pass, report.Quarantined, err)
	}
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := rowcodec.Rotate(crypt.Cipher(), m.Tables[0], keyring.DataKeys, version, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stored string
	if err := db.Raw("SELECT name FROM patients").Row().Scan(&stored); err != nil {
		t.Fatal(err)
	}
	row := backfill.Row{Old: []any{stored}}
	if _, poison, err := codec.Reseal(row); len(poison) != 0 || !errors.Is(err, keyring.ErrExpired) {
		t.Errorf("Reseal: poison %v, error %v", poison, err)
	}
	if poison, err := codec.Check(row); len(poison) != 0 || !errors.Is(err, keyring.ErrExpired) {
		t.Errorf("Check: poison %v, error %v", poison, err)
	}

	if err := crypt.SetKeys(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if report, err = job.Run(t.Context()); err != nil || report.Swapped != 2 {
		t.Errorf("the run after it sealed %d rows anew: %v", report.Swapped, err)
	}
}

// expired returns a keyring as it is after its MaxAge.
func expired(t *testing.T, ring *keyring.Keyring) *keyring.Keyring {
	t.Helper()
	var given *keyring.Keyring
	synctest.Test(t, func(t *testing.T) {
		loads := 0
		source := loader(func(ctx context.Context) (*keyring.Keyring, error) {
			if loads++; loads > 1 {
				return nil, keyring.ErrUnavailable
			}
			return ring, nil
		})
		poll := keyring.Poll(source, keyring.PollConfig{MaxAge: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		if _, err := poll.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = poll.Watch(ctx, func(ring *keyring.Keyring) error {
			given = ring
			cancel()
			return nil
		})
	})
	return given
}

// loader is a source that is a function.
type loader func(context.Context) (*keyring.Keyring, error)

func (l loader) Load(ctx context.Context) (*keyring.Keyring, error) { return l(ctx) }
