package gormcrypt

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The write gate. GORM hands the columns and the values of every statement
// that it builds to these functions, after hooks and conversions; what they
// return goes to the driver and to the logger. The clauses of the statement
// and the caller's maps and structs stay as they are.

// sealValues seals the rows of an INSERT.
func (p *Plugin) sealValues(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	values, ok := expr.(clause.Values)
	if !ok {
		return expr
	}
	var policies []*policy
	encrypted := false
	models := p.target(stmt)
	plain := values
	values, err := models.indexRows(stmt.Context, values)
	if err == nil {
		values, err = models.besideRows(values)
	}
	if p.refuse(stmt, err) {
		return clause.Values{Columns: plain.Columns[:1], Values: [][]any{{refused{err}}}}
	}
	if len(models) > 0 {
		policies = make([]*policy, len(values.Columns))
		for i, column := range values.Columns {
			policies[i] = models.column(column.Name)
			encrypted = encrypted || policies[i] != nil
		}
	}
	if err := p.checkPlain(stmt, func(check func(any) error) error {
		for _, row := range values.Values {
			for i, value := range row {
				if policies == nil || policies[i] == nil {
					if err := check(value); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}); p.refuse(stmt, err) {
		return clause.Values{Columns: values.Columns[:1], Values: [][]any{{refused{err}}}}
	}
	if !encrypted {
		return expr
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
	return values
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

// sealSet seals the assignments of an UPDATE.
func (p *Plugin) sealSet(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	set, ok := expr.(clause.Set)
	if !ok {
		return expr
	}
	rows := &updatedRows{stmt: stmt, set: set}
	none := func(clause.Assignment) bool { return false }
	sealed, ok := p.sealAssignments(stmt, set, none, func(policy *policy, assignment clause.Assignment) (any, error) {
		return policy.seal(stmt.Context, assignment.Value, rows)
	})
	if ok {
		rows.restrict(stmt)
	}
	return sealed
}

// sealOnConflict seals the assignments of an upsert.
func (p *Plugin) sealOnConflict(stmt *gorm.Statement, expr clause.Expression) clause.Expression {
	conflict, ok := expr.(clause.OnConflict)
	if !ok {
		return expr
	}
	models := p.target(stmt)
	for _, column := range conflict.Columns {
		if policy := models.column(column.Name); policy != nil && (policy.column.Deterministic || policy.migrating != "") && p.refuse(stmt, policy.checkOneVersion()) {
			return clause.OnConflict{DoNothing: true} // and do not log what was in it
		}
		if x := models.index(column.Name); x != nil && p.refuse(stmt, x.checkOneTerm()) {
			return clause.OnConflict{DoNothing: true}
		}
	}
	conflict.DoUpdates = models.completeConflict(stmt, conflict.DoUpdates)
	same := func(assignment clause.Assignment) bool { return isConflicting(conflict, assignment) }
	conflict.DoUpdates, _ = p.sealAssignments(stmt, conflict.DoUpdates, same, func(policy *policy, assignment clause.Assignment) (any, error) {
		return policy.sealConflict(stmt.Context, conflict, assignment)
	})
	conflict.Where.Exprs, _ = p.checkConditions(stmt, conflict.Where.Exprs)
	conflict.TargetWhere.Exprs, _ = p.checkConditions(stmt, conflict.TargetWhere.Exprs)
	return conflict
}

// sealAssignments seals those of encrypted columns, and checks the others; same
// tells which leave their column as it is. If
// it returns false, the statement fails, and nothing unsealed is left in it: it
// will be logged.
func (p *Plugin) sealAssignments(stmt *gorm.Statement, set clause.Set, same func(clause.Assignment) bool, seal func(*policy, clause.Assignment) (any, error)) (clause.Set, bool) {
	models := p.target(stmt)
	set, failure := models.indexSet(stmt.Context, set)
	if failure == nil {
		set, failure = models.besideSet(set)
	}
	if failure == nil {
		failure = p.checkPlainSet(stmt, models, set)
	}
	if failure == nil {
		failure = models.checkBoundTogether(set, same)
	}
	sealed := slices.Clone(set)
	for i, assignment := range set {
		policy := models.column(assignment.Column.Name)
		if policy != nil && failure == nil {
			sealed[i].Value, failure = seal(policy, assignment)
		}
		if failure != nil && (policy != nil || !isPlainValue(assignment.Value)) {
			sealed[i].Value = refused{failure}
		}
	}
	return sealed, !p.refuse(stmt, failure)
}

// seal returns what the driver gets for a value: text, bytes, or nil for NULL.
func (p *policy) seal(ctx context.Context, value any, row writtenRow) (any, error) {
	if sealed, ok := asSealed(value); ok {
		if p.beside != nil || p.besideOf != nil {
			return nil, p.fail(fmt.Errorf("%w: it is migrating beside %s; pass the value itself", ErrUnsealed, p.field.Name))
		}
		if sealed.policy == nil || !sealed.policy.sameAs(p) {
			return nil, p.fail(ErrUnsealed)
		}
		return p.asStored(sealed.stored), p.checkSealed(ctx, sealed, row)
	}
	plaintext, err := p.plaintext(ctx, value)
	if err != nil {
		return nil, p.fail(err)
	}
	switch {
	case plaintext == nil:
		return nil, nil
	case p.beside != nil || p.besideOf != nil:
		if stored, null, err := p.sealBeside(plaintext); stored != nil || null || err != nil {
			return stored, err
		}
	case p.migrating == migratingRead:
		plain, err := p.plainForm(plaintext)
		if err != nil {
			return nil, p.fail(err)
		}
		return p.asStored(plain), nil
	}
	bound, err := p.boundTo(ctx, row)
	if err != nil {
		if _, null := p.column.Seal(nil, plaintext); ciphertext.IsNull(null) { // which is bound to nothing
			return nil, nil
		}
		return nil, err
	}
	var buffer [384]byte
	sealed, err := p.column.Seal(buffer[:0], plaintext, bound...)
	switch {
	case ciphertext.IsNull(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return p.stored(sealed), nil
}

// stored returns a ciphertext as the driver takes it, in memory of its own.
func (p *policy) stored(sealed []byte) driver.Value {
	if p.column.Binary {
		return slices.Clone(sealed)
	}
	return string(sealed)
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

// fieldPlaintext is plaintext as the field holds it, whatever type it was given in.
func (p *policy) fieldPlaintext(ctx context.Context, value any) (any, error) {
	plaintext, err := p.plaintext(ctx, value)
	if err != nil {
		return nil, err
	}
	return p.convert(ctx, plaintext)
}

func (p *policy) fail(err error) error {
	return &Error{Op: "seal", Table: p.column.Table, Column: p.column.Column, Err: err}
}
