package gormcrypt

import (
	"slices"
	"sync"
	"time"

	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// What most statements of most programs consist of is told here from what may
// have to do with an encrypted column, and costs next to nothing.

// areHarmless reports whether conditions name no column that may be encrypted,
// and compare with nothing but basic values.
func (p *Plugin) areHarmless(exprs []clause.Expression) bool {
	for _, expr := range exprs {
		switch e := expr.(type) {
		case clause.Expr:
			if !areBasic(e.Vars) || !p.harmless.has(&p.tables, e.SQL) {
				return false
			}
		case clause.Eq:
			if !isBasic(e.Value) || !p.isHarmlessColumn(e.Column) {
				return false
			}
		case clause.IN:
			if !areBasic(e.Values) || !p.isHarmlessColumn(e.Column) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (p *Plugin) isHarmlessColumn(column any) bool {
	switch column := column.(type) {
	case string:
		return !p.tables.mayBe(column)
	case clause.Column:
		if column.Raw {
			return p.harmless.has(&p.tables, column.Name)
		}
		return !p.tables.mayBe(column.Name)
	}
	return false
}

func areBasic(values []any) bool {
	for _, value := range values {
		if !isBasic(value) {
			return false
		}
	}
	return true
}

// isBasic reports whether a value is of a type that has nothing to it: not a
// field's, not an expression, not one that is encrypted.
func isBasic(value any) bool {
	switch value.(type) {
	case nil, string, []byte, bool, time.Time, *time.Time, *string,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64,
		[]string, []int, []int64, []uint:
		return true
	}
	return false
}

// harmless remembers the SQL texts without a name that an encrypted column of any
// table has, or such a table. Programs use the same ones again and again. It starts anew when it
// is full, and when a model is added.
type harmless struct {
	mu      sync.RWMutex
	texts   map[string]bool
	size    int // of the texts, in bytes
	changes int64
}

// maxRemembered is how many bytes of SQL are remembered, of texts that are not
// longer than maxText.
const (
	maxRemembered = 1 << 20
	maxText       = 8 << 10
)

func (h *harmless) has(tables *tables, sql string) bool {
	changes := tables.changes.Load()
	h.mu.RLock()
	known, ok := h.texts[sql]
	ok = ok && h.changes == changes
	h.mu.RUnlock()
	if ok {
		return known
	}
	known = isHarmless(tables, sql)
	if len(sql) > maxText {
		return known
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.texts == nil || h.changes != changes || h.size > maxRemembered {
		h.texts, h.size, h.changes = map[string]bool{}, 0, changes
	}
	h.texts[sql] = known
	h.size += len(sql)
	return known
}

func isHarmless(tables *tables, sql string) bool {
	return !slices.ContainsFunc(slices.Collect(sqltext.Tokens(sql)), func(token sqltext.Token) bool {
		switch token.Kind {
		case sqltext.Word, sqltext.QuotedName:
			// A natural join, or a name like U&"...", may name any column.
			return token.Is("NATURAL", "U") || tables.mayBe(token.Text) || tables.mayBeTable(token.Text)
		case sqltext.String:
			return tables.mayBe(trimQuotes(token.Text)) || tables.mayBeTable(trimQuotes(token.Text))
		}
		return token.Is(sqltext.NestedComment)
	})
}
