package gormcrypt

import (
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// CREATE and ALTER. What they hold is evaluated by the database, now or later,
// when no gate reads it: the query of a view, the condition of an index or of a
// constraint, a default. GORM's migrations pass here too.

// definition is a CREATE or an ALTER that is read.
type definition struct {
	*resolver
	tokens []sqltext.Token // from what is made or changed on
	// table is what is made or changed; of an index, what it is on.
	table  string
	models modelPolicies // of table
	named  modelPolicies // of all tables that are named
	inside *scope
	// behind is the index of the token behind the table's name.
	behind int
}

// definitionWords stand between CREATE and what is made.
var definitionWords = strings.Fields("OR REPLACE TEMP TEMPORARY UNLOGGED GLOBAL LOCAL FOREIGN VIRTUAL MATERIALIZED RECURSIVE UNIQUE")

// definition reads a CREATE or an ALTER.
func (r *resolver) definition(tokens []sqltext.Token) error {
	create, i := tokens[0].Is("CREATE"), 1
	for i < len(tokens) && tokens[i].Is(definitionWords...) {
		i++
	}
	if i == len(tokens) {
		return nil
	}
	tokens, i = tokens[i:], 0
	d := &definition{resolver: r, tokens: tokens, named: r.allModels(tokens)}
	kind := tokens[0]
	if kind.Is("INDEX") && create {
		i += slices.IndexFunc(tokens[i:], func(t sqltext.Token) bool { return t.Is("ON") })
	}
	if !kind.Is("TABLE") && !(create && kind.Is("VIEW", "INDEX")) {
		return d.other()
	}
	for i++; i < len(tokens) && tokens[i].Is("IF", "NOT", "EXISTS", "ONLY"); i++ {
	}
	if d.table, d.behind = dottedName(tokens, i); d.table == "" {
		return r.unread(tokens, "it is not understood")
	}
	source, err := r.source(sqltext.Source{Name: d.table}, &scope{})
	if err != nil {
		return err
	}
	d.models, d.inside = source.models, &scope{sources: []resultSource{source}}
	switch as := d.topLevel("AS"); {
	case create && !kind.Is("INDEX") && as >= 0:
		return d.query(as, kind.Is("VIEW"))
	case kind.Is("INDEX"):
		return d.index()
	case !create:
		return d.parts(sqltext.List(tokens[d.behind:]))
	case d.list() == nil:
		return d.other()
	}
	return d.parts(d.list())
}

// dottedName reads the name of a table, and returns the index of the token behind
// it. SQLite takes a string literal for one.
func dottedName(tokens []sqltext.Token, i int) (name string, behind int) {
	for ; i < len(tokens) && (tokens[i].IsName() || tokens[i].Kind == sqltext.String); i += 2 {
		name += trimQuotes(tokens[i].Text)
		if i+1 == len(tokens) || !tokens[i+1].Is(".") {
			return name, i + 1
		}
		name += "."
	}
	return "", i
}

// topLevel returns the index of a word, or of a parenthesis, behind the table's name that is
// in no parentheses itself, or -1.
func (d *definition) topLevel(word string) int {
	depth := 0
	for i := d.behind; i < len(d.tokens); i++ {
		switch token := d.tokens[i]; {
		case depth == 0 && token.Is(word):
			return i
		case token.Is("("):
			depth++
		case token.Is(")"):
			depth--
		}
	}
	return -1
}

// list returns the parts of the parentheses behind the table's name, if there are
// any.
func (d *definition) list() [][]sqltext.Token {
	if d.behind == len(d.tokens) || !d.tokens[d.behind].Is("(") {
		return nil
	}
	return sqltext.List(parenthesised(d.tokens[d.behind:]))
}

// parenthesised returns what is inside of the parentheses that a text starts with.
func parenthesised(tokens []sqltext.Token) []sqltext.Token {
	depth := 0
	for i, token := range tokens {
		switch {
		case token.Is("("):
			depth++
		case token.Is(")"):
			if depth--; depth == 0 {
				return tokens[1:i]
			}
		}
	}
	return tokens[1:]
}

// query reads the query behind AS of a view, or of a table that is filled with its
// result.
func (d *definition) query(as int, view bool) error {
	query, ok := sqltext.Query(withoutOptions(d.tokens[as+1:]))
	if !ok {
		return d.unread(d.tokens, "its query cannot be read")
	}
	var columns []resultColumn
	read := func() (err error) {
		columns, err = d.statement(query, nil)
		return err
	}
	if err := d.lasting(view, read); err != nil {
		return err
	}
	var names []string
	for _, part := range d.list() {
		if len(part) != 1 {
			return d.unread(d.tokens, "its columns cannot be read")
		}
		names = append(names, part[0].Text)
	}
	return d.copied(rename(columns, names))
}

// withoutOptions takes WITH NO DATA, WITH CHECK OPTION and their like off the end of
// a query.
func withoutOptions(tokens []sqltext.Token) []sqltext.Token {
	n := len(tokens)
	if n < 2 || !tokens[n-1].Is("DATA", "OPTION") {
		return tokens
	}
	for i := n - 2; i > 0 && i >= n-4; i-- {
		if tokens[i].Is("WITH") {
			return tokens[:i]
		}
	}
	return tokens
}

// copied refuses what would stand in a column that has the name of an encrypted one
// and is not its ciphertext.
func (d *definition) copied(columns []resultColumn) error {
	for _, column := range columns {
		for _, source := range column.star {
			if err := d.copied(source.derived); err != nil {
				return err
			}
		}
		own := d.models.column(column.name)
		switch {
		case column.star != nil && len(d.models) > 0:
			return handWrittenError(d.models.any(), "its query does not name its columns")
		case own != nil && column.policy != nil && column.policy.sameAs(own):
		case own != nil:
			return handWrittenError(own, "it would hold what is not its ciphertext")
		case column.policy == nil && d.named.column(column.name) != nil:
			return handWrittenError(d.named.column(column.name), "a column of that name would hold what is not its ciphertext; give it another name")
		}
	}
	return nil
}

// lasting has something read that the database keeps, if it does. What is stored
// for a value in a deterministic column changes with the key, so that nothing that
// lasts is made of it.
func (d *definition) lasting(keeps bool, read func() error) error {
	comparisons, oneVersion := len(d.comparisons), len(d.oneVersion)
	if err := read(); err != nil || !keeps {
		return err
	}
	const problem = "the database would keep it, and equal values have other ciphertexts under another key"
	switch {
	case len(d.comparisons) > comparisons:
		if c := d.comparisons[comparisons]; c.policy == nil {
			return c.index.queryError(problem)
		}
		return d.comparisons[comparisons].policy.queryError(problem)
	case len(d.oneVersion) > oneVersion:
		return d.oneVersion[oneVersion].queryError(problem)
	}
	return nil
}

// condition reads an expression that the database keeps.
func (d *definition) condition(tokens []sqltext.Token) error {
	return d.lasting(true, func() error {
		_, err := d.expression(tokens, d.inside, nil)
		return err
	})
}

// index reads the columns and the condition of an index.
func (d *definition) index() error {
	if open := d.topLevel("("); open >= 0 {
		d.behind = open
	}
	for _, part := range d.list() {
		if len(part) == 0 || !part[0].Is("(") && (len(part) == 1 || part[1].IsName() || part[1].Is("COLLATE")) {
			continue // a column
		}
		if err := d.condition(part); err != nil {
			return err
		}
	}
	if where := d.topLevel("WHERE"); where >= 0 {
		return d.condition(d.tokens[where+1:])
	}
	return nil
}

// parts reads the columns and constraints of a table, or what an ALTER TABLE does.
func (d *definition) parts(parts [][]sqltext.Token) error {
	for _, part := range parts {
		i := 0
		for i < len(part) && part[i].Is("ADD", "ALTER", "COLUMN", "IF", "NOT", "EXISTS") {
			i++
		}
		if i == len(part) {
			continue
		}
		name := trimQuotes(part[i].Text)
		for ; i < len(part); i++ {
			if err := d.attribute(name, part, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// attribute reads what starts at token i in the definition of a column of that name,
// or of a constraint.
func (d *definition) attribute(name string, part []sqltext.Token, i int) error {
	policy, bound := d.models.column(name), d.models.boundTo(name)
	next := part[min(i+1, len(part)-1)]
	switch token := part[i]; {
	case token.Is("CHECK", "AS") && next.Is("("):
		if policy != nil && token.Is("AS") {
			return handWrittenError(policy, "it would hold what is not its ciphertext")
		}
		return d.condition(parenthesised(part[i+1:]))
	case token.Is("DEFAULT") && policy != nil && !part[max(i-1, 0)].Is("DROP") && !next.Is("NULL"):
		return handWrittenError(policy, "the database would store a default in the clear")
	case token.Is("USING"):
		column, cast := castColumn(part[i+1:])
		switch {
		case cast && (fold(column) == fold(name) || policy == nil && bound == nil):
		case policy != nil:
			return handWrittenError(policy, "it would hold what is not its ciphertext")
		case bound != nil:
			return handWrittenError(bound[0], "it is bound to "+name+", which would change without it")
		default:
			return d.condition(part[i+1:])
		}
	}
	return nil
}

// castColumn returns the column that an expression consists of, with nothing done to
// it but casts.
func castColumn(tokens []sqltext.Token) (column string, ok bool) {
	if len(tokens) == 0 || !tokens[0].IsName() || len(tokens) > 1 && !tokens[1].Is("::") {
		return "", false
	}
	for _, token := range tokens[1:] {
		if token.Kind != sqltext.Word && token.Kind != sqltext.Number && !token.Is("::", "(", ")", ",") {
			return "", false
		}
	}
	return tokens[0].Text, true
}

// other reads what makes or changes something else than a table, an index or a view,
// such as a rule, a policy or a function. It is not understood.
func (d *definition) other() error {
	evaluated := false
	each(d.tokens, func(token sqltext.Token) {
		evaluated = evaluated || token.Is("SELECT", "WITH", "VALUES", "WHERE", "CHECK", "USING", "INSERT", "UPDATE", "DELETE", "DO", "TRIGGER")
	})
	if !evaluated && !slices.ContainsFunc(d.tokens, func(t sqltext.Token) bool { return t.Kind == sqltext.String || t.Arg() >= 0 }) {
		return nil
	}
	return d.unread(d.tokens, "the database would evaluate it, or write it")
}
