package gormcrypt

import (
	"database/sql/driver"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// Sealed is the ciphertext of a value, for one column. It is an argument for
// hand-written SQL that the plugin cannot read, and for other programs that
// write to the database.
type Sealed struct {
	policy *policy
	stored driver.Value
	bound  []ciphertext.Bound // what it is bound to, as the policy has it
}

// Value returns what is to be stored: a string, or a []byte for a binary column,
// or nil for NULL.
func (s Sealed) Value() (driver.Value, error) { return s.stored, nil }

// Format writes what is to be stored, which is no secret; or, for a column that is
// still written as plaintext, [encrypted].
func (s Sealed) Format(f fmt.State, _ rune) {
	if s.isPlain() {
		fmt.Fprint(f, redacted)
		return
	}
	if text, ok := s.stored.([]byte); ok {
		fmt.Fprintf(f, "%q", text)
		return
	}
	fmt.Fprint(f, s.stored)
}

// asSealed returns a value that is one of Seal, or points to one.
func asSealed(value any) (Sealed, bool) {
	switch v := value.(type) {
	case Sealed:
		return v, true
	case *Sealed:
		if v != nil {
			return *v, true
		}
	}
	return Sealed{}, false
}

// isPlain reports whether it is plaintext, because its column is still written as
// that.
func (s Sealed) isPlain() bool { return s.policy != nil && s.policy.migrating == migratingRead }

// Seal encrypts a value for the column of a model's field, by the field's name
// in Go or by that of its column. Model is a pointer to a struct of
// Config.Models; if the field has bind=, it holds the values that the ciphertext
// is bound to. A statement that gives the row other ones is refused; in
// hand-written SQL that does not say which the row has, that is for the program to
// see to: under others, the value does not open.
//
// It returns ErrNoPlugin if db is without the plugin, a *ModelError if there is
// no such field or it is not encrypted, and otherwise an *Error.
func Seal(db *gorm.DB, model any, field string, value any) (Sealed, error) {
	_, stmt, m, err := parsed(db, model)
	if err != nil {
		return Sealed{}, err
	}
	found := stmt.Schema.LookUpField(field)
	policy := m.byField[found]
	if policy == nil {
		return Sealed{}, &ModelError{Model: stmt.Schema.ModelType.String(), Field: field, Problem: "it has no encrypted field of that name",
			Fix: "write the name of a field that is marked as encrypted"}
	}
	row := reflect.Indirect(reflect.ValueOf(model))
	if row.Kind() != reflect.Struct {
		return Sealed{}, &ModelError{Model: stmt.Schema.ModelType.String(), Field: field, Problem: fmt.Sprintf("a %T, or nil, was given", model),
			Fix: "give a pointer to a struct"}
	}
	if policy.beside != nil {
		return Sealed{}, policy.fail(fmt.Errorf("%w: it is migrating beside %s, and written to two columns; pass the value itself", ErrUnsealed, policy.besideField.Name))
	}
	sealed := Sealed{policy: policy}
	into := &modelRow{stmt, row}
	stored, err := policy.seal(db.Statement.Context, value, into)
	if plain, ok := stored.(plainArgument); ok {
		stored = plain.stored
	}
	if sealed.stored = stored; err != nil || stored == nil || sealed.isPlain() {
		return sealed, err
	}
	sealed.bound, err = policy.boundTo(db.Statement.Context, into)
	return sealed, err
}

// parsed returns the plugin of a *gorm.DB, and what it knows of a model.
func parsed(db *gorm.DB, model any) (*Plugin, *gorm.Statement, *modelPolicy, error) {
	p, ok := db.Plugins[(&Plugin{}).Name()].(*Plugin)
	if !ok {
		return nil, nil, nil, ErrNoPlugin
	}
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, nil, nil, fmt.Errorf("gormcrypt: parsing the model %T: %w", model, err)
	}
	m, err := p.model(stmt.Schema)
	return p, stmt, m, err
}

// modelRow is a row as a model has it.
type modelRow struct {
	stmt  *gorm.Statement
	model reflect.Value
}

func (r *modelRow) value(field *schema.Field) (any, error) {
	value, zero := field.ValueOf(r.stmt.Context, r.model)
	if zero {
		return nil, fmt.Errorf("%s is zero in the model that was given", field.Name)
	}
	return value, nil
}
