package gormcrypt

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// Bound columns: a value under bind= opens only beside the values that it was
// sealed beside. What follows finds those values when a row is written and when
// it is read, and refuses what would part them.

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
	if !isExcluded(assignment.Value, p.ownField()) {
		return p.seal(ctx, assignment.Value, conflictingRow(conflict.DoUpdates))
	}
	for _, field := range p.bind {
		value, err := conflictingRow(conflict.DoUpdates).value(field)
		conflicting := slices.ContainsFunc(conflict.Columns, func(column clause.Column) bool {
			return fold(column.Name) == fold(field.DBName)
		})
		if (err != nil || !isExcluded(value, field)) && !conflicting {
			return nil, p.fail(fmt.Errorf("%w to %s: the upsert neither assigns it from the new row nor conflicts in it; add it to the assignments", ErrBinding, field.Name))
		}
	}
	return assignment.Value, nil
}

// conflictingRow knows the values that an upsert assigns to the row that is in
// the table.
type conflictingRow clause.Set

func (r conflictingRow) value(field *schema.Field) (any, error) {
	if value, ok := assigned(clause.Set(r), field); ok {
		return value, nil
	}
	return nil, fmt.Errorf("the upsert does not assign %s", field.Name)
}

// assigned returns what a statement assigns to the column of a field, if it does.
func assigned(set clause.Set, field *schema.Field) (any, bool) {
	for _, assignment := range set {
		if fold(assignment.Column.Name) == fold(field.DBName) {
			return assignment.Value, true
		}
	}
	return nil, false
}

// isConflicting reports whether an upsert takes a column from the new row that the
// rows conflict in, which is the same in both.
func isConflicting(conflict clause.OnConflict, assignment clause.Assignment) bool {
	column, ok := assignment.Value.(clause.Column)
	return ok && !column.Raw && strings.EqualFold(column.Table, "excluded") && fold(column.Name) == fold(assignment.Column.Name) &&
		slices.ContainsFunc(conflict.Columns, func(c clause.Column) bool { return fold(c.Name) == fold(column.Name) })
}

// isExcluded reports whether a value is the field's own column in the row that
// an upsert was to insert.
func isExcluded(value any, field *schema.Field) bool {
	column, ok := value.(clause.Column)
	return ok && !column.Raw && strings.EqualFold(column.Table, "excluded") && fold(column.Name) == fold(field.DBName)
}

// checkBoundTogether refuses to change a value that an encrypted column is
// bound to without writing that column: what is stored would never open again.
// Those assignments that are the same do not change it.
func (ms modelPolicies) checkBoundTogether(set clause.Set, same func(clause.Assignment) bool) error {
	for _, assignment := range set {
		if same(assignment) {
			continue
		}
		for _, policy := range ms.boundTo(assignment.Column.Name) {
			if !slices.ContainsFunc(set, func(other clause.Assignment) bool { return ms.column(other.Column.Name) == policy }) {
				return policy.fail(fmt.Errorf("%w to %s, which would change without it; set both in one statement", ErrBinding, assignment.Column.Name))
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
	if value, ok := assigned(r.set, field); ok {
		return value, nil
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
		_ = db.AddError(fmt.Errorf("gormcrypt: %w, and no row has what it is bound to in the model that is updated; load it again", ErrBinding))
	}
}

// writtenRow is the row that a statement writes a value to. It knows the other
// values, which that one may be bound to, or why not.
type writtenRow interface {
	value(field *schema.Field) (any, error)
}

// boundTo returns the values that the policy's column is bound to, from the row that
// is written.
func (p *policy) boundTo(ctx context.Context, row writtenRow) ([]ciphertext.Bound, error) {
	var bound []ciphertext.Bound
	for _, field := range p.bind {
		value, err := boundValue(ctx, row, field)
		if err != nil {
			return nil, p.fail(fmt.Errorf("%w to %s: %w", ErrBinding, field.Name, err))
		}
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			return nil, p.fail(fmt.Errorf("%w to %s, and %w when the row is written; set it before, or bind to a field that is: an auto-increment key is not known yet", ErrBinding, field.Name, err))
		}
		bound = append(bound, canonical)
	}
	return bound, nil
}

// boundValue returns what a row that is written has in a field, as the field holds it.
func boundValue(ctx context.Context, row writtenRow, field *schema.Field) (any, error) {
	value, err := row.value(field)
	if err != nil {
		return nil, err
	}
	return convert(ctx, field, field.Set, field.IndirectFieldType, value)
}

// checkSealed refuses a ciphertext that was sealed for other values than those that
// the row has. Where they are not known, as in hand-written SQL that does not write
// them, it is the program that has to know.
func (p *policy) checkSealed(ctx context.Context, sealed Sealed, row writtenRow) error {
	for i, field := range p.bind {
		value, err := boundValue(ctx, row, field)
		if err != nil || sealed.stored == nil || sealed.isPlain() {
			continue
		}
		if canonical, err := ciphertext.Bind(value); err != nil || !bytes.Equal(canonical, sealed.bound[i]) {
			return p.fail(fmt.Errorf("%w to %s, and was sealed for another one than the row has; give Seal a model with that of the row", ErrBinding, field.Name))
		}
	}
	return nil
}

// boundIn returns the values that the policy's column is bound to, from a row
// that GORM is filling in the order of the result's columns.
func (p *policy) boundIn(ctx context.Context, row reflect.Value) ([]ciphertext.Bound, error) {
	var bound []ciphertext.Bound
	for _, field := range p.bind {
		value, _ := field.ValueOf(ctx, row)
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			return nil, p.openError(fmt.Errorf("%w to %s, and %w in the row, or was not selected in front of %s; select it too", ErrBinding, field.Name, err, p.field.DBName))
		}
		bound = append(bound, canonical)
	}
	return bound, nil
}

// orderSelect has a query read the values that a column is bound to before the
// column: GORM fills a row from left to right, and the order in the table is
// nobody's to rely on. The clause holds a list of columns.
func (p *Plugin) orderSelect(stmt *gorm.Statement, selected clause.Select) clause.Expression {
	m := p.rowModel(stmt)
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	joined := len(stmt.Joins) > 0 || len(from.Joins) > 0
	all := len(selected.Columns) == 0 || len(selected.Columns) == 1 && selected.Columns[0].Name == "*" && !joined
	if all && m != nil && len(m.bound) > 0 && !isDerived(stmt) {
		selected.Columns = m.stored(clause.CurrentTable)
	}
	selected.Columns = p.order(stmt, selected.Columns)
	return selected
}

// orderReturning does the same for what INSERT, UPDATE and DELETE return.
func (p *Plugin) orderReturning(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	returning, ok := expr.(clause.Returning)
	m := p.rowModel(stmt)
	if !ok || m == nil || len(m.bound) == 0 {
		return expr
	}
	if len(returning.Columns) == 0 || len(returning.Columns) == 1 && returning.Columns[0].Name == "*" {
		returning.Columns = m.stored("")
	}
	returning.Columns = p.order(stmt, returning.Columns)
	return returning
}

// order moves the columns that are bound to others of their row to the end.
// It leaves the order of all others, and does not change its argument.
func (p *Plugin) order(stmt *gorm.Statement, columns []clause.Column) []clause.Column {
	if len(columns) == 0 {
		return columns
	}
	models := p.target(stmt)
	isBound := func(column clause.Column) bool {
		policy := models.column(column.Name)
		if policy == nil && column.Alias != "" {
			policy = p.tables.anywhere(column.Name) // of a joined table
		}
		return policy != nil && len(policy.bind) > 0
	}
	if !slices.ContainsFunc(columns, isBound) {
		return columns
	}
	ordered := slices.Clone(columns)
	slices.SortStableFunc(ordered, func(a, b clause.Column) int {
		switch x, y := isBound(a), isBound(b); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return ordered
}

// isDerived reports whether a statement reads from something else than the table
// of its model, which may have fewer columns.
func isDerived(stmt *gorm.Statement) bool {
	return stmt.TableExpr != nil && (len(stmt.TableExpr.Vars) > 0 || strings.ContainsAny(stmt.TableExpr.SQL, " ("))
}

// stored returns the columns of the model that its table has.
func (m *modelPolicy) stored(table string) []clause.Column {
	var columns []clause.Column
	for _, name := range m.schema.DBNames {
		if !m.schema.FieldsByDBName[name].IgnoreMigration {
			columns = append(columns, clause.Column{Table: table, Name: name})
		}
	}
	return columns
}

// rowModel returns the model that a statement reads rows of.
func (p *Plugin) rowModel(stmt *gorm.Statement) *modelPolicy { return p.known(stmt.Schema) }
