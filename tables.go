package gormcrypt

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// tables finds models with encrypted columns by the name of their table.
type tables struct {
	mu sync.RWMutex
	// byName has the folded name, with the database schema if the model has it.
	byName map[string]modelPolicies
	// plain has the models without encrypted columns that were seen.
	plain map[string]modelPolicies
	// names has the folded name of every encrypted column, and of every table that
	// has one. It is replaced, never changed.
	names atomic.Pointer[tableNames]
	// changes counts the models that were added, so that what was found out before
	// is not relied on.
	changes atomic.Int64
	// bound says that any model has a column that is bound to others, and besides that
	// one has a column beside another.
	bound, besides atomic.Bool
}

// tableNames are names that an encrypted column, or a table with one, has.
type tableNames struct{ columns, tables map[string]bool }

// mayBeTable reports whether a name is that of a table with encrypted columns.
func (t *tables) mayBeTable(name string) bool {
	names := t.names.Load()
	return names != nil && names.tables[fold(name)]
}

// mayBe reports whether a name is that of an encrypted column of any table.
func (t *tables) mayBe(column string) bool {
	names := t.names.Load()
	return names != nil && names.columns[fold(column)]
}

// foldTable returns the name of a table as databases compare it: without quotes,
// in lower case, with its schema.
func foldTable(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = fold(part)
	}
	return strings.Join(parts, ".")
}

// named returns the models of a table. A name with a schema and one without may
// be the same table; two schemas are two tables.
func (t *tables) named(table string) modelPolicies {
	t.mu.RLock()
	defer t.mu.RUnlock()
	table = foldTable(table)
	models := t.byName[table]
	if i := strings.LastIndexByte(table, '.'); i >= 0 {
		return append(slices.Clip(models), t.byName[table[i+1:]]...)
	}
	for name, others := range t.byName {
		if strings.HasSuffix(name, "."+table) {
			models = append(slices.Clip(models), others...)
		}
	}
	return models
}

func (t *tables) empty() bool { return t.changes.Load() == 0 }

// anywhere returns the policy of an encrypted column of that name in any
// table, or nil.
func (t *tables) anywhere(column string) *policy {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, models := range t.byName {
		if policy := models.column(column); policy != nil {
			return policy
		}
	}
	return nil
}

// modelPolicies are models of one table.
type modelPolicies []*modelPolicy

func (ms modelPolicies) column(name string) *policy {
	for _, m := range ms {
		if policy := m.columns[fold(name)]; policy != nil {
			return policy
		}
	}
	return nil
}

// knownPlain returns the models of a table that have no encrypted column.
func (t *tables) knownPlain(table string) modelPolicies {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.plain[foldTable(table)]
}

// any returns the policy of one of their columns.
func (ms modelPolicies) any() *policy {
	for _, m := range ms {
		for _, policy := range m.byField {
			return policy
		}
	}
	return nil
}

// have reports whether one of the models has a column.
func (ms modelPolicies) have(column string) bool {
	for _, m := range ms {
		if m.schema.FieldsByDBName[column] != nil {
			return true
		}
	}
	return false
}

// boundTo returns the policies of the columns that are bound to one.
func (ms modelPolicies) boundTo(name string) []*policy {
	for _, m := range ms {
		if bound := m.bound[fold(name)]; bound != nil {
			return bound
		}
	}
	return nil
}

// add refuses a model that has a column in common with another one of the same
// table, and encrypts it otherwise.
func (t *tables) add(m *modelPolicy) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := foldTable(m.schema.Table)
	if len(m.byField) == 0 {
		if t.plain == nil {
			t.plain = map[string]modelPolicies{}
		}
		t.plain[name] = append(slices.Clip(t.plain[name]), m)
		if t.changes.Load() > 0 {
			t.changes.Add(1)
		}
		return nil
	}
	for _, other := range t.byName[name] {
		for field, p := range m.byField {
			q := other.columns[fold(field.DBName)]
			if q != nil && !p.sameAs(q) {
				return modelError(field, "the column "+m.schema.Table+"."+field.DBName+" is encrypted otherwise by "+other.schema.ModelType.String(),
					"give both the same options, or add context= to one and use another column")
			}
		}
	}
	for _, x := range m.indexes {
		if other := t.byName[name].index(x.field.DBName); other != nil && !x.sameAs(other) {
			return modelError(x.field, "the blind index "+m.schema.Table+"."+x.field.DBName+" is declared otherwise by "+other.field.Schema.ModelType.String(),
				"give both the same options")
		}
	}
	if len(m.bound) > 0 {
		t.bound.Store(true)
	}
	if len(m.besides) > 0 {
		t.besides.Store(true)
	}
	names := tableNames{columns: map[string]bool{}, tables: map[string]bool{}}
	if before := t.names.Load(); before != nil {
		maps.Copy(names.columns, before.columns)
		maps.Copy(names.tables, before.tables)
	}
	for column := range m.columns {
		names.columns[column] = true
	}
	for _, x := range m.indexes {
		names.columns[fold(x.field.DBName)] = true
	}
	names.tables[fold(name)] = true
	t.names.Store(&names)
	if t.byName == nil {
		t.byName = map[string]modelPolicies{}
	}
	t.byName[name] = append(slices.Clip(t.byName[name]), m)
	t.changes.Add(1) // when everything else is there
	return nil
}

// sameAs reports whether both write what the other reads.
func (p *policy) sameAs(q *policy) bool {
	mine, other := p.column.ColumnConfig, q.column.ColumnConfig
	if !mine.Deterministic { // whose ciphertexts would not be equal
		mine.Named, other.Named = false, false // values open with and without
	}
	if mine != other || len(p.bind) != len(q.bind) || p.migrating != q.migrating || (p.beside == nil) != (q.beside == nil) {
		return false
	}
	for i, bound := range p.bind {
		if !strings.EqualFold(bound.DBName, q.bind[i].DBName) {
			return false
		}
	}
	return true
}
