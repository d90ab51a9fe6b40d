package gormcrypt

import (
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// isPlain reports whether the table of a model has no encrypted column.
func (p *Plugin) isPlain(m *modelPolicy) bool {
	changes := p.tables.changes.Load()
	if m.plain.Load() == changes {
		return true
	}
	if len(p.tables.named(m.schema.Table)) > 0 {
		return false
	}
	m.plain.Store(changes)
	return true
}

// target returns the models of the table that a statement writes to: its own
// first, and whichever others share the table.
func (p *Plugin) target(stmt *gorm.Statement) modelPolicies {
	s := newSources(p, stmt)
	models := slices.Clone(s.own)
	for _, table := range s.tables {
		models = append(models, p.tables.named(table)...)
	}
	return models
}

// sources are the tables that the names of columns in a statement belong to.
type sources struct {
	plugin *Plugin
	// own are the policies of the statement's model, whatever table it is used
	// with.
	own modelPolicies
	// tables are by the folded names that the statement calls them by: their own
	// and their aliases.
	tables map[string]string
	// unknown says that there may be others, such as a subquery's.
	unknown bool
}

// newSources returns the table that a statement works on.
func newSources(p *Plugin, stmt *gorm.Statement) *sources {
	s := &sources{plugin: p, tables: map[string]string{}}
	if m := p.rowModel(stmt); m != nil && len(m.byField) > 0 {
		s.own = modelPolicies{m}
	}
	// GORM keeps the database schema in its model only.
	if stmt.Schema != nil && (stmt.Table == "" || fold(stmt.Schema.Table) == fold(stmt.Table)) {
		s.tables[fold(stmt.Schema.Table)] = stmt.Schema.Table
	} else if stmt.TableExpr == nil {
		s.add(stmt.Table, "")
	}
	if expr := stmt.TableExpr; expr != nil {
		s.addText("FROM " + expr.SQL)
		for _, v := range expr.Vars {
			if table, ok := v.(clause.Table); ok {
				s.add(table.Name, table.Alias)
			}
		}
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok {
		s.add(insert.Table.Name, insert.Table.Alias)
	}
	if update, ok := stmt.Clauses["UPDATE"].Expression.(clause.Update); ok {
		s.add(update.Table.Name, update.Table.Alias)
	}
	return s
}

// addJoins adds the tables that a statement joins.
func (s *sources) addJoins(stmt *gorm.Statement) {
	for _, join := range stmt.Joins {
		if !s.addRelations(stmt.Schema, strings.Split(join.Name, "."), join.Alias) {
			s.addText(join.Name)
		}
	}
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	for _, table := range from.Tables {
		s.add(table.Name, table.Alias)
	}
	for _, join := range from.Joins {
		s.add(join.Table.Name, join.Table.Alias)
		switch e := join.Expression.(type) {
		case nil:
		case clause.Expr:
			s.addText(e.SQL)
		case clause.NamedExpr:
			s.addText(e.SQL)
		default:
			s.unknown = true
		}
	}
}

// addRelations adds the tables of a relation, or of a path of them, as GORM
// names them when it joins them. It reports whether there are such relations.
func (s *sources) addRelations(from *schema.Schema, path []string, alias string) bool {
	var names []string
	for i, name := range path {
		if from == nil || from.Relationships.Relations[name] == nil {
			return false
		}
		from = from.Relationships.Relations[name].FieldSchema
		names = append(names, name)
		joined := utils.JoinNestedRelationNames(names)
		if i == len(path)-1 && alias != "" {
			joined = alias
		}
		s.tables[fold(joined)] = from.Table
	}
	return true
}

func (s *sources) add(table, alias string) {
	if table == "" || table == clause.CurrentTable {
		return
	}
	s.tables[fold(table)] = table
	if alias != "" {
		s.tables[fold(alias)] = table
	}
}

// introducesTable reports whether the name of a table follows token i. Not every
// FROM is one of a SELECT: there are trim(? from x) and x IS DISTINCT FROM y.
func introducesTable(tokens []sqltext.Token, i int) bool {
	if i < 0 || i >= len(tokens) || tokens[i].Kind != sqltext.Word {
		return false
	}
	switch strings.ToUpper(tokens[i].Text) {
	case "JOIN", "UPDATE", "INTO", "LATERAL", "ONLY":
		return true
	case "FROM":
	default:
		return false
	}
	if i > 0 && strings.EqualFold(tokens[i-1].Text, "DISTINCT") {
		return false
	}
	for depth, before := 0, i-1; before >= 0; before-- {
		switch word := strings.ToUpper(tokens[before].Text); {
		case word == ")":
			depth++
		case word == "(":
			if depth--; depth < 0 {
				return false
			}
		case depth == 0 && tokens[before].Kind == sqltext.Word && (word == "SELECT" || word == "DELETE" || word == "UPDATE"):
			return true
		}
	}
	return i == 0
}

// addText adds the tables that follow FROM and JOIN in an SQL text.
func (s *sources) addText(sql string) {
	tokens := slices.Collect(sqltext.Tokens(sql))
	for i := 0; i < len(tokens); i++ {
		if !introducesTable(tokens, i) {
			continue
		}
		for next := i + 1; ; {
			var table string
			for next < len(tokens) && tokens[next].IsName() {
				table += tokens[next].Text
				if next++; next < len(tokens) && tokens[next].Text == "." {
					table += "."
					next++
					continue
				}
				break
			}
			if table == "" {
				s.unknown = s.unknown || next < len(tokens) && !introducesTable(tokens, next)
				break
			}
			if next < len(tokens) && strings.EqualFold(tokens[next].Text, "AS") {
				next++
			}
			alias := ""
			if next < len(tokens) && tokens[next].IsName() {
				alias = tokens[next].Text
				next++
			}
			s.add(table, alias)
			if next >= len(tokens) || tokens[next].Text != "," {
				break
			}
			next++ // another one follows
		}
	}
}

// column returns the policy of a column that a statement calls by name, with
// the name of its table or without. A name that may belong to any table is
// taken to belong to the one where it is encrypted.
func (s *sources) column(qualifier, name string) *policy {
	if qualifier == clause.CurrentTable {
		qualifier = ""
	}
	if qualifier != "" {
		table, ok := s.tables[fold(qualifier)]
		if !ok {
			return s.plugin.tables.anywhere(name)
		}
		if len(s.own) > 0 && fold(s.own[0].schema.Table) == fold(table) {
			if policy := s.own.column(name); policy != nil {
				return policy
			}
		}
		return s.plugin.tables.named(table).column(name)
	}
	if policy := s.own.column(name); policy != nil {
		return policy
	}
	for _, table := range s.tables {
		if policy := s.plugin.tables.named(table).column(name); policy != nil {
			return policy
		}
	}
	if s.unknown {
		return s.plugin.tables.anywhere(name)
	}
	return nil
}
