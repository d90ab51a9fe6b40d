package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// Enforce has the database refuse what is not ciphertext, by CHECK constraints on the
// column and on those of its blind indexes, which admit NULL and what starts as ours
// does: from now on nobody puts plaintext there, by whatever program. In PostgreSQL the
// constraint is added for new rows first, under a lock of a moment, and is validated
// while rows are read and written. In SQLite, writers wait while the rows are counted.
//
// It asks for Config.Deployed to be Writing or Settled. If there is plaintext again, it
// takes its constraints away and returns ErrNotVerified: then run Backfill again. It
// returns ErrDeployment, ErrOrder, and the errors of ctx and the database.
func (m *Migration) Enforce(ctx context.Context, config Config) error {
	r, done, err := m.begin(ctx, "Enforce", &config)
	if err != nil || done {
		return err
	}
	db, err := m.database(config)
	if err != nil {
		return err
	}
	checks, err := m.checks(r)
	if err != nil {
		return err
	}
	if r, err = m.enter(ctx, r, Enforcing); err != nil {
		return err
	}
	for _, check := range checks {
		switch err := db.addCheck(ctx, m.table.Name, m.constraint(check.column), check.condition); {
		case errors.Is(err, errViolated):
			return m.violated(ctx, db, r, err)
		case err != nil:
			return m.failed("adding the constraint "+m.constraint(check.column), err)
		}
	}
	if r.Beside != "" {
		switch err := m.cutOver(ctx, db, &r); {
		case errors.Is(err, errViolated):
			return m.violated(ctx, db, r, err)
		case err != nil:
			return m.failed("cutting over to the column "+r.Beside, err)
		}
	}
	_, err = m.enter(ctx, r, Enforced)
	return err
}

// violated takes the constraints away, and goes back to where Backfill is run.
func (m *Migration) violated(ctx context.Context, db database, r record, err error) error {
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(err, m.unenforce(ctx, db, r))
	if _, back := m.enter(ctx, r, Backfilling); back != nil {
		err = errors.Join(err, back)
	}
	return fmt.Errorf("gormcrypt: %w: %s: %w; find out what has written it, and run Backfill again", ErrNotVerified, m, err)
}

// check is what a column admits.
type check struct{ column, condition string }

// checks are those of the column, and of its blind indexes.
func (m *Migration) checks(r record) ([]check, error) {
	var all []check
	add := func(column string, binary, index bool) error {
		condition, err := backfill.Admits(m.db.Dialector.Name(), column, binary, index)
		all = append(all, check{column, condition})
		return err
	}
	var err error
	switch {
	case r.Beside != "": // whose name it takes, with the constraint
		err = add(r.Beside, false, false)
	case m.index == nil:
		err = add(m.name, m.column.Binary, false)
	}
	for _, index := range m.indexes {
		err = errors.Join(err, add(index.Name, false, true))
	}
	return all, err
}

// unenforce has the database take plaintext again.
func (m *Migration) unenforce(ctx context.Context, db database, r record) error {
	checks, err := m.checks(r)
	if err != nil {
		return err
	}
	for _, check := range checks {
		if err := db.dropCheck(ctx, m.table.Name, m.constraint(check.column)); err != nil {
			return m.failed("removing the constraint "+m.constraint(check.column), err)
		}
	}
	if r.Beside == "" {
		return nil
	}
	empty := m.besides(r).trigger
	if err := db.dropCheck(ctx, m.table.Name, empty); err != nil {
		return m.failed("removing the constraint "+empty, err)
	}
	return nil
}
