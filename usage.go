package gormcrypt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// What a statement does with encrypted columns, read from its text alone: where
// values go into them, and what is done with theirs that cannot work. Its
// arguments are not looked at here.

// placement is a placeholder whose argument goes into an encrypted column.
type placement struct {
	policy *policy
	index  *index // or a blind index
	row    *rowOutline
}

// rowOutline is a row that a statement writes.
type rowOutline struct {
	columns []string
	values  [][]sqltext.Token
}

// tokens returns what the row has for a column, nil if it has nothing.
func (r *rowOutline) tokens(column string) []sqltext.Token {
	for i, name := range r.columns {
		if fold(name) == fold(column) {
			return r.values[i]
		}
	}
	return nil
}

// statement reads a statement, and returns the columns of its result.
func (r *resolver) statement(s *sqltext.Statement, outer *scope) ([]resultColumn, error) {
	switch s.Verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
	case "EXPLAIN":
		_, err := r.statement(s.Query, outer)
		return nil, err
	default:
		return unknownColumns(), r.other(s)
	}
	inside, err := r.scope(s, outer)
	if err != nil {
		return nil, err
	}
	if outer == nil {
		inside.top = s
	}
	if s.Natural && slices.ContainsFunc(inside.sources, func(s resultSource) bool { return s.encrypted() }) {
		return nil, &Error{Op: "query", Err: fmt.Errorf("%w, as a natural join might have it do; name the columns that are joined", ErrNotQueryable)}
	}
	var columns []resultColumn
	for _, item := range s.Items {
		column, err := r.item(item, inside)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column)
		if item.Alias != "" && (column.policy != nil || column.unknown) {
			if inside.aliases == nil {
				inside.aliases = map[string]origin{}
			}
			inside.aliases[column.name] = column.origin
		}
	}
	for _, column := range columns {
		if (s.Distinct || len(s.Union) > 0) && column.policy != nil && column.policy.column.Deterministic {
			r.oneVersion = append(r.oneVersion, column.policy)
		}
	}
	if s.Verb == "INSERT" {
		err = r.insert(s, inside)
	} else {
		err = r.assignments(s, inside)
	}
	if err == nil {
		_, err = r.expression(s.Rest, inside, columns)
	}
	if err != nil {
		return nil, err
	}
	for _, other := range s.Union {
		more, err := r.statement(other, outer.with(inside.common))
		if err != nil {
			return nil, err
		}
		if columns, err = merge(columns, more); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// with returns a scope inside of s that has the common tables of another.
func (s *scope) with(common map[string][]resultColumn) *scope {
	return &scope{common: common, outer: s}
}

// schemaVerbs are those of statements without values of columns.
var schemaVerbs = strings.Fields("CREATE ALTER DROP COMMENT TRUNCATE REINDEX VACUUM ANALYZE PRAGMA GRANT REVOKE LOCK SET SHOW RESET BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE END ATTACH DETACH LISTEN UNLISTEN NOTIFY DISCARD DEALLOCATE CLUSTER REFRESH CHECKPOINT")

// other reads a statement with another verb than those of rows.
func (r *resolver) other(s *sqltext.Statement) error {
	if !slices.Contains(schemaVerbs, s.Verb) {
		return r.unread(s.Rest, s.Verb+" cannot be read")
	}
	if s.Verb == "CREATE" || s.Verb == "ALTER" {
		return r.definition(s.Rest)
	}
	return nil
}

// unread returns an error if a statement that was not understood has to do with an
// encrypted column, or with one that such a column is bound to.
func (r *resolver) unread(tokens []sqltext.Token, reason string) error {
	models, tables := r.allModels(tokens), false
	each(tokens, func(token sqltext.Token) {
		tables = tables || token.Is("INSERT", "REPLACE", "MERGE", "COPY", "DO")
	})
	var found *policy
	each(tokens, func(token sqltext.Token) {
		if policy := models.column(token.Text); found == nil && policy != nil {
			found = policy
		}
		if bound := models.boundTo(token.Text); found == nil && bound != nil {
			found = bound[0]
		}
	})
	if tables && found == nil { // they need not name columns
		for _, m := range models {
			for _, policy := range m.byField {
				found = policy
			}
		}
	}
	if found == nil {
		return nil
	}
	return handWrittenError(found, reason)
}

// allModels returns the models of all tables that are named in a text.
func (r *resolver) allModels(tokens []sqltext.Token) modelPolicies {
	var models modelPolicies
	each(tokens, func(token sqltext.Token) { models = append(models, r.models(token.Text)...) })
	return models
}

// each calls a function with all names in a text, those in string literals too: a
// function's body is one, and SQLite takes some for names.
func each(tokens []sqltext.Token, use func(token sqltext.Token)) {
	for _, token := range tokens {
		switch token.Kind {
		case sqltext.Word, sqltext.QuotedName:
			use(token)
		case sqltext.String:
			use(sqltext.Token{Kind: sqltext.QuotedName, Text: trimQuotes(token.Text)})
			for inner := range sqltext.Tokens(strings.Trim(token.Text, "'$")) {
				if inner.Kind == sqltext.Word || inner.Kind == sqltext.QuotedName {
					use(inner)
				}
			}
		}
	}
}

func handWrittenError(policy *policy, reason string) error {
	return &Error{Op: "seal", Table: policy.column.Table, Column: policy.column.Column, Err: fmt.Errorf("%w (%s)", ErrHandWritten, reason)}
}

func (r *resolver) item(item sqltext.Item, inside *scope) (resultColumn, error) {
	table, name, ok := item.Column()
	switch {
	case ok && name == "*":
		sources := inside.sources
		if table != "" {
			sources = nil
			if source := inside.named(table); source != nil {
				sources = []resultSource{*source}
			}
		}
		if len(sources) == 0 {
			return unknownColumns()[0], nil
		}
		return resultColumn{star: sources}, nil
	case ok:
		column := resultColumn{name: fold(item.Alias), origin: inside.column(table, name)}
		if item.Alias == "" {
			column.name = fold(name)
		}
		if whole := inside.row(table, name); whole != nil && column.policy == nil {
			return column, wholeRow(whole)
		}
		return column, nil
	case item.Query != nil:
		columns, err := r.statement(item.Query, inside)
		column := resultColumn{name: fold(item.Alias), origin: origin{unknown: true}}
		if len(columns) == 1 && columns[0].star == nil {
			column.origin = origin{policy: columns[0].policy, unknown: columns[0].unknown}
			if column.name == "" {
				column.name = columns[0].name
			}
		}
		return column, err
	}
	column := resultColumn{name: fold(item.Alias)}
	var err error
	column.unknown, err = r.expression(item.Tokens, inside, nil)
	return column, err
}

// expression reads an expression, or the clauses of a statement with these
// columns. It returns an error if that does with an encrypted column what cannot
// be done, and reports whether it may come to something encrypted.
func (r *resolver) expression(tokens []sqltext.Token, inside *scope, columns []resultColumn) (unknown bool, err error) {
	list := "" // GROUP or ORDER, behind that and BY
	for i := 0; i < len(tokens); i++ {
		at := func(j int) sqltext.Token {
			if j < 0 || j >= len(tokens) {
				return sqltext.Token{}
			}
			return tokens[j]
		}
		token := tokens[i]
		switch {
		case token.Is("BY"):
			list = strings.ToUpper(at(i - 1).Text)
			continue
		case token.Is("HAVING", "WHERE", "LIMIT", "OFFSET", "WINDOW", "FETCH", "FOR", "ON"):
			list = ""
		case token.Is("(") && (at(i+1).Is("SELECT", "WITH", "VALUES", "TABLE", "(")):
			sub, end, ok := sqltext.Subquery(tokens, i)
			if !ok {
				return true, r.unread(tokens, "a subquery cannot be read")
			}
			if sub == nil {
				continue
			}
			found, err := r.statement(sub, inside)
			if err != nil {
				return true, err
			}
			for _, column := range found {
				if column.policy != nil && !at(i-1).Is("EXISTS") {
					return true, notQueryable(column.policy, "a subquery of its values")
				}
				unknown = unknown || column.unknown || column.star != nil
			}
			i = end - 1
			continue
		case token.Kind == sqltext.Number && columns != nil && at(i-1).Is("BY", ",") && list != "":
			if policy := position(columns, token.Text); policy != nil {
				if list != "GROUP" || !policy.column.Deterministic {
					return true, notQueryable(policy, list+" BY")
				}
				r.oneVersion = append(r.oneVersion, policy)
			}
			continue
		case token.Is("*") && at(i-1).Is("."):
			if source := inside.named(at(i - 2).Text); source != nil && source.encrypted() {
				return true, wholeRow(source)
			}
			continue
		case token.Is("(") && at(i-1).Is("count"):
			if n := r.rowCount(tokens[i:], inside); n > 0 {
				i += n - 1
				continue
			}
		}
		name, isName := token.Text, token.IsName()
		if token.Kind == sqltext.String && at(i-1).Is(".") { // SQLite takes it for one
			name, isName = trimQuotes(token.Text), true
		}
		if !isName || at(i+1).Is(".") || at(i-1).Is("AS", "::") {
			continue
		}
		if at(i + 1).Is("(") {
			if source := inside.named(rowArgument(tokens[i+1:])); source != nil && source.encrypted() && r.plugin.tables.mayBe(name) {
				return true, wholeRow(source) // to PostgreSQL, note(patients) is patients.note
			}
			continue
		}
		table, before := "", i-1
		if at(i - 1).Is(".") {
			table, before = at(i-2).Text, i-3
		}
		from := inside.column(table, name)
		grouped := list == "GROUP" && at(before).Is("BY", ",") && from.policy != nil && from.policy.column.Deterministic
		if grouped {
			r.oneVersion = append(r.oneVersion, from.policy)
			continue
		}
		if from.policy != nil && from.policy.beside != nil && list == "" && isNullTest(tokens, i, before) {
			last, err := r.nullTest(tokens, i, before, from, inside)
			if err != nil {
				return true, err
			}
			i = last
			continue
		}
		if (from.policy != nil || from.index != nil) && list == "" {
			if last, ok := r.compared(tokens, i, before, from, inside); ok {
				i = last
				continue
			}
			if r.refused != nil {
				return true, r.refused
			}
		}
		switch {
		case isNullTest(tokens, i, before) && (from.policy != nil || from.index != nil || from.unknown):
		case from.index != nil:
			return true, from.index.notComputable()
		case from.policy != nil && list == "" && operatorBeside(tokens, i, before) != "":
			return true, notQueryable(from.policy, operatorBeside(tokens, i, before))
		case from.policy != nil:
			return true, notComputable(from.policy, list)
		case from.unknown:
			return true, &Error{Op: "query", Column: name, Err: fmt.Errorf("%w, and it cannot be told which column this one is; write it with the name of its table", ErrNotQueryable)}
		case token.Kind != sqltext.String:
			if whole := inside.row(table, name); whole != nil {
				return true, wholeRow(whole)
			}
		}
	}
	return unknown, nil
}

// operatorBeside returns the operator that compares the column that token i names,
// whose name with that of its table is behind token before, if one stands beside it.
func operatorBeside(tokens []sqltext.Token, i, before int) string {
	operator, negated, behind := comparisonOperator(tokens, i+1)
	switch {
	case operator == "=" && negated:
		return "<>"
	case operator == "=":
		return "="
	case operator == "IN" && negated:
		return "NOT IN"
	case operator == "IN":
		return "IN"
	case behind < len(tokens) && tokens[behind].Is("NOT"):
		behind++
	}
	if behind < len(tokens) && tokens[behind].Is("<", ">", "LIKE", "ILIKE", "GLOB", "REGEXP", "SIMILAR", "BETWEEN", "IS") {
		return strings.ToUpper(tokens[behind].Text)
	}
	if before > 0 && tokens[before].Is("=", "<", ">") {
		return tokens[before].Text
	}
	return ""
}

// rowArgument returns the name in the parentheses of a function that has one
// argument, such as a row.
func rowArgument(tokens []sqltext.Token) string {
	for _, token := range tokens {
		switch {
		case token.Is("(", ".", "*"):
		case token.IsName():
			return token.Text
		default:
			return ""
		}
	}
	return ""
}

// position returns the policy of the column that a number stands for.
func position(columns []resultColumn, number string) *policy {
	for i, column := range columns {
		if column.star != nil {
			return nil
		}
		if fmt.Sprint(i+1) == number {
			return column.policy
		}
	}
	return nil
}

// rowCount returns the length of the arguments of count if they are a star, a
// column, or the different values of a deterministic one.
func (r *resolver) rowCount(tokens []sqltext.Token, inside *scope) int {
	argument := parenthesised(tokens)
	n := len(argument) + 2
	distinct := len(argument) > 0 && argument[0].Is("DISTINCT")
	if distinct { // which GORM writes with parentheses behind
		argument = withoutParentheses(argument[1:])
	}
	table, name, ok := sqltext.Item{Tokens: argument}.Column()
	if !ok {
		return 0
	}
	if from := inside.column(table, name); distinct && (from.unknown || from.index != nil) {
		return 0
	} else if distinct && from.policy != nil {
		if !from.policy.column.Deterministic {
			return 0
		}
		r.oneVersion = append(r.oneVersion, from.policy)
	}
	return n
}

// isNullTest reports whether nothing but IS NULL or IS NOT NULL is done to the
// column that token i names, whose name with that of its table is behind token
// before. In "? = x IS NULL" it is the comparison that is tested.
func isNullTest(tokens []sqltext.Token, i, before int) bool {
	is := func(j int, words ...string) bool { return j < len(tokens) && tokens[j].Is(words...) }
	alone := before < 0 || is(before, "(", ",", "AND", "OR", "NOT", "WHERE", "ON", "WHEN", "HAVING", "SELECT", "BY", "THEN", "ELSE", "CASE")
	return alone && (is(i+1, "ISNULL", "NOTNULL") || is(i+1, "IS") && (is(i+2, "NULL") || is(i+2, "NOT") && is(i+3, "NULL")))
}

func (r *resolver) insert(s *sqltext.Statement, inside *scope) error {
	models := inside.sources[0].models
	if len(models) > 0 && s.Columns == nil && (s.Rows != nil || s.Query != nil) {
		return handWrittenError(models.any(), "the INSERT does not name its columns")
	}
	for _, cells := range s.Rows {
		row := &rowOutline{s.Columns, cells}
		if s.Columns != nil && len(cells) != len(s.Columns) {
			return &Error{Op: "seal", Table: s.Table.Name, Err: fmt.Errorf("%w (a row has another number of values than there are columns)", ErrHandWritten)}
		}
		if err := errors.Join(r.indexed(models, row, true), r.checkBesides(models, row)); err != nil {
			return err
		}
		for i, cell := range cells {
			var policy *policy
			if s.Columns != nil {
				policy = models.column(s.Columns[i])
			}
			if err := r.value(policy, cell, row, inside); err != nil {
				return err
			}
		}
	}
	if s.Query != nil {
		for _, column := range s.Columns {
			if policy := models.column(column); policy != nil {
				return policy.fail(ErrExpression)
			}
		}
		columns, err := r.statement(s.Query, inside.outer.with(inside.common))
		if err != nil {
			return err
		}
		for _, column := range columns { // which would be copied to a column where it does not open
			if column.policy != nil && len(models) > 0 {
				return notComputable(column.policy, "")
			}
		}
	}
	for _, token := range s.Conflict {
		policy := models.column(token.Text)
		switch {
		case !token.IsName() || policy == nil:
		case !policy.column.Deterministic:
			return notQueryable(policy, "ON CONFLICT")
		default:
			r.oneVersion = append(r.oneVersion, policy)
		}
	}
	excluded := inside.sources[0]
	excluded.name = "excluded"
	upsert := *inside
	upsert.sources = append(slices.Clip(inside.sources), excluded)
	return r.assignments(s, &upsert)
}

// assignments reads a SET clause.
func (r *resolver) assignments(s *sqltext.Statement, inside *scope) error {
	if len(s.Set) == 0 {
		return nil
	}
	models := inside.sources[0].models
	row := &rowOutline{}
	var together clause.Set
	for _, assignment := range s.Set {
		row.columns, row.values = append(row.columns, assignment.Column), append(row.values, assignment.Value)
		together = append(together, clause.Assignment{Column: clause.Column{Name: assignment.Column}})
	}
	same := func(assignment clause.Assignment) bool {
		column := assignment.Column.Name
		return s.Verb == "INSERT" && isExcludedName(row.tokens(column), column) && namesColumn(s.Conflict, column)
	}
	if err := models.checkBoundTogether(together, same); err != nil {
		return err
	}
	if err := errors.Join(r.indexed(models, row, false), r.checkBesides(models, row)); err != nil {
		return err
	}
	for _, assignment := range s.Set {
		if models.index(assignment.Column) != nil { // read with its fields
			continue
		}
		policy := models.column(assignment.Column)
		var err error
		if policy != nil && s.Verb == "INSERT" && isExcludedName(assignment.Value, assignment.Column) {
			err = row.checkExcluded(policy, s.Conflict)
		} else {
			err = r.value(policy, assignment.Value, row, inside)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// indexed reads what a row writes to blind indexes. Each must be written with its
// fields, and not without them; an INSERT leaves NULL in those that it does not
// name.
func (r *resolver) indexed(models modelPolicies, row *rowOutline, inserted bool) error {
	for _, x := range models.indexes() {
		own, written, missing, excluded := row.tokens(x.field.DBName), "", "", 0
		for _, policy := range x.of {
			switch value := row.tokens(policy.field.DBName); {
			case value == nil:
				missing = policy.field.DBName
			case isExcludedName(value, policy.field.DBName):
				excluded++
				fallthrough
			default:
				written = policy.field.DBName
			}
		}
		switch {
		case written == "" && own == nil:
		case written == "" || own == nil || missing != "" && !inserted:
			return x.fail(fmt.Errorf("%w (the blind index %s and all that it is of are written together: give it as a placeholder, with encryptedtype.BlindIndex{} for its value)", ErrHandWritten, x.field.DBName))
		case excluded == len(x.of) && isExcludedName(own, x.field.DBName):
		case excluded > 0 || len(own) != 1 || own[0].Arg() < 0:
			return x.fail(fmt.Errorf("%w (the blind index %s is not a placeholder)", ErrHandWritten, x.field.DBName))
		default:
			if r.placements == nil {
				r.placements = map[int][]placement{}
			}
			r.placements[own[0].Arg()] = append(r.placements[own[0].Arg()], placement{index: x, row: row})
		}
	}
	return nil
}

// isExcludedName reports whether a value is the column's own in the row that an
// upsert was to insert.
func isExcludedName(value []sqltext.Token, column string) bool {
	table, name, ok := sqltext.Item{Tokens: value}.Column()
	return ok && strings.EqualFold(table, "excluded") && fold(name) == fold(column)
}

// checkExcluded refuses to take a value from the row that an upsert was to insert
// without what it is bound to.
func (r *rowOutline) checkExcluded(policy *policy, conflict []sqltext.Token) error {
	for _, field := range policy.bind {
		if !namesColumn(conflict, field.DBName) && !isExcludedName(r.tokens(field.DBName), field.DBName) {
			return policy.fail(fmt.Errorf("%w to %s: the upsert neither assigns it from the new row nor conflicts in it; add it to the assignments", ErrBinding, field.Name))
		}
	}
	return nil
}

// namesColumn reports whether a column is one of those that an upsert conflicts in.
func namesColumn(conflict []sqltext.Token, column string) bool {
	return slices.ContainsFunc(conflict, func(t sqltext.Token) bool { return t.IsName() && fold(t.Text) == fold(column) })
}

// value reads what goes into a column, which is encrypted if it has a policy.
func (r *resolver) value(policy *policy, value []sqltext.Token, row *rowOutline, inside *scope) error {
	if policy == nil {
		_, err := r.expression(value, inside, nil)
		return err
	}
	bare := withoutParentheses(value)
	switch {
	case len(value) == 1 && value[0].Is("NULL", "DEFAULT"):
		return nil
	case len(bare) == 1 && (bare[0].Kind == sqltext.String || bare[0].Kind == sqltext.Number):
		return policy.fail(errLiteral)
	case len(bare) < len(value) && bare[0].Arg() >= 0:
		return policy.fail(errParenthesised)
	case len(value) > 0 && value[0].Arg() >= 0 && (len(value) == 1 || value[1].Is("::") && isPlainCast(value[2:])):
		i := value[0].Arg()
		if r.placements == nil {
			r.placements = map[int][]placement{}
		}
		r.placements[i] = append(r.placements[i], placement{policy: policy, row: row})
		return nil
	}
	return policy.fail(ErrExpression)
}

// withoutParentheses returns an expression without parentheses around all of it.
func withoutParentheses(tokens []sqltext.Token) []sqltext.Token {
	for len(tokens) > 2 && tokens[0].Is("(") && len(parenthesised(tokens)) == len(tokens)-2 {
		tokens = parenthesised(tokens)
	}
	return tokens
}

// isPlainCast reports whether a cast keeps ciphertext as it is.
func isPlainCast(to []sqltext.Token) bool {
	return len(to) == 1 && to[0].Is("text", "varchar", "bytea")
}
