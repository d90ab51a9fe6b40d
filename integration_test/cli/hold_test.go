package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// While rotate runs with keys in a database, another key is not promoted: it could not
// open what is written under that. When rotate has ended, it is.
func TestRotateHoldsItsKeys(t *testing.T) {
	t.Parallel()
	binaries, dir, where := build(t), t.TempDir(), testdb.Postgres(t)
	must(t, os.WriteFile(filepath.Join(dir, "passphrase"), []byte("correct horse battery staple"), 0o600))
	kek, err := keyring.NewPassphrase([]byte("correct horse battery staple"))
	must(t, err)
	open := func() *dbkeys.Store {
		store, err := dbkeys.Open(t.Context(), dbkeys.Config{DB: where.Open(t, nil), KEK: kek})
		must(t, err)
		return store
	}
	store, application := open(), open()
	must(t, store.Init(t.Context()))
	keys, err := application.Load(t.Context())
	must(t, err)
	db := where.Open(t, nil)
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: deployments["shop"]})
	must(t, db.Use(plugin))
	must(t, db.AutoMigrate(deployments["shop"]...))
	must(t, write(db, "shop", 200))
	must(t, writeManifest(db, filepath.Join(dir, "manifest.json")))
	must(t, plugin.Close())
	must(t, application.Close())
	second, err := store.Create(t.Context(), keyring.DataKeys)
	must(t, err)
	must(t, store.Promote(t.Context(), second))

	p := &started{command: exec.Command(filepath.Join(binaries, "gormcrypt"), "rotate", "--yes", "--rate", "3"), done: make(chan struct{})}
	p.command.Dir, p.command.Stdout, p.command.Stderr = dir, &p.stdout, &p.stderr
	p.command.Env = []string{"GORMCRYPT_DATABASE=" + where.DSN, "GORMCRYPT_MANIFEST=manifest.json", "GORMCRYPT_KEYS_FROM=database", "GORMCRYPT_KEYS_WRAPPED_BY=passphrase-file:passphrase"}
	must(t, p.command.Start())
	go func() {
		defer close(p.done)
		p.err = p.command.Wait()
	}()
	t.Cleanup(func() { _ = p.command.Process.Kill(); <-p.done })
	seen := func(why string, is func(dbkeys.Process) bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			all, err := store.Processes(t.Context())
			must(t, err)
			if len(all) == 1 && is(all[0]) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v\n%s%s", why, all, &p.stdout, &p.stderr)
			}
		}
	}
	seen("it does not begin", func(dbkeys.Process) bool { return strings.Contains(p.stderr.String(), "pass 1") })
	third, err := store.Create(t.Context(), keyring.DataKeys)
	must(t, err)

	// It goes on being heard of, long after it could have seen the new key.
	var first time.Time
	seen("it is not heard of", func(one dbkeys.Process) bool { first = one.SeenAt; return true })
	seen("it is not heard of again", func(one dbkeys.Process) bool { return one.SeenAt.After(first) })
	err = store.Promote(t.Context(), third)
	if behind, ok := errors.AsType[*dbkeys.BehindError](err); !ok || len(behind.Processes) != 1 || !strings.Contains(behind.Processes[0].Name, "gormcrypt") {
		t.Errorf("promoting a key while it runs: %v", err)
	}
	must(t, p.command.Process.Signal(os.Interrupt))
	<-p.done
	if err := store.Promote(t.Context(), third); err != nil {
		t.Errorf("after it has ended: %v\n%s%s", err, &p.stdout, &p.stderr)
	}
	if code := p.command.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d\n%s%s", code, &p.stdout, &p.stderr)
	}
}
