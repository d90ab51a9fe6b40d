package gormcrypt

import (
	"slices"
	"sync"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// harmless remembers the SQL texts without a name that an encrypted column of any
// table has. Programs use the same ones again and again. It starts anew when it
// is full, and when a model is added.
type harmless struct {
	mu      sync.RWMutex
	texts   map[string]bool
	changes int64
}

const maxHarmless = 4096

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
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.texts == nil || h.changes != changes || len(h.texts) >= maxHarmless {
		h.texts, h.changes = map[string]bool{}, changes
	}
	h.texts[sql] = known
	return known
}

func isHarmless(tables *tables, sql string) bool {
	return !slices.ContainsFunc(slices.Collect(sqltext.Tokens(sql)), func(token sqltext.Token) bool {
		switch token.Kind {
		case sqltext.Word, sqltext.QuotedName:
			// A natural join, or a name like U&"...", may name any column.
			return token.Is("NATURAL", "U") || tables.mayBe(token.Text)
		case sqltext.String:
			return tables.mayBe(trimQuotes(token.Text))
		}
		return token.Is(sqltext.NestedComment)
	})
}
