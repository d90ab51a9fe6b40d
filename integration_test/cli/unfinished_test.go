package cli_test

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// unfinished leaves work of the shop behind: a job that has paused because of values that
// do not open, and the migration of a column.
func unfinished(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: unfinished")
	}
	w := worldOf(ts)
	db := w.where.Open(w, nil)
	keys, err := keyring.FromFile(filepath.Join(w.dir, "keys.json"))
	ts.Check(err)
	added, version, err := keys.Add(keyring.DataKeys)
	ts.Check(err)
	keys, err = added.Promote(version)
	ts.Check(err)
	ts.Check(keyring.WriteFile(filepath.Join(w.dir, "keys.json"), keys))
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: deployments["shop"]})
	ts.Check(db.Use(plugin))
	defer plugin.Close()
	w.exec("UPDATE customers SET email = 'gc1:1:AAAA' WHERE id <= 2")
	job, err := rotation.New(db, rotation.Config{MaxPoisoned: 1, Workers: 1})
	ts.Check(err)
	if _, err := job.Run(context.Background()); !errors.Is(err, rotation.ErrPoisoned) {
		ts.Fatalf("the job is not paused: %v", err)
	}
	w.exec("INSERT INTO gormcrypt_columns (table_name, column_name, state, plan, job, reason, created_at, updated_at) VALUES ('people', 'phone', 'backfilling', '{}', '', '', 0, 0)")
}
