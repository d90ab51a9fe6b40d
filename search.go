package gormcrypt

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// The search gate. A comparison of an encrypted column with a value becomes one
// with what is stored for that value: its ciphertexts in a deterministic column,
// one for each key version that opens. Statements are rewritten when they are
// text, whoever wrote them.

// comparison is one of an encrypted column with arguments, in a statement's text.
type comparison struct {
	// policy is that of a deterministic column, index one by which others are
	// searched.
	policy *policy
	index  *index
	// start and end are where it is in the text, in bytes, and column is what it
	// names in front, with its table.
	start, end int
	column     string
	negated    bool
	// named is the column as the text names it, and plain the one that has what the
	// index is of, in a table where that may be plaintext; otherwise it is empty.
	named, plain string
	// isNull says that it is compared with NULL only.
	isNull bool
	// filter is the number of the filter for it, from 1.
	filter int
	list   bool // behind IN
	// operands are the indexes of arguments, or -1 for NULL.
	operands []int
}

// place is a placeholder in a text.
type place struct{ start, end, arg int }

// searchTerm is what is stored for a value that is searched. It is no secret, unless
// it is plain, for a column that holds plaintext too.
type searchTerm struct {
	stored driver.Value
	plain  bool
}

// Value returns what is stored.
func (t searchTerm) Value() (driver.Value, error) { return t.stored, nil }

// Format writes what is stored, unless that is plain.
func (t searchTerm) Format(f fmt.State, verb rune) {
	if t.plain {
		fmt.Fprint(f, redacted)
		return
	}
	Sealed{stored: t.stored}.Format(f, verb)
}

// searchable reports whether the database can tell equal values of the column.
func (p *policy) searchable() bool { return p.column.Deterministic && len(p.bind) == 0 }

// isSearchable reports whether equal values of a column can be found.
func (p *Plugin) isSearchable(policy *policy) bool {
	return policy.searchable() || p.tables.named(policy.field.Schema.Table).searchIndex(policy.field.DBName) != nil
}

// searched returns the Go value that is searched, nil for NULL.
func (p *policy) searched(ctx context.Context, value any) (any, error) {
	if _, ok := asSealed(value); ok {
		return nil, p.queryError("a ciphertext in a condition would find nothing; compare with the value itself")
	}
	plaintext, err := p.fieldPlaintext(ctx, value)
	if err != nil {
		return nil, &Error{Op: "query", Table: p.column.Table, Column: p.column.Column, Err: err}
	}
	return plaintext, nil
}

// searched puts the Go values that are searched by one term, as many as the index
// has fields, in the place of values.
func (c *comparison) searched(ctx context.Context, values []any) error {
	for i, value := range values {
		if value == nil {
			continue
		}
		policy := c.policy
		if c.index != nil {
			policy = c.index.of[i]
		}
		var err error
		if values[i], err = policy.searched(ctx, value); err != nil {
			return err
		}
	}
	return nil
}

// appendTerms appends what may be stored for what is searched: nil for NULL.
func (c *comparison) appendTerms(terms, searched []any) ([]any, error) {
	var err error
	if c.index != nil {
		var found []string
		found, err = c.index.Terms(searched...)
		for _, term := range found {
			terms = append(terms, searchTerm{stored: term})
		}
	} else {
		var found [][]byte
		found, err = c.policy.column.SealEach(searched[0])
		for _, sealed := range found {
			terms = append(terms, searchTerm{stored: c.policy.stored(sealed)})
		}
		if err == nil && c.policy.migrating != "" && c.plain == "" {
			terms, err = c.policy.appendPlainTerm(terms, searched[0])
		}
	}
	if err != nil && ciphertext.IsNull(err) {
		return append(terms, nil), nil
	}
	return terms, err
}

func (p *policy) queryError(problem string) error {
	return &Error{Op: "query", Table: p.column.Table, Column: p.column.Column, Err: fmt.Errorf("%w: %s", ErrNotQueryable, problem)}
}

// checkOneVersion returns an error if equal values of the column may have
// different ciphertexts, because keys rotate.
func (p *policy) checkOneVersion() error {
	if p.migrating != "" {
		return p.queryError("it is migrating, so a value may be there as ciphertext and as plaintext; compare it with values only, until the migration is finished")
	}
	if n := p.column.Live(); n > 1 {
		return p.queryError(fmt.Sprintf("%d index keys are live, so equal values may have different ciphertexts; compare it with values only, until the column is sealed under one key and the others are retired", n))
	}
	return nil
}

// rewrite returns a statement with its comparisons as the database can make them,
// and the arguments for it. Before the statement's own arguments there may be
// those of another, which it is a part of.
func (p *Plugin) rewrite(stmt *gorm.Statement, read *readStatement, query string, args []any) (string, []any, error) {
	if len(read.filters) > 0 {
		return "", nil, read.filters[0].index.unfiltered("this statement does not filter them")
	}
	query, args, _, err := p.rewriteFiltered(stmt, read, query, args)
	return query, args, err
}

// rewriteFiltered is rewrite for a query whose rows can be selected when they are
// opened.
func (p *Plugin) rewriteFiltered(stmt *gorm.Statement, read *readStatement, query string, args []any) (string, []any, *selection, error) {
	for _, policy := range read.oneVersion {
		if err := policy.checkOneVersion(); err != nil {
			return "", nil, nil, err
		}
	}
	w := &rewriter{query: query, args: args, dialect: dialectOf(stmt)}
	foreign := 0
	switch {
	case !stmt.DryRun:
	case w.dialect == sqltext.Questions:
		foreign = max(len(args)-read.arguments, 0)
		w.foreign = foreign
	case len(read.places) > 0: // they are numbered through
		foreign = min(firstArgument(read.places), len(args))
	default:
		foreign = len(args)
	}
	if len(read.comparisons) == 0 {
		return query, args, nil, checkPlaces(args[foreign:])
	}
	if n := len(args); n < read.arguments || n > read.arguments && !stmt.DryRun {
		return "", nil, nil, &Error{Op: "query", Err: fmt.Errorf("%w: it has %d arguments, and placeholders for %d", ErrHandWritten, n, read.arguments)}
	}
	w.out = append(make([]any, 0, len(args)+1), args[:foreign]...)
	selection, err := w.selection(read)
	if err != nil {
		return "", nil, nil, err
	}
	w.text.Grow(len(query) + 32)
	places := read.places
	for i := range read.comparisons {
		c := &read.comparisons[i]
		for ; len(places) > 0 && places[0].start < c.start; places = places[1:] {
			w.placeholder(places[0])
		}
		switch {
		case c.policy == nil && c.index == nil: // cut
			w.upTo(c.start)
			w.done = c.end
		case c.isNull:
			w.nullTest(c)
		default:
			wanted, err := w.comparison(stmt.Context, c)
			if err != nil {
				return "", nil, nil, err
			}
			if c.filter > 0 {
				f := read.filters[c.filter-1]
				f.wanted = wanted
				selection.filters = append(selection.filters, f)
			}
		}
		for len(places) > 0 && places[0].start < c.end {
			places = places[1:]
		}
	}
	for _, place := range places {
		w.placeholder(place)
	}
	w.text.WriteString(query[w.done:])
	return w.text.String(), w.out, selection, w.err
}

// firstArgument returns the lowest index of an argument.
func firstArgument(places []place) int {
	first := places[0].arg
	for _, place := range places {
		first = min(first, place.arg)
	}
	return first
}

// rewriter writes a statement anew, from left to right.
type rewriter struct {
	query   string
	args    []any
	dialect sqltext.Dialect
	foreign int // arguments in front of the statement's own
	text    strings.Builder
	out     []any
	done    int // of query, in bytes
	err     error
}

// upTo copies the text in front of a byte.
func (w *rewriter) upTo(start int) {
	w.text.WriteString(w.query[w.done:start])
	w.done = start
}

// arg returns an argument of the statement.
func (w *rewriter) arg(i int) any { return w.args[w.foreign+i] }

// bind writes a placeholder for an argument.
func (w *rewriter) bind(arg any) {
	w.out = append(w.out, arg)
	if w.dialect == sqltext.Dollars {
		w.text.WriteByte('$')
		w.text.WriteString(strconv.Itoa(len(w.out)))
	} else {
		w.text.WriteByte('?')
	}
}

// placeholder copies one.
func (w *rewriter) placeholder(p place) {
	w.upTo(p.start)
	arg := w.arg(p.arg)
	w.err = cmp.Or(w.err, checkPlace(arg))
	w.bind(arg)
	w.done = p.end
}

// terms appends what a comparison is to be made with, and returns what plaintext is
// to be compared with, and the values that its rows must have if they are to be
// filtered.
func (w *rewriter) terms(ctx context.Context, terms []any, c *comparison) (_ []any, plain []any, wanted [][]any, err error) {
	var few [4]any
	values := few[:0]
	written := true // by a rewriter, as part of this statement
	for _, operand := range c.operands {
		var value any
		if operand >= 0 {
			value = w.arg(operand)
		}
		values, written = append(values, value), written && isTerm(value)
	}
	if written {
		c.column, c.plain = c.named, ""
		return append(terms, values...), nil, nil, nil
	}
	n := 1
	if c.index != nil {
		n = len(c.index.of)
	}
	if n > 1 && (c.list || len(values) != n) {
		return nil, nil, nil, c.index.notComputable()
	}
	for ; len(values) > 0; values = values[n:] {
		group := values[:n]
		if n == 1 && isTerm(group[0]) {
			terms = append(terms, group[0])
			continue
		}
		if err := c.searched(ctx, group); err != nil {
			return nil, nil, nil, err
		}
		if terms, err = c.appendTerms(terms, group); err != nil {
			return nil, nil, nil, err
		}
		if c.plain != "" {
			if plain, err = c.plainPolicy().appendPlainTerm(plain, group[0]); err != nil {
				return nil, nil, nil, err
			}
		}
		if c.filter > 0 {
			wanted = append(wanted, slices.Clone(group))
		}
	}
	return terms, plain, wanted, nil
}

func isTerm(value any) bool {
	_, ok := value.(searchTerm)
	return ok
}

// comparison writes one with what is stored, and returns the values that its rows
// must have if they are to be filtered.
func (w *rewriter) comparison(ctx context.Context, c *comparison) (wanted [][]any, err error) {
	w.upTo(c.start)
	var few [4]any
	one := *c // which is remembered for other arguments
	terms, plain, wanted, err := w.terms(ctx, few[:0], &one)
	if err != nil {
		return nil, err
	}
	if c.start > 0 && !strings.ContainsRune(" (\t\n", rune(w.query[c.start-1])) {
		w.text.WriteByte(' ') // "WHERE?=email" begins with what stands by itself
	}
	if len(plain) == 0 {
		w.comparedWith(one.column, one.negated, terms)
	} else { // in rows without a term, and so that NOT is true or false of both
		w.text.WriteString("(" + one.column + " IS NOT NULL AND ")
		w.comparedWith(one.column, one.negated, terms)
		w.text.WriteString(" OR " + one.column + " IS NULL AND ")
		w.comparedWith(one.plain, one.negated, plain)
		w.text.WriteByte(')')
	}
	w.done = c.end
	return wanted, nil
}

// comparedWith writes a comparison of a column.
func (w *rewriter) comparedWith(column string, negated bool, terms []any) {
	w.text.WriteString(column)
	switch {
	case len(terms) == 1 && negated:
		w.text.WriteString(" <> ")
		w.bind(terms[0])
	case len(terms) == 1:
		w.text.WriteString(" = ")
		w.bind(terms[0])
	default:
		if negated {
			w.text.WriteString(" NOT")
		}
		w.text.WriteString(" IN (")
		for i, term := range terms {
			if i > 0 {
				w.text.WriteByte(',')
			}
			w.bind(term)
		}
		w.text.WriteByte(')')
	}
}

// compared reads the comparison of an encrypted column, or of a blind index, that
// token i names; its name with that of its table is behind token before. It
// returns the index of the last token of it, or false if it is none that the
// database can make.
func (r *resolver) compared(tokens []sqltext.Token, i, before int, from origin, inside *scope) (last int, ok bool) {
	if before < -1 { // a dot with nothing in front
		return 0, false
	}
	c := comparison{policy: from.policy, index: from.index, start: tokens[before+1].Start}
	table, column := "", r.query[tokens[i].Start:tokens[i].End]
	qualifier := ""
	if before+1 < i {
		table, qualifier = r.query[c.start:tokens[i-2].End]+".", tokens[i-2].Text
	}
	named := column
	switch {
	case from.index != nil:
		if source := inside.source(qualifier, fold(column)); from.index.isBeside() && (source == nil || source.derived != nil) {
			return 0, false
		}
		named = quoteLike(column, from.index.of[0].field.DBName)
	case from.policy.searchable():
		if last, ok := r.comparedColumn(tokens, i, before, from, inside); ok {
			return last, true
		}
		if from.policy.beside != nil {
			if source := inside.source(qualifier, fold(column)); source == nil || source.derived != nil {
				return 0, false
			}
			c.plain, column = table+column, quoteLike(column, from.policy.besideField.DBName)
		}
	default:
		if c.index = inside.searchIndex(qualifier, fold(tokens[i].Text), r.models(from.policy.field.Schema.Table), from.policy); c.index == nil {
			return 0, false
		}
		column = quoteLike(column, c.index.field.DBName)
	}
	c.named, c.column = r.query[c.start:tokens[i].End], table+column
	if c.index != nil && c.index.isBeside() {
		c.plain = table + named
	}
	return r.comparison(tokens, i, before, c, from, inside)
}

// plainPolicy is that of the column that has plaintext where there is no term.
func (c *comparison) plainPolicy() *policy {
	if c.index != nil {
		return c.index.of[0]
	}
	return c.policy
}

// nullTest reads a comparison with NULL of a column that has another beside.
func (r *resolver) nullTest(tokens []sqltext.Token, i, before int, from origin, inside *scope) (last int, err error) {
	c := comparison{policy: from.policy, isNull: true, start: tokens[before+1].Start}
	qualifier, table := "", ""
	if before+1 < i {
		qualifier, table = tokens[i-2].Text, r.query[c.start:tokens[i-2].End]+"."
	}
	if source := inside.source(qualifier, fold(tokens[i].Text)); source == nil || source.derived != nil {
		return 0, from.policy.queryError("it is migrating beside another column, which a subquery does not have; compare it with NULL inside")
	}
	column := r.query[tokens[i].Start:tokens[i].End]
	c.plain, c.column = table+column, table+quoteLike(column, from.policy.besideField.DBName)
	for last = i + 1; !tokens[last].Is("NULL", "ISNULL", "NOTNULL"); last++ {
		c.negated = c.negated || tokens[last].Is("NOT")
	}
	c.negated = c.negated || tokens[last].Is("NOTNULL")
	c.end = tokens[last].End
	r.comparisons = append(r.comparisons, c)
	return last, nil
}

// nullTest writes one.
func (w *rewriter) nullTest(c *comparison) {
	w.upTo(c.start)
	if c.negated {
		w.text.WriteString("(" + c.plain + " IS NOT NULL OR " + c.column + " IS NOT NULL)")
	} else {
		w.text.WriteString("(" + c.plain + " IS NULL AND " + c.column + " IS NULL)")
	}
	w.done = c.end
}

// quoteLike returns a name as SQL, in the quotes of another.
func quoteLike(other, name string) string {
	switch q := other[:1]; {
	case q == "[":
		return "[" + name + "]"
	case q == `"` || q == "`":
		return q + name + q
	case !isFolded(name):
		return `"` + name + `"`
	}
	return name
}

// comparedColumn reads a comparison with another column that is encrypted alike.
func (r *resolver) comparedColumn(tokens []sqltext.Token, i, before int, from origin, inside *scope) (last int, ok bool) {
	operator, _, behind := comparisonOperator(tokens, i+1)
	if operator != "=" || !startsCondition(tokens, before) {
		return 0, false
	}
	end := behind
	for end+2 < len(tokens) && tokens[end].IsName() && tokens[end+1].Is(".") {
		end += 2
	}
	if end >= len(tokens) || !endsCondition(tokens, end+1) {
		return 0, false
	}
	table, name, ok := sqltext.Item{Tokens: tokens[behind : end+1]}.Column()
	if !ok {
		return 0, false
	}
	other := inside.column(table, name).policy
	if other == nil || !other.searchable() || !from.policy.sameAs(other) || from.policy.held != other.held {
		return 0, false
	}
	r.oneVersion = append(r.oneVersion, from.policy)
	return end, true
}

// comparison reads what the column is compared with, and takes the comparison
// down.
func (r *resolver) comparison(tokens []sqltext.Token, i, before int, c comparison, from origin, inside *scope) (last int, ok bool) {
	operator, negated, behind := comparisonOperator(tokens, i+1)
	switch {
	case operator == "IN":
		c.negated, c.list = negated, true
		if c.operands, last, ok = operandList(tokens, behind); !ok {
			return 0, false
		}
	case operator == "=" && c.index != nil && len(c.index.of) > 1:
		c.negated = negated
		if c.operands, last, ok = operandList(tokens, behind); !ok {
			c.operands, last, ok = operand(tokens, behind)
		}
		if !ok {
			return 0, false
		}
	case operator == "=":
		c.negated = negated
		if c.operands, last, ok = operand(tokens, behind); !ok {
			return 0, false
		}
	case operator == "" && before >= 2: // value = column
		end := before + 1
		start := end - 1
		for start > 0 && tokens[start-1].Is("=", "<", ">", "!") {
			start--
		}
		operator, negated, behind := comparisonOperator(tokens, start)
		if operator != "=" || behind != end || start < 1 || tokens[start-1].Arg() < 0 {
			return 0, false
		}
		c.start, c.negated, c.operands, last = tokens[start-1].Start, negated, []int{tokens[start-1].Arg()}, i
		before = start - 2
	default:
		return 0, false
	}
	if !startsCondition(tokens, before) || !endsCondition(tokens, last+1) {
		return 0, false
	}
	c.end = tokens[last].End
	if c.index != nil {
		if err := c.index.checkMigrating(); err != nil {
			r.refused = err
			return 0, false
		}
	}
	if c.index != nil && c.index.truncated() {
		if !r.filtered(c, tokens, from, inside) {
			r.refused = c.index.unfiltered("only a query filters them: one of columns, for which all of its WHERE is joined by AND, without OR, NOT, GROUP BY, DISTINCT or functions; not a Count, an Update, a Delete, a subquery or a dry run")
			return 0, false
		}
		c.filter = len(r.filters)
	}
	r.comparisons = append(r.comparisons, c)
	return last, true
}

// comparisonOperator reads = and IN, or their opposites, and returns the index of
// the token behind.
func comparisonOperator(tokens []sqltext.Token, i int) (operator string, negated bool, behind int) {
	is := func(offset int, words ...string) bool {
		j := i + offset
		return j < len(tokens) && tokens[j].Is(words...) && (offset == 0 || tokens[j].Kind != sqltext.Symbol || tokens[j].Start == tokens[j-1].End)
	}
	switch {
	case is(0, "=") && is(1, "="):
		return "=", false, i + 2
	case is(0, "=") && !is(1, ">", "<", "~", "-", "+", "*"):
		return "=", false, i + 1
	case is(0, "<") && is(1, ">"), is(0, "!") && is(1, "="):
		return "=", true, i + 2
	case is(0, "IN"):
		return "IN", false, i + 1
	case is(0, "NOT") && is(1, "IN"):
		return "IN", true, i + 2
	}
	return "", false, i
}

// operand reads an argument or NULL, in parentheses or not, and returns the index
// of its last token.
func operand(tokens []sqltext.Token, i int) (operands []int, last int, ok bool) {
	at := func(j int) sqltext.Token {
		if j < len(tokens) {
			return tokens[j]
		}
		return sqltext.Token{}
	}
	switch {
	case at(i).Is("("):
		operands, last, ok = operand(tokens, i+1)
		return operands, last + 1, ok && at(last+1).Is(")")
	case at(i).Is("NULL"):
		return []int{-1}, i, true
	case at(i).Arg() < 0:
		return nil, 0, false
	case at(i + 1).Is("::"):
		return []int{at(i).Arg()}, i + 2, isPlainCast(tokens[i+2 : min(i+3, len(tokens))])
	}
	return []int{at(i).Arg()}, i, true
}

// operandList reads operands in parentheses.
func operandList(tokens []sqltext.Token, i int) (operands []int, last int, ok bool) {
	if i >= len(tokens) || !tokens[i].Is("(") {
		return nil, 0, false
	}
	for {
		one, end, ok := operand(tokens, i+1)
		if !ok || end+1 >= len(tokens) {
			return nil, 0, false
		}
		operands = append(operands, one...)
		switch i = end + 1; {
		case tokens[i].Is(")"):
			return operands, i, true
		case !tokens[i].Is(","):
			return nil, 0, false
		}
	}
}

// startsCondition reports whether a condition may start behind token i: nothing in
// front of it binds closer than it does itself.
func startsCondition(tokens []sqltext.Token, i int) bool {
	if i < 0 {
		return true
	}
	if !tokens[i].Is("(", ",", "AND", "OR", "NOT", "WHERE", "ON", "WHEN", "HAVING", "SELECT", "BY", "THEN", "ELSE", "CASE", "FILTER") {
		return false
	}
	if tokens[i].Is("AND") { // which may be that of BETWEEN
		depth := 0
		for j := i - 1; j >= 0 && depth >= 0; j-- {
			switch {
			case tokens[j].Is(")"):
				depth++
			case tokens[j].Is("("):
				depth--
			case depth == 0 && tokens[j].Is("BETWEEN"):
				return false
			case depth == 0 && tokens[j].Is("AND", "OR", "WHERE", "ON", "HAVING", ","):
				return true
			}
		}
	}
	return true
}

// endsCondition reports whether a condition ends in front of token i.
func endsCondition(tokens []sqltext.Token, i int) bool {
	return i >= len(tokens) || tokens[i].Is(")", ",", "AND", "OR", "GROUP", "ORDER", "LIMIT", "OFFSET", "HAVING", "WINDOW", "FETCH", "FOR",
		"THEN", "ELSE", "END", "WHEN", "AS", "WHERE", "DO")
}
