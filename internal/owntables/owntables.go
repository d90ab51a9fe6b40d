// Package owntables makes the tables that gormcrypt has for itself, and brings them
// from one version to another.
package owntables

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// schemaTable has a row for each version that the tables have been brought to.
const schemaTable = "gormcrypt_schema"

// ledgerTable is the first table of the first version.
const ledgerTable = "gormcrypt_jobs"

// Errors that the callers of the library see.
var (
	ErrNewer      = errors.New("a newer version of the library has made the tables")
	ErrUnfinished = errors.New("work is not finished")
)

// tables are the tables in a database.
type tables struct {
	dialect
	db       *gorm.DB
	pool     *sql.DB
	versions []*gormigrate.Migration
}

func open(db *gorm.DB) (*tables, error) {
	name := db.Dialector.Name()
	d, err := dialectOf(name)
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	return &tables{d, db, pool, versionsOf(name)}, nil
}

// Upgrade brings the tables to the latest version. If they have it, it is one
// SELECT.
func Upgrade(ctx context.Context, db *gorm.DB) error {
	t, err := open(db)
	if err != nil {
		return err
	}
	if done, err := read(ctx, t.pool); err == nil { // else the table is not there, or the same will fail again
		if err := t.checkKnown(done); err != nil || len(done) == len(t.versions) {
			return err
		}
	}
	err = t.locked(ctx, func(tx *sql.Tx, db *gorm.DB) error {
		done, err := t.done(ctx, tx)
		if err != nil {
			return err
		}
		if err := t.checkKnown(done); err != nil {
			return err
		}
		return t.on(db).Migrate()
	})
	switch {
	case err == nil || errors.Is(err, ErrNewer):
		return err
	case t.lacksRights(err):
		return fmt.Errorf("gormcrypt: upgrading its own tables, for which a role with the right to create tables has to call migrations.Upgrade once, and give this one SELECT on %s: %w", schemaTable, err)
	}
	return fmt.Errorf("gormcrypt: upgrading its own tables: %w", err)
}

// Downgrade brings the tables back to a version. At 0, there are none.
func Downgrade(ctx context.Context, db *gorm.DB, version int) error {
	t, err := open(db)
	if err != nil {
		return err
	}
	if version < 0 || version > len(t.versions) {
		return fmt.Errorf("gormcrypt: its own tables have no version %d; give one from 0 to %d", version, len(t.versions))
	}
	err = t.locked(ctx, func(tx *sql.Tx, db *gorm.DB) error {
		done, err := t.done(ctx, tx)
		if err != nil {
			return err
		}
		if err := t.checkKnown(done); err != nil {
			return err
		}
		if len(done) == 0 {
			if done, err = t.takeOver(ctx, tx, db); err != nil {
				return err
			}
		}
		if len(done) < version {
			return fmt.Errorf("they are at version %d already; call migrations.Upgrade for a later one", len(done))
		}
		for i, migration := range slices.Backward(t.versions) {
			if i < version || !slices.Contains(done, migration.ID) {
				continue
			}
			if err := t.checkFinished(ctx, tx, migration.ID); err != nil {
				return err
			}
			if err := t.on(db).RollbackMigration(migration); err != nil {
				return err
			}
		}
		if version == 0 {
			_, err = tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+schemaTable)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNewer) {
		return fmt.Errorf("gormcrypt: bringing its own tables back to version %d: %w", version, err)
	}
	return err
}

// Version returns the version of the tables, 0 if there are none, and the latest
// that this build knows. The former is larger if a newer build has made them.
func Version(ctx context.Context, db *gorm.DB) (current, latest int, err error) {
	t, err := open(db)
	if err != nil {
		return 0, 0, err
	}
	done, err := t.done(ctx, t.pool)
	if err != nil {
		return 0, 0, fmt.Errorf("gormcrypt: reading the version of its own tables: %w", err)
	}
	return len(done), len(t.versions), nil
}

// Has reports whether the tables of a version are there, such as "0002_columns". It
// makes none, and returns ErrNewer if a newer build has made them.
func Has(ctx context.Context, db *gorm.DB, version string) (bool, error) {
	t, err := open(db)
	if err != nil {
		return false, err
	}
	done, err := t.done(ctx, t.pool)
	if err != nil {
		return false, fmt.Errorf("gormcrypt: reading the version of its own tables: %w", err)
	}
	return slices.Contains(done, version), t.checkKnown(done)
}

// Locked runs f in a transaction that no other of this package has at the same time,
// in any process. f runs again when SQLite says that others write.
func Locked(ctx context.Context, db *gorm.DB, f func(tx *sql.Tx) error) error {
	t, err := open(db)
	if err != nil {
		return err
	}
	return t.locked(ctx, func(tx *sql.Tx, _ *gorm.DB) error { return f(tx) })
}

// on returns what migrates in a transaction.
func (t *tables) on(db *gorm.DB) *gormigrate.Gormigrate {
	return gormigrate.New(db, &gormigrate.Options{TableName: schemaTable}, t.versions)
}

// takeOver notes the version of a ledger that an earlier build has made, if there is
// one, and returns what is done then.
func (t *tables) takeOver(ctx context.Context, tx *sql.Tx, db *gorm.DB) ([]string, error) {
	there, err := t.hasTable(ctx, tx, ledgerTable)
	if err != nil || !there {
		return nil, err
	}
	first := t.versions[0].ID
	return []string{first}, t.on(db).MigrateTo(first)
}

type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// done returns the names of the versions that the tables have been brought to.
func (t *tables) done(ctx context.Context, on querier) ([]string, error) {
	there, err := t.hasTable(ctx, on, schemaTable)
	if err != nil || !there {
		return nil, err
	}
	return read(ctx, on)
}

func (t *tables) hasTable(ctx context.Context, on querier, name string) (bool, error) {
	var n int
	err := on.QueryRowContext(ctx, t.has(name)).Scan(&n)
	return n > 0, err
}

// read is done where the table is there.
func read(ctx context.Context, on querier) ([]string, error) {
	return names(ctx, on, "SELECT id FROM "+schemaTable+" ORDER BY id")
}

func names(ctx context.Context, on querier, query string) ([]string, error) {
	rows, err := on.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

// checkKnown refuses versions that this build does not know.
func (t *tables) checkKnown(done []string) error {
	for _, id := range done {
		if !slices.ContainsFunc(t.versions, func(m *gormigrate.Migration) bool { return m.ID == id }) {
			return fmt.Errorf("gormcrypt: %w: the database has %s, and the latest that this program knows is %s; build it with the newer version, or have a newer program call migrations.Downgrade", ErrNewer, id, t.versions[len(t.versions)-1].ID)
		}
	}
	return nil
}

// unfinished are the versions whose tables have work that would be lost with them.
var unfinished = map[string]struct {
	table, query, advice string
}{
	"0001_ledger": {
		ledgerTable, "SELECT id FROM gormcrypt_jobs WHERE state IN ('" + backfill.Running + "', '" + backfill.Paused + "') ORDER BY id",
		"job %s; let it finish, or cancel it",
	},
	"0002_columns": {
		"gormcrypt_columns", "SELECT table_name || '.' || column_name FROM gormcrypt_columns WHERE state <> 'finished' ORDER BY 1",
		"the migration of %s; finish it, or take it back",
	},
	"0003_keys": {
		"gormcrypt_keys", "SELECT version FROM gormcrypt_keys ORDER BY 1",
		"key %s is kept here and nowhere else, and what it has sealed would be lost; delete it by hand if that is meant",
	},
}

// checkFinished refuses to lose the unfinished work of a version.
func (t *tables) checkFinished(ctx context.Context, tx *sql.Tx, version string) error {
	of, ok := unfinished[version]
	if !ok {
		return nil
	}
	if t.lockTable != nil { // else something may begin between this and the end
		if _, err := tx.ExecContext(ctx, t.lockTable(of.table)); err != nil {
			return err
		}
	}
	found, err := names(ctx, tx, of.query)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: "+of.advice, ErrUnfinished, found[0])
	}
	return err
}
