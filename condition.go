package gormcrypt

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// The search gate. Nothing can be searched yet, so it refuses what compares an
// encrypted column with anything but NULL: a plaintext would go to the
// database as an argument, and would find nothing.

// checkWhere reads the conditions of a statement.
func (p *Plugin) checkWhere(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	if where, ok := c.Expression.(clause.Where); ok {
		c.Expression = p.checkConditions(stmt, where)
	}
	return c
}

// checkFrom reads the conditions of joins.
func (p *Plugin) checkFrom(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	from, ok := c.Expression.(clause.From)
	if !ok || len(from.Joins) == 0 || p.tables.empty() {
		return c
	}
	joins := make([]clause.Join, len(from.Joins))
	for i, join := range from.Joins {
		joins[i] = join
		joins[i].ON = p.checkConditions(stmt, join.ON)
		if join.Expression != nil {
			joins[i].Expression = p.checkConditions(stmt, clause.Where{Exprs: []clause.Expression{join.Expression}}).Exprs[0]
		}
	}
	from.Joins = joins
	c.Expression = from
	return c
}

// checkGroupBy reads the columns of GROUP BY, and the conditions of HAVING.
func (p *Plugin) checkGroupBy(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	group, ok := c.Expression.(clause.GroupBy)
	if !ok || p.tables.empty() {
		return c
	}
	conditions := p.conditions(stmt)
	for _, column := range group.Columns {
		if policy := conditions.column(column); policy != nil && !policy.column.Deterministic {
			p.refuse(stmt, notQueryable(policy, "GROUP BY"))
		}
	}
	group.Having = p.checkConditions(stmt, clause.Where{Exprs: group.Having}).Exprs
	c.Expression = group
	return c
}

// checkOrderBy refuses to sort by ciphertext.
func (p *Plugin) checkOrderBy(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	order, ok := c.Expression.(clause.OrderBy)
	if !ok || p.tables.empty() {
		return c
	}
	conditions := p.conditions(stmt)
	for _, column := range order.Columns {
		var err error
		if column.Column.Raw {
			err = conditions.text(column.Column.Name, nil)
		} else if policy := conditions.column(column.Column); policy != nil {
			err = notQueryable(policy, "ORDER BY")
		}
		p.refuse(stmt, err)
	}
	if order.Expression != nil {
		checked := p.checkConditions(stmt, clause.Where{Exprs: []clause.Expression{order.Expression}})
		order.Expression = checked.Exprs[0]
		c.Expression = order
	}
	return c
}

// checkSelect refuses select lists with arguments that are more than a list of
// columns, and puts the others in order.
func (p *Plugin) checkSelect(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	switch e := c.Expression.(type) {
	case clause.Select: // which has no expression of its own once it was added
		return p.orderSelect(stmt, c)
	case clause.Expr:
		c.Expression = p.checkSelectText(stmt, e, e.SQL, e.Vars)
	case clause.NamedExpr:
		c.Expression = p.checkSelectText(stmt, e, e.SQL, e.Vars)
	}
	return c
}

func (p *Plugin) checkSelectText(stmt *gorm.Statement, expr clause.Expression, sql string, vars []any) clause.Expression {
	if len(vars) == 0 || p.tables.empty() || isCount(sql) {
		return expr
	}
	if err := p.conditions(stmt).list(sql, vars); p.refuse(stmt, err) {
		return clause.Expr{SQL: "?", Vars: []any{refused{err}}}
	}
	return expr
}

// checkConditions returns the conditions as they are, or has the statement
// fail and returns conditions that no driver accepts.
func (p *Plugin) checkConditions(stmt *gorm.Statement, where clause.Where) clause.Where {
	if len(where.Exprs) == 0 || p.tables.empty() {
		return where
	}
	checked, err := p.conditions(stmt).all(where.Exprs)
	if p.refuse(stmt, err) {
		checked = []clause.Expression{clause.Expr{SQL: "1 = ?", Vars: []any{refused{err}}}}
	}
	return clause.Where{Exprs: checked}
}

// conditions walks through the conditions of one statement.
type conditions struct {
	plugin *Plugin
	stmt   *gorm.Statement
	models modelPolicies
}

func (p *Plugin) conditions(stmt *gorm.Statement) *conditions {
	return &conditions{plugin: p, stmt: stmt, models: p.target(stmt)}
}

func (c *conditions) all(exprs []clause.Expression) ([]clause.Expression, error) {
	checked := make([]clause.Expression, len(exprs))
	for i, expr := range exprs {
		var err error
		if checked[i], err = c.one(expr); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

func (c *conditions) one(expr clause.Expression) (clause.Expression, error) {
	switch e := expr.(type) {
	case clause.Eq:
		null, err := c.comparison(e.Column, "=", e.Value)
		if null {
			e.Value = nil
		}
		return e, err
	case clause.Neq:
		null, err := c.comparison(e.Column, "<>", e.Value)
		if null {
			e.Value = nil
		}
		return e, err
	case clause.Gt:
		return e, c.order(e.Column, ">")
	case clause.Gte:
		return e, c.order(e.Column, ">=")
	case clause.Lt:
		return e, c.order(e.Column, "<")
	case clause.Lte:
		return e, c.order(e.Column, "<=")
	case clause.Like:
		return e, c.order(e.Column, "LIKE")
	case clause.IN:
		return e, c.order(e.Column, "IN")
	case clause.AndConditions:
		exprs, err := c.all(e.Exprs)
		return clause.AndConditions{Exprs: exprs}, err
	case clause.OrConditions:
		exprs, err := c.all(e.Exprs)
		return clause.OrConditions{Exprs: exprs}, err
	case clause.NotConditions:
		exprs, err := c.all(e.Exprs)
		return clause.NotConditions{Exprs: exprs}, err
	case clause.Where:
		exprs, err := c.all(e.Exprs)
		return clause.Where{Exprs: exprs}, err
	case clause.Expr:
		return e, c.text(e.SQL, e.Vars)
	case clause.NamedExpr:
		return e, c.text(e.SQL, e.Vars)
	}
	return expr, c.unknown(expr)
}

// comparison refuses an equality on an encrypted column, unless it is with
// NULL.
func (c *conditions) comparison(column any, operator string, value any) (null bool, err error) {
	policy := c.column(column)
	if policy == nil {
		return false, c.values([]any{value})
	}
	plaintext, err := policy.plaintext(c.stmt.Context, value)
	if err == nil {
		plaintext, err = convert(c.stmt.Context, policy.field, policy.inner, plaintext)
	}
	if err == nil && plaintext == nil {
		return true, nil
	}
	return false, notQueryable(policy, operator)
}

func (c *conditions) order(column any, operator string) error {
	if policy := c.column(column); policy != nil {
		return notQueryable(policy, operator)
	}
	return nil
}

func notQueryable(policy *policy, operator string) error {
	return &Error{Op: "query", Table: policy.column.Table, Column: policy.column.Column,
		Err: fmt.Errorf("%w: %s on it would find nothing; compare it with NULL, or select by another column", ErrNotQueryable, operator)}
}

// column returns the policy of a column as a clause names it.
func (c *conditions) column(column any) *policy {
	switch column := column.(type) {
	case string:
		qualifier, name, ok := cutLast(column)
		if !ok {
			qualifier, name = "", column
		}
		return c.named(qualifier, name)
	case clause.Column:
		if column.Table == "" {
			return c.column(column.Name)
		}
		return c.named(column.Table, column.Name)
	}
	return nil
}

func cutLast(s string) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

// named returns the policy of a column that a statement calls by name. The
// qualifier may be a table, a relation, an alias or nothing; one that is not
// known may stand for any table.
func (c *conditions) named(qualifier, name string) *policy {
	if qualifier == "" || qualifier == clause.CurrentTable || fold(qualifier) == fold(c.stmt.Table) {
		if policy := c.models.column(name); policy != nil {
			return policy
		}
		if c.stmt.Schema != nil && (qualifier != "" || c.stmt.Schema.LookUpField(fold(name)) != nil) {
			return nil
		}
	}
	if c.stmt.Schema != nil && qualifier != "" {
		for relation, rel := range c.stmt.Schema.Relationships.Relations {
			if fold(relation) == fold(qualifier) {
				if m, ok := c.plugin.models.Load(rel.FieldSchema); ok {
					return m.(*modelPolicy).columns[fold(name)]
				}
			}
		}
	}
	if models := c.plugin.tables.named(qualifier); qualifier != "" && models != nil {
		return models.column(name)
	}
	return c.plugin.tables.anywhere(name)
}

// text reads a condition that the program wrote as SQL.
func (c *conditions) text(sql string, vars []any) error {
	var before [2]sqltext.Token // the two tokens before the current one
	var suspect *policy
	suspectAge := 0
	for token := range sqltext.Tokens(sql) {
		if suspect != nil {
			// Only IS [NOT] NULL may follow an encrypted column.
			suspectAge++
			word := strings.ToUpper(token.Text)
			switch {
			case suspectAge == 1 && word == ".": // it was a qualifier
				suspect = nil
			case suspectAge == 1 && word == "IS", suspectAge == 2 && word == "NOT":
			case suspectAge >= 2 && word == "NULL":
				suspect = nil
			default:
				return notQueryable(suspect, "a condition")
			}
		} else if token.Kind == sqltext.Word || token.Kind == sqltext.QuotedName {
			qualifier := ""
			if before[1] == (sqltext.Token{Kind: sqltext.Symbol, Text: "."}) {
				qualifier = before[0].Text
			}
			suspect, suspectAge = c.named(qualifier, token.Text), 0
		}
		before[0], before[1] = before[1], token
	}
	if suspect != nil {
		return notQueryable(suspect, "a condition")
	}
	return c.values(vars)
}

// isCount reports whether a select list counts rows, which ciphertext does as
// well as plaintext.
func isCount(sql string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(sql)), "count(")
}

// list reads a select list that the program wrote as SQL. An encrypted column
// may stand in it by itself; inside of an expression it may not.
func (c *conditions) list(sql string, vars []any) error {
	var item []sqltext.Token
	for token := range sqltext.Tokens(sql + ",") {
		if len(item) == 0 && strings.EqualFold(token.Text, "DISTINCT") {
			continue
		}
		if token.Text != "," || token.Kind != sqltext.Symbol {
			item = append(item, token)
			continue
		}
		if !isColumn(item) {
			var text strings.Builder
			for _, token := range item {
				text.WriteString(" " + token.Text)
			}
			if err := c.text(text.String(), nil); err != nil {
				return err
			}
		}
		item = nil
	}
	return c.values(vars)
}

// isColumn reports whether an item of a select list is a column by itself, or
// with an alias.
func isColumn(item []sqltext.Token) bool {
	names := 0
	for i, token := range item {
		switch {
		case token.Kind == sqltext.Word || token.Kind == sqltext.QuotedName:
			names++
		case token.Text == "." && i > 0:
			names -= 2 // what it joins is one name
		default:
			return false
		}
	}
	return names <= 3 // name AS alias
}

// values refuses arguments that would be sealed on their way, each time to
// another ciphertext, and columns that are encrypted.
func (c *conditions) values(vars []any) error {
	for _, v := range vars {
		if _, ok := encryptedtype.Plaintext(v); ok {
			return &Error{Op: "query", Err: fmt.Errorf("%w: a value of package encryptedtype in a condition would find nothing; select by another column", ErrNotQueryable)}
		}
		switch v := v.(type) {
		case clause.Column:
			if policy := c.column(v); policy != nil {
				return notQueryable(policy, "a condition")
			}
		case clause.Expression:
			if _, err := c.one(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknown reads a condition of a type that is not GORM's own by the SQL that
// it builds.
func (c *conditions) unknown(expr clause.Expression) error {
	if expr == nil {
		return nil
	}
	scratch := &gorm.Statement{
		DB: c.stmt.Session(&gorm.Session{NewDB: true, DryRun: true}), Table: c.stmt.Table, Schema: c.stmt.Schema,
		Model: c.stmt.Model, Context: c.stmt.Context, Clauses: map[string]clause.Clause{},
	}
	expr.Build(scratch)
	return c.text(scratch.SQL.String(), scratch.Vars)
}
