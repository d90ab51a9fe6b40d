package gormcrypt

import (
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
	statements []*sqltext.Statement
	understood bool
	// touches says that the text names a table with encrypted columns, or may.
	touches bool
	// columns are those of the result, nil if none of them is encrypted.
	columns []resultColumn
	// err says why the result cannot be opened.
	err error
}

// statements remembers what was read, for programs that send the same texts
// again and again. It starts anew when it is full, and when a model is added.
type statements struct {
	mu      sync.RWMutex
	read    map[readKey]*readStatement
	changes int64
}

const maxStatements = 2048

func (p *Plugin) read(stmt *gorm.Statement, query string) *readStatement {
	key := readKey{query, stmt.Table, p.rowModel(stmt)}
	changes := p.tables.changes.Load()
	p.statements.mu.RLock()
	read, current := p.statements.read[key], p.statements.changes == changes
	p.statements.mu.RUnlock()
	if read != nil && current {
		return read
	}
	read = p.readText(stmt, query)
	p.statements.mu.Lock()
	defer p.statements.mu.Unlock()
	if len(p.statements.read) >= maxStatements || p.statements.read == nil || p.statements.changes != changes {
		p.statements.read, p.statements.changes = map[readKey]*readStatement{}, changes
	}
	p.statements.read[key] = read
	return read
}

func (p *Plugin) readText(stmt *gorm.Statement, query string) *readStatement {
	read := &readStatement{}
	resolver := &resolver{plugin: p, ownTable: fold(stmt.Table)}
	if m := p.rowModel(stmt); m != nil && len(m.byField) > 0 {
		resolver.own = modelPolicies{m}
	}
	read.touches = resolver.touches(query)
	if !read.touches {
		return read
	}
	read.statements, read.understood = sqltext.Parse(query)
	if !read.understood || len(read.statements) != 1 {
		read.columns = []resultColumn{{star: []resultSource{{unknown: true}}}}
		return read
	}
	var columns []resultColumn
	columns, read.err = resolver.result(read.statements[0], nil)
	for _, column := range columns {
		if column.policy != nil || column.unknown || slices.ContainsFunc(column.star, func(s resultSource) bool { return s.encrypted() }) {
			read.columns = columns
		}
	}
	return read
}

// touches reports whether a statement names a table with encrypted columns.
// Every name counts, wherever it stands, and text in quotes too: SQLite takes
// that for a name.
func (r *resolver) touches(query string) bool {
	for token := range sqltext.Tokens(query) {
		name := token.Text
		switch token.Kind {
		case sqltext.Word, sqltext.QuotedName:
		case sqltext.String:
			name = name[1 : len(name)-min(1, len(name)-1)]
		default:
			continue
		}
		if len(r.own) > 0 && fold(name) == r.ownTable || len(r.plugin.tables.named(name)) > 0 {
			return true
		}
	}
	return false
}
