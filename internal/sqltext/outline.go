package sqltext

import (
	"slices"
	"strconv"
	"strings"
)

// Statement is the outline of an SQL statement: the tables that it names, and
// the parts that its clauses consist of.
type Statement struct {
	// Verb is the first word behind WITH, in upper case. A VALUES list by
	// itself, and a statement in parentheses, are a SELECT.
	Verb string
	With []CommonTable
	// Table is what INSERT, UPDATE and DELETE write to.
	Table Source
	// Columns are those that an INSERT lists, nil if it lists none.
	Columns []string
	// Rows are the expressions of the VALUES of an INSERT.
	Rows [][][]Token
	// Query is where an INSERT takes its rows from otherwise, and what an EXPLAIN
	// is about.
	Query *Statement
	// Conflict is what an upsert conflicts in.
	Conflict []Token
	// Set are the assignments of an UPDATE, or of an upsert.
	Set []Assignment
	// Items are the select list, or that of RETURNING.
	Items []Item
	// From are the tables that are read, besides Table.
	From []Source
	// Distinct says that equal rows of the result are one.
	Distinct bool
	// Natural says that a join does not name its columns.
	Natural bool
	// Rest is everything else: conditions, groups, orders, limits. Statements
	// inside of it are not read.
	Rest []Token
	// Union are the SELECTs that UNION, EXCEPT and INTERSECT add.
	Union []*Statement
}

// CommonTable is a statement that WITH gives a name.
type CommonTable struct {
	Name  string
	Query *Statement
	// Columns are other names for its columns, if it is given any.
	Columns []string
}

// Source is a table, or a statement in its place.
type Source struct {
	// Name is the table's, with its database schema and dots, if it is one.
	Name  string
	Alias string
	Query *Statement
	// Function says that the name is that of a function.
	Function bool
	// Columns are other names for its columns, if it is given any.
	Columns []string
}

// Item is an expression of a select list.
type Item struct {
	// Tokens are the expression, without its alias.
	Tokens []Token
	Alias  string
	// Query is the statement that the expression consists of, if it does.
	Query *Statement
}

// Column returns the name of the column that an item consists of, and the name
// of its table if there is one. The column may be a star.
func (i Item) Column() (table, column string, ok bool) { return columnName(i.Tokens) }

// Assignment is one of a SET clause.
type Assignment struct {
	Column string
	Value  []Token
}

// columnName returns the name that an expression consists of.
func columnName(tokens []Token) (table, column string, ok bool) {
	if len(tokens) == 0 || len(tokens)%2 == 0 {
		return "", "", false
	}
	var parts []string
	for i, token := range tokens {
		last := i == len(tokens)-1
		switch {
		case i%2 == 1 && !token.Is("."), i%2 == 0 && !token.IsName() && !(last && token.Is("*")):
			return "", "", false
		case i%2 == 0 && !last:
			parts = append(parts, token.Text)
		}
	}
	return strings.Join(parts, "."), tokens[len(tokens)-1].Text, true
}

// Arg returns the index of the argument that a placeholder of a parsed statement
// stands for, or -1.
func (t Token) Arg() int {
	if t.Kind == Placeholder && strings.HasPrefix(t.Text, "$") {
		if n, err := strconv.Atoi(t.Text[1:]); err == nil && n > 0 {
			return n - 1
		}
	}
	return -1
}

// Parse reads the outlines of the statements of a text, of which there mostly is
// one. It returns false for what it does not understand for certain, such as a
// nested comment, or arguments by name. In the result all placeholders that
// stand for an argument are written $1, $2 and so on.
func Parse(sql string, dialect Dialect) ([]*Statement, bool) {
	tokens := slices.Collect(Tokens(sql))
	if !number(tokens, dialect) || slices.ContainsFunc(tokens, func(t Token) bool { return t.Is(NestedComment) }) {
		return nil, false
	}
	var statements []*Statement
	for len(tokens) > 0 {
		end := slices.IndexFunc(tokens, func(t Token) bool { return t.Is(";") })
		if end < 0 {
			end = len(tokens)
		}
		if end > 0 {
			p := &parser{tokens: tokens[:end], ok: true}
			s := p.statement()
			if !p.ok || p.i != end {
				return nil, false
			}
			statements = append(statements, s)
		}
		tokens = tokens[min(end+1, len(tokens)):]
	}
	return statements, true
}

// Dialect says how a database writes placeholders.
type Dialect uint8

const (
	// Questions is a dialect with ? and ?1, as SQLite has them.
	Questions Dialect = iota + 1
	// Dollars is one with $1, where ? is an operator, as in PostgreSQL.
	Dollars
)

// number writes placeholders as $1, $2 and so on. It returns false if arguments
// go by name, as $1 does in SQLite, or in more ways than one.
func number(tokens []Token, dialect Dialect) bool {
	n, explicit, statements := 0, false, 0
	for i, token := range tokens {
		switch {
		case token.Is(";"):
			statements++
		case token.Kind != Placeholder:
		case dialect == Dollars && token.Text == "?":
			tokens[i].Kind = Symbol
		case dialect == Dollars:
			if token.Arg() < 0 {
				return false
			}
		case token.Text == "?":
			n++
			tokens[i].Text = "$" + strconv.Itoa(n)
		case token.Text[0] == '?':
			explicit = true
			tokens[i].Text = "$" + token.Text[1:]
			if tokens[i].Arg() < 0 {
				return false
			}
		default:
			return false
		}
	}
	return !explicit || n == 0 && statements == 0
}

// parser reads a statement from left to right. Once it is not ok it stays so,
// and what it returned is to be thrown away.
type parser struct {
	tokens []Token
	i      int
	ok     bool
}

func (p *parser) at(offset int) Token {
	if i := p.i + offset; i < len(p.tokens) {
		return p.tokens[i]
	}
	return Token{}
}

func (p *parser) done() bool { return p.i >= len(p.tokens) || p.at(0).Is(")") }

// accept skips words that come next, if all of them do.
func (p *parser) accept(words ...string) bool {
	for i, word := range words {
		if !p.at(i).Is(word) {
			return false
		}
	}
	p.i += len(words)
	return true
}

func (p *parser) expect(words ...string) { p.ok = p.accept(words...) && p.ok }

// name reads a name.
func (p *parser) name() string {
	token := p.at(0)
	if !token.IsName() || token.Text == "" {
		p.ok = false
		return ""
	}
	p.i++
	return token.Text
}

// dotted reads a name with dots in it.
func (p *parser) dotted() string {
	name := p.name()
	for p.accept(".") {
		name += "." + p.name()
	}
	return name
}

// until reads tokens up to a word at the same depth of parentheses, or to the end
// of it.
func (p *parser) until(words ...string) []Token {
	start, depth := p.i, 0
	for ; p.i < len(p.tokens); p.i++ {
		switch token := p.at(0); {
		case token.Is("("):
			depth++
		case token.Is(")"):
			if depth--; depth < 0 {
				return p.tokens[start:p.i]
			}
		case depth > 0:
		case token.Is("FROM") && p.i > start && p.tokens[p.i-1].Is("DISTINCT"): // IS DISTINCT FROM
		case token.Is(words...) && !(p.i > 0 && p.tokens[p.i-1].Is(".")):
			return p.tokens[start:p.i]
		}
	}
	p.ok = p.ok && depth == 0
	return p.tokens[start:p.i]
}

// parenthesised reads what is inside of parentheses.
func (p *parser) parenthesised() []Token {
	p.expect("(")
	inside := p.until()
	p.expect(")")
	return inside
}

// list reads expressions with commas between them.
func (p *parser) list(words ...string) [][]Token {
	var list [][]Token
	for {
		list = append(list, p.until(append(words, ",")...))
		if !p.accept(",") || !p.ok {
			return list
		}
	}
}

// names reads names in parentheses. In front of types, as functions give them, it
// takes the names only.
func (p *parser) names() []string {
	names := []string{}
	for _, tokens := range List(p.parenthesised()) {
		if len(tokens) == 0 || !tokens[0].IsName() || len(tokens) > 1 && !tokens[1].IsName() {
			p.ok = false
			return names
		}
		names = append(names, tokens[0].Text)
	}
	return names
}

// inner reads a statement in parentheses.
func (p *parser) inner() *Statement {
	p.expect("(")
	s := p.statement()
	p.expect(")")
	return s
}

func (p *parser) startsQuery(offset int) bool {
	for p.at(offset).Is("(") {
		offset++
	}
	return p.at(offset).Is("SELECT", "WITH", "VALUES") || p.at(offset).Is("TABLE") && p.at(offset+1).IsName()
}

func (p *parser) statement() *Statement {
	var with []CommonTable
	if p.accept("WITH") {
		p.accept("RECURSIVE")
		for {
			table := CommonTable{Name: p.name()}
			if p.at(0).Is("(") {
				table.Columns = p.names()
			}
			p.expect("AS")
			p.accept("NOT")
			p.accept("MATERIALIZED")
			table.Query = p.inner()
			with = append(with, table)
			if !p.accept(",") || !p.ok {
				break
			}
		}
	}
	s := p.verb()
	s.With = append(with, s.With...)
	return s
}

func (p *parser) verb() *Statement {
	if !p.ok || p.done() {
		p.ok = false
		return &Statement{}
	}
	switch {
	case p.startsQuery(0):
		return p.query()
	case p.accept("INSERT"):
		if p.accept("OR") {
			p.name()
		}
		p.expect("INTO")
		return p.insert()
	case p.accept("REPLACE", "INTO"):
		return p.insert()
	case p.accept("UPDATE"):
		if p.accept("OR") {
			p.name()
		}
		return p.update()
	case p.accept("DELETE", "FROM"):
		return p.delete()
	case p.accept("EXPLAIN"):
		for p.accept("QUERY") || p.accept("PLAN") || p.accept("ANALYZE") || p.accept("VERBOSE") {
		}
		if p.at(0).Is("(") && !p.startsQuery(0) {
			p.parenthesised()
		}
		return &Statement{Verb: "EXPLAIN", Query: p.statement()}
	}
	return &Statement{Verb: strings.ToUpper(p.at(0).Text), Rest: p.until()}
}

// query reads SELECTs with UNION, EXCEPT or INTERSECT between them.
func (p *parser) query() *Statement {
	s := p.selection()
	for p.ok && (p.accept("UNION") || p.accept("EXCEPT") || p.accept("INTERSECT")) {
		p.accept("ALL")
		p.accept("DISTINCT")
		s.Union = append(s.Union, p.selection())
	}
	if p.at(0).Is("ORDER", "LIMIT", "OFFSET", "FETCH", "FOR") {
		s.Rest = append(slices.Clip(s.Rest), p.until(endWords...)...)
	}
	return s
}

var (
	// endWords end a SELECT that an INSERT takes its rows from, or one of a
	// UNION.
	endWords = []string{"UNION", "EXCEPT", "INTERSECT", "RETURNING", "CONFLICT"}
	// restWords end a select list, and the tables behind FROM.
	restWords = append([]string{"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR"}, endWords...)
	joinWords = []string{"JOIN", "NATURAL", "LEFT", "RIGHT", "FULL", "INNER", "CROSS"}
)

func (p *parser) selection() *Statement {
	if p.at(0).Is("(") {
		return p.inner()
	}
	s := &Statement{Verb: "SELECT"}
	if p.accept("VALUES") {
		for {
			row := p.parenthesised()
			s.Rest = append(append(s.Rest, row...), symbol(","))
			if len(s.Items) == 0 {
				s.Items = items(List(row))
			}
			if !p.accept(",") || !p.ok {
				return s
			}
		}
	}
	if p.accept("TABLE") {
		s.Items, s.From = []Item{{Tokens: []Token{symbol("*")}}}, []Source{{Name: p.dotted()}}
		return s
	}
	if !p.accept("SELECT") { // WITH in parentheses
		if p.at(0).Is("WITH") {
			return p.statement()
		}
		p.ok = false
		return s
	}
	if s.Distinct = p.accept("DISTINCT"); s.Distinct && p.accept("ON") {
		s.Rest = append(s.Rest, p.parenthesised()...)
	}
	p.accept("ALL")
	s.Items = items(p.list(append([]string{"FROM", "INTO"}, restWords...)...))
	p.ok = p.ok && !p.at(0).Is("INTO")
	if p.accept("FROM") {
		p.from(s)
	}
	// An INSERT ... SELECT may go on with ON CONFLICT.
	s.Rest = append(s.Rest, p.until(endWords...)...)
	if p.at(0).Is("CONFLICT") {
		if n := len(s.Rest); n > 0 && s.Rest[n-1].Is("ON") {
			p.i--
			s.Rest = s.Rest[:n-1]
		} else {
			p.ok = false
		}
	}
	return s
}

// List returns what is between the commas of a list, not counting those in
// parentheses.
func List(tokens []Token) [][]Token {
	p := &parser{tokens: tokens, ok: true}
	return p.list()
}

// items takes the aliases off the expressions of a select list.
func items(list [][]Token) []Item {
	var items []Item
	for _, tokens := range list {
		item := Item{Tokens: tokens}
		switch n := len(tokens); {
		case n >= 3 && tokens[n-2].Is("AS"):
			item.Tokens, item.Alias = tokens[:n-2], tokens[n-1].Text
		case n >= 2 && tokens[n-1].IsName() && endsExpression(tokens[n-2]):
			item.Tokens, item.Alias = tokens[:n-1], tokens[n-1].Text
		}
		if n := len(item.Tokens); n > 2 && item.Tokens[0].Is("(") {
			p := &parser{tokens: item.Tokens, ok: true}
			if query := (*Statement)(nil); p.startsQuery(1) {
				if query = p.inner(); p.ok && p.i == n {
					item.Query = query
				}
			}
		}
		items = append(items, item)
	}
	return items
}

// endsExpression reports whether a name behind a token is an alias.
func endsExpression(t Token) bool {
	return t.IsName() || t.Is(")", "*", "END", "NULL") || t.Kind == String || t.Kind == Number || t.Kind == Placeholder
}

// from reads the tables behind FROM, and what they are joined on.
func (p *parser) from(s *Statement) {
	for p.ok {
		s.From = append(s.From, p.source(s))
		for p.accept("ON") || p.accept("USING") {
			if p.at(0).Is("CONFLICT") {
				p.i--
				return
			}
			ends := append(append([]string{",", "ON", "USING"}, joinWords...), restWords...)
			s.Rest = append(append(s.Rest, p.until(ends...)...), symbol(","))
		}
		if p.accept(",") {
			continue
		}
		joined := false
		for p.at(0).Is(append(joinWords, "OUTER")...) && !joined {
			s.Natural = s.Natural || p.at(0).Is("NATURAL")
			joined = p.at(0).Is("JOIN")
			p.i++
		}
		if !joined {
			p.ok = p.ok && (p.done() || p.at(0).Is(restWords...) || p.at(0).Is("ON", "SET"))
			return
		}
	}
}

func (p *parser) source(s *Statement) Source {
	p.accept("LATERAL")
	p.accept("ONLY")
	var source Source
	switch {
	case p.at(0).Is("(") && p.startsQuery(1):
		source.Query = p.inner()
	case p.at(0).IsName():
		source.Name = p.dotted()
		if source.Function = p.at(0).Is("("); source.Function {
			s.Rest = append(append(s.Rest, p.parenthesised()...), symbol(","))
		}
	default:
		p.ok = false
	}
	source.Alias = p.alias()
	if source.Alias != "" && p.at(0).Is("(") {
		source.Columns = p.names()
	}
	return source
}

func (p *parser) alias() string {
	if p.accept("AS") {
		return p.name()
	}
	if p.at(0).IsName() {
		return p.name()
	}
	return ""
}

func (p *parser) insert() *Statement {
	s := &Statement{Verb: "INSERT"}
	s.Table.Name = p.dotted()
	if p.accept("AS") {
		s.Table.Alias = p.name()
	}
	if p.at(0).Is("(") && !p.startsQuery(1) {
		s.Columns = p.names()
	}
	if p.accept("OVERRIDING") {
		p.i += 2 // SYSTEM VALUE, or USER VALUE
	}
	switch {
	case p.accept("DEFAULT", "VALUES"):
	case p.accept("VALUES"):
		for {
			s.Rows = append(s.Rows, List(p.parenthesised()))
			if !p.accept(",") || !p.ok {
				break
			}
		}
	case p.startsQuery(0):
		s.Query = p.statement()
	default:
		p.ok = false
	}
	if p.accept("ON", "CONFLICT") {
		s.Conflict = p.until("DO")
		p.expect("DO")
		if p.accept("UPDATE", "SET") {
			p.assignments(s)
			s.Rest = p.until("RETURNING")
		} else {
			p.expect("NOTHING")
		}
	}
	p.returning(s)
	return s
}

func (p *parser) update() *Statement {
	s := &Statement{Verb: "UPDATE"}
	s.Table = p.source(s)
	p.expect("SET")
	p.assignments(s)
	if p.accept("FROM") {
		p.from(s)
	}
	s.Rest = append(s.Rest, p.until("RETURNING")...)
	p.returning(s)
	return s
}

func (p *parser) delete() *Statement {
	s := &Statement{Verb: "DELETE"}
	s.Table = p.source(s)
	if p.accept("USING") {
		p.from(s)
	}
	s.Rest = append(s.Rest, p.until("RETURNING")...)
	p.returning(s)
	return s
}

func (p *parser) assignments(s *Statement) {
	for _, tokens := range p.list("WHERE", "FROM", "RETURNING", "ORDER", "LIMIT") {
		equals := slices.IndexFunc(tokens, func(t Token) bool { return t.Is("=") })
		if equals < 0 {
			p.ok = false
			return
		}
		_, column, ok := columnName(tokens[:equals])
		p.ok = p.ok && ok && column != "*"
		s.Set = append(s.Set, Assignment{Column: column, Value: tokens[equals+1:]})
	}
}

func (p *parser) returning(s *Statement) {
	if p.accept("RETURNING") {
		s.Items = items(p.list())
	}
}

// Placeholders returns the placeholders of a text that Parse understands, as Parse
// numbers them.
func Placeholders(sql string, dialect Dialect) []Token {
	tokens := slices.Collect(Tokens(sql))
	if !number(tokens, dialect) {
		return nil
	}
	return slices.DeleteFunc(tokens, func(t Token) bool { return t.Arg() < 0 })
}

// Subquery returns the statement that starts at a parenthesis, and the index of the
// token behind the one that ends it. It returns nil if none starts there, and
// false if it is not understood.
func Subquery(tokens []Token, i int) (s *Statement, end int, ok bool) {
	p := &parser{tokens: tokens, i: i, ok: true}
	if !p.at(0).Is("(") || !p.startsQuery(1) {
		return nil, i, true
	}
	s = p.inner()
	return s, p.i, p.ok
}

// Query returns the SELECT, VALUES or TABLE that tokens consist of, or false if they
// do not, or it is not understood.
func Query(tokens []Token) (*Statement, bool) {
	p := &parser{tokens: tokens, ok: true}
	if !p.startsQuery(0) {
		return nil, false
	}
	s := p.statement()
	return s, p.ok && p.i == len(tokens)
}
