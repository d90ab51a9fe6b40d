package main

import (
	"context"
	"crypto/fips140"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// roomy is the length of a varchar, in characters, that a ciphertext of a short text may
// fit: the outer form takes 64 of them.
const roomy = 128

// rewriteManifest is the fix for a manifest that is not that of the programs that run.
const rewriteManifest = "write the manifest anew by gormcrypt.Manifest in the program that runs, or migrate the table"

// checkManifest reads the manifest.
func (e *examination) checkManifest(context.Context) []finding {
	m, err := e.readManifest()
	if err != nil {
		return failed(err)
	}
	e.encrypted = m
	columns, indexes, notApproved := 0, 0, []string{}
	for _, table := range m.Tables {
		columns, indexes = columns+len(table.Columns), indexes+len(table.Indexes)
		for _, column := range table.Columns {
			if column.Deterministic {
				notApproved = append(notApproved, table.Name+"."+column.Name)
			}
		}
		for _, index := range table.Indexes {
			if index.Slow {
				notApproved = append(notApproved, table.Name+"."+index.Name)
			}
		}
	}
	if fips140.Enabled() && len(notApproved) > 0 {
		return problem("run without GODEBUG=fips140, or make them neither deterministic nor slow", "FIPS 140-3 mode does not admit %s", strings.Join(notApproved, ", "))
	}
	return ok("%s, %s, %s", counted(int64(len(m.Tables)), "table"), counted(int64(columns), "encrypted column"), counted(int64(indexes), "blind index"))
}

// layout is what a table is like in the database.
type layout struct {
	types  map[string]string
	key    []string
	view   bool
	strict bool
}

// checkTables compares the tables with the manifest.
func (e *examination) checkTables(ctx context.Context) []finding {
	e.fits = map[string]bool{}
	var all []finding
	for _, table := range e.encrypted.Tables {
		l, err := e.layout(ctx, table.Name)
		if err != nil {
			all = append(all, of(table.Name, failed(err))...)
			continue
		}
		if l == nil {
			all = append(all, of(table.Name, problem(rewriteManifest, "there is no such table, or none that this role and its search path see"))...)
			continue
		}
		found := e.checkColumns(table, l)
		e.fits[table.Name] = len(found) == 0
		if found = append(found, checkKey(table, l)...); len(found) == 0 {
			found = ok("as the manifest says")
		}
		all = append(all, of(table.Name, found)...)
	}
	return all
}

func (e *examination) layout(ctx context.Context, table string) (*layout, error) {
	if e.postgres() {
		return e.layoutPostgres(ctx, table)
	}
	return e.layoutSQLite(ctx, table)
}

// checkKey compares the primary key, by which rows are found again.
func checkKey(table manifest.Table, l *layout) []finding {
	if l.view || slices.Equal(l.key, table.PrimaryKey) {
		return nil
	}
	return problem(rewriteManifest, "its primary key is (%s), and that of the manifest (%s)", strings.Join(l.key, ", "), strings.Join(table.PrimaryKey, ", "))
}

// checkColumns says which columns are not there, or cannot hold what the manifest says.
func (e *examination) checkColumns(table manifest.Table, l *layout) []finding {
	var all []finding
	if missing := missingColumns(table, l); len(missing) > 0 {
		all = problem(rewriteManifest, "it has no column %s", strings.Join(missing, ", "))
	}
	for _, column := range table.Columns {
		name := column.Name
		if column.Beside != "" {
			name = column.Beside
		}
		all = append(all, e.checkType(l, name, column.Binary)...)
	}
	for _, index := range table.Indexes {
		all = append(all, e.checkType(l, index.Name, false)...)
	}
	return all
}

// checkType says whether a column that is there can hold ciphertext.
func (e *examination) checkType(l *layout, column string, binary bool) []finding {
	kind, there := l.types[column]
	if !there {
		return nil
	}
	wants, reason := "text", ""
	if binary {
		wants = "bytea"
	}
	if e.postgres() {
		reason = holdsPostgres(kind, binary)
	} else {
		reason = holdsSQLite(kind, l.strict)
	}
	if reason == "" {
		return nil
	}
	return problem("ALTER the column to "+wants+", or migrate it to one beside it (docs/migrations.md)", "column %s: %s", column, reason)
}

// missingColumns are those of the manifest that a table does not have.
func missingColumns(table manifest.Table, l *layout) []string {
	names := slices.Clone(table.PrimaryKey)
	for _, column := range table.Columns {
		names = append(names, column.Name)
		if column.Beside != "" {
			names = append(names, column.Beside)
		}
		for _, bound := range column.Bind {
			names = append(names, bound.Column)
		}
	}
	for _, index := range table.Indexes {
		names = append(names, index.Name)
	}
	var missing []string
	for _, name := range names {
		if _, there := l.types[name]; !there && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// quotedTable returns the name of a table, which may have a schema in front, as SQL.
func quotedTable(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}
