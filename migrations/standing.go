package migrations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/owntables"
)

// Standing is how far a migration is that the database knows of.
type Standing struct {
	// Table and Column are its names, as in the manifest.
	Table, Column string
	// State is never None.
	State State
	// Begun is when Expand was called first, and Changed when a step was begun or done
	// last, by the clock of the process that ran it.
	Begun, Changed time.Time
}

// List returns the migrations that the database knows of, by table and column: those
// that were begun, and are not reverted, whatever models or manifest there are. It
// needs SELECT on gormcrypt's own tables, changes nothing, and finds none where there
// are no such tables.
//
// It returns ErrNewer, and the errors of ctx and the database.
func List(ctx context.Context, db *gorm.DB) ([]Standing, error) {
	if there, err := owntables.Has(ctx, db, "0002_columns"); err != nil || !there {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	rows, err := pool.QueryContext(ctx, "SELECT table_name, column_name, state, created_at, updated_at FROM gormcrypt_columns ORDER BY table_name, column_name")
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: listing the migrations: %w", err)
	}
	defer rows.Close()
	var all []Standing
	for rows.Next() {
		var s Standing
		var begun, changed int64
		if err := rows.Scan(&s.Table, &s.Column, &s.State, &begun, &changed); err != nil {
			return nil, fmt.Errorf("gormcrypt: listing the migrations: %w", err)
		}
		s.Begun, s.Changed = time.UnixMilli(begun), time.UnixMilli(changed)
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("gormcrypt: listing the migrations: %w", err)
	}
	return all, nil
}

// Forget removes the record of a migration whose table was dropped, and cancels its
// jobs: nothing can revert it any more, and [Downgrade] to 0 refuses to lose it. The
// names are those of [List]. It changes nothing if the table is there, and looks for it
// as this connection finds it: connect as the application does, with the same search
// path, or the same files attached.
//
// It returns an error if the table is there, one if there is no such record, ErrNewer,
// and the errors of ctx and the database.
func Forget(ctx context.Context, db *gorm.DB, table, column string) error {
	all, err := List(ctx, db)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(s Standing) bool { return s.Table == table && s.Column == column })
	if at < 0 {
		var known []string
		for _, s := range all {
			known = append(known, s.Table+"."+s.Column)
		}
		return fmt.Errorf("gormcrypt: the database knows of no migration of %s.%s; it knows of %s", table, column, listed(known))
	}
	pool, err := db.DB()
	if err != nil {
		return fmt.Errorf("gormcrypt: %w", err)
	}
	in, err := databaseOf(pool, db.Dialector.Name(), 0)
	if err != nil {
		return err
	}
	switch there, err := in.hasTable(ctx, table); {
	case err != nil:
		return fmt.Errorf("gormcrypt: looking for the table %s: %w", table, err)
	case there:
		return fmt.Errorf("gormcrypt: the table %s is there, and its migration of %s is %s; run Revert to go back, which forgets it in the end", table, column, all[at].State)
	}
	if err := cancelJobs(ctx, db, table+"."+column, "the table was dropped", "encrypt ", "decrypt ", "index "); err != nil {
		return err
	}
	return store{pool, db.Dialector.Name() == "postgres", table, column}.remove(ctx, all[at].State)
}
