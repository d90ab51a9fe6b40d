package gormcrypt

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// Values that are not sealed yet, and statements that must not be sent.

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
	return each(func(v any) error {
		if isBasic(v) {
			return nil
		}
		if field := wrapped(v); field != nil {
			return &Error{Op: "seal", Table: field.Schema.Table, Column: field.DBName, Err: ErrUnsealed}
		}
		if isHeld(v) {
			return &Error{Op: "seal", Err: ErrUnsealed}
		}
		switch v := v.(type) {
		case clause.Expression:
			_, err := p.conditions(stmt).one(v)
			return err
		case *gorm.DB, []any:
			return p.conditions(stmt).value(v)
		}
		return nil
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
