package gormcrypt

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// The gate for SQL that the program wrote by hand, for Raw and Exec. What goes
// into an encrypted column as an argument is sealed. What cannot be read for
// certain is refused before it is sent.

// checkHandWritten seals the arguments of a hand-written statement, or has it
// fail.
func (p *Plugin) checkHandWritten(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || stmt.SQL.Len() == 0 || p.tables.empty() {
		return
	}
	vars, err := p.handWritten(stmt, stmt.SQL.String(), stmt.Vars)
	if p.refuse(stmt, err) { // and do not log what was in it
		stmt.SQL.Reset()
		stmt.SQL.WriteString("/* refused by gormcrypt */")
		vars = nil
	}
	stmt.Vars = vars
}

// failedRow gives a Row that was refused an error, in place of a nil that Scan
// would panic on.
func failedRow(db *gorm.DB) {
	if rows, ok := db.Get("rows"); db.Error == nil || !ok || rows == true {
		return
	}
	if _, ok := db.Statement.Dest.(*sql.Row); !ok {
		db.Statement.Dest = rowOf(db.Error)
	}
}

// handWritten returns the arguments of a hand-written statement, sealed.
func (p *Plugin) handWritten(stmt *gorm.Statement, query string, vars []any) ([]any, error) {
	if err := refusedArgument(vars); err != nil {
		return nil, err
	}
	read := p.read(stmt, query)
	if !read.touches {
		return vars, nil
	}
	conditions := p.conditions(stmt)
	h := &handWritten{
		plugin: p, stmt: stmt, text: query, vars: vars, conditions: conditions,
		sources: sync.OnceValue(func() *sources { return conditions.sources().with(query) }),
		claims:  map[int][]claim{},
	}
	if !read.understood {
		return vars, h.checkUnread()
	}
	for _, s := range read.statements {
		if err := h.statement(s); err != nil {
			return nil, err
		}
	}
	if read.err != nil {
		return nil, read.err
	}
	return h.seal()
}

// handWritten walks through one text of SQL.
type handWritten struct {
	plugin     *Plugin
	stmt       *gorm.Statement
	text       string
	vars       []any
	conditions *conditions
	sources    func() *sources
	// claims are the arguments that go into encrypted columns, by their index.
	claims map[int][]claim
}

// claim says where an argument goes.
type claim struct {
	policy *policy
	row    writtenRow
}

// schemaVerbs are those of statements without values of columns.
var schemaVerbs = strings.Fields("CREATE ALTER DROP COMMENT TRUNCATE REINDEX VACUUM ANALYZE PRAGMA GRANT REVOKE LOCK SET SHOW RESET BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE END ATTACH DETACH")

func (h *handWritten) statement(s *sqltext.Statement) error {
	for _, table := range s.With {
		if err := h.statement(table.Query); err != nil {
			return err
		}
	}
	switch {
	case s.Verb == "SELECT":
		return h.query(s)
	case s.Verb == "INSERT":
		return h.insert(s)
	case s.Verb == "UPDATE", s.Verb == "DELETE":
		return h.update(s)
	case s.Verb == "EXPLAIN":
		return h.statement(s.Query)
	case slices.Contains(schemaVerbs, s.Verb) && len(h.vars) == 0:
		return nil
	}
	return h.checkUnread()
}

// named returns the policy of the encrypted column that a token may name.
func (h *handWritten) named(token sqltext.Token) *policy {
	if !token.IsName() || !h.plugin.tables.mayBe(token.Text) {
		return nil
	}
	return h.sources().column("", token.Text)
}

func handWrittenError(policy *policy, reason string) error {
	return &Error{Op: "seal", Table: policy.column.Table, Column: policy.column.Column, Err: fmt.Errorf("%w (%s)", ErrHandWritten, reason)}
}

func (h *handWritten) check(tokens []sqltext.Token) error {
	return h.conditions.tokens(tokens, h.sources)
}

// query reads a SELECT. Its items may be encrypted columns by themselves.
func (h *handWritten) query(s *sqltext.Statement) error {
	if err := h.items(s.Items); err != nil {
		return err
	}
	for _, source := range s.From {
		if source.Query != nil {
			if err := h.statement(source.Query); err != nil {
				return err
			}
		}
	}
	for _, other := range s.Union {
		if err := h.statement(other); err != nil {
			return err
		}
	}
	if s.Natural && h.sources().encrypted() {
		return h.check([]sqltext.Token{{Kind: sqltext.Word, Text: "NATURAL"}, {Kind: sqltext.Word, Text: "JOIN"}})
	}
	return h.check(s.Rest)
}

func (h *handWritten) items(items []sqltext.Item) error {
	for _, item := range items {
		var err error
		if item.Query != nil {
			err = h.statement(item.Query)
		} else if _, _, ok := item.Column(); !ok && !isRowCount(item.Tokens) {
			err = h.check(item.Tokens)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *handWritten) insert(s *sqltext.Statement) error {
	models := h.plugin.tables.named(s.Table.Name)
	if len(models) > 0 && s.Columns == nil && (s.Rows != nil || s.Query != nil) {
		for _, policy := range models[0].byField {
			return handWrittenError(policy, "the INSERT does not name its columns")
		}
	}
	policies := make([]*policy, len(s.Columns))
	for i, column := range s.Columns {
		policies[i] = models.column(column)
		if policies[i] != nil && s.Query != nil {
			return policies[i].fail(ErrExpression)
		}
	}
	for _, cells := range s.Rows {
		row := &handWrittenRow{h, s.Columns, cells}
		if s.Columns != nil && len(cells) != len(s.Columns) {
			return &Error{Op: "seal", Table: s.Table.Name, Err: fmt.Errorf("%w (a row has another number of values than there are columns)", ErrHandWritten)}
		}
		for i, cell := range cells {
			if err := h.value(policies, i, cell, row); err != nil {
				return err
			}
		}
	}
	if s.Query != nil {
		if err := h.statement(s.Query); err != nil {
			return err
		}
		for _, item := range s.Query.Items { // which would be copied
			if err := h.check(item.Tokens); err != nil && len(models) > 0 {
				return err
			}
		}
	}
	if err := h.assignments(models, s.Set); err != nil {
		return err
	}
	if err := h.items(s.Items); err != nil {
		return err
	}
	return h.check(s.Rest)
}

func (h *handWritten) value(policies []*policy, i int, cell []sqltext.Token, row writtenRow) error {
	if i < len(policies) && policies[i] != nil {
		return h.place(policies[i], cell, row)
	}
	return h.check(cell)
}

func (h *handWritten) update(s *sqltext.Statement) error {
	if err := h.assignments(h.plugin.tables.named(s.Table.Name), s.Set); err != nil {
		return err
	}
	return h.query(s)
}

// assignments reads a SET clause.
func (h *handWritten) assignments(models modelPolicies, set []sqltext.Assignment) error {
	var columns []string
	var values [][]sqltext.Token
	var together clause.Set
	for _, assignment := range set {
		columns, values = append(columns, assignment.Column), append(values, assignment.Value)
		together = append(together, clause.Assignment{Column: clause.Column{Name: assignment.Column}})
	}
	if err := models.checkBoundTogether(together); err != nil {
		return err
	}
	row := &handWrittenRow{h, columns, values}
	for _, assignment := range set {
		policy := models.column(assignment.Column)
		var err error
		switch {
		case policy == nil:
			err = h.check(assignment.Value)
		case isExcludedName(assignment.Value, assignment.Column):
			err = row.checkExcluded(policy)
		default:
			err = h.place(policy, assignment.Value, row)
		}
		if err != nil {
			return err
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

// place claims the argument that goes into an encrypted column.
func (h *handWritten) place(policy *policy, value []sqltext.Token, row writtenRow) error {
	switch {
	case len(value) == 1 && value[0].Is("NULL", "DEFAULT"):
		return nil
	case len(value) > 0 && value[0].Arg() >= 0 && (len(value) == 1 || value[1].Is("::") && isPlainCast(value[2:])):
		i := value[0].Arg()
		if i >= len(h.vars) {
			return handWrittenError(policy, "there are fewer arguments than placeholders")
		}
		h.claims[i] = append(h.claims[i], claim{policy, row})
		return nil
	}
	return policy.fail(ErrExpression)
}

// isPlainCast reports whether a cast keeps ciphertext as it is.
func isPlainCast(to []sqltext.Token) bool {
	return len(to) == 1 && to[0].Is("text", "varchar", "bytea")
}

// seal returns the arguments, with those that go into encrypted columns sealed.
func (h *handWritten) seal() ([]any, error) {
	sealed := slices.Clone(h.vars)
	uses := h.uses()
	for i, value := range h.vars {
		claims := h.claims[i]
		if len(claims) == 0 {
			if err := h.checkPlace(value); err != nil {
				return nil, err
			}
			continue
		}
		policy := claims[0].policy
		for _, other := range claims[1:] {
			if !other.policy.sameAs(policy) {
				return nil, handWrittenError(policy, "one argument goes into two encrypted columns")
			}
		}
		if uses[i] != len(claims) {
			return nil, handWrittenError(policy, "an argument that goes into it is used elsewhere too")
		}
		var err error
		if sealed[i], err = policy.seal(h.stmt.Context, value, claims[0].row); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// uses counts how often each argument stands in the text.
func (h *handWritten) uses() map[int]int {
	uses := map[int]int{}
	for i := range sqltext.Arguments(h.text) {
		uses[i]++
	}
	return uses
}

// checkPlace refuses an argument that is to be encrypted and goes nowhere where it
// would be opened.
func (h *handWritten) checkPlace(value any) error {
	if _, ok := value.(Sealed); !ok && wrapped(value) == nil {
		if _, ok = encryptedtype.Plaintext(value); !ok {
			return nil
		}
	}
	return &Error{Op: "seal", Err: ErrUnsealed}
}

// checkUnread refuses a statement that was not understood, unless it has nothing
// to do with an encrypted column, or all its arguments are sealed.
func (h *handWritten) checkUnread() error {
	var found *policy
	for token := range sqltext.Tokens(h.text) {
		policy := h.named(token)
		if token.Is("INSERT", "REPLACE", "MERGE", "COPY") { // which need not name columns
			policy = h.anyWritten()
		}
		if policy != nil && found == nil {
			found = policy
		}
	}
	if found == nil {
		return nil
	}
	if len(h.vars) == 0 {
		return handWrittenError(found, "it has no arguments")
	}
	for i, value := range h.vars {
		if sealed, ok := value.(Sealed); ok {
			h.claims[i] = []claim{{policy: sealed.policy}}
		} else {
			return handWrittenError(found, fmt.Sprintf("argument %d is not sealed", i+1))
		}
	}
	return nil
}

// anyWritten returns the policy of an encrypted column of a table that the text
// names, or nil.
func (h *handWritten) anyWritten() *policy {
	for _, table := range h.sources().tables {
		for _, m := range h.plugin.tables.named(table) {
			for _, policy := range m.byField {
				return policy
			}
		}
	}
	return nil
}

// handWrittenRow is a row that a hand-written statement writes.
type handWrittenRow struct {
	of      *handWritten
	columns []string
	values  [][]sqltext.Token
}

func (r *handWrittenRow) tokens(field *schema.Field) []sqltext.Token {
	for i, column := range r.columns {
		if fold(column) == fold(field.DBName) {
			return r.values[i]
		}
	}
	return nil
}

func (r *handWrittenRow) value(field *schema.Field) (any, error) {
	tokens := r.tokens(field)
	if len(tokens) == 0 {
		return nil, fmt.Errorf("the statement does not write %s", field.Name)
	}
	if i := tokens[0].Arg(); len(tokens) == 1 && i >= 0 && i < len(r.of.vars) {
		return r.of.vars[i], nil
	}
	return nil, fmt.Errorf("the statement does not give %s as an argument", field.Name)
}

// checkExcluded refuses to take a value from the row that an upsert was to insert
// without what it is bound to.
func (r *handWrittenRow) checkExcluded(policy *policy) error {
	for _, field := range policy.bind {
		if tokens := r.tokens(field); !isExcludedName(tokens, field.DBName) {
			return policy.fail(fmt.Errorf("%w %s: the upsert does not assign it from the new row; add it to the assignments", ErrBinding, field.Name))
		}
	}
	return nil
}
