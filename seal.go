package gormcrypt

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The write gate. GORM hands the columns and the values of every statement
// that it builds to these functions, after hooks and conversions; what they
// return goes to the driver and to the logger. The clauses of the statement
// and the caller's maps and structs stay as they are.

// sealValues seals the rows of an INSERT.
func (p *Plugin) sealValues(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	values, ok := c.Expression.(clause.Values)
	if !ok {
		return c
	}
	models := p.target(stmt)
	policies := make([]*policy, len(values.Columns))
	encrypted := false
	for i, column := range values.Columns {
		policies[i] = models.column(column.Name)
		encrypted = encrypted || policies[i] != nil
	}
	if err := p.checkPlain(stmt, func(check func(any) error) error {
		for _, row := range values.Values {
			for i, policy := range policies {
				if policy == nil {
					if err := check(row[i]); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}); p.refuse(stmt, err) {
		c.Expression = clause.Values{Columns: values.Columns[:1], Values: [][]any{{refused{err}}}}
		return c
	}
	if !encrypted {
		return c
	}
	rows := make([][]any, len(values.Values))
	cells := make([]any, 0, len(values.Values)*len(values.Columns))
	for i, row := range values.Values {
		cells = append(cells, row...)
		rows[i] = cells[len(cells)-len(row):]
	}
	for i, row := range values.Values {
		if err := sealRow(stmt.Context, policies, rows[i], &insertedRow{values.Columns, row}); err != nil {
			p.refuse(stmt, err)
			refuseAll(policies, rows, err)
			break
		}
	}
	values.Values = rows
	c.Expression = values
	return c
}

// sealRow seals the values of a row of an INSERT in place.
func sealRow(ctx context.Context, policies []*policy, row []any, original *insertedRow) error {
	for i, policy := range policies {
		if policy != nil {
			sealed, err := policy.seal(ctx, original.values[i], original)
			if err != nil {
				return err
			}
			row[i] = sealed
		}
	}
	return nil
}

// refuseAll leaves nothing unsealed in a statement that fails: it will be
// logged.
func refuseAll(policies []*policy, rows [][]any, failure error) {
	for _, row := range rows {
		for i, policy := range policies {
			if policy != nil {
				row[i] = refused{failure}
			}
		}
	}
}

// insertedRow knows the values of a row of an INSERT.
type insertedRow struct {
	columns []clause.Column
	values  []any
}

func (r *insertedRow) value(field *schema.Field) (any, error) {
	for i, column := range r.columns {
		if fold(column.Name) == fold(field.DBName) {
			return r.values[i], nil
		}
	}
	return nil, fmt.Errorf("the statement does not write %s; set it before, or bind to a field that is: an auto-increment key is not known yet", field.Name)
}

// sealSet seals the assignments of an UPDATE.
func (p *Plugin) sealSet(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	set, ok := c.Expression.(clause.Set)
	if !ok {
		return c
	}
	models := p.target(stmt)
	failure := p.checkPlainSet(stmt, models, set)
	if failure == nil {
		failure = models.checkBoundTogether(set)
	}
	rows := &updatedRows{stmt: stmt, set: set}
	sealed := slices.Clone(set)
	for i, assignment := range set {
		policy := models.column(assignment.Column.Name)
		if policy == nil {
			if failure != nil && !isPlainValue(assignment.Value) {
				sealed[i].Value = refused{failure}
			}
			continue
		}
		if failure == nil {
			sealed[i].Value, failure = policy.seal(stmt.Context, assignment.Value, rows)
		}
		if failure != nil {
			sealed[i].Value = refused{failure}
		}
	}
	if !p.refuse(stmt, failure) {
		rows.restrict(stmt)
	}
	c.Expression = sealed
	return c
}

// sealOnConflict seals the assignments of an upsert.
func (p *Plugin) sealOnConflict(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	conflict, ok := c.Expression.(clause.OnConflict)
	if !ok {
		return c
	}
	models := p.target(stmt)
	conflict.DoUpdates = models.completeConflict(stmt, conflict.DoUpdates)
	failure := p.checkPlainSet(stmt, models, conflict.DoUpdates)
	if failure == nil {
		failure = models.checkBoundTogether(conflict.DoUpdates)
	}
	sealed := slices.Clone(conflict.DoUpdates)
	for i, assignment := range conflict.DoUpdates {
		policy := models.column(assignment.Column.Name)
		if policy == nil {
			if failure != nil && !isPlainValue(assignment.Value) {
				sealed[i].Value = refused{failure}
			}
			continue
		}
		if failure == nil {
			sealed[i].Value, failure = policy.sealConflict(stmt.Context, conflict, assignment)
		}
		if failure != nil {
			sealed[i].Value = refused{failure}
		}
	}
	p.refuse(stmt, failure)
	conflict.DoUpdates = sealed
	conflict.Where = p.checkConditions(stmt, conflict.Where)
	conflict.TargetWhere = p.checkConditions(stmt, conflict.TargetWhere)
	c.Expression = conflict
	return c
}

// isPlainValue reports whether a value is neither SQL nor a field of a model.
func isPlainValue(v any) bool {
	_, expression := v.(clause.Expression)
	return !expression && wrapped(v) == nil
}

// checkPlain checks the values that go to columns which are not encrypted:
// a value of an encrypted field would arrive there as it is, and an expression
// may compare an encrypted column, or copy one.
func (p *Plugin) checkPlain(stmt *gorm.Statement, each func(check func(any) error) error) error {
	if p.tables.empty() {
		return nil
	}
	var read *conditions
	return each(func(v any) error {
		if field := wrapped(v); field != nil {
			return &Error{Op: "seal", Table: field.Schema.Table, Column: field.DBName, Err: ErrUnsealed}
		}
		expr, ok := v.(clause.Expression)
		if !ok {
			return nil
		}
		if read == nil {
			read = p.conditions(stmt)
		}
		_, err := read.one(expr)
		return err
	})
}

func (p *Plugin) checkPlainSet(stmt *gorm.Statement, models modelPolicies, set clause.Set) error {
	return p.checkPlain(stmt, func(check func(any) error) error {
		for _, assignment := range set {
			if models.column(assignment.Column.Name) == nil {
				if err := check(assignment.Value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// completeConflict adds to an upsert the columns that are bound to one that it
// takes from the new row, if the new row has a value for them. GORM's own
// upserts, for associations, take nothing but the foreign key.
func (ms modelPolicies) completeConflict(stmt *gorm.Statement, set clause.Set) clause.Set {
	values, ok := stmt.Clauses["VALUES"].Expression.(clause.Values)
	if !ok {
		return set
	}
	complete := slices.Clone(set)
	for _, assignment := range set {
		for _, policy := range ms.boundTo(assignment.Column.Name) {
			excluded := clause.Column{Table: "excluded", Name: policy.field.DBName}
			written := slices.ContainsFunc(complete, func(other clause.Assignment) bool { return ms.column(other.Column.Name) == policy })
			bound := policy.bind[slices.IndexFunc(policy.bind, func(field *schema.Field) bool { return fold(field.DBName) == fold(assignment.Column.Name) })]
			if !written && isExcluded(assignment.Value, bound) && policy.inserted(values) {
				complete = append(complete, clause.Assignment{Column: clause.Column{Name: policy.field.DBName}, Value: excluded})
			}
		}
	}
	return complete
}

// inserted reports whether every row of an INSERT has a value for the column
// that is not zero.
func (p *policy) inserted(values clause.Values) bool {
	i := slices.IndexFunc(values.Columns, func(column clause.Column) bool { return fold(column.Name) == fold(p.field.DBName) })
	return i >= 0 && !slices.ContainsFunc(values.Values, func(row []any) bool {
		value := row[i]
		if u, ok := unwrap(value); ok {
			_, value = u.reveal()
		}
		return value == nil || reflect.ValueOf(value).IsZero()
	})
}

// sealConflict seals one assignment of an upsert. The row that is in the table
// may differ from the one that was to be inserted, so what the new value is
// bound to must be written beside it or be what the rows conflict in.
func (p *policy) sealConflict(ctx context.Context, conflict clause.OnConflict, assignment clause.Assignment) (any, error) {
	if !isExcluded(assignment.Value, p.field) {
		return p.seal(ctx, assignment.Value, conflictingRow(conflict.DoUpdates))
	}
	for _, field := range p.bind {
		value, err := conflictingRow(conflict.DoUpdates).value(field)
		conflicting := slices.ContainsFunc(conflict.Columns, func(column clause.Column) bool {
			return fold(column.Name) == fold(field.DBName)
		})
		if (err != nil || !isExcluded(value, field)) && !conflicting {
			return nil, p.fail(fmt.Errorf("%w %s: the upsert neither assigns it from the new row nor conflicts in it; add it to the assignments", ErrBinding, field.Name))
		}
	}
	return assignment.Value, nil
}

// conflictingRow knows the values that an upsert assigns to the row that is in
// the table.
type conflictingRow clause.Set

func (r conflictingRow) value(field *schema.Field) (any, error) {
	for _, assignment := range r {
		if fold(assignment.Column.Name) == fold(field.DBName) {
			return assignment.Value, nil
		}
	}
	return nil, fmt.Errorf("the upsert does not assign %s", field.Name)
}

// isExcluded reports whether a value is the field's own column in the row that
// an upsert was to insert.
func isExcluded(value any, field *schema.Field) bool {
	column, ok := value.(clause.Column)
	return ok && !column.Raw && strings.EqualFold(column.Table, "excluded") && fold(column.Name) == fold(field.DBName)
}

// checkBoundTogether refuses to change a value that an encrypted column is
// bound to without writing that column: what is stored would never open again.
func (ms modelPolicies) checkBoundTogether(set clause.Set) error {
	for _, assignment := range set {
		for _, policy := range ms.boundTo(assignment.Column.Name) {
			if !slices.ContainsFunc(set, func(other clause.Assignment) bool { return ms.column(other.Column.Name) == policy }) {
				return policy.fail(fmt.Errorf("%w: %s is bound to %s, which would change without it; set both in one statement",
					ErrBinding, policy.field.Name, assignment.Column.Name))
			}
		}
	}
	return nil
}

// updatedRows knows the values that the rows of an UPDATE will have: those that
// it assigns, and those of the model that it is called with.
type updatedRows struct {
	stmt *gorm.Statement
	set  clause.Set
	// taken are the values that were taken from the model. The rows of the
	// table may have others.
	taken []clause.Expression
}

func (r *updatedRows) value(field *schema.Field) (any, error) {
	for _, assignment := range r.set {
		if fold(assignment.Column.Name) == fold(field.DBName) {
			return assignment.Value, nil
		}
	}
	row := r.stmt.ReflectValue
	if row.Kind() != reflect.Struct || row.Type() != field.Schema.ModelType {
		return nil, fmt.Errorf("the update has no row to take %s from; call it on one model that has it, or set it too", field.Name)
	}
	value, zero := field.ValueOf(r.stmt.Context, row)
	if zero {
		return nil, fmt.Errorf("%s is zero in the model that is updated; load the row first, or set it too", field.Name)
	}
	if !field.PrimaryKey { // by which GORM selects the row anyway
		r.taken = append(r.taken, clause.Eq{Column: field.DBName, Value: value})
	}
	return value, nil
}

// restrict has the UPDATE leave out rows whose values are not those that were
// taken from the model: they would hold ciphertext that never opens.
func (r *updatedRows) restrict(stmt *gorm.Statement) {
	c := stmt.Clauses["WHERE"]
	where, ok := c.Expression.(clause.Where)
	if len(r.taken) == 0 || !ok && !stmt.AllowGlobalUpdate {
		return // GORM itself refuses an update without conditions
	}
	var conditions []clause.Expression
	if len(where.Exprs) > 0 {
		conditions = append(conditions, clause.And(where.Exprs...))
	}
	c.Name, c.Expression = "WHERE", clause.Where{Exprs: append(conditions, r.taken...)}
	stmt.Clauses["WHERE"] = c
	stmt.Settings.Store(restrictedKey, true)
}

// restrictedKey marks a statement that restrict has narrowed.
const restrictedKey = "gormcrypt:restricted"

// checkRestricted reports an update that found no row because of that: without
// an error, the program would take the value for stored.
func checkRestricted(db *gorm.DB) {
	if _, ok := db.Statement.Settings.LoadAndDelete(restrictedKey); ok && db.Error == nil && !db.DryRun && db.RowsAffected == 0 {
		_ = db.AddError(fmt.Errorf("gormcrypt: %w: no row has the values of the model that is updated; load it again", ErrBinding))
	}
}

// writtenRow is the row that a statement writes a value to. It knows the other
// values, which that one may be bound to, or why not.
type writtenRow interface {
	value(field *schema.Field) (any, error)
}

// seal returns what the driver gets for a value: text, bytes, or nil for NULL.
func (p *policy) seal(ctx context.Context, value any, row writtenRow) (any, error) {
	plaintext, err := p.plaintext(ctx, value)
	if err != nil {
		return nil, p.fail(err)
	}
	if plaintext == nil {
		return nil, nil
	}
	var bound []ciphertext.Bound
	for _, field := range p.bind {
		value, err := row.value(field)
		if err == nil {
			value, err = convert(ctx, field, field.Set, field.IndirectFieldType, value)
		}
		if err != nil {
			return nil, p.fail(fmt.Errorf("%w %s: %w", ErrBinding, field.Name, err))
		}
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			return nil, p.fail(fmt.Errorf("%w %s: %w when the row is written; set it before, or bind to a field that is: an auto-increment key is not known yet", ErrBinding, field.Name, err))
		}
		bound = append(bound, canonical)
	}
	var buffer [384]byte
	sealed, err := p.column.Seal(buffer[:0], plaintext, bound...)
	switch {
	case ciphertext.IsNull(err):
		return nil, nil
	case err != nil:
		return nil, err
	case p.column.Binary:
		return slices.Clone(sealed), nil
	}
	return string(sealed), nil
}

// plaintext returns the Go value that is to be sealed, nil for NULL.
func (p *policy) plaintext(ctx context.Context, value any) (any, error) {
	if u, ok := unwrap(value); ok {
		field, inner := u.reveal()
		if field == p.field {
			return inner, nil
		}
		return p.convert(ctx, inner)
	}
	if inner, ok := encryptedtype.Plaintext(value); ok {
		return p.convert(ctx, inner)
	}
	if reflect.TypeOf(value) == p.inner {
		return value, nil
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case clause.Expr:
		if len(v.Vars) == 0 && strings.EqualFold(strings.TrimSpace(v.SQL), "NULL") {
			return nil, nil
		}
		return nil, ErrExpression
	case clause.Expression, clause.Interface, clause.Column, clause.Table, gorm.Valuer, *gorm.DB:
		return nil, ErrExpression
	case []any:
		if len(v) == 1 {
			if _, ok := v[0].(*gorm.DB); ok { // how GORM hands on a subquery
				return nil, ErrExpression
			}
		}
	}
	return p.convert(ctx, value)
}

func (p *policy) fail(err error) error {
	return &Error{Op: "seal", Table: p.column.Table, Column: p.column.Column, Err: err}
}

// refuse has a statement fail before it is sent, if there is an error.
func (p *Plugin) refuse(stmt *gorm.Statement, err error) bool {
	if err == nil {
		return false
	}
	_ = stmt.AddError(err)
	return true
}

// redacted is what stands in a log for a value that was not sealed.
const redacted = "[encrypted]"

// refused is an argument that no driver accepts. In a subquery it is what
// makes the outer statement fail, which does not see the error of the inner.
type refused struct{ err error }

// Value fails. What it returns beside the error is not nil, which GORM would
// take for NULL.
func (r refused) Value() (driver.Value, error) { return redacted, r.err }

// unsealed is what the serializer hands on in place of a value: the gates take
// the value out, and nothing prints it. GORM compares two of them to see what an
// update changes.
type unsealed struct{ held *heldValue }

type heldValue struct {
	field *schema.Field
	value any
}

func (u unsealed) reveal() (*schema.Field, any) { return u.held.field, u.held.value }

// Format writes [encrypted].
func (u unsealed) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// wrapperType is what GORM's schema package wraps the values of fields with a
// serializer in. It is not exported.
var wrapperType = sync.OnceValue(func() reflect.Type {
	type probe struct {
		Field string `gorm:"serializer:json"`
	}
	s, err := schema.Parse(&probe{}, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		return nil
	}
	value, _ := s.FieldsByName["Field"].ValueOf(context.Background(), reflect.ValueOf(probe{}))
	return reflect.TypeOf(value)
})

// wrapped returns the encrypted field whose value is in a wrapper, or nil.
func wrapped(v any) *schema.Field {
	if v == nil || reflect.TypeOf(v) != wrapperType() {
		return nil
	}
	field, ok := reflect.ValueOf(v).Elem().FieldByName("Field").Interface().(*schema.Field)
	if !ok || !isMarked(field) {
		return nil
	}
	return field
}

// unwrap takes the value of a model's field out of its wrapper, if it is one of
// ours.
func unwrap(v any) (unsealed, bool) {
	if wrapped(v) == nil {
		return unsealed{}, false
	}
	value, _ := v.(driver.Valuer).Value() // the error is for drivers
	u, ok := value.(unsealed)
	return u, ok
}
