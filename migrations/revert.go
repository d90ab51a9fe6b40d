package migrations

import (
	"context"
	"slices"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/rotation"
)

// Revert goes back from any state, decrypting if it must. As there are two deployments
// on the way, it is called up to three times, and says by ErrDeployment what is to be
// deployed before the next:
//
//  1. It has the database take plaintext again. Programs go on as they are. For a
//     column that was beside another, deploy migrating=write then, and call it once more
//     with Config.Deployed set to Writing: it takes the column back that it came from.
//  2. When every program has migrating=read, which writes plaintext, call it with
//     Config.Deployed set to Reading: it decrypts all values, by a job as Backfill's.
//     In this program, too, the field has migrating=read.
//  3. When every program is without the tag, call it with Config.Deployed set to
//     WithoutTag: it removes what Expand has made, and forgets the migration. Until
//     then this program has the model with its tags.
//
// What is not needed is left out: without ciphertext there is nothing to decrypt, and
// without new columns nothing to remove. The terms of a blind index are not decrypted:
// its column is removed when no program knows of it. In PostgreSQL a column stays text
// that was a varchar with a length.
//
// Values that do not open are left as they are, in quarantine, and so are those whose
// plaintext reads like ciphertext; it returns rotation.ErrQuarantined then. It returns
// ErrDeployment, and otherwise what rotation.Rotation.Run does.
func (m *Migration) Revert(ctx context.Context, config Config) (rotation.Report, error) {
	r, done, err := m.begin(ctx, "Revert", &config)
	if err != nil || done {
		return rotation.Report{}, err
	}
	db, err := m.database(config)
	if err != nil {
		return rotation.Report{}, err
	}
	switch r.State {
	case Expanding, Expanded, Reverted:
		sealed, err := m.hasSealed(ctx, db)
		if err != nil {
			return rotation.Report{}, err
		}
		if !sealed {
			return rotation.Report{}, m.contract(ctx, db, config, r)
		}
	}
	if r, err = m.enter(ctx, r, Reverting); err != nil {
		return rotation.Report{}, err
	}
	if err := m.cancel(ctx, "the migration is reverted", "encrypt ", "index "); err != nil {
		return rotation.Report{}, err
	}
	if err := m.unenforce(ctx, db, r); err != nil {
		return rotation.Report{}, err
	}
	if r.Beside != "" {
		err = m.takeBack(ctx, db, config, r)
	} else { // for programs with migrating=read
		r, err = m.recreateIndexes(ctx, db, r, false)
	}
	if err != nil {
		return rotation.Report{}, err
	}
	if m.index != nil {
		return rotation.Report{}, m.contract(ctx, db, config, r)
	}
	if err := confirm("Revert", "decrypts all values, which programs without migrating= do not read, and those with migrating=write would encrypt again", config.Deployed, Reading); err != nil {
		return rotation.Report{}, err
	}
	if err := m.requireMode(Reading); err != nil {
		return rotation.Report{}, err
	}
	codec, err := m.decrypting()
	if err != nil {
		return rotation.Report{}, err
	}
	report, err := m.execute(ctx, config, "decrypt "+m.String(), "a program with migrating=write", codec)
	if err != nil {
		return report, err
	}
	if r, err = m.recreateIndexes(ctx, db, r, true); err != nil {
		return report, err
	}
	if r, err = m.enter(ctx, r, Reverted); err != nil || r.isExpanded() {
		return report, err
	}
	return report, m.store.remove(ctx, Reverted)
}

// recreateIndexes makes the indexes again that were dropped, and takes them off the
// record then: the next Finish drops those that are there. As long as there is
// ciphertext, which may be longer than an index has room for, they need not be made.
func (m *Migration) recreateIndexes(ctx context.Context, db database, r record, must bool) (record, error) {
	if len(r.Dropped) == 0 {
		return r, nil
	}
	for name, definition := range r.Dropped {
		err := db.recreateIndex(ctx, m.table.Name, name, definition)
		switch {
		case err == nil:
		case must:
			return r, m.failed("making the index "+name+" again", err)
		default:
			if err := db.dropIndex(ctx, m.table.Name, name); err != nil {
				return r, m.failed("removing what is left of the index "+name, err)
			}
			return r, nil
		}
	}
	r.Dropped = nil
	return r, m.store.save(ctx, Reverting, r)
}

// cancel cancels the jobs of the migration that go the other way, if any go on.
func (m *Migration) cancel(ctx context.Context, reason string, titles ...string) error {
	return cancelJobs(ctx, m.db, m.String(), reason, titles...)
}

// cancelJobs cancels the jobs of a column, as "table.column", with some titles.
func cancelJobs(ctx context.Context, db *gorm.DB, column, reason string, titles ...string) error {
	jobs, err := rotation.Jobs(ctx, db)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if job.State != rotation.Running && job.State != rotation.Paused || !slices.ContainsFunc(titles, func(title string) bool { return job.Title == title+column }) {
			continue
		}
		if err := rotation.Cancel(ctx, db, job.ID, reason); err != nil {
			return err
		}
	}
	return nil
}

// hasSealed reports whether there is ciphertext, which programs with migrating=write
// have written before Backfill.
func (m *Migration) hasSealed(ctx context.Context, db database) (bool, error) {
	if m.index != nil {
		return false, nil
	}
	l, err := db.layout(ctx, m.table.Name, m.name)
	if err != nil {
		return false, m.failed("looking at the table", err)
	}
	if !l.columns[m.name] || m.column.Beside != "" && !l.columns[m.column.Beside] {
		return false, nil
	}
	codec, err := m.decrypting()
	if err != nil {
		return false, err
	}
	tables, err := m.tables(ctx, codec)
	if err != nil {
		return false, err
	}
	n, err := tables.StaleRows(ctx, 0)
	if err != nil {
		return false, m.failed("looking for ciphertext", err)
	}
	return n > 0, nil
}

// contract removes what Expand has made. Until all of it is gone, the state is that of
// a table that has a part of it.
func (m *Migration) contract(ctx context.Context, db database, config Config, r record) error {
	admitted := []Deployment{WithoutTag}
	if !r.isExpanded() {
		admitted = append(admitted, Reading)
	}
	if err := confirm("Revert", "forgets the migration, and removes what programs with the tag write", config.Deployed, admitted...); err != nil {
		return err
	}
	if r.isExpanded() {
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
	if r.NotNull {
		if err := db.setNotNull(ctx, m.table.Name, m.name, true); err != nil {
			return m.failed("having the column admit no NULL", err)
		}
	}
	return m.store.remove(ctx, r.State)
}

// isExpanded reports whether Expand has made what programs with the tag need.
func (r record) isExpanded() bool { return len(r.Columns) > 0 || len(r.Indexes) > 0 || r.NotNull }
