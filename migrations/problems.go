package migrations

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// problems returns the layout of the column, why it cannot be migrated, and what is
// to be known. Values are not looked at.
func (m *Migration) problems(ctx context.Context, db database, config Config) (l layout, problems, warnings []string, err error) {
	if l, err = db.layout(ctx, m.table.Name, m.name); err != nil {
		return l, nil, nil, m.failed("looking at the table", err)
	}
	switch {
	case len(l.columns) == 0:
		return l, []string{"there is no such table, or the search path of the connection does not find it; connect as the application does"}, nil, nil
	case m.index != nil:
		return l, m.indexProblems(config), m.indexWarnings(l), nil
	case !l.columns[m.name]:
		return l, []string{"the table has no such column; a new column of a new field needs no migration"}, nil, nil
	}
	problems, warnings = slices.Clone(l.problems), slices.Clone(l.warnings)
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch settled := m.column.Migrating == ""; {
	case settled && config.Deployed != Settled:
		add("the field has no migrating= %s, so plaintext would not be read; %s, or, if the field was encrypted from its first day, set Config.Deployed to Settled", m.source.where, m.source.addRead)
	case settled:
		problems = append(problems, m.firstDayProblems()...)
	}
	switch beside := m.column.Beside != ""; {
	case !beside && !l.wide && !l.widens:
		add("the column has the type %s, which holds no ciphertext; add a field of the type encryptedtype.Beside, as docs/migrations.md says", l.kind)
	case beside && m.column.Type == manifest.AnyValue:
		add("the field is of any type, so that it is not known what its plaintext is; give it a type")
	case beside:
		// The column is dropped in the end.
		problems, warnings = append(problems, warnings...), nil
		for _, x := range l.indexes {
			if x.constraint || !x.alone {
				add("the index %s has the column in it, which is dropped in the end; drop it", x.name)
			}
		}
	}
	if m.column.Type == manifest.JSONValue && m.column.Deterministic {
		add("it is deterministic and JSON, of which equal values may differ as text; make it not deterministic")
	}
	for _, index := range m.table.Indexes {
		if len(index.Of) > 1 && slices.Contains(index.Of, m.name) {
			warnings = append(warnings, fmt.Sprintf("the blind index %s is of several fields, and is not filled by this migration: give it migrating=read, and migrate it by itself when its fields are finished", index.Name))
		}
	}
	problems, warnings = append(problems, m.uniqueProblems(l, config)...), append(warnings, m.indexWarnings(l)...)
	for _, x := range l.indexes {
		if !m.column.Deterministic && !x.unique && x.alone {
			warnings = append(warnings, fmt.Sprintf("the index %s finds no ciphertext: Finish drops it", x.name))
		} else if !x.alone {
			warnings = append(warnings, fmt.Sprintf("the index %s has the column in it, and finds no ciphertext", x.name))
		}
	}
	return l, problems, warnings, nil
}

// firstDayProblems returns what does not go without migrating=, which other fields have
// to read and find what is plaintext, and to go back.
func (m *Migration) firstDayProblems() (problems []string) {
	if m.column.Type == manifest.TimeValue || m.column.Type == manifest.AnyValue {
		problems = append(problems, "the plaintext of such a field has no one form, so that it cannot be sealed where it is; have the application write these rows anew")
	}
	for _, index := range m.table.Indexes {
		if len(index.Of) > 1 && slices.Contains(index.Of, m.name) {
			problems = append(problems, fmt.Sprintf("the blind index %s is of several fields, and would keep the terms of values that are not there any more; have the application write these rows anew", index.Name))
		}
	}
	return problems
}

// uniqueProblems returns what is wrong with the constraints of the column.
func (m *Migration) uniqueProblems(l layout, config Config) []string {
	var problems []string
	var unique []string
	for _, x := range l.indexes {
		if x.unique {
			unique = append(unique, x.name)
		}
	}
	kept := m.column.Unique
	for _, index := range m.indexes {
		kept = kept || index.Unique
	}
	switch {
	case len(unique) > 0 && !kept:
		problems = append(problems, fmt.Sprintf("the column is unique (%s), and its ciphertext would never be equal; make the field deterministic and unique, or give it a BlindIndex that is unique, or drop the constraint", strings.Join(unique, ", ")))
	case kept && !config.Unique:
		problems = append(problems, "values are to be unique, and while some rows are plaintext no constraint sees that theirs are equal to others; have the application look before it writes, and set Config.Unique")
	}
	return problems
}

// indexProblems is problems for a blind index of rows that are encrypted.
func (m *Migration) indexProblems(config Config) (problems []string) {
	if m.index.Migrating == "" {
		problems = append(problems, fmt.Sprintf("the index has no migrating= %s, so terms would be searched that are not there; %s", m.source.where, m.source.addRead))
	}
	for _, of := range m.index.Of {
		i := slices.IndexFunc(m.table.Columns, func(c manifest.Column) bool { return c.Name == of })
		if m.table.Columns[i].Migrating != "" {
			problems = append(problems, fmt.Sprintf("it is of %s, which is migrating; finish that first, or, if it is of that alone, leave out migrating= here: it migrates with it", of))
		}
	}
	if m.index.Unique && !config.Unique {
		problems = append(problems, "terms are to be unique, and rows that have none yet are not looked at; have the application look before it writes, and set Config.Unique")
	}
	return problems
}

// indexWarnings returns what is to be known of the blind indexes whose columns Expand
// makes.
func (m *Migration) indexWarnings(l layout) []string {
	var warnings []string
	for _, index := range m.indexes {
		made := slices.ContainsFunc(m.wanted, func(x manifest.DatabaseIndex) bool { return x.Unique && x.IsOf(index.Name) })
		if index.Unique && !made && !l.columns[index.Name] {
			warnings = append(warnings, fmt.Sprintf("the blind index %s is unique by a constraint, which Expand does not make; write uniqueIndex in place of unique, or add the constraint yourself after Expand", index.Name))
		}
	}
	return warnings
}
