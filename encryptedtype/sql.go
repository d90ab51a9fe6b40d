package encryptedtype

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// defaultColumn is a column of the default cipher that is bound to no name.
var defaultColumn atomic.Pointer[ciphertext.Column]

// defaultCipher opens what names its own column.
var defaultCipher atomic.Pointer[ciphertext.Cipher]

// SetDefault sets the cipher that the types of this package use under plain
// database/sql, for the whole process. Call it once at start. A program that
// uses GORM as well gives it the plugin's Cipher, after db.Use; GORM itself does
// not use the default, so that databases may have keyrings of their own.
func SetDefault(cipher *ciphertext.Cipher) error {
	if cipher == nil {
		return errors.New("gormcrypt: the default cipher is nil; a plugin has one after db.Use")
	}
	column, err := unscoped(cipher)
	if err != nil {
		return err
	}
	defaultColumn.Store(column)
	defaultCipher.Store(cipher)
	return nil
}

func unscoped(cipher *ciphertext.Cipher) (*ciphertext.Column, error) {
	return cipher.Column(ciphertext.ColumnConfig{Named: true})
}

// ErrNoPlugin: an encrypted value was given to a *gorm.DB that the gormcrypt
// plugin was not registered with.
var ErrNoPlugin = errors.New("gormcrypt: the plugin is not registered with this *gorm.DB; call db.Use(gormcrypt.New(...)) right after gorm.Open, with the model in Config.Models")

// ErrNoDefault: a value was to be encrypted or decrypted by database/sql
// itself, and SetDefault was not called.
var ErrNoDefault = errors.New("gormcrypt: no cipher for encrypted values outside of models; call encryptedtype.SetDefault at start, or list the struct in gormcrypt.Config.Models")

// seal gives database/sql the ciphertext of a value. What it returns beside an
// error is not nil, because GORM drops the error in places and takes nil for
// NULL.
func seal(column *ciphertext.Column, v any) (driver.Value, error) {
	if column == nil {
		return redacted, ErrNoDefault
	}
	sealed, err := column.Seal(nil, v)
	switch {
	case ciphertext.IsNull(err):
		return nil, nil
	case err != nil:
		return redacted, err
	}
	return string(sealed), nil
}

func open(dst, src any) error {
	cipher := defaultCipher.Load()
	if cipher == nil {
		return ErrNoDefault
	}
	switch src := src.(type) {
	case string:
		return cipher.OpenNamed(dst, []byte(src))
	case []byte:
		return cipher.OpenNamed(dst, src)
	}
	return &ciphertext.Error{Op: "open", Err: fmt.Errorf("%w: the database gave a %T", ciphertext.ErrNotCiphertext, src)}
}

// cipherer is the gormcrypt plugin, as this package sees it.
type cipherer interface{ Cipher() *ciphertext.Cipher }

// gormValue seals a value that is bound where no column is known, such as an
// argument of hand-written SQL, with the cipher of the database it goes to.
func gormValue(db *gorm.DB, v any) clause.Expr {
	fail := func(err error) clause.Expr {
		_ = db.AddError(err)
		// In a subquery the error would be lost, so the argument fails too.
		return clause.Expr{SQL: "?", Vars: []any{failing{err}}}
	}
	for _, plugin := range db.Plugins {
		crypt, ok := plugin.(cipherer)
		if !ok {
			continue
		}
		column, err := unscoped(crypt.Cipher())
		if err != nil {
			return fail(err)
		}
		sealed, err := seal(column, v)
		if err != nil {
			return fail(err)
		}
		if sealed == nil {
			return clause.Expr{SQL: "?", Vars: []any{nil}}
		}
		return clause.Expr{SQL: "?", Vars: []any{unplaced{&unplacedValue{v, sealed}}}}
	}
	return fail(ErrNoPlugin)
}

// unplaced is an argument of hand-written SQL. It is sealed for no column, and
// the plugin seals its value again if it finds out for which one it is.
type unplaced struct{ held *unplacedValue }

type unplacedValue struct {
	value  any
	sealed driver.Value
}

// Value returns the ciphertext, the same each time.
func (u unplaced) Value() (driver.Value, error) { return u.held.sealed, nil }

// Format writes [encrypted].
func (u unplaced) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

func (u unplaced) plaintext() any { return u.held.value }

// failing is an argument that no driver accepts.
type failing struct{ err error }

func (f failing) Value() (driver.Value, error) { return redacted, f.err }

// Value returns the ciphertext, made with the default cipher and bound to no
// column, or nil for NULL. It returns ErrNoDefault without a default.
func (e EncryptedString) Value() (driver.Value, error) {
	if e.IsNull() {
		return nil, nil
	}
	return seal(defaultColumn.Load(), e.Reveal())
}

// Scan decrypts what a driver read, with the default cipher. It returns
// ErrNoDefault, or a *ciphertext.Error.
func (e *EncryptedString) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*e = EncryptedString{}
		return nil
	case EncryptedString: // from the plugin
		*e = src
		return nil
	}
	return e.OpenStored(func(dst any) error { return open(dst, src) })
}

// GormValue gives GORM the ciphertext where the value is an argument of SQL. It
// fails the statement, with ErrNoPlugin, if the *gorm.DB is without the plugin.
func (e EncryptedString) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	return gormValue(db, e.plaintext())
}

// Value returns the ciphertext, made with the default cipher and bound to no
// column, or nil for NULL. It returns ErrNoDefault without a default.
func (e EncryptedBytes) Value() (driver.Value, error) {
	if e.IsNull() {
		return nil, nil
	}
	return seal(defaultColumn.Load(), e.Reveal())
}

// Scan decrypts what a driver read, with the default cipher. It returns
// ErrNoDefault, or a *ciphertext.Error.
func (e *EncryptedBytes) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*e = EncryptedBytes{}
		return nil
	case EncryptedBytes: // from the plugin
		*e = src
		return nil
	}
	return e.OpenStored(func(dst any) error { return open(dst, src) })
}

// GormValue gives GORM the ciphertext where the value is an argument of SQL. It
// fails the statement, with ErrNoPlugin, if the *gorm.DB is without the plugin.
func (e EncryptedBytes) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	return gormValue(db, e.plaintext())
}

// Value returns the ciphertext, made with the default cipher and bound to no
// column, or nil for NULL. It returns ErrNoDefault without a default.
func (e Encrypted[T]) Value() (driver.Value, error) {
	if e.reveal == nil {
		return nil, nil
	}
	return seal(defaultColumn.Load(), e.Reveal())
}

// Scan decrypts what a driver read, with the default cipher. It returns
// ErrNoDefault, or a *ciphertext.Error.
func (e *Encrypted[T]) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*e = Encrypted[T]{}
		return nil
	case Encrypted[T]: // from the plugin
		*e = src
		return nil
	}
	var v T
	if err := open(&v, src); err != nil {
		return err
	}
	*e = NewEncrypted(v)
	return nil
}

// GormValue gives GORM the ciphertext where the value is an argument of SQL. It
// fails the statement, with ErrNoPlugin, if the *gorm.DB is without the plugin.
func (e Encrypted[T]) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	return gormValue(db, e.plaintext())
}
