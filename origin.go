package gormcrypt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// Where the columns of a result come from, read from the statement that they
// are the result of.

// origin is the column of a table that a column of a result comes from.
type origin struct {
	// policy is that of an encrypted column, index that of a blind index.
	policy *policy
	index  *index
	// table is what the statement calls the table, column the name there; both
	// are folded, and empty for an expression.
	table, column string
	// unknown says that it cannot be told. Ciphertext in such a column is an
	// error.
	unknown bool
}

// resultColumn is an item of a select list.
type resultColumn struct {
	origin
	name string // folded, as the result calls it
	// star are the tables of whose columns a star stands for.
	star []resultSource
}

// resultSource is a table that a statement reads.
type resultSource struct {
	name, table string // folded: what the statement calls it, and its own name
	models      modelPolicies
	known       modelPolicies // without encrypted columns
	// derived are the columns of a statement in its place.
	derived []resultColumn
	// unknown says that its columns cannot be told.
	unknown bool
}

// column returns the origin of a column of the table, if the table is known to
// have it.
func (s *resultSource) column(name string) (from origin, ok bool) {
	switch {
	case s.unknown:
		return origin{unknown: true}, true
	case s.derived == nil:
		from := origin{policy: s.models.column(name), index: s.models.index(name), table: s.name, column: name}
		return from, from.policy != nil || from.index != nil || s.models.have(name) || s.known.have(name)
	}
	for _, column := range s.derived {
		if column.star != nil {
			if from, ok := starColumn(column.star, name, 1, 0); ok {
				return from, true
			}
		} else if column.name == name {
			// Its neighbours are those of this statement, not of that one.
			return origin{policy: column.policy, index: column.index, table: s.name, column: name, unknown: column.unknown}, true
		}
	}
	return origin{}, false
}

// starColumn returns the origin of the nth column of that name, of count, among
// all columns of some tables.
func starColumn(sources []resultSource, name string, count, nth int) (from origin, ok bool) {
	var found []origin
	for i := range sources {
		if from, ok := sources[i].column(name); ok {
			found = append(found, from)
		}
	}
	switch {
	case len(found) == 0:
		if len(sources) == 1 && sources[0].derived == nil {
			return origin{table: sources[0].name, column: name}, false
		}
		return origin{}, false
	case len(found) == count: // each table has one
		return found[nth], true
	}
	return origin{unknown: true}, true
}

// resolver reads where the columns of a statement's results come from.
type resolver struct {
	plugin *Plugin
	// own are the policies of the statement's model, which it may use with any
	// table.
	own      modelPolicies
	ownTable string // folded
	query    string
	// placements are the arguments that go into encrypted columns, by their index.
	placements map[int][]placement
	// comparisons, oneVersion and oneTerm are those of readStatement.
	comparisons []comparison
	oneVersion  []*policy
	oneTerm     []*index
	filters     []filter
	window      window
	// refused is the error of a comparison by an index that cannot be made here.
	refused error
}

// scope is what names mean in a statement, or in one inside of it.
type scope struct {
	sources []resultSource
	common  map[string][]resultColumn
	// aliases are what a select list calls encrypted columns.
	aliases map[string]origin
	outer   *scope
	// top is the statement, if it is not inside of another.
	top *sqltext.Statement
}

func (r *resolver) models(table string) modelPolicies {
	models := r.plugin.tables.named(table)
	if fold(table) == r.ownTable {
		models = append(slices.Clip(r.own), models...)
	}
	return models
}

// merge returns the columns of a UNION. It returns an error where ciphertext of one
// column would come among values of another.
func merge(first, second []resultColumn) ([]resultColumn, error) {
	merged := slices.Clone(first)
	for i := range merged {
		other := resultColumn{origin: origin{unknown: true}}
		if len(first) == len(second) {
			other = second[i]
		}
		if first[i].star == nil && other.star == nil && first[i].policy == other.policy && first[i].index == other.index && first[i].unknown == other.unknown {
			continue
		}
		for _, side := range []resultColumn{first[i], other} {
			if side.policy != nil {
				return nil, notComputable(side.policy, "")
			}
		}
		merged[i] = resultColumn{name: first[i].name, origin: origin{unknown: true}}
		if first[i].star != nil { // of as many columns as there are
			merged[i].star = []resultSource{{unknown: true}}
		}
	}
	return merged, nil
}

// unknownColumns are those of a table whose columns cannot be told.
func unknownColumns() []resultColumn {
	return []resultColumn{{star: []resultSource{{unknown: true}}}}
}

func (r *resolver) scope(s *sqltext.Statement, outer *scope) (*scope, error) {
	inside := &scope{common: map[string][]resultColumn{}, outer: outer}
	for _, table := range s.With {
		name := fold(table.Name)
		inside.common[name] = unknownColumns()
		if len(table.Query.Union) > 0 { // it may read itself, behind the first part
			first := *table.Query
			first.Union = nil
			columns, err := r.statement(&first, inside)
			if err != nil {
				return nil, err
			}
			inside.common[name] = rename(columns, table.Columns)
		}
		columns, err := r.statement(table.Query, inside)
		if err != nil {
			return nil, err
		}
		inside.common[name] = rename(columns, table.Columns)
	}
	sources := s.From
	if s.Table.Name != "" {
		sources = append([]sqltext.Source{s.Table}, sources...)
	}
	for _, source := range sources {
		resolved, err := r.source(source, inside)
		if err != nil {
			return nil, err
		}
		inside.sources = append(inside.sources, resolved)
	}
	return inside, nil
}

// rename returns columns under other names, if there are any.
func rename(columns []resultColumn, names []string) []resultColumn {
	if names == nil {
		return columns
	}
	if len(names) != len(columns) || slices.ContainsFunc(columns, func(c resultColumn) bool { return c.star != nil }) {
		return unknownColumns()
	}
	renamed := slices.Clone(columns)
	for i, name := range names {
		renamed[i].name = fold(name)
	}
	return renamed
}

func (r *resolver) source(source sqltext.Source, inside *scope) (resultSource, error) {
	resolved := resultSource{name: fold(source.Alias), table: fold(source.Name)}
	if source.Alias == "" {
		resolved.name = resolved.table
	}
	if source.Query != nil {
		columns, err := r.statement(source.Query, inside)
		if err != nil {
			return resolved, err
		}
		resolved.derived = rename(columns, source.Columns)
	} else if columns, ok := inside.lookup(resolved.table); ok && !strings.Contains(source.Name, ".") {
		resolved.derived = rename(columns, source.Columns)
	} else if !source.Function {
		resolved.models, resolved.known = r.models(source.Name), r.plugin.tables.knownPlain(source.Name)
		resolved.unknown = source.Columns != nil && len(resolved.models) > 0
	}
	return resolved, nil
}

// lookup returns the columns of a common table.
func (s *scope) lookup(name string) ([]resultColumn, bool) {
	for ; s != nil; s = s.outer {
		if columns, ok := s.common[name]; ok {
			return columns, true
		}
	}
	return nil, false
}

// notComputable is the error of an expression, or of a list behind GROUP BY or
// ORDER BY, with an encrypted column in it.
func notComputable(policy *policy, list string) error {
	if list != "" {
		return notQueryable(policy, list+" BY")
	}
	return &Error{Op: "query", Table: policy.column.Table, Column: policy.column.Column,
		Err: fmt.Errorf("%w, and an expression on it would come to nothing; select it by itself, or compare it with NULL", ErrNotQueryable)}
}

func wholeRow(source *resultSource) error {
	return &Error{Op: "query", Table: source.table, Err: fmt.Errorf("%w, or a whole row of them in an expression; name the columns", ErrNotQueryable)}
}

// named returns the table that a name stands in front of a column for.
func (s *scope) named(table string) *resultSource {
	for ; s != nil; s = s.outer {
		for i := range s.sources {
			if s.sources[i].name == fold(table) {
				return &s.sources[i]
			}
		}
	}
	return nil
}

// row returns the table of which a name without another in front stands for a
// whole row, if that has encrypted columns.
func (s *scope) row(table, name string) *resultSource {
	if table != "" {
		return nil
	}
	if source := s.named(name); source != nil && source.encrypted() {
		return source
	}
	return nil
}

// source returns the table that a name stands for a column of, nil if it stands for
// an item of a select list.
func (s *scope) source(table, name string) *resultSource {
	if table != "" {
		return s.named(table)
	}
	for ; s != nil; s = s.outer {
		for i := range s.sources {
			if _, ok := s.sources[i].column(name); ok {
				return &s.sources[i]
			}
		}
		if _, ok := s.aliases[name]; ok {
			break
		}
	}
	return nil
}

// searchIndex returns the index by which equal values of an encrypted column are
// found, nil if its table has none. A statement in place of a table has one if it
// selects that of the models. It is not filtered by, if that is truncated.
func (s *scope) searchIndex(table, name string, models modelPolicies, policy *policy) *index {
	source := s.source(table, name)
	switch {
	case source == nil:
		return nil
	case source.derived == nil:
		return source.models.searchIndex(name)
	}
	x := models.searchIndex(policy.field.DBName)
	if x == nil || x.truncated() {
		return nil
	}
	if selected, _ := source.column(fold(x.field.DBName)); selected.index != x {
		return nil
	}
	return x
}

// encrypted reports whether the table may have an encrypted column.
func (s *resultSource) encrypted() bool {
	if s.unknown || len(s.models) > 0 {
		return true
	}
	return slices.ContainsFunc(s.derived, func(column resultColumn) bool {
		return column.policy != nil || column.unknown || slices.ContainsFunc(column.star, func(s resultSource) bool { return s.encrypted() })
	})
}

// column returns the origin of a column by its name.
func (s *scope) column(table, name string) origin {
	name = fold(name)
	if table != "" {
		if source := s.named(table); source != nil {
			if from, ok := source.column(name); ok {
				return from
			}
			return origin{table: source.name, column: name}
		}
		return origin{column: name}
	}
	found := origin{column: name}
	for inner := s; inner != nil; inner = inner.outer {
		if from, ok := starColumn(inner.sources, name, 1, 0); ok {
			return from
		}
		if from, ok := inner.aliases[name]; ok {
			return from
		}
		if inner == s && len(s.sources) == 1 && s.sources[0].derived == nil {
			found.table = s.sources[0].name
		}
	}
	return found
}

// matchColumns returns the origins of a result's columns by their names, which
// say what a star stood for.
func matchColumns(columns []resultColumn, names []string) []origin {
	origins := make([]origin, len(names))
	unknown := func() []origin {
		for i := range origins {
			origins[i] = origin{unknown: true}
		}
		return origins
	}
	isStar := func(c resultColumn) bool { return c.star != nil }
	first := slices.IndexFunc(columns, isStar)
	if first < 0 {
		if len(columns) != len(names) {
			return unknown()
		}
		for i, column := range columns {
			origins[i] = column.origin
		}
		return origins
	}
	last := first
	var sources []resultSource
	for i, column := range columns {
		if isStar(column) {
			last = i
			sources = append(sources, column.star...)
		}
	}
	behind := len(columns) - 1 - last
	if len(names) < first+behind {
		return unknown()
	}
	for i := range first {
		origins[i] = columns[i].origin
	}
	for i := range behind {
		origins[len(names)-1-i] = columns[len(columns)-1-i].origin
	}
	middle := names[first : len(names)-behind]
	if slices.ContainsFunc(columns[first:last], func(c resultColumn) bool { return !isStar(c) }) {
		sources = append(slices.Clip(sources), resultSource{unknown: true})
	}
	for i, name := range middle {
		count, nth := 0, 0
		for j, other := range middle {
			if strings.EqualFold(name, other) {
				if j < i {
					nth++
				}
				count++
			}
		}
		var ok bool
		if origins[first+i], ok = starColumn(sources, fold(name), count, nth); !ok {
			origins[first+i].column = fold(name)
		}
	}
	return origins
}
