package cli_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// storekeys FILE [behind] moves the keys of keys.json into the database, wrapped by the
// passphrase in a file, and writes them to wrapped.json too. With behind, there is a
// process that does not have the latest of them.
func storekeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: storekeys FILE [behind]")
	}
	w, ctx := worldOf(ts), context.Background()
	passphrase, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	kek, err := keyring.NewPassphrase([]byte(strings.TrimSpace(string(passphrase))))
	ts.Check(err)
	ring, err := keyring.FromFile(filepath.Join(w.dir, "keys.json"))
	ts.Check(err)
	store := func() *dbkeys.Store {
		quiet := keyring.PollConfig{Logger: slog.New(slog.DiscardHandler)}
		s, err := dbkeys.Open(ctx, dbkeys.Config{DB: w.where.Open(w, nil), KEK: kek, Poll: quiet})
		ts.Check(err)
		ts.Defer(func() { s.Close() })
		return s
	}
	changes := store()
	if len(args) == 1 {
		ts.Check(keyring.WriteWrappedFile(ctx, filepath.Join(w.dir, "wrapped.json"), ring, kek))
		ts.Check(changes.Import(ctx, ring))
		return
	}
	_, err = store().Load(ctx)
	ts.Check(err)
	_, err = changes.Create(ctx, keyring.DataKeys)
	ts.Check(err)
}
