package migrations

import (
	"context"
	"fmt"
	"strings"
)

// Expand gives the table what programs with migrating= need: columns for the blind
// indexes of the field, with the indexes that their tags ask for, and in PostgreSQL,
// if the column is a varchar with a length, the type text. A column that is migrated to
// one beside it gets that one, and admits NULL. Programs that do not know of it go on as
// before. It is the first step; run it before migrating=read is
// deployed.
//
// In PostgreSQL each change takes a lock for a moment, for which statements of
// applications wait no longer than Config.LockWait at a time; indexes are made while
// rows are read and written. It can be run again.
//
// It returns ErrProblems if Plan lists any, ErrOrder, and the errors of ctx and the
// database.
func (m *Migration) Expand(ctx context.Context, config Config) error {
	r, done, err := m.begin(ctx, "Expand", &config)
	if err != nil || done {
		return err
	}
	db, err := m.database(config)
	if err != nil {
		return err
	}
	l, err := m.examine(ctx, db, config)
	if err != nil {
		return err
	}
	if r.State == None {
		expansion, err := m.expansion(ctx, db, l)
		if err != nil {
			return err
		}
		if r, err = m.enter(ctx, record{None, expansion}, Expanding); err != nil {
			return err
		}
	}
	for _, column := range r.Columns {
		if err := db.addColumn(ctx, m.table.Name, column); err != nil {
			return m.failed("adding the column "+column, err)
		}
	}
	if r.NotNull {
		if err := db.setNotNull(ctx, m.table.Name, m.name, false); err != nil {
			return m.failed("having the column admit NULL", err)
		}
	}
	if r.Kind != "" && r.Beside == "" {
		if err := db.widen(ctx, m.table.Name, m.name, m.column.Binary); err != nil {
			return m.failed("changing the type of the column", err)
		}
	}
	for _, index := range r.Indexes {
		if err := db.createIndex(ctx, m.table.Name, index); err != nil {
			return m.failed("making the index "+index.Name, err)
		}
	}
	_, err = m.enter(ctx, r, Expanded)
	return err
}

// expansion returns what Expand has to make.
func (m *Migration) expansion(ctx context.Context, db database, l layout) (made, error) {
	var all made
	for _, index := range m.indexes {
		if !l.columns[index.Name] {
			all.Columns = append(all.Columns, index.Name)
		}
	}
	switch {
	case m.column.Beside != "":
		if !l.columns[m.column.Beside] {
			all.Columns = append(all.Columns, m.column.Beside)
		}
		all.Beside, all.Kind, all.NotNull = m.column.Beside, l.kind, l.notNull
	case m.index == nil && !l.wide:
		all.Kind = l.kind
	}
	for _, index := range m.wanted {
		there, err := db.hasIndex(ctx, m.table.Name, index.Name)
		if err != nil {
			return all, m.failed("looking for indexes", err)
		}
		if !there {
			all.Indexes = append(all.Indexes, index)
		}
	}
	return all, nil
}

// examine returns the layout of the column, or an error with all problems.
func (m *Migration) examine(ctx context.Context, db database, config Config) (layout, error) {
	l, problems, _, err := m.problems(ctx, db, config)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("gormcrypt: %w: %s: %s", ErrProblems, m, strings.Join(problems, "; "))
	}
	return l, err
}

func (m *Migration) failed(what string, err error) error {
	return fmt.Errorf("gormcrypt: migrating %s: %s: %w", m, what, err)
}
