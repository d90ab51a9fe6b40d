package migrations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// State is how far the migration of a column is. It is kept in the database.
type State string

// The states, in order. In those that end in "ing" a step has begun, and is to be run
// again if it was stopped.
const (
	// None: nothing was done yet, or all of it was reverted.
	None State = ""
	// Expanding: the table has a part of that, because Expand has begun, or Revert is
	// about to end.
	Expanding State = "expanding"
	// Expanded: the table has what programs with migrating= need.
	Expanded    State = "expanded"
	Backfilling State = "backfilling"
	// Backfilled: all values are ciphertext, but for what was written since by programs
	// that should not be there any more.
	Backfilled State = "backfilled"
	// Verified: all of them were looked at once more.
	Verified  State = "verified"
	Enforcing State = "enforcing"
	// Enforced: the database refuses plaintext in the column.
	Enforced State = "enforced"
	// Finished: no program reads plaintext any more.
	Finished State = "finished"
	// Reverting: the database takes plaintext again, and values are being decrypted.
	Reverting State = "reverting"
	// Reverted: all values are plaintext, and the table still has what Expand has made.
	Reverted State = "reverted"
)

// record is what is kept of a migration.
type record struct {
	State State
	made
}

// made is what steps have changed, for Revert to change it back. It is written before
// they do.
type made struct {
	// Columns and Indexes are those that Expand has made, and Kind is the type that the
	// column had before.
	Columns []string                 `json:"columns,omitempty"`
	Indexes []manifest.DatabaseIndex `json:"indexes,omitempty"`
	Kind    string                   `json:"kind,omitempty"`
	// Dropped are the indexes that Finish has dropped, by name with their definitions.
	Dropped map[string]string `json:"dropped,omitempty"`
	// Beside is the column that takes the ciphertext, if there is one, and NotNull says
	// that the other one was NOT NULL.
	Beside  string `json:"beside,omitempty"`
	NotNull bool   `json:"not_null,omitempty"`
}

// errChanged: another process has changed the state meanwhile.
var errChanged = errors.New("another process has changed the state of the migration meanwhile; look at it, and run the step again")

// store keeps the records of one column.
type store struct {
	pool          *sql.DB
	dollars       bool
	table, column string
}

// bind returns SQL with the placeholders of the database.
func (s store) bind(query string) string {
	if !s.dollars {
		return query
	}
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n), 1)
	}
	return query
}

// load returns the record, with the state None if there is none.
func (s store) load(ctx context.Context) (record, error) {
	var r record
	var text string
	err := s.pool.QueryRowContext(ctx, s.bind("SELECT state, plan FROM gormcrypt_columns WHERE table_name = ? AND column_name = ?"), s.table, s.column).Scan(&r.State, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, nil
	case err != nil:
		return r, fmt.Errorf("gormcrypt: reading the state of the migration: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &r.made); err != nil {
		return r, fmt.Errorf("gormcrypt: the record of the migration of %s.%s is damaged: %w", s.table, s.column, err)
	}
	return r, nil
}

// save goes from one state to another, with what was made. It returns errChanged if
// the state is another.
func (s store) save(ctx context.Context, from State, to record) error {
	text, err := json.Marshal(to.made)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	var query string
	args := []any{string(to.State), string(text), now, s.table, s.column}
	if from == None {
		query = "INSERT INTO gormcrypt_columns (state, plan, updated_at, table_name, column_name, created_at, job, reason) VALUES (?, ?, ?, ?, ?, ?, '', '') ON CONFLICT DO NOTHING"
		args = append(args, now)
	} else {
		query = "UPDATE gormcrypt_columns SET state = ?, plan = ?, updated_at = ? WHERE table_name = ? AND column_name = ? AND state = ?"
		args = append(args, string(from))
	}
	return s.exec(ctx, query, args...)
}

// remove forgets the migration.
func (s store) remove(ctx context.Context, from State) error {
	return s.exec(ctx, "DELETE FROM gormcrypt_columns WHERE table_name = ? AND column_name = ? AND state = ?", s.table, s.column, string(from))
}

func (s store) exec(ctx context.Context, query string, args ...any) error {
	var changed int64
	err := patiently(ctx, func() error {
		result, err := s.pool.ExecContext(ctx, s.bind(query), args...)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("gormcrypt: writing the state of the migration: %w", err)
	case changed == 0:
		return fmt.Errorf("gormcrypt: %w", errChanged)
	}
	return nil
}
