package gormcrypt

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// Columns on their way from plaintext to ciphertext, or back. Both are read. A value
// is told from the other by its form: what Parse reads is ciphertext, and opens or is
// an error; all else is plaintext, also if it starts like ours. So plaintext of that
// form must never be written.

// migrating is what migrating= says.
type migrating string

const (
	// migratingRead still writes plaintext, which programs read that do not know of
	// the encryption yet. Blind indexes are left NULL.
	migratingRead migrating = "read"
	// migratingWrite writes ciphertext, and the terms of blind indexes.
	migratingWrite migrating = "write"
)

func parseMigrating(value string) (migrating, error) {
	switch m := migrating(value); m {
	case migratingRead, migratingWrite:
		return m, nil
	}
	return "", fmt.Errorf("migrating=%s cannot be; write migrating=read in the first deployment, migrating=write in the second, and nothing when the migration is finished", value)
}

// isPlain reports whether a stored value, which is not NULL, is plaintext.
func (p *policy) isPlain(stored any) bool {
	if p.migrating == "" {
		return false
	}
	var err error
	switch stored := stored.(type) {
	case nil:
		return false
	case string:
		_, err = ciphertext.Parse([]byte(stored))
	case []byte:
		_, err = ciphertext.Parse(stored)
	default:
		return true
	}
	return err != nil
}

// isJSON reports whether values of a type are sealed as JSON, and so were stored by
// GORM's serializer of that name.
func isJSON(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Map, reflect.Array, reflect.Interface:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	case reflect.Struct:
		return !t.ConvertibleTo(timeType)
	}
	return false
}

// checkPlainForm refuses a column that is to be migrated and whose plaintext is not
// text, bytes or JSON.
func (p *policy) checkPlainForm() (problem, fix string) {
	t := indirect(p.inner)
	switch {
	case p.migrating == "", reflect.PointerTo(t).Implements(scannerType) && !t.ConvertibleTo(timeType):
		return "", ""
	case t.ConvertibleTo(timeType):
		return "it is migrating, and a time has no one form as text", "migrate it beside its column, as docs/migrations.md says"
	case t.Kind() == reflect.Interface:
		return "it is migrating, and of any type, so that it is not known what its plaintext is", "give it a type"
	}
	return "", ""
}

// openPlain puts a stored plaintext into what dst points to.
func (p *policy) openPlain(dst, stored any) error {
	target := reflect.ValueOf(dst).Elem()
	t := target.Type()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	value, err := fromPlain(stored, t)
	if err != nil {
		return p.openError(err)
	}
	for target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	target.Set(reflect.ValueOf(value))
	return nil
}

// fromPlain returns a stored plaintext as a Go type. Errors do not quote it.
func fromPlain(stored any, to reflect.Type) (any, error) {
	v := reflect.ValueOf(stored)
	s, isText := text(v)
	fresh := reflect.New(to)
	switch value := fresh.Elem(); {
	case to.Kind() == reflect.Interface && v.Type().AssignableTo(to):
		if b, ok := stored.([]byte); ok {
			return bytes.Clone(b), nil
		}
		return stored, nil
	case fresh.Type().Implements(scannerType):
		if fresh.Interface().(sql.Scanner).Scan(stored) != nil {
			return nil, unfit(v.Type(), to)
		}
		return value.Interface(), nil
	case isJSON(to):
		if !isText || json.Unmarshal([]byte(s), fresh.Interface()) != nil {
			return nil, fmt.Errorf("%w: the plaintext is no JSON that decodes as %s", ErrType, withArticle(to))
		}
		return value.Interface(), nil
	case !isText:
		return fit(stored, to)
	case value.CanInt():
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && !value.OverflowInt(n) {
			value.SetInt(n)
			return value.Interface(), nil
		}
	case value.CanUint():
		if n, err := strconv.ParseUint(s, 10, 64); err == nil && !value.OverflowUint(n) {
			value.SetUint(n)
			return value.Interface(), nil
		}
	default:
		return fit(stored, to)
	}
	return nil, unfit(v.Type(), to)
}

// ErrLooksSealed: a value that reads like ciphertext was to be stored as plaintext,
// in a column with migrating=read. It would be taken for ciphertext.
var ErrLooksSealed = errors.New("the value reads like ciphertext, and would be taken for it; a column takes it that is not migrating, or with migrating=write")

// plainForm returns a value as it is stored in the clear: text, or bytes in a binary
// column, as GORM stores it in a field that is not encrypted.
func (p *policy) plainForm(plaintext any) (driver.Value, error) {
	if p.beside != nil {
		raw, err := rawForm(plaintext)
		if s, ok := raw.(string); ok && isSealedForm(s) {
			return nil, ErrLooksSealed
		}
		return raw, err
	}
	s, null, err := plainText(plaintext)
	switch {
	case err != nil || null:
		return nil, err
	case isSealedForm(s):
		return nil, ErrLooksSealed
	case p.column.Binary:
		return []byte(s), nil
	}
	return s, nil
}

func isSealedForm(s string) bool {
	_, err := ciphertext.Parse([]byte(s))
	return err == nil
}

// plainText returns the text of a value, or that it is NULL.
func plainText(plaintext any) (s string, null bool, err error) {
	v := reflect.ValueOf(plaintext)
	for v.Kind() == reflect.Pointer && !v.IsNil() && !v.Type().Implements(valuerType) {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return "", true, nil
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		if v.IsNil() {
			return "", true, nil
		}
	}
	if inner, ok := encryptedtype.Plaintext(v.Interface()); ok {
		return plainText(inner)
	}
	if valuer, ok := v.Interface().(driver.Valuer); ok {
		value, err := valuer.Value()
		if _, again := value.(driver.Valuer); err != nil || again {
			return "", false, fmt.Errorf("%w: the Value method of %s failed", ErrType, v.Type())
		}
		return plainText(value)
	}
	if s, ok := text(v); ok {
		return s, false, nil
	}
	switch {
	case v.Type().ConvertibleTo(timeType) && v.Kind() == reflect.Struct:
		return "", false, fmt.Errorf("%w: a time has no one form as plaintext", ErrType)
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), false, nil
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), false, nil
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), false, nil
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool()), false, nil
	}
	encoded, err := json.Marshal(v.Interface())
	if err != nil { // which may quote a part of the value
		return "", false, fmt.Errorf("%w: %s does not encode as JSON", ErrType, v.Type())
	}
	return string(encoded), false, nil
}

// plainArgument is plaintext on its way to the driver. It is not logged.
type plainArgument struct{ stored driver.Value }

// Value returns the plaintext.
func (a plainArgument) Value() (driver.Value, error) { return a.stored, nil }

// Format writes [encrypted].
func (plainArgument) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// asStored returns what the driver gets for something that is stored.
func (p *policy) asStored(stored driver.Value) any {
	if p.migrating != migratingRead || stored == nil {
		return stored
	}
	return plainArgument{stored}
}

// appendPlainTerm appends what is stored for a value that is searched where it is
// plaintext.
func (p *policy) appendPlainTerm(terms []any, searched any) ([]any, error) {
	plain, err := p.plainForm(searched)
	switch {
	case errors.Is(err, ErrLooksSealed): // and is nowhere, as plaintext
		return terms, nil
	case err != nil || plain == nil:
		return terms, err
	}
	return append(terms, searchTerm{stored: plain, plain: true}), nil
}

// errHidden is the error of a driver that is given what stands in a log.
var errHidden = errors.New("gormcrypt: the plaintext of a column that is migrating is not handed out with a statement that was sent, or not to be sent; run the statement by the *gorm.DB again")

// isSubquery reports whether GORM builds a statement to go into another.
func isSubquery(db *gorm.DB) bool { return db.DryRun && db.Logger == logger.Discard }

// hidePlain takes plaintext out of a statement that was sent, before it is logged.
func hidePlain(stmt *gorm.Statement) {
	if !slices.ContainsFunc(stmt.Vars, isPlainArgument) {
		return
	}
	stmt.Vars = slices.Clone(stmt.Vars)
	for i, v := range stmt.Vars {
		if isPlainArgument(v) {
			stmt.Vars[i] = refused{errHidden}
		}
	}
}

func isPlainArgument(v any) bool {
	switch v := v.(type) {
	case plainArgument:
		return true
	case searchTerm:
		return v.plain
	case Sealed:
		return v.isPlain()
	}
	return false
}

// isBuilding reports whether an index is not searched yet, because rows that were
// there before have no term.
func (x *index) isBuilding() bool { return x.migrating != "" }

// isBeside reports whether rows may have plaintext, and no term of it.
func (x *index) isBeside() bool {
	return slices.ContainsFunc(x.of, func(p *policy) bool { return p.migrating != "" })
}

// isLeftNull reports whether the index is not written yet: by programs that know of
// it, so that what they write has no term that others then leave behind.
func (x *index) isLeftNull() bool {
	return x.migrating == migratingRead || slices.ContainsFunc(x.of, func(p *policy) bool { return p.migrating == migratingRead })
}

// checkMigrating refuses a search that would not find all rows.
func (x *index) checkMigrating() error {
	switch {
	case x.isBuilding():
		return x.queryError("it is migrating, so rows that were there before have no term yet; search by it when that is finished")
	case x.isBeside() && len(x.of) > 1:
		return x.queryError("a field of it is migrating, so rows that are plaintext have no term; search by it when that is finished")
	}
	return nil
}
