//go:build cgo

package gormcrypt_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// watcher is a source whose Watch is the test's.
type watcher struct {
	*keyring.Keyring
	watch   func(ctx context.Context, use func(*keyring.Keyring) error) error
	watches atomic.Int32
}

func (w *watcher) Watch(ctx context.Context, use func(*keyring.Keyring) error) error {
	w.watches.Add(1)
	return w.watch(ctx, use)
}

// logLines takes what GORM logs.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// openWatched opens a database in memory, for a synctest bubble.
func openWatched(t *testing.T) (*gorm.DB, *logLines) {
	t.Helper()
	log := &logLines{}
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.New(log, logger.Config{LogLevel: logger.Error})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	return db, log
}

func generateKeys(t *testing.T) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestPluginWatchesItsKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, log := openWatched(t)
		first := generateKeys(t)
		next, _, err := first.Add(keyring.DataKeys)
		if err != nil {
			t.Fatal(err)
		}
		var results []error
		w := &watcher{Keyring: first, watch: func(ctx context.Context, use func(*keyring.Keyring) error) error {
			for _, ring := range []*keyring.Keyring{next, generateKeys(t), first, nil} {
				results = append(results, use(ring))
			}
			<-ctx.Done()
			results = append(results, errors.New("ended"))
			return ctx.Err()
		}}
		crypt := gormcrypt.New(gormcrypt.Config{Keys: w, Models: []any{&Patient{}}})
		ctx, cancel := context.WithCancel(t.Context())
		if err := db.WithContext(ctx).Use(crypt); err != nil {
			t.Fatal(err)
		}
		cancel() // the context of db.Use is not that of the watch
		synctest.Wait()
		if len(results) != 4 || results[0] != nil || !errors.Is(results[1], keyring.ErrKeyLost) || !errors.Is(results[2], keyring.ErrKeyLost) || results[3] == nil {
			t.Errorf("use returned %v", results)
		}
		if crypt.Cipher().Keys() != next {
			t.Errorf("in use is %v, want %v", crypt.Cipher().Keys(), next)
		}
		if text := log.String(); strings.Count(text, "a key would be lost") != 2 || !strings.Contains(text, "key 2 is missing; to give it up, retire it; the one in use stays in use") {
			t.Errorf("the log says %s", text)
		}

		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if err := crypt.Close(); err != nil || len(results) != 5 {
					t.Errorf("Close returned before the watch had ended, or failed: %v", err)
				}
			})
		}
		group.Wait()
		if strings.Contains(log.String(), "not watched any more") {
			t.Error("Close was logged as a failure")
		}
		if crypt.Cipher().Keys() != next {
			t.Error("Close took the keys out of use")
		}
	})
}

func TestPluginLogsAWatchThatEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, log := openWatched(t)
		w := &watcher{Keyring: generateKeys(t), watch: func(context.Context, func(*keyring.Keyring) error) error {
			return errors.New("out of file handles")
		}}
		crypt := gormcrypt.New(gormcrypt.Config{Keys: w, Models: []any{&Patient{}}})
		if err := db.Use(crypt); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "the key source is not watched any more: out of file handles; loaded keys go on working") {
			t.Errorf("the log says %q", text)
		}
		if err := crypt.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A bubble fails when a goroutine is left at its end.
func TestPluginWatchesNothing(t *testing.T) {
	t.Parallel()
	blocks := func(ctx context.Context, _ func(*keyring.Keyring) error) error { <-ctx.Done(); return ctx.Err() }
	t.Run("when it was never registered", func(t *testing.T) {
		t.Parallel()
		w := &watcher{Keyring: generateKeys(t), watch: blocks}
		crypt := gormcrypt.New(gormcrypt.Config{Keys: w})
		if err := errors.Join(crypt.Close(), crypt.Close()); err != nil || w.watches.Load() != 0 {
			t.Errorf("%d watches, %v", w.watches.Load(), err)
		}
	})
	t.Run("when it could not be registered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			type Wrong struct {
				ID     uint
				Salary int64 `gorm:"serializer:encrypted"` // without type:text
			}
			db, _ := openWatched(t)
			w := &watcher{Keyring: generateKeys(t), watch: blocks}
			if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: w, Models: []any{&Wrong{}}})); err == nil || w.watches.Load() != 0 {
				t.Errorf("%d watches, %v", w.watches.Load(), err)
			}
		})
	})
	t.Run("when its keys do not change", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			db, _ := openWatched(t)
			crypt := gormcrypt.New(gormcrypt.Config{Keys: generateKeys(t), Models: []any{&Patient{}}})
			if err := db.Use(crypt); err != nil {
				t.Fatal(err)
			}
			if err := crypt.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// Keyrings are exchanged under reads and writes that do not stop, in real time and
// from a file.
func TestKeysChangeWithoutAPause(t *testing.T) {
	t.Parallel()
	const versions = 20
	keys, dir := generateKeys(t), t.TempDir()
	path := filepath.Join(dir, "keys.json")
	if err := keyring.WriteFile(path, keys); err != nil {
		t.Fatal(err)
	}
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")+"?_busy_timeout=60000&_journal_mode=WAL&_synchronous=OFF"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	used := make(chan struct{}, versions)
	crypt := gormcrypt.New(gormcrypt.Config{Models: []any{&Patient{}}, Keys: keyring.Poll(keyring.File(path), keyring.PollConfig{
		Every: 2 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		OnEvent: func(e keyring.Event) {
			if e.Op == "use" && e.Err == nil {
				used <- struct{}{}
			}
		},
	})})
	if err := errors.Join(db.Use(crypt), db.AutoMigrate(&Patient{})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool, err := db.DB()
		if err := errors.Join(err, crypt.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var rounds atomic.Int64
	for worker := range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				name := fmt.Sprint("patient ", worker, rounds.Add(1))
				patient, read := Patient{Name: name}, Patient{}
				if err := errors.Join(db.Create(&patient).Error, db.First(&read, "name = ?", name).Error); err != nil || read.Name != name {
					t.Errorf("read %q, want %q: %v", read.Name, name, err)
					return
				}
			}
		})
	}
	for range versions {
		next, version, err := keys.Add(keyring.DataKeys)
		if err == nil {
			next, err = next.Promote(version)
		}
		if err == nil {
			keys, err = next, keyring.WriteFile(path, next)
		}
		if err != nil {
			t.Fatal(err)
		}
		<-used
	}
	stop()
	group.Wait()
	if version, err := crypt.Cipher().Keys().Primary(keyring.DataKeys); err != nil || version.Number() != versions+1 {
		t.Errorf("version %s seals, %v; want %d", version, err, versions+1)
	}
	var all []Patient
	if err := db.Find(&all).Error; err != nil || len(all) != int(rounds.Load()) {
		t.Errorf("%d rows of %d: %v", len(all), rounds.Load(), err)
	}
	t.Logf("%d rows written and read under %d keyrings", len(all), versions+1)
}
