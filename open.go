package gormcrypt

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The read gate. Fields of models open when GORM scans a row into them.

// serializer is what the tag serializer:encrypted names. GORM has one for the
// whole process; it finds the plugin of a field in the registry.
type serializer struct{}

// Value hands the field's value to the write gate. To everything else, such as
// a driver or a logger, it gives nothing but an error.
func (serializer) Value(_ context.Context, field *schema.Field, _ reflect.Value, value any) (any, error) {
	if held, ok := encryptedtype.Plaintext(value); ok {
		value = held
	}
	return unsealed{&heldValue{field, value}}, strayError{field}
}

// strayError is the error of a value that reached a driver, past the gates. It
// is made with every value, and read with hardly any.
type strayError struct{ field *schema.Field }

func (e strayError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the *Error that says why.
func (e strayError) Unwrap() error {
	reason := ErrNoPlugin
	if lookup(e.field) != nil {
		reason = ErrUnsealed
	}
	return &Error{Op: "seal", Table: e.field.Schema.Table, Column: e.field.DBName, Err: reason}
}

// Scan opens a stored value into the field of a row.
func (serializer) Scan(ctx context.Context, field *schema.Field, row reflect.Value, stored any) error {
	policy := lookup(field)
	if policy == nil {
		return &Error{Op: "open", Table: field.Schema.Table, Column: field.DBName, Err: ErrNoPlugin}
	}
	return policy.open(ctx, row, stored)
}

func (p *policy) open(ctx context.Context, row reflect.Value, stored any) error {
	target := p.field.ReflectValueOf(ctx, row)
	if stored == nil {
		target.SetZero()
		return nil
	}
	var bound []ciphertext.Bound
	if len(p.bind) > 0 {
		var err error
		if bound, err = p.boundIn(ctx, row); err != nil {
			return err
		}
	}
	if !p.held {
		return p.openInto(target.Addr().Interface(), stored, bound)
	}
	dst := target
	if target.Kind() == reflect.Pointer {
		dst = reflect.New(target.Type().Elem()).Elem()
	}
	err := dst.Addr().Interface().(encryptedtype.Field).OpenWith(func(dst any) error {
		return p.openInto(dst, stored, bound)
	})
	if err == nil && dst != target {
		target.Set(dst.Addr())
	}
	return err
}

// openInto opens a stored value into what dst points to.
func (p *policy) openInto(dst, stored any, bound []ciphertext.Bound) error {
	switch stored := stored.(type) {
	case string:
		return p.column.OpenString(dst, stored, bound...)
	case []byte:
		return p.column.Open(dst, stored, bound...)
	}
	return p.openError(fmt.Errorf("%w: the column holds a %T; its type must be text or binary", ErrNotCiphertext, stored))
}

func (p *policy) openError(err error) error {
	return &Error{Op: "open", Table: p.column.Table, Column: p.column.Column, Err: err}
}

// boundIn returns the values that the policy's column is bound to, from a row
// that GORM is filling in the order of the result's columns.
func (p *policy) boundIn(ctx context.Context, row reflect.Value) ([]ciphertext.Bound, error) {
	var bound []ciphertext.Bound
	for _, field := range p.bind {
		value, _ := field.ValueOf(ctx, row)
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			return nil, p.openError(fmt.Errorf("%w %s: %w when the row is read; select it too, in front of %s",
				ErrBinding, field.Name, err, p.field.DBName))
		}
		bound = append(bound, canonical)
	}
	return bound, nil
}

// orderSelect has a query read the values that a column is bound to before the
// column: GORM fills a row from left to right, and the order in the table is
// nobody's to rely on. The clause holds a list of columns.
func (p *Plugin) orderSelect(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	selected := c.Expression.(clause.Select)
	m := p.rowModel(stmt)
	all := len(selected.Columns) == 0 || len(selected.Columns) == 1 && selected.Columns[0].Name == "*"
	if all && m != nil && len(m.bound) > 0 && !isDerived(stmt) {
		selected.Columns = m.stored(clause.CurrentTable)
	}
	for _, column := range selected.Columns {
		if column.Raw && !isCount(column.Name) && !p.tables.empty() {
			p.refuse(stmt, p.conditions(stmt).list(column.Name, nil))
		}
	}
	selected.Columns = p.order(stmt, selected.Columns)
	c.Expression = selected
	return c
}

// orderReturning does the same for what INSERT, UPDATE and DELETE return.
func (p *Plugin) orderReturning(stmt *gorm.Statement, c clause.Clause) clause.Clause {
	returning, ok := c.Expression.(clause.Returning)
	m := p.rowModel(stmt)
	if !ok || m == nil || len(m.bound) == 0 {
		return c
	}
	if len(returning.Columns) == 0 || len(returning.Columns) == 1 && returning.Columns[0].Name == "*" {
		returning.Columns = m.stored("")
	}
	returning.Columns = p.order(stmt, returning.Columns)
	c.Expression = returning
	return c
}

// order moves the columns that are bound to others of their row to the end.
// It leaves the order of all others, and does not change its argument.
func (p *Plugin) order(stmt *gorm.Statement, columns []clause.Column) []clause.Column {
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
func (p *Plugin) rowModel(stmt *gorm.Statement) *modelPolicy {
	if stmt.Schema == nil {
		return nil
	}
	m, ok := p.models.Load(stmt.Schema)
	if !ok {
		return nil
	}
	return m.(*modelPolicy)
}

// discardOnError takes back the rows of a query of which one could not be
// opened: GORM would hand it out with an empty field, which a Save would then
// write.
func discardOnError(db *gorm.DB) {
	var failure *Error
	if db.Error == nil || !errors.As(db.Error, &failure) || failure.Op != "open" {
		return
	}
	result := db.Statement.ReflectValue
	if result.IsValid() && result.CanSet() {
		result.SetZero()
		db.RowsAffected = 0
	}
}

// dropUnmatched takes back the relations that GORM made up for rows of a LEFT JOIN
// without a match: a serializer's value is never nil to it, even if the column
// is NULL.
func (p *Plugin) dropUnmatched(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || stmt.Schema == nil || len(stmt.Joins) == 0 {
		return
	}
	rows := stmt.ReflectValue
	for _, join := range stmt.Joins {
		path := strings.Split(join.Name, ".")
		switch rows.Kind() {
		case reflect.Slice, reflect.Array:
			for i := range rows.Len() {
				dropRelation(db, stmt.Schema, rows.Index(i), path)
			}
		case reflect.Struct:
			dropRelation(db, stmt.Schema, rows, path)
		}
	}
}

func dropRelation(db *gorm.DB, s *schema.Schema, row reflect.Value, path []string) {
	if row = reflect.Indirect(row); row.Kind() != reflect.Struct || row.Type() != s.ModelType {
		return
	}
	relation := s.Relationships.Relations[path[0]]
	if relation == nil {
		return
	}
	target := relation.Field.ReflectValueOf(db.Statement.Context, row)
	if target.Kind() == reflect.Pointer && !target.IsNil() && len(relation.FieldSchema.PrimaryFields) > 0 {
		unmatched := true
		for _, key := range relation.FieldSchema.PrimaryFields {
			_, zero := key.ValueOf(db.Statement.Context, target)
			unmatched = unmatched && zero
		}
		if unmatched {
			target.SetZero()
			return
		}
	}
	if len(path) > 1 && (target.Kind() != reflect.Pointer || !target.IsNil()) {
		dropRelation(db, relation.FieldSchema, target, path[1:])
	}
}
