package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Backfill seals what is plaintext, with the terms of its blind indexes, or makes the
// terms of an index: in batches, by compare and swap, while applications read and
// write. It is a job as those of package rotation: in the same ledger, resumable,
// shared by processes, with the same limits, progress and quarantine. It ends by
// opening every value.
//
// It asks for Config.Deployed to be Writing: a program without the tag would read
// ciphertext, and one with migrating=read would go on writing plaintext. In this
// program, too, the field has migrating=write. For a field that was encrypted from its
// first day it is Settled, here as in all steps: what is plaintext in it was written by
// something else, and no program can read it. So it is for one that is finished, and has
// lost its constraint.
//
// Values that read like ciphertext and do not open, those that are no plaintext of the
// field's type, and those that the database refuses are left as they are, in
// quarantine; it returns rotation.ErrQuarantined then, and is to be run again when
// they are repaired, or with [Migration.TakeForPlaintext]. It returns ErrDeployment,
// ErrOrder, ErrProblems, and otherwise what rotation.Rotation.Run does.
func (m *Migration) Backfill(ctx context.Context, config Config) (rotation.Report, error) {
	r, _, err := m.begin(ctx, "Backfill", &config)
	if err != nil {
		return rotation.Report{}, err
	}
	db, err := m.database(config)
	if err != nil {
		return rotation.Report{}, err
	}
	if _, err := m.examine(ctx, db, config); err != nil {
		return rotation.Report{}, err
	}
	if r.Beside != "" {
		if cut, err := db.isCutOver(ctx, m.besides(r)); err != nil {
			return rotation.Report{}, m.failed("looking for its triggers", err)
		} else if cut {
			return rotation.Report{}, &OrderError{Step: "Backfill", Column: m.String(), State: r.State, Next: "the column has the ciphertext already: run Revert to its end, or until it has taken the column back"}
		}
	}
	codec, err := m.encrypting()
	if err != nil {
		return rotation.Report{}, err
	}
	if r, err = m.enter(ctx, r, Backfilling); err != nil {
		return rotation.Report{}, err
	}
	if err := m.cancel(ctx, "the migration goes on after all", "decrypt "); err != nil {
		return rotation.Report{}, err
	}
	title, writers := "encrypt "+m.String(), "a program without the tag, or with migrating=read"
	if m.index != nil {
		title, writers = "index "+m.String(), "a program that does not write the index"
	}
	report, err := m.execute(ctx, config, title, writers, codec)
	switch {
	case m.index == nil && errors.Is(err, rotation.ErrQuarantined):
		return report, fmt.Errorf("%w; repair or delete them, or say by TakeForPlaintext that one is plaintext that reads like ciphertext, and run Backfill again", err)
	case err != nil:
		return report, err
	}
	_, err = m.enter(ctx, r, Backfilled)
	return report, err
}

// enter goes to another state, and returns the record with it.
func (m *Migration) enter(ctx context.Context, from record, to State) (record, error) {
	if from.State == to {
		return from, nil
	}
	next := from
	next.State = to
	err := m.store.save(ctx, from.State, next)
	if errors.Is(err, errChanged) { // by another process that runs the same step
		now, again := m.store.load(ctx)
		if again == nil && now.State == to {
			return now, nil
		}
	}
	return next, err
}

// execute runs a job of one table.
func (m *Migration) execute(ctx context.Context, config Config, title, writers string, codec *rowcodec.Codec) (rotation.Report, error) {
	plan := backfill.Plan{Title: title, Writers: writers, Tables: []backfill.Table{codec.Table}}
	return rotation.Execute(ctx, m.db, config.rotation(), plan, []*rowcodec.Codec{codec})
}
