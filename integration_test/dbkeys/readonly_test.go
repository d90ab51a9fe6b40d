package dbkeys_test

import (
	"errors"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// Who loads the keys to read only is in nobody's way, has what is new by loading them
// again, and asks the key server once for each key.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		kek := newKeyServer("test")
		operator, reader := open(t, where.Open(t, nil), kek), open(t, where.Open(t, nil), kek)
		source := reader.ReadOnly()
		if _, ok := source.(keyring.Watcher); ok {
			t.Error("a plugin would watch the source, and be heard of")
		}
		if _, err := source.Load(t.Context()); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("without keys: %v", err)
		}
		must(t, operator.Init(t.Context()))
		ring, err := source.Load(t.Context())
		must(t, err)
		version, err := operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		must(t, operator.Promote(t.Context(), version)) // as nobody is behind
		if processes, err := operator.Processes(t.Context()); err != nil || len(processes) > 0 {
			t.Errorf("somebody is heard of: %v, %v", processes, err)
		}
		if _, err := ring.State(version); !errors.Is(err, keyring.ErrUnknownVersion) {
			t.Errorf("the keyring that was loaded before: %v", err)
		}
		if ring, err = source.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state, err := ring.State(version); err != nil || state != keyring.Primary {
			t.Errorf("the new version is %v, %v", state, err)
		}

		// The same store can be heard of all the same, and is behind then.
		_, err = reader.Load(t.Context())
		must(t, err)
		version, err = operator.Create(t.Context(), keyring.DataKeys)
		must(t, err)
		_, err = source.Load(t.Context())
		must(t, err)
		if err := operator.Promote(t.Context(), version); !errors.Is(err, dbkeys.ErrBehind) {
			t.Errorf("promoted without the process: %v", err)
		}
	})
}

// A connection that cannot write is enough.
func TestReadOnlyConnection(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, kek := operated(t, where)
		db := where.Open(t, nil)
		pool, err := db.DB()
		must(t, err)
		pool.SetMaxOpenConns(1)
		forbid := "PRAGMA query_only = ON"
		if where.Name == "postgres" {
			forbid = "SET default_transaction_read_only = on"
		}
		must(t, db.Exec(forbid).Error)
		store, err := dbkeys.Open(t.Context(), dbkeys.Config{DB: db, KEK: kek, Poll: soon})
		must(t, err)
		if _, err := store.Load(t.Context()); err == nil {
			t.Fatal("the connection can write")
		}
		_, err = store.ReadOnly().Load(t.Context())
		must(t, err)
	})
}
