package gormcrypt

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The conditions that GORM has as structures. What the database cannot decide is
// refused; the rest is left to the search gate, which reads it as text.

// checkWhere reads the conditions of a statement.
func (p *Plugin) checkWhere(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	if where, ok := expr.(clause.Where); ok {
		if checked, changed := p.checkConditions(stmt, where.Exprs); changed {
			return clause.Where{Exprs: checked}
		}
	}
	return expr
}

// checkFrom reads the conditions of joins.
func (p *Plugin) checkFrom(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	from, ok := expr.(clause.From)
	if !ok || p.tables.empty() {
		return expr
	}
	if table := stmt.TableExpr; table != nil && len(table.Vars) > 0 {
		if err := p.conditions(stmt).text(table.SQL, table.Vars); p.refuse(stmt, err) {
			refusal := refusedExpr(err)
			stmt.TableExpr = &refusal
		}
	}
	if len(from.Joins) == 0 {
		return expr
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
	return from
}

// checkGroupBy reads the columns of GROUP BY, and the conditions of HAVING.
func (p *Plugin) checkGroupBy(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	group, ok := expr.(clause.GroupBy)
	if !ok || p.tables.empty() {
		return expr
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
	return group
}

// checkOrderBy refuses to sort by ciphertext.
func (p *Plugin) checkOrderBy(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	order, ok := expr.(clause.OrderBy)
	if !ok || p.tables.empty() {
		return expr
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
			return clause.OrderBy{Expression: refusedExpr(err)}
		}
	}
	if order.Expression != nil {
		order.Expression = p.checkCondition(stmt, order.Expression)
		return order
	}
	return expr
}

// checkSelect refuses select lists with arguments that are more than a list of
// columns, and puts the others in order.
func (p *Plugin) checkSelect(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	switch e := expr.(type) {
	case clause.Select: // which has no expression of its own once it was added
		for _, column := range e.Columns {
			switch {
			case p.tables.empty():
			case column.Raw:
				_ = p.conditions(stmt).text(column.Name, nil) // has no arguments
			case e.Distinct:
				_, _ = p.conditions(stmt).column(column) // which may not be told apart, and is read as text
			}
		}
		if p.tables.besides.Load() {
			e.Columns = p.withBesides(stmt, e.Columns)
		}
		if p.tables.bound.Load() {
			return p.orderSelect(stmt, e)
		}
		return e
	case clause.Expr:
		return p.checkSelectText(stmt, e, e.SQL, e.Vars)
	case clause.NamedExpr:
		return p.checkSelectText(stmt, e, e.SQL, e.Vars)
	}
	return expr
}

func (p *Plugin) checkSelectText(stmt *gorm.Statement, expr clause.Expression, sql string, vars []any) clause.Expression {
	if p.tables.empty() {
		return expr
	}
	if err := p.conditions(stmt).text(sql, vars); p.refuse(stmt, err) {
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
	// read are the sources of the statement, once they were needed.
	read *sources
}

func (p *Plugin) conditions(stmt *gorm.Statement) *conditions {
	return &conditions{plugin: p, stmt: stmt}
}

// putPool has the statement read again when it is text. One that had no pool put
// in front of it before reads its own model.
func (c *conditions) putPool() {
	if !c.stmt.DryRun && poolOf(c.stmt) == nil { // a dry run is read again in any case
		c.plugin.putPool(c.stmt).own = true
	}
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
	c.putPool()
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
		if null, err := c.equality(e.Column, "=", e.Value); err != nil || !null {
			return nil, err
		}
		e.Value = nil
		return e, nil
	case clause.Neq:
		if null, err := c.equality(e.Column, "<>", e.Value); err != nil || !null {
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
		_, err := c.equality(e.Column, "IN", e.Values)
		return nil, err
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

// equality reads one. On an encrypted column it is refused if that cannot be
// searched, and reported if it is with NULL.
func (c *conditions) equality(column any, operator string, value any) (null bool, err error) {
	policy, err := c.column(column)
	if policy == nil || err != nil {
		return false, errors.Join(err, c.value(value))
	}
	switch value.(type) {
	case clause.Expression, *gorm.DB, []any, []*gorm.DB: // read as text
	default:
		plaintext, err := policy.fieldPlaintext(c.stmt.Context, value)
		switch {
		case err == nil && isNull(plaintext):
			return true, nil
		case !c.plugin.isSearchable(policy):
			return false, notQueryable(policy, operator)
		case err != nil && reflect.ValueOf(value).Kind() != reflect.Slice: // of which GORM would make IS NULL
			return false, &Error{Op: "query", Table: policy.column.Table, Column: policy.column.Column, Err: err}
		}
	}
	return false, c.value(value)
}

// isNull reports whether a plaintext is stored as NULL.
func isNull(plaintext any) bool {
	if valuer, ok := plaintext.(driver.Valuer); ok {
		value, err := valuer.Value()
		return value == nil && err == nil
	}
	return plaintext == nil
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
	instead := "compare it with NULL, or select by another column"
	name := policy.field.Name
	switch equality := slices.Contains([]string{"=", "<>", "IN", "NOT IN"}, operator); {
	case equality && (policy.searchable() || policy.indexed):
		instead = "compare it with values that are arguments, by =, <>, IN or NOT IN"
	case equality && policy.building:
		instead = "wait until the migration of its blind index is finished"
	case equality:
		instead = fmt.Sprintf("add the field %sIndex encryptedtype.BlindIndex with the tag encrypt:\"of=%s\", or compare it with NULL", name, name)
	case operator == "GROUP BY" && !policy.column.Deterministic:
		instead = "make it deterministic"
	}
	return policy.queryError(operator + " on it would find nothing; " + instead)
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

// text reads SQL that the program wrote. If it may have to do with an encrypted
// column, it is read again as a part of the statement that it ends up in, where
// it is known what its names mean.
func (c *conditions) text(sql string, vars []any) error {
	if !c.plugin.harmless.has(&c.plugin.tables, sql) {
		c.putPool()
	}
	return c.values(vars)
}

// trimQuotes returns the text of a string literal, which SQLite may take for a
// name.
func trimQuotes(text string) string { return strings.Trim(text, "'") }

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
	if isBasic(v) {
		return nil
	}
	if _, ok := asSealed(v); ok {
		return &Error{Op: "query", Err: fmt.Errorf("%w: a ciphertext in a condition would find nothing; select by another column", ErrNotQueryable)}
	}
	if isHeld(v) { // read as text, where it is known what it is compared with
		c.putPool()
		return nil
	}
	switch v := v.(type) {
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
	case []Sealed:
		if len(v) > 0 {
			return c.value(v[0])
		}
	case clause.Column, []clause.Column: // read where it ends up
		c.putPool()
	case clause.Expression:
		_, err := c.one(v)
		return err
	}
	return nil
}

// subquery reads the arguments of one that the program wrote as SQL. Everything
// else is read when it is built, and in the statement that it ends up in.
func (c *conditions) subquery(stmt *gorm.Statement) error {
	c.putPool()
	if stmt.SQL.Len() > 0 {
		return c.values(stmt.Vars)
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
