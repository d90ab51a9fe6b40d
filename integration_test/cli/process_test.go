package cli_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// process is an application that has keys from the database, in this process.
type process struct {
	store *dbkeys.Store
	stop  func()
}

const processKey = "process"

// process start|watch|stop is an application with keys from the database, wrapped by
// the passphrase in the file pass. Once started it lives, and has the keys of then; it
// looks for newer ones only from watch on.
func processCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: process start|watch|stop")
	}
	w := worldOf(ts)
	p, _ := ts.Value(processKey).(*process)
	switch args[0] {
	case "start":
		store := openStore(ts, w)
		ts.Defer(func() { store.Close() })
		_, err := store.Load(context.Background())
		ts.Check(err)
		*p = process{store, func() {}}
	case "watch":
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = p.store.Watch(ctx, func(*keyring.Keyring) error { return nil }) // until it is cancelled
		}()
		p.stop = func() { cancel(); <-done }
		ts.Defer(p.stop)
	case "stop":
		p.stop()
		ts.Check(p.store.Close())
	default:
		ts.Fatalf("process %s?", args[0])
	}
}

func openStore(ts *testscript.TestScript, w *world) *dbkeys.Store {
	passphrase, err := os.ReadFile(filepath.Join(w.dir, "pass"))
	ts.Check(err)
	kek, err := keyring.NewPassphrase(bytes.TrimSpace(passphrase))
	ts.Check(err)
	poll := keyring.PollConfig{Every: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	store, err := dbkeys.Open(context.Background(), dbkeys.Config{DB: w.where.Open(w, nil), KEK: kek, Poll: poll})
	ts.Check(err)
	return store
}
