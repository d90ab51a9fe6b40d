package gormcrypt

import (
	"fmt"
	"slices"
	"sync"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// What is read in the text of a statement, before its values are looked at.

// readKey is what the meaning of a statement's text depends on.
type readKey struct {
	query string
	table string
	model *modelPolicy
}

// readStatement is what was read of it.
type readStatement struct {
	// touches says that the text names a table with encrypted columns, or may.
	touches bool
	// columns are those of the result, nil if none of them is encrypted.
	columns []resultColumn
	// placements are the arguments that go into encrypted columns, by their index.
	placements map[int][]placement
	// comparisons are those of encrypted columns with values, in the order of the
	// text, and oneVersion are the columns whose values are told apart otherwise.
	comparisons []comparison
	oneVersion  []*policy
	// oneTerm are the blind indexes in which rows conflict.
	oneTerm []*index
	// filters and window are what is to be done with the rows of the result.
	filters []filter
	window  window
	// places are the placeholders of a text with comparisons, which stand for so
	// many arguments.
	places    []place
	arguments int
	// unread is the error of a text that was not understood and has to do with an
	// encrypted column. It passes if all its arguments are sealed.
	unread error
	// err says what it does with an encrypted column that cannot be done.
	err error
}

// statements remembers what was read, for programs that send the same texts
// again and again. It starts anew when it is full, and when a model is added.
type statements struct {
	mu   sync.RWMutex
	read map[readKey]*readStatement
	// untouched are the texts that name no table with encrypted columns, which is
	// so whatever model they are for.
	untouched map[string]bool
	size      int // of the texts, in bytes
	changes   int64
}

// untouched is what was read of all statements without encrypted columns.
var untouched = &readStatement{}

func (p *Plugin) read(stmt *gorm.Statement, query string) *readStatement {
	model := p.rowModel(stmt)
	plain := model == nil || len(model.byField) == 0
	changes := p.tables.changes.Load()
	if plain && p.statements.isUntouched(query, changes) {
		return untouched
	}
	key := readKey{query, stmt.Table, model}
	p.statements.mu.RLock()
	read, current := p.statements.read[key], p.statements.changes == changes
	p.statements.mu.RUnlock()
	if read != nil && current {
		return read
	}
	read = p.readText(stmt, query)
	if len(query) > maxText {
		return read
	}
	p.statements.mu.Lock()
	defer p.statements.mu.Unlock()
	if p.statements.read == nil || p.statements.size > maxRemembered || p.statements.changes != changes {
		p.statements.read, p.statements.untouched = map[readKey]*readStatement{}, map[string]bool{}
		p.statements.size, p.statements.changes = 0, changes
	}
	if plain && !read.touches {
		p.statements.untouched[query] = true
	} else {
		p.statements.read[key] = read
	}
	p.statements.size += len(query)
	return read
}

func (s *statements) isUntouched(query string, changes int64) bool {
	s.mu.RLock()
	untouched := s.untouched[query] && s.changes == changes
	s.mu.RUnlock()
	return untouched
}

func (p *Plugin) readText(stmt *gorm.Statement, query string) *readStatement {
	resolver := &resolver{plugin: p, query: query, ownTable: fold(stmt.Table)}
	if m := p.rowModel(stmt); m != nil && len(m.byField) > 0 {
		resolver.own = modelPolicies{m}
	}
	if !resolver.touches(query) {
		return untouched
	}
	read := &readStatement{touches: true}
	if hasUnicodeName(query) {
		read.unread = &Error{Op: "query", Err: fmt.Errorf("%w (a name like U&\"...\" may be any)", ErrHandWritten)}
		return read
	}
	parsed, ok := sqltext.Parse(query, dialectOf(stmt))
	if !ok {
		read.columns = unknownColumns()
		read.unread = resolver.unread(slices.Collect(sqltext.Tokens(query)), "it is not understood")
		return read
	}
	var columns []resultColumn
	for _, s := range parsed {
		var err error
		columns, err = resolver.statement(s, nil)
		if err != nil && isHandWritten(err) && s.Verb != "INSERT" {
			read.unread = err
		} else if err != nil {
			read.err = err
			return read
		}
	}
	read.placements, read.oneVersion, read.oneTerm = resolver.placements, resolver.oneVersion, resolver.oneTerm
	read.filters, read.window = resolver.filters, resolver.window
	read.compare(append(resolver.comparisons, resolver.window.cuts...), sqltext.Placeholders(query, dialectOf(stmt)))
	if len(parsed) > 1 {
		columns = unknownColumns()
	}
	for _, column := range columns {
		if column.policy != nil || column.unknown || slices.ContainsFunc(column.star, func(s resultSource) bool { return s.encrypted() }) {
			read.columns = columns
		}
	}
	return read
}

// compare takes the comparisons of a statement, some of which were read twice.
func (r *readStatement) compare(comparisons []comparison, placeholders []sqltext.Token) {
	slices.SortFunc(comparisons, func(a, b comparison) int { return a.start - b.start })
	r.comparisons = slices.CompactFunc(comparisons, func(a, b comparison) bool { return a.start == b.start })
	for _, token := range placeholders {
		r.places = append(r.places, place{token.Start, token.End, token.Arg()})
		r.arguments = max(r.arguments, token.Arg()+1)
	}
}

func dialectOf(stmt *gorm.Statement) sqltext.Dialect {
	if stmt.Dialector.Name() == "postgres" {
		return sqltext.Dollars
	}
	return sqltext.Questions
}

// touches reports whether a statement names a table with encrypted columns.
// Every name counts, wherever it stands, and text in quotes too: SQLite takes
// that for a name.
func (r *resolver) touches(query string) bool {
	found := hasUnicodeName(query)
	each(slices.Collect(sqltext.Tokens(query)), func(token sqltext.Token) {
		found = found || len(r.own) > 0 && fold(token.Text) == r.ownTable || r.plugin.tables.mayBeTable(token.Text)
	})
	return found
}

// hasUnicodeName reports whether a text has a name like U&"\0061", which may be
// any.
func hasUnicodeName(query string) bool {
	var last sqltext.Token
	before := sqltext.Token{}
	for token := range sqltext.Tokens(query) {
		if before.Is("U") && last.Is("&") && token.Kind == sqltext.QuotedName {
			return true
		}
		before, last = last, token
	}
	return false
}
