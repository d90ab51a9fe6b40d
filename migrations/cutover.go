package migrations

import (
	"context"
	"strings"
)

// A column that holds no text is empty when all of its values have moved to the one
// beside it. Then it is dropped, and that one takes its name, in one transaction. To
// programs with migrating=write, which write both, nothing has changed: what they write
// to the old name is taken by triggers, and they read whichever of the two has a value.
// Programs without migrating= know only the column with its own name.

func (m *Migration) besides(r record) besides {
	return besides{
		table: m.table.Name, column: m.name, beside: r.Beside, kind: r.Kind, key: m.table.PrimaryKey,
		trigger: strings.Replace(m.constraint(m.name), "gormcrypt_encrypted_", "gormcrypt_beside_", 1),
	}
}

// cutOver drops the column and renames the one beside it, if that was not done.
func (m *Migration) cutOver(ctx context.Context, db database, r *record) error {
	of := m.besides(*r)
	if done, err := db.isCutOver(ctx, of); err != nil || done {
		return err
	}
	l, err := db.layout(ctx, m.table.Name, m.name)
	if err != nil {
		return err
	}
	if len(l.indexes) > 0 {
		r.Dropped = map[string]string{}
		for _, x := range l.indexes {
			of.indexes, r.Dropped[x.name] = append(of.indexes, x.name), x.definition
		}
		if err := m.store.save(ctx, Enforcing, *r); err != nil {
			return err
		}
	}
	return db.cutOver(ctx, of)
}

// takeBack undoes cutOver, when all programs have migrating=write, which know both
// columns. It takes what those write by the old name from the start.
func (m *Migration) takeBack(ctx context.Context, db database, config Config, r record) error {
	of := m.besides(r)
	cut, err := db.isCutOver(ctx, of)
	if err != nil {
		return m.failed("looking for its triggers", err)
	}
	if !cut {
		l, err := db.layout(ctx, m.table.Name, m.name)
		if err != nil {
			return m.failed("looking at the table", err)
		}
		if l.columns[r.Beside] {
			return nil // it was not cut over, or was taken back
		}
		if err := db.land(ctx, of); err != nil {
			return m.failed("adding the column "+r.Beside, err)
		}
	}
	if err := confirm("Revert", "takes the column from programs without migrating=", config.Deployed, Writing); err != nil {
		return err
	}
	if err := db.back(ctx, of); err != nil {
		return m.failed("taking the column back", err)
	}
	return nil
}

// asItIs returns the migration as the database has the column: when it is cut over, it
// is one like others.
func (m *Migration) asItIs(ctx context.Context, db database, r record) (*Migration, error) {
	if r.Beside == "" {
		return m, nil
	}
	l, err := db.layout(ctx, m.table.Name, m.name)
	if err != nil {
		return nil, m.failed("looking at the table", err)
	}
	cut, err := db.isCutOver(ctx, m.besides(r))
	if err != nil {
		return nil, m.failed("looking for its triggers", err)
	}
	if !cut && l.columns[r.Beside] {
		return m, nil
	}
	now := *m
	now.column.Beside = ""
	return &now, nil
}
