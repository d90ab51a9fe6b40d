package owntables

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/logger"
)

// locked runs f in a transaction that no other process has at the same time. If f
// fails, nothing is changed.
func (t *tables) locked(ctx context.Context, f func(tx *sql.Tx, db *gorm.DB) error) error {
	if t.db.DryRun {
		return errors.New("the *gorm.DB is for dry runs; give one that writes")
	}
	if _, inside := t.db.Statement.ConnPool.(gorm.TxCommitter); inside {
		// It would wait for the connection or for the locks of its caller.
		return errors.New("the *gorm.DB is in a transaction, and this takes one of its own; call it before")
	}
	err := patiently(func() error {
		tx, err := t.pool.BeginTx(ctx, t.options)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for _, statement := range t.lock {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		db, err := gorm.Open(bare{t.db.Dialector, tx}, &gorm.Config{SkipDefaultTransaction: true, Logger: logger.Discard})
		if err != nil {
			return err
		}
		if err := f(tx, db.WithContext(ctx)); err != nil {
			return err
		}
		return tx.Commit()
	})
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err) // a database says only that it was cancelled
	}
	return err
}

// bare is the dialect of a *gorm.DB for a transaction, with nothing of its plugins,
// names, logs or prepared statements.
type bare struct {
	gorm.Dialector
	tx *sql.Tx
}

func (b bare) Initialize(db *gorm.DB) error {
	db.ConnPool = b.tx
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{})
	return nil
}

// patience is for how long f is run again, and pause how long after it has failed.
const (
	patience = 10 * time.Second
	pause    = 20 * time.Millisecond
)

// patiently runs f again while SQLite says that others write, which it does at once
// where its connections have no busy timeout. A transaction does not begin any more
// when its context is done.
func patiently(f func() error) error {
	for end := time.Now().Add(patience); ; {
		err := f()
		if err == nil || time.Now().After(end) || !isLocked(err) {
			return err
		}
		time.Sleep(pause)
	}
}

// isLocked goes by the messages of SQLite, which all drivers for Go have from it.
func isLocked(err error) bool {
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
}
