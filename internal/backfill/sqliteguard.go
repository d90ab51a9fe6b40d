package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// guarded does all of it in one transaction. SQLite has one writer at a time, so
// nothing is written between the triggers and the count, and what is taken back,
// because of a crash too, leaves no trigger.
func (d sqlite) guarded(ctx context.Context, pool *sql.DB, guards []Guard, wait time.Duration) ([]int64, error) {
	var counts []int64
	err := tryLocked(ctx, d, wait, func() error {
		return inTx(ctx, pool, func(tx *sql.Tx) error {
			// From the first trigger that it makes on, nobody else writes.
			for _, guard := range guards {
				for _, event := range []string{"INSERT", "UPDATE"} {
					if _, err := tx.ExecContext(ctx, d.trigger(guard, event)); err != nil {
						return fmt.Errorf("guarding %s: %w", guard.Table, err)
					}
				}
			}
			var err error
			if counts, err = refused(ctx, tx, d, guards); err == nil && !isZero(counts) {
				err = errTakeBack
			}
			return err
		})
	})
	if errors.Is(err, errTakeBack) {
		err = nil
	}
	return counts, err
}

// errTakeBack takes a transaction back in which nothing failed.
var errTakeBack = errors.New("values are left")

// trigger returns what makes one of the two triggers of a guard.
func (d sqlite) trigger(g Guard, event string) string {
	schema, table, found := strings.Cut(g.Table, ".")
	if !found {
		schema, table = "", g.Table
	} else {
		schema = quote(schema) + "."
	}
	of, column := "", quote(g.Column)
	if event == "UPDATE" {
		of = " OF " + column
	}
	says := fmt.Sprintf("gormcrypt: the key version %s is retired, and %s.%s takes nothing under it; load the current keyring", g.Version, g.Table, g.Column)
	return fmt.Sprintf("CREATE TRIGGER IF NOT EXISTS %s%s BEFORE %s%s ON %s WHEN %s BEGIN SELECT RAISE(ABORT, '%s'); END",
		schema, quote(g.Name()+"_"+strings.ToLower(event)), event, of, quote(table), d.startsWith("NEW."+column, g.Prefix), strings.ReplaceAll(says, "'", "''"))
}

// startsWith takes bytes and text, whatever the column is declared to hold. Of no
// bytes, substr makes NULL.
func (sqlite) startsWith(column, prefix string) string {
	return fmt.Sprintf("coalesce(substr(%s, 1, %d), '') IN ('%s', x'%x')", column, len(prefix), prefix, prefix)
}

func (sqlite) standing(ctx context.Context, on querier, guards []Guard) ([]Guard, error) {
	schema, _, found := strings.Cut(guards[0].Table, ".")
	if !found {
		schema = "main"
	}
	triggers := map[string]bool{}
	err := scan(ctx, on, "SELECT name FROM "+quote(schema)+".sqlite_master WHERE type = 'trigger'", nil, 1, func(values []any) error {
		triggers[text(values[0])] = true
		return nil
	})
	var all []Guard
	for _, guard := range guards {
		if triggers[guard.Name()+"_insert"] && triggers[guard.Name()+"_update"] {
			all = append(all, guard)
		}
	}
	return all, err
}
