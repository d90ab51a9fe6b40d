package gormcrypt

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// Truncated indexes match more rows than they should. What a query reads by one
// is filtered when it is opened, and so are its LIMIT and OFFSET applied then.
// Everything else that would take such a row for a match is refused.

// filter is what rows of a result must hold.
type filter struct {
	index *index
	table string // folded, as the statement calls it
	// wanted are the values of which the row must have one, each as many as the
	// index has fields, and columns are where the result has these. Both are nil in
	// what is remembered of a text.
	wanted  [][]any
	columns []int
}

// window is the part of a result that a statement asks for.
type window struct {
	limit, offset bound
	cuts          []comparison // where they stand in the text
}

// bound is a LIMIT or an OFFSET: a number, or an argument.
type bound struct {
	given  bool
	number int
	arg    int // -1 if it is a number
}

// filtered takes a comparison by a truncated index, if rows that match it can be
// filtered: one of a query that all rows of its result must fulfil, and that does
// nothing with them but put them in order.
func (r *resolver) filtered(c comparison, tokens []sqltext.Token, from origin, inside *scope) bool {
	s := inside.top
	if s == nil || s.Verb != "SELECT" || s.Distinct || len(s.Union) > 0 || c.negated || len(tokens) == 0 || len(s.Rest) == 0 || &tokens[0] != &s.Rest[0] {
		return false
	}
	for _, item := range s.Items {
		if _, _, ok := item.Column(); !ok {
			return false
		}
	}
	where := slices.IndexFunc(tokens, func(t sqltext.Token) bool { return t.Is("WHERE") })
	if where < 0 || c.start < tokens[where].Start {
		return false
	}
	r.window = window{}
	depth := 0
	for i := where; i < len(tokens); i++ {
		switch token := tokens[i]; {
		case token.Is("("):
			depth++
		case token.Is(")"):
			depth--
		case token.Is("OR", "NOT", "CASE", "GROUP", "HAVING", "FETCH", "WINDOW") && !isOther(tokens, i):
			return false
		case depth == 0 && token.Is("LIMIT", "OFFSET"):
			value, ok := readBound(tokens, i+1)
			if !ok {
				return false
			}
			if token.Is("LIMIT") {
				r.window.limit = value
			} else {
				r.window.offset = value
			}
			r.window.cuts = append(r.window.cuts, comparison{start: token.Start, end: tokens[i+1].End})
		}
	}
	r.filters = append(r.filters, filter{index: c.index, table: from.table})
	return true
}

// isOther reports whether a NOT is that of IS NOT NULL or NOT IN, which are no
// negation of what stands around them.
func isOther(tokens []sqltext.Token, i int) bool {
	return tokens[i].Is("NOT") && (tokens[i-1].Is("IS") || i+1 < len(tokens) && tokens[i+1].Is("IN"))
}

func readBound(tokens []sqltext.Token, i int) (bound, bool) {
	if i >= len(tokens) || i+1 < len(tokens) && !tokens[i+1].Is("LIMIT", "OFFSET", "FOR") {
		return bound{}, false
	}
	if arg := tokens[i].Arg(); arg >= 0 {
		return bound{given: true, arg: arg}, true
	}
	n, err := strconv.Atoi(tokens[i].Text)
	return bound{given: true, number: n, arg: -1}, err == nil && tokens[i].Kind == sqltext.Number
}

// value returns the number, -1 if there is none or it is NULL.
func (b bound) value(w *rewriter) (int, error) {
	switch {
	case !b.given:
		return -1, nil
	case b.arg < 0:
		return b.number, nil
	}
	v := reflect.Indirect(reflect.ValueOf(w.arg(b.arg)))
	switch {
	case !v.IsValid():
		return -1, nil
	case v.CanInt():
		return int(v.Int()), nil
	case v.CanUint():
		return int(v.Uint()), nil
	}
	return 0, &Error{Op: "query", Err: fmt.Errorf("%w (its LIMIT or OFFSET is no whole number)", ErrHandWritten)}
}

// selection is what is left to do with the rows of a result when they are opened.
type selection struct {
	filters     []filter
	skip, limit int // limit is -1 if there is none
}

// selection returns it for a statement with these arguments, nil if there is
// nothing to do.
func (w *rewriter) selection(read *readStatement) (*selection, error) {
	if len(read.filters) == 0 {
		return nil, nil
	}
	limit, err := read.window.limit.value(w)
	if err != nil {
		return nil, err
	}
	skip, err := read.window.offset.value(w)
	return &selection{skip: max(skip, 0), limit: limit}, err
}

// admits reports whether the current row is one that the statement asks for.
func (o *openedRows) admits() (bool, error) {
	if o.selection == nil {
		return true, nil
	}
	for i := range o.selection.filters {
		matches, err := o.matches(&o.selection.filters[i])
		if err != nil || !matches {
			return false, err
		}
	}
	if o.selection.skip > 0 {
		o.selection.skip--
		return false, nil
	}
	return true, nil
}

func (o *openedRows) matches(f *filter) (bool, error) {
	if f.columns == nil {
		if err := o.locate(f); err != nil {
			return false, err
		}
	}
	held := make([]any, len(f.columns))
	for i, column := range f.columns {
		policy, stored := o.origins[column].policy, o.values[column]
		if stored == nil && policy.beside != nil {
			var err error
			if stored, err = o.sealedBeside(column); err != nil {
				return false, err
			}
		}
		if stored == nil {
			return false, nil
		}
		bound, err := o.bound(column, stored)
		if err != nil {
			return false, err
		}
		fresh := reflect.New(policy.inner)
		if err := policy.openInto(fresh.Interface(), stored, bound); err != nil {
			return false, err
		}
		held[i] = fresh.Elem().Interface()
	}
	for _, wanted := range f.wanted {
		if equal, err := f.index.Equal(held, wanted); equal || err != nil {
			return equal, err
		}
	}
	return false, nil
}

// locate finds the columns of a filter in the result.
func (o *openedRows) locate(f *filter) error {
	columns := make([]int, len(f.index.of))
	for i, policy := range f.index.of {
		columns[i] = slices.IndexFunc(o.origins, func(from origin) bool {
			return from.policy != nil && from.table == f.table && fold(from.policy.field.DBName) == fold(policy.field.DBName)
		})
		if columns[i] < 0 {
			return f.index.unfiltered("the result does not have " + policy.field.DBName + ", by which it would be filtered; select it too")
		}
	}
	f.columns = columns
	return nil
}

// unfiltered is the error of a statement that takes all that a truncated index
// matches for a match.
func (x *index) unfiltered(problem string) error {
	return x.queryError(fmt.Sprintf("this index has bits=%d and matches other rows too, and %s", x.Bits, problem))
}
