package gormcrypt

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
		if checked, changed := p.checkConditions(stmt, where.Exprs); changed {
			c.Expression = clause.Where{Exprs: checked}
		}
	}
	return c
}

// checkFrom reads the conditions of joins.
func (p *Plugin) checkFrom(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	from, ok := c.Expression.(clause.From)
	if !ok || p.tables.empty() {
		return c
	}
	if expr := stmt.TableExpr; expr != nil && len(expr.Vars) > 0 {
		conditions := p.conditions(stmt)
		conditions.derived = true
		if err := conditions.text(expr.SQL, expr.Vars); p.refuse(stmt, err) {
			refusal := refusedExpr(err)
			stmt.TableExpr = &refusal
		}
	}
	if len(from.Joins) == 0 {
		return c
	}
	joins := make([]clause.Join, len(from.Joins))
	for i, join := range from.Joins {
		joins[i] = join
		joins[i].ON.Exprs, _ = p.checkConditions(stmt, join.ON.Exprs)
		if join.Expression != nil {
			joins[i].Expression = p.checkCondition(stmt, join.Expression)
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
		policy, err := conditions.column(column)
		if err == nil && policy != nil && !policy.column.Deterministic {
			err = notQueryable(policy, "GROUP BY")
		}
		if p.refuse(stmt, err) { // and do not log what was in it
			group.Columns, group.Having = nil, []clause.Expression{refusedExpr(err)}
			break
		}
	}
	group.Having, _ = p.checkConditions(stmt, group.Having)
	c.Expression = group
	return c
}

// checkOrderBy refuses to sort by ciphertext.
func (p *Plugin) checkOrderBy(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	order, ok := c.Expression.(clause.OrderBy)
	if !ok || p.tables.empty() {
		return c
	}
	for _, column := range order.Columns {
		if p.isHarmlessColumn(column.Column) {
			continue
		}
		policy, err := p.conditions(stmt).column(column.Column)
		if err == nil && policy != nil {
			err = notQueryable(policy, "ORDER BY")
		}
		if p.refuse(stmt, err) {
			c.Expression = clause.OrderBy{Expression: refusedExpr(err)}
			return c
		}
	}
	if order.Expression != nil {
		order.Expression = p.checkCondition(stmt, order.Expression)
		c.Expression = order
	}
	return c
}

// checkSelect refuses select lists with arguments that are more than a list of
// columns, and puts the others in order.
func (p *Plugin) checkSelect(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	switch e := c.Expression.(type) {
	case clause.Select: // which has no expression of its own once it was added
		for _, column := range e.Columns {
			if column.Raw && !isCount(column.Name) && !p.tables.empty() {
				if err := p.conditions(stmt).list(column.Name, nil); p.refuse(stmt, err) {
					c.Expression = refusedExpr(err)
					return c
				}
			}
		}
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
	conditions := p.conditions(stmt)
	conditions.derived = true
	if err := conditions.list(sql, vars); p.refuse(stmt, err) {
		return refusedExpr(err)
	}
	return expr
}

// refusedExpr takes the place of an expression that was refused. No driver
// accepts it, and nothing of the expression is logged.
func refusedExpr(err error) clause.Expr {
	return clause.Expr{SQL: "1 = ?", Vars: []any{refused{err}}}
}

// checkConditions returns the conditions as they are, or others that mean the
// same, or has the statement fail and returns what no driver accepts. It reports
// whether they are others.
func (p *Plugin) checkConditions(stmt *gorm.Statement, exprs []clause.Expression) (checked []clause.Expression, changed bool) {
	if len(exprs) == 0 || p.tables.empty() || p.areHarmless(exprs) {
		return exprs, false
	}
	checked, changed, err := p.conditions(stmt).all(exprs)
	if p.refuse(stmt, err) {
		return []clause.Expression{refusedExpr(err)}, true
	}
	return checked, changed
}

// checkCondition is checkConditions for one.
func (p *Plugin) checkCondition(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	checked, _ := p.checkConditions(stmt, []clause.Expression{expr})
	return checked[0]
}

// conditions walks through the conditions of one statement.
type conditions struct {
	plugin *Plugin
	stmt   *gorm.Statement
	// derived says that subqueries stand where a table or an item of a select list
	// may.
	derived bool
	// read are the sources of the statement, once they were needed.
	read *sources
}

func (p *Plugin) conditions(stmt *gorm.Statement) *conditions {
	return &conditions{plugin: p, stmt: stmt}
}

func (c *conditions) sources() *sources {
	if c.read == nil {
		c.read = newSources(c.plugin, c.stmt)
		c.read.addJoins(c.stmt)
	}
	return c.read
}

// named returns the policy of a column by its name. Most names are not those of
// an encrypted column of any table, and need no more.
func (c *conditions) named(qualifier, name string) *policy {
	if !c.plugin.tables.mayBe(name) {
		return nil
	}
	return c.sources().column(qualifier, name)
}

// all reads conditions. It returns the same ones unless it changes any.
func (c *conditions) all(exprs []clause.Expression) (checked []clause.Expression, changed bool, err error) {
	checked = exprs
	for i, expr := range exprs {
		other, err := c.one(expr)
		if err != nil {
			return nil, false, err
		}
		if other == nil {
			continue
		}
		if !changed {
			checked, changed = slices.Clone(exprs), true
		}
		checked[i] = other
	}
	return checked, changed, nil
}

// one reads a condition. It returns another one to take its place, or nil.
func (c *conditions) one(expr clause.Expression) (clause.Expression, error) {
	switch e := expr.(type) {
	case clause.Eq:
		if null, err := c.comparison(e.Column, "=", e.Value); err != nil || !null {
			return nil, err
		}
		e.Value = nil
		return e, nil
	case clause.Neq:
		if null, err := c.comparison(e.Column, "<>", e.Value); err != nil || !null {
			return nil, err
		}
		e.Value = nil
		return e, nil
	case clause.Gt:
		return nil, c.order(e.Column, ">", e.Value)
	case clause.Gte:
		return nil, c.order(e.Column, ">=", e.Value)
	case clause.Lt:
		return nil, c.order(e.Column, "<", e.Value)
	case clause.Lte:
		return nil, c.order(e.Column, "<=", e.Value)
	case clause.Like:
		return nil, c.order(e.Column, "LIKE", e.Value)
	case clause.IN:
		return nil, c.order(e.Column, "IN", e.Values...)
	case clause.AndConditions:
		if exprs, changed, err := c.all(e.Exprs); err != nil || changed {
			return clause.AndConditions{Exprs: exprs}, err
		}
	case clause.OrConditions:
		if exprs, changed, err := c.all(e.Exprs); err != nil || changed {
			return clause.OrConditions{Exprs: exprs}, err
		}
	case clause.NotConditions:
		if exprs, changed, err := c.all(e.Exprs); err != nil || changed {
			return clause.NotConditions{Exprs: exprs}, err
		}
	case clause.Where:
		if exprs, changed, err := c.all(e.Exprs); err != nil || changed {
			return clause.Where{Exprs: exprs}, err
		}
	case clause.Expr:
		return nil, c.text(e.SQL, e.Vars)
	case clause.NamedExpr:
		return nil, c.text(e.SQL, e.Vars)
	default:
		return nil, c.unknown(expr)
	}
	return nil, nil
}

// comparison refuses an equality on an encrypted column, unless it is with
// NULL.
func (c *conditions) comparison(column any, operator string, value any) (null bool, err error) {
	policy, err := c.column(column)
	if policy == nil || err != nil {
		return false, errors.Join(err, c.value(value))
	}
	plaintext, err := policy.plaintext(c.stmt.Context, value)
	if err == nil {
		plaintext, err = policy.convert(c.stmt.Context, plaintext)
	}
	if err == nil && plaintext == nil {
		return true, nil
	}
	return false, notQueryable(policy, operator)
}

// order refuses a comparison of an encrypted column.
func (c *conditions) order(column any, operator string, values ...any) error {
	policy, err := c.column(column)
	if policy != nil {
		return notQueryable(policy, operator)
	}
	return errors.Join(err, c.values(values))
}

func notQueryable(policy *policy, operator string) error {
	return &Error{Op: "query", Table: policy.column.Table, Column: policy.column.Column,
		Err: fmt.Errorf("%w: %s on it would find nothing; compare it with NULL, or select by another column", ErrNotQueryable, operator)}
}

// column returns the policy of a column as a clause names it. It returns an
// error for what is more than a name, if that has an encrypted column in it.
func (c *conditions) column(column any) (*policy, error) {
	switch column := column.(type) {
	case nil:
	case string:
		if qualifier, name, ok := cutLast(column); ok {
			return c.named(qualifier, name), nil
		}
		return c.named("", column), nil
	case clause.Column:
		switch {
		case column.Raw:
			return nil, c.text(column.Name, nil)
		case column.Table == "":
			return c.column(column.Name)
		}
		return c.named(column.Table, column.Name), nil
	case []clause.Column:
		for _, one := range column {
			if policy, err := c.column(one); policy != nil || err != nil {
				return policy, err
			}
		}
	case []string:
		for _, one := range column {
			if policy, err := c.column(one); policy != nil || err != nil {
				return policy, err
			}
		}
	case clause.Expression:
		_, err := c.one(column)
		return nil, err
	default: // GORM quotes what it prints as
		return nil, c.text(fmt.Sprint(column), nil)
	}
	return nil, nil
}

func cutLast(s string) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

// text reads a condition that the program wrote as SQL. An encrypted column may
// be compared with NULL in it, and nothing else.
func (c *conditions) text(sql string, vars []any) error {
	if c.plugin.harmless.has(&c.plugin.tables, sql) {
		return c.values(vars)
	}
	sources := sync.OnceValue(func() *sources { return c.sources().with(sql) })
	if err := c.tokens(slices.Collect(sqltext.Tokens(sql)), sources); err != nil {
		return err
	}
	return c.values(vars)
}

// tokens reads a condition of a statement with these sources.
func (c *conditions) tokens(tokens []sqltext.Token, sources func() *sources) error {
	at := func(i int) sqltext.Token {
		if i < 0 || i >= len(tokens) {
			return sqltext.Token{}
		}
		return tokens[i]
	}
	is := func(i int, words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(at(i).Text, word) })
	}
	for i, token := range tokens {
		qualified := is(i-1, ".")
		switch {
		case token.Text == sqltext.NestedComment && token.Kind == sqltext.Symbol,
			is(i, "U") && is(i+1, "&") && at(i+2).Kind != sqltext.Word,
			is(i, "NATURAL") && is(i+1, "JOIN", "LEFT", "RIGHT", "FULL", "INNER") && sources().encrypted():
			return &Error{Op: "query", Err: fmt.Errorf("%w, as a nested comment, a U& name or a natural join might have it do; write the condition without it", ErrNotQueryable)}
		case token.Kind == sqltext.String && qualified: // SQLite takes it for a name
		case !token.IsName():
			continue
		case !c.plugin.tables.mayBe(trimQuotes(token.Text)):
			continue
		case is(i+1, "."), introducesTable(tokens, i-1), is(i-1, "AS"), is(i-1, "::"):
			continue // the name of a table, an alias, a type
		case token.Kind == sqltext.Word && is(i+1, "(") && (!is(i+3, ")") || sources().tables[fold(at(i+2).Text)] == ""):
			continue // a function; but column(table) is table.column to PostgreSQL
		case sources().tables[fold(token.Text)] != "" && at(i-1).IsName():
			continue // an alias behind its table
		}
		qualifier, before := "", i-1
		if qualified {
			qualifier, before = at(i-2).Text, i-3
		}
		policy := sources().column(qualifier, trimQuotes(token.Text))
		if policy == nil {
			continue
		}
		if !isNullTest(tokens, i, before) {
			return notQueryable(policy, "a condition")
		}
	}
	return nil
}

// trimQuotes returns the text of a string literal, which SQLite may take for a
// name.
func trimQuotes(text string) string { return strings.Trim(text, "'") }

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
		if err := c.value(v); err != nil {
			return err
		}
	}
	return nil
}

func (c *conditions) value(v any) error {
	if _, ok := encryptedtype.Plaintext(v); ok {
		return &Error{Op: "query", Err: fmt.Errorf("%w: a value of package encryptedtype in a condition would find nothing; select by another column", ErrNotQueryable)}
	}
	if field := wrapped(v); field != nil {
		return &Error{Op: "query", Table: field.Schema.Table, Column: field.DBName, Err: fmt.Errorf("%w: its value in a condition would find nothing; select by another column", ErrNotQueryable)}
	}
	switch v := v.(type) {
	case Sealed:
		return &Error{Op: "query", Table: v.policy.column.Table, Column: v.policy.column.Column, Err: fmt.Errorf("%w: its ciphertext in a condition would find nothing; select by another column", ErrNotQueryable)}
	case *gorm.DB:
		return c.subquery(v.Statement)
	case sql.NamedArg:
		return c.value(v.Value)
	case map[string]any:
		for _, value := range v {
			if err := c.value(value); err != nil {
				return err
			}
		}
	case []any:
		return c.values(v)
	case clause.Column, []clause.Column:
		policy, err := c.column(v)
		if policy != nil {
			return notQueryable(policy, "a condition")
		}
		return err
	case clause.Expression:
		_, err := c.one(v)
		return err
	}
	return nil
}

// subquery refuses one that the program wrote as SQL, if that is refused, and in
// a condition one of the values of an encrypted column. Its own conditions are
// read when it is built.
func (c *conditions) subquery(stmt *gorm.Statement) error {
	if stmt.SQL.Len() > 0 {
		query := stmt.SQL.String()
		if _, err := c.plugin.handWritten(c.stmt, query, stmt.Vars); err != nil || c.derived {
			return err
		}
		for _, column := range c.plugin.read(c.stmt, query).columns {
			if column.policy != nil {
				return notQueryable(column.policy, "a subquery of its values")
			}
		}
		return nil
	}
	c.plugin.putPool(c.stmt.DB) // which sees if it is refused
	selected := stmt.Selects
	if list, ok := stmt.Clauses["SELECT"].Expression.(clause.Select); ok {
		for _, column := range list.Columns {
			selected = append(slices.Clip(selected), column.Name)
		}
	}
	if c.derived || len(selected) != 1 || !c.plugin.tables.mayBe(selected[0]) {
		return nil
	}
	parsed := &gorm.Statement{DB: stmt.DB, Table: stmt.Table, TableExpr: stmt.TableExpr, Clauses: stmt.Clauses}
	if stmt.Model != nil {
		_ = parsed.Parse(stmt.Model) // GORM says why not, when it builds it
	}
	inner := &conditions{plugin: c.plugin, stmt: parsed}
	policy, err := inner.column(selected[0])
	if policy != nil {
		err = notQueryable(policy, "a subquery of its values")
	}
	return err
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
