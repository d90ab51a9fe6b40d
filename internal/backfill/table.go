package backfill

import (
	"slices"
	"strings"
)

// Table is a table of a plan.
type Table struct {
	Name    string // with its schema, if it has one
	Key     []string
	Cells   []Cell
	Sources []Source
	// Together says that a row is left as it is if not all of it can be replaced.
	Together bool `json:",omitempty"`
}

// Cell is a column whose values are replaced.
type Cell struct {
	Column string
	// Prefix is what values start with that are current, if Stale is Outdated.
	Prefix string `json:",omitempty"`
	// Binary says that the column holds bytes.
	Binary bool
	// Stale says which values are to be replaced.
	Stale Staleness `json:",omitempty"`
	// Native says that the column is of another type than text or bytes. PostgreSQL
	// gives and takes its values as text.
	Native bool `json:",omitempty"`
	// Of are the sources that a value is made from, if Stale is Missing, Moved or
	// Lacking.
	Of []int `json:",omitempty"`
}

// Staleness says which values of a cell are to be replaced.
type Staleness string

const (
	// Outdated are values that do not start with Cell.Prefix.
	Outdated Staleness = ""
	// Plain are values that do not have the form of ciphertext, and Sealed those that
	// have.
	Plain  Staleness = "plain"
	Sealed Staleness = "sealed"
	// Missing is NULL, and what is there when a source is plain, unless a source is
	// NULL. In Row.Old and Current.Cells, NULL is an empty text then.
	Missing Staleness = "missing"
	// Present are all values.
	Present Staleness = "present"
	// Moved is what takes a value of another column: all that is there when the source
	// has one. NULL is an empty text, as with Missing.
	Moved Staleness = "moved"
	// Lacking is Missing for a value that is in one of two sources: it is stale when the
	// first has it, and when it is NULL and the second has it.
	Lacking Staleness = "lacking"
)

// takesNull reports whether NULL may be stale.
func (s Staleness) takesNull() bool { return s == Missing || s == Moved || s == Lacking }

// Null takes the place of a value that is to be NULL, in Swap.New.
type Null struct{}

// Source is a column that new values are made from, or bound to.
type Source struct {
	Column string
	Binary bool
	// Native is as in Cell.
	Native bool `json:",omitempty"`
	// Made says that new values hold what this column holds, as the terms of an
	// index do: the row is written only if it is unchanged.
	Made bool
}

// quote returns a name as SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteTable returns the name of a table, which may have a schema in front.
func quoteTable(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = quote(part)
	}
	return strings.Join(parts, ".")
}

// list joins what f makes of each.
func list[T any](all []T, f func(i int, one T) string) string {
	parts := make([]string, len(all))
	for i, one := range all {
		parts[i] = f(i, one)
	}
	return strings.Join(parts, ", ")
}

// compare returns a comparison of the key with placeholders, or whatever value
// returns. The database compares them, in its own order.
func (t Table) compare(prefix, operator string, value func(i int) string) string {
	left := list(t.Key, func(_ int, name string) string { return prefix + quote(name) })
	right := list(t.Key, func(i int, _ string) string { return value(i) })
	if len(t.Key) == 1 {
		return left + " " + operator + " " + right
	}
	return "(" + left + ") " + operator + " (" + right + ")"
}

// missing is the error of a table or column that is not in the database.
type missing string

func (m missing) Error() string { return string(m) }

// checkColumns returns an error for a table that is not there as the plan has it.
func checkColumns(t Table, has func(column string) bool, exists bool) error {
	if !exists {
		return missing("there is no table " + t.Name)
	}
	names := slices.Clone(t.Key)
	for _, cell := range t.Cells {
		names = append(names, cell.Column)
	}
	for _, source := range t.Sources {
		names = append(names, source.Column)
	}
	for _, name := range names {
		if !has(name) {
			return missing("the table " + t.Name + " has no column " + name)
		}
	}
	return nil
}

// order returns the columns of the key, of the table as t.
func (t Table) order() string {
	return list(t.Key, func(_ int, name string) string { return "t." + quote(name) })
}
