package migrations

import (
	"context"
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Revert goes back from any state, decrypting if it must. As there are two deployments
// on the way, it is called up to three times, and says by ErrDeployment what is to be
// deployed before the next:
//
//  1. It has the database take plaintext again. Programs go on as they are.
//  2. When every program has migrating=read, which writes plaintext, call it with
//     Config.Deployed set to Reading: it decrypts all values, by a job as Backfill's.
//     In this program, too, the field has migrating=read.
//  3. When every program is without the tag, call it with Config.Deployed set to
//     WithoutTag: it removes what Expand has made, and forgets the migration. Until
//     then this program has the model with its tags.
//
// What is not needed is left out: before Backfill there is nothing to decrypt, and
// without new columns nothing to remove. The terms of a blind index are not decrypted:
// its column is removed when no program knows of it. In PostgreSQL a column stays text
// that was a varchar with a length.
//
// Values that do not open are left as they are, in quarantine, and so are those whose
// plaintext reads like ciphertext; it returns rotation.ErrQuarantined then. It returns
// ErrDeployment, and otherwise what rotation.Rotation.Run does.
func (m *Migration) Revert(ctx context.Context, config Config) (rotation.Report, error) {
	r, err := m.begin(ctx, "Revert", &config, None, Expanding, Expanded, Backfilling, Backfilled, Verified, Enforcing, Enforced, Finished, Reverting, Reverted)
	if err != nil || r.State == None {
		return rotation.Report{}, err
	}
	db, err := m.database(config)
	if err != nil {
		return rotation.Report{}, err
	}
	switch r.State {
	case Expanding, Expanded, Reverted:
		return rotation.Report{}, m.contract(ctx, db, config, r)
	}
	if r, err = m.enter(ctx, r, Reverting); err != nil {
		return rotation.Report{}, err
	}
	if err := m.cancel(ctx, "the migration is reverted", "encrypt ", "index "); err != nil {
		return rotation.Report{}, err
	}
	if err := m.unenforce(ctx, db); err != nil {
		return rotation.Report{}, err
	}
	if r, err = m.recreateIndexes(ctx, db, r); err != nil {
		return rotation.Report{}, err
	}
	if m.index != nil {
		return rotation.Report{}, m.contract(ctx, db, config, r)
	}
	if err := confirm("Revert", "decrypts all values, which programs without migrating= do not read, and those with migrating=write would encrypt again", config.Deployed, Reading); err != nil {
		return rotation.Report{}, err
	}
	if m.mode() != "read" {
		return rotation.Report{}, fmt.Errorf("gormcrypt: %w: in this program, %s is not migrating=read; deploy that here too", ErrDeployment, m)
	}
	codec, err := rowcodec.Decrypt(m.plugin.Cipher(), m.table, m.column)
	if err != nil {
		return rotation.Report{}, err
	}
	report, err := m.execute(ctx, config, "decrypt "+m.String(), "a program with migrating=write", codec)
	if err != nil {
		return report, err
	}
	if r, err = m.enter(ctx, r, Reverted); err != nil || len(r.Columns) > 0 || len(r.Indexes) > 0 {
		return report, err
	}
	return report, m.store.remove(ctx, Reverted)
}

// recreateIndexes makes the indexes again that Finish has dropped, and takes them off
// the record then: the next Finish drops those that are there.
func (m *Migration) recreateIndexes(ctx context.Context, db database, r record) (record, error) {
	if len(r.Dropped) == 0 {
		return r, nil
	}
	for name, definition := range r.Dropped {
		if err := db.recreateIndex(ctx, m.table.Name, name, definition); err != nil {
			return r, m.failed("making the index "+name+" again", err)
		}
	}
	r.Dropped = nil
	return r, m.store.save(ctx, Reverting, r)
}

// cancel cancels the jobs of the migration that go the other way, if any go on.
func (m *Migration) cancel(ctx context.Context, reason string, titles ...string) error {
	jobs, err := rotation.Jobs(ctx, m.db)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if job.State != rotation.Running && job.State != rotation.Paused || !slices.ContainsFunc(titles, func(title string) bool { return job.Title == title+m.String() }) {
			continue
		}
		if err := rotation.Cancel(ctx, m.db, job.ID, reason); err != nil {
			return err
		}
	}
	return nil
}

// contract removes what Expand has made. Until all of it is gone, the state is that of
// a table that has a part of it.
func (m *Migration) contract(ctx context.Context, db database, config Config, r record) error {
	if len(r.Columns) > 0 || len(r.Indexes) > 0 {
		if err := confirm("Revert", "removes columns that programs with the tag write", config.Deployed, WithoutTag); err != nil {
			return err
		}
		var err error
		if r, err = m.enter(ctx, r, Expanding); err != nil {
			return err
		}
	}
	for _, index := range r.Indexes {
		if err := db.dropIndex(ctx, m.table.Name, index.Name); err != nil {
			return m.failed("dropping the index "+index.Name, err)
		}
	}
	for _, column := range r.Columns {
		if err := db.dropColumn(ctx, m.table.Name, column); err != nil {
			return m.failed("dropping the column "+column, err)
		}
	}
	return m.store.remove(ctx, r.State)
}
