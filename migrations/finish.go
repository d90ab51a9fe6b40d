package migrations

import (
	"context"
	"maps"
)

// Finish ends a migration: it drops the indexes of the column that find nothing in
// ciphertext, if the field is not deterministic, and what a column that was beside
// another had by its old name. From now on no program reads
// plaintext, so a value that is not ciphertext is an error.
//
// It asks for Config.Deployed to be Settled, and in this program, too, the field is
// without migrating=. It returns ErrDeployment, ErrOrder, and the errors of ctx and the
// database.
func (m *Migration) Finish(ctx context.Context, config Config) error {
	r, _, err := m.begin(ctx, "Finish", &config)
	if err != nil {
		return err
	}
	db, err := m.database(config)
	if err != nil {
		return err
	}
	if r.Beside != "" {
		if r, err = m.enter(ctx, r, Finished); err != nil {
			return err
		}
		if err := db.settle(ctx, m.besides(r)); err != nil {
			return m.failed("dropping the column "+r.Beside, err)
		}
		return nil
	}
	if r.State == Enforced {
		l, err := db.layout(ctx, m.table.Name, m.name)
		if err != nil {
			return m.failed("looking at the table", err)
		}
		// Some may still be gone since an earlier time, if Revert was stopped.
		if r.Dropped = maps.Clone(r.Dropped); r.Dropped == nil {
			r.Dropped = map[string]string{}
		}
		for _, x := range l.indexes {
			if m.index == nil && !m.column.Deterministic && x.alone && !x.constraint && !isOurs(x.name) {
				r.Dropped[x.name] = x.definition
			}
		}
		if r, err = m.enter(ctx, r, Finished); err != nil {
			return err
		}
	}
	for name := range r.Dropped {
		if err := db.dropIndex(ctx, m.table.Name, name); err != nil {
			return m.failed("dropping the index "+name, err)
		}
	}
	return nil
}
