package chains

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"
)

// operation is a step of a chain. It is drawn once, and runs in both worlds.
type operation struct {
	kind string
	// text is the operation as one would write it in Go.
	text string
	run  func(w *world, db *gorm.DB, out *outcome)
	// refused is the error that the encrypted world must give, if that is not
	// what the plain one would; then it must change nothing, and the plain world
	// is left out.
	refused error
	// mayRefuse is an error that the encrypted world may give. If it does, it must
	// change nothing, and the plain world is left out. It runs first, and didRefuse
	// says when it did.
	mayRefuse error
	didRefuse *[]bool
	// oneKey says that it is refused while two index keys are live.
	oneKey bool
}

// operationKind is a kind of operations, for -ops. Those of greater weight are
// drawn more often.
type operationKind struct {
	name   string
	weight int
	draw   func(t *rapid.T) operation
}

// chain is what is drawn for one check.
type chain struct {
	logger int
	// inhabited says that there are the rows of ada and bob to begin with.
	inhabited bool
	// turning says that two index keys are live, and both are sealed by.
	turning    bool
	operations []operation
}

// GoString is how rapid prints what failed.
func (c chain) GoString() string {
	var b strings.Builder
	if c.inhabited {
		fmt.Fprintf(&b, "\n    0: the tables hold %v and %v", inhabitants[1], inhabitants[2])
	}
	if c.turning {
		fmt.Fprintf(&b, "\n    0: two index keys are live")
	}
	for i, op := range c.operations {
		fmt.Fprintf(&b, "\n    %d: %s // %s", i+1, op.text, op.kind)
	}
	return b.String()
}

// drawChain draws chains of the kinds with these names.
func drawChain(named func(string) bool) (*rapid.Generator[chain], error) {
	one, err := drawOperation(named, deepest)
	if err != nil {
		return nil, err
	}
	return rapid.Custom(func(t *rapid.T) chain {
		return chain{logger: pick(t, 0, 0, 1), inhabited: upTo(t, 3) > 0, turning: sometimes(t, 3), operations: many(t, 1, 16, one)}
	}), nil
}

// deepest is how deep transactions are nested.
const deepest = 2

// drawOperation draws an operation of those kinds, with transactions nested so
// deep.
func drawOperation(named func(string) bool, depth int) (func(*rapid.T) operation, error) {
	var weighted []operationKind
	for _, kind := range kinds {
		if named(kind.name) {
			for range kind.weight {
				weighted = append(weighted, kind)
			}
		}
	}
	if depth > 0 && named("transaction") {
		inside, err := drawOperation(named, depth-1)
		if err != nil {
			return nil, err
		}
		transaction := operationKind{"transaction", 3, func(t *rapid.T) operation { return drawTransaction(t, inside, depth == deepest) }}
		for range transaction.weight {
			weighted = append(weighted, transaction)
		}
	}
	if len(weighted) == 0 {
		return nil, errors.New("no operation is called so")
	}
	return func(t *rapid.T) operation {
		kind := pick(t, weighted...)
		op := kind.draw(t)
		op.kind = kind.name
		return op
	}, nil
}

// piece is a part of a GORM call.
type piece struct {
	text  string
	apply func(w *world, db *gorm.DB) *gorm.DB
}

type pieces []piece

func (p pieces) String() string {
	var b strings.Builder
	for _, one := range p {
		b.WriteString(one.text)
	}
	return b.String()
}

func (p pieces) on(w *world, db *gorm.DB) *gorm.DB {
	for _, one := range p {
		db = one.apply(w, db)
	}
	return db
}

// sessions are ways to have a *gorm.DB that must not matter to encryption.
var sessions = []piece{
	session("PrepareStmt: true", gorm.Session{PrepareStmt: true}),
	session("SkipDefaultTransaction: true", gorm.Session{SkipDefaultTransaction: true}),
	session("SkipHooks: true", gorm.Session{SkipHooks: true}),
	session("QueryFields: true", gorm.Session{QueryFields: true}),
	session("CreateBatchSize: 2", gorm.Session{CreateBatchSize: 2}),
	session("FullSaveAssociations: true", gorm.Session{FullSaveAssociations: true}),
	session("AllowGlobalUpdate: true", gorm.Session{AllowGlobalUpdate: true}),
	session("DryRun: true", gorm.Session{DryRun: true}),
	unscoped,
	{".Debug()", func(_ *world, db *gorm.DB) *gorm.DB { return db.Debug() }},
	{".WithContext(ctx)", func(_ *world, db *gorm.DB) *gorm.DB {
		return db.WithContext(context.WithValue(db.Statement.Context, contextKey{}, "set"))
	}},
}

type contextKey struct{}

var unscoped = piece{".Unscoped()", func(_ *world, db *gorm.DB) *gorm.DB { return db.Unscoped() }}

func session(text string, config gorm.Session) piece {
	return piece{".Session(&gorm.Session{" + text + "})", func(_ *world, db *gorm.DB) *gorm.DB {
		config := config
		return db.Session(&config)
	}}
}

func drawSession(t *rapid.T) pieces {
	if !sometimes(t, 3) {
		return nil
	}
	return pieces{pick(t, sessions...)}
}

// condition is what Where, Not and Or take.
type condition struct {
	verb, text string
	// args returns the query and its arguments.
	args func(w *world, db *gorm.DB) []any
}

func (c condition) String() string { return "." + c.verb + "(" + c.text + ")" }

func (c condition) piece() piece {
	return piece{c.String(), func(w *world, db *gorm.DB) *gorm.DB {
		args := c.args(w, db.Session(&gorm.Session{NewDB: true}))
		switch c.verb {
		case "Not":
			return db.Not(args[0], args[1:]...)
		case "Or":
			return db.Or(args[0], args[1:]...)
		}
		return db.Where(args[0], args[1:]...)
	}}
}

// constant is a condition whose arguments are the same in both worlds.
func constant(text string, args ...any) condition {
	return condition{"Where", text, func(*world, *gorm.DB) []any { return args }}
}

// drawCondition draws a condition on plain columns of a table or on encrypted ones
// that can be searched, or a test for NULL.
func drawCondition(t *rapid.T, of *table) condition {
	c := drawWhere(t, of)
	c.verb = pick(t, "Where", "Where", "Where", "Where", "Not", "Or")
	return c
}

func drawWhere(t *rapid.T, of *table) condition {
	if len(of.searchable()) > 0 && sometimes(t, 3) {
		return drawSearch(t, of)
	}
	key := of.fields[0]
	value := func() string { return key.draw(t).(string) }
	switch upTo(t, 14) {
	case 0, 1, 2:
		v := value()
		return constant(fmt.Sprintf("%q, %q", key.column+" = ?", v), key.column+" = ?", v)
	case 3:
		v := []string{value(), value(), value()}
		return constant(fmt.Sprintf("%q, %#v", key.column+" IN ?", v), key.column+" IN ?", v)
	case 4:
		v := value()
		return constant(fmt.Sprintf("%q, %q", key.column, v), key.column, v)
	case 5:
		v := map[string]any{key.column: value()}
		return constant(fmt.Sprintf("%#v", v), v)
	case 6:
		f := pick(t, of.encrypted()...)
		query := pick(t, f.column, of.name+"."+f.column, `"`+f.column+`"`) + pick(t, " IS NULL", " IS NOT NULL", " is  not null")
		return constant(fmt.Sprintf("%q", query), query)
	case 7:
		f := pick(t, of.encrypted()...)
		v := map[string]any{pick(t, f.column, of.name+"."+f.column): nil}
		return constant(fmt.Sprintf("%#v", v), v)
	case 8:
		f := pick(t, of.encrypted()...)
		column := pick(t, clause.Column{Name: f.column}, clause.Column{Table: of.name, Name: f.column}, clause.Column{Table: clause.CurrentTable, Name: f.column})
		if coin(t) {
			return constant(fmt.Sprintf("clause.Eq{Column: %#v, Value: nil}", column), clause.Eq{Column: column})
		}
		return constant(fmt.Sprintf("clause.Neq{Column: %#v, Value: nil}", column), clause.Neq{Column: column})
	case 9:
		id := upTo(t, 5) + 1
		return constant(fmt.Sprintf("%q, %d", "id >= ?", id), of.name+".id >= ?", id)
	case 10:
		r := record{table: of, cells: []cell{{key, value()}}}
		return condition{"Where", "&" + r.String(), func(w *world, _ *gorm.DB) []any { return []any{w.row(r)} }}
	case 11:
		v := map[string]any{"k": value()}
		return constant(fmt.Sprintf("%q, %#v", key.column+" = @k", v), key.column+" = @k", v)
	case 12:
		a, b := value(), value()
		query := key.column + " = ? OR " + key.column + " = ?"
		return constant(fmt.Sprintf("%q, %q, %q", query, a, b), query, a, b)
	case 13:
		v := value()
		text := fmt.Sprintf("%q, db.Model(&%s{}).Select(%q).Where(%q, %q)", "id IN (?)", of.model, "id", key.column+" <> ?", v)
		return condition{"Where", text, func(w *world, db *gorm.DB) []any {
			return []any{of.name + ".id IN (?)", db.Model(w.empty(of)).Select("id").Where(key.column+" <> ?", v)}
		}}
	}
	a, b := drawWhere(t, of), drawWhere(t, of)
	return condition{"Where", fmt.Sprintf("db.Where(%s).Or(%s)", a.text, b.text), func(w *world, db *gorm.DB) []any {
		x, y := a.args(w, db), b.args(w, db)
		return []any{db.Where(x[0], x[1:]...).Or(y[0], y[1:]...)}
	}}
}

// drawConditions draws at least so many conditions, and at most so many.
func drawConditions(t *rapid.T, of *table, least, most int) []condition {
	return many(t, least, most, func(t *rapid.T) condition { return drawCondition(t, of) })
}

func toPieces(conditions []condition) pieces {
	var p pieces
	for _, c := range conditions {
		p = append(p, c.piece())
	}
	return p
}

// drawSelection draws what Select and Omit say of fields to be written.
func drawSelection(t *rapid.T, of *table) pieces {
	if !sometimes(t, 3) {
		return nil
	}
	fields := of.choosable()
	name := func(f *field) string {
		if strings.Contains(f.name, ".") || coin(t) {
			return f.column
		}
		return f.name
	}
	var chosen []string
	for _, f := range some(t, 4, fields...) {
		chosen = append(chosen, name(f))
	}
	switch upTo(t, 3) {
	case 0:
		return omitted(chosen...)
	case 1:
		return selected(append([]string{of.fields[0].name}, chosen...)...)
	case 2:
		return selected("*")
	}
	return omitted(clause.Associations)
}

func selected(columns ...string) pieces {
	return pieces{{fmt.Sprintf(".Select(%#v)", columns), func(_ *world, db *gorm.DB) *gorm.DB { return db.Select(append([]string{}, columns...)) }}}
}

func omitted(columns ...string) pieces {
	return pieces{{fmt.Sprintf(".Omit(%s)", list(columns)), func(_ *world, db *gorm.DB) *gorm.DB { return db.Omit(columns...) }}}
}

func list(of []string) string {
	quoted := make([]string, len(of))
	for i, one := range of {
		quoted[i] = fmt.Sprintf("%q", one)
	}
	return strings.Join(quoted, ", ")
}

// drawReturning draws a RETURNING clause, or none.
func drawReturning(t *rapid.T, of *table) pieces {
	if !sometimes(t, 4) {
		return nil
	}
	columns := some(t, 3, of.where(func(f *field) bool { return f.name != "ChangedAt" })...)
	var clauses clause.Returning
	var names []string
	for _, f := range columns {
		clauses.Columns = append(clauses.Columns, clause.Column{Name: f.column})
		names = append(names, f.column)
	}
	return pieces{{fmt.Sprintf(".Clauses(clause.Returning{%s})", list(names)), func(_ *world, db *gorm.DB) *gorm.DB { return db.Clauses(clauses) }}}
}

// account reads an account to go on with, or returns nil.
func (w *world) account(db *gorm.DB, out *outcome, name string) any {
	row := w.empty(accounts)
	if err := db.Session(&gorm.Session{NewDB: true}).Where("name = ?", name).Take(row).Error; err != nil {
		out.failed(err)
		return nil
	}
	return row
}
