package gormcrypt

import (
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Error says which column's value could not be sealed or opened, under which
// key version, and why. It is what errors.As finds in the error of a *gorm.DB.
type Error = ciphertext.Error

// The reasons inside an Error, to be tested with errors.Is. Those that
// packages ciphertext and keyring define are repeated here.
var (
	// ErrNotCiphertext: the column holds plaintext, or something else's.
	ErrNotCiphertext = ciphertext.ErrNotCiphertext
	// ErrUnsupported: a format or algorithm that this version does not know.
	ErrUnsupported = ciphertext.ErrUnsupported
	// ErrMalformed: the stored value was cut or mangled.
	ErrMalformed = ciphertext.ErrMalformed
	// ErrAuthentication: the stored value was changed, or moved from another
	// column or row, or sealed with another key of that version.
	ErrAuthentication = ciphertext.ErrAuthentication
	// ErrType: a value and the field do not fit together.
	ErrType = ciphertext.ErrType
	// ErrUnknownVersion: the keyring does not have the key version.
	ErrUnknownVersion = keyring.ErrUnknownVersion
	// ErrRetired: the key version is retired.
	ErrRetired = keyring.ErrRetired
	// ErrNoPrimary: the keyring has no key to seal with.
	ErrNoPrimary = keyring.ErrNoPrimary
	// ErrExpired: the key source has not answered for longer than keys may be used
	// without it.
	ErrExpired = keyring.ErrExpired

	// ErrNoPlugin: an encrypted value was to be written or read by a *gorm.DB
	// that the plugin was not registered with. Models with encrypted fields do
	// not come so far: GORM itself refuses to parse them there.
	ErrNoPlugin = encryptedtype.ErrNoPlugin
	// ErrExpression: the new value of an encrypted column is an SQL
	// expression, another column or a subquery. SQL cannot make ciphertext.
	ErrExpression = errors.New("the new value is an SQL expression, and SQL cannot make ciphertext; read the value, change it in Go and write it")
	// ErrUnsealed: a value of an encrypted field was used where nothing seals it,
	// such as for a column that is not encrypted.
	ErrUnsealed = errors.New("the value of an encrypted field would go where it is not encrypted; mark that field too, or pass the value by itself")
	// ErrBinding: a value that a column is bound to is not known where the
	// column is written or read, or it is changed without it, or is another than
	// the one that a Sealed was made for.
	ErrBinding = errors.New("the value is bound")
	// ErrUnknownOrigin: a result holds ciphertext in a column of which it cannot be
	// told where it comes from, such as one of two tables, and so not how to open it.
	// A view that the plugin was not told of is a table without encrypted columns to
	// it: that gives ciphertext as text, and not this.
	ErrUnknownOrigin = errors.New("the result has ciphertext in a column of which it cannot be told where it comes from; select the encrypted column by its name, from its table")
	// ErrHandWritten: a statement that the program wrote as SQL has to do with an
	// encrypted column, and cannot be read for certain.
	ErrHandWritten = errors.New("hand-written SQL with an encrypted column, which cannot be read for certain; write it as a simple INSERT, UPDATE, DELETE or SELECT, or pass every value as one of gormcrypt.Seal")
	// ErrNotQueryable: a condition on an encrypted column that the database
	// cannot decide.
	ErrNotQueryable = errors.New("an encrypted column cannot be compared by the database")
)

// expressionError is an ErrExpression of which there is more to say.
type expressionError string

const (
	errLiteral       expressionError = "the new value is in the text of the statement, which is sent as it is; pass it as an argument"
	errParenthesised expressionError = "the new value is in parentheses, as GORM writes a slice; write ? without them, and pass a slice as one of gormcrypt.Seal"
)

func (e expressionError) Error() string { return string(e) }

// Is reports whether the target is ErrExpression.
func (expressionError) Is(target error) bool { return target == ErrExpression }

// ErrModel: a model cannot be encrypted as it is declared. The error is a
// *ModelError.
var ErrModel = errors.New("the model cannot be encrypted as it is declared")

// ModelError says what is wrong with the declaration of an encrypted field,
// and how to mend it.
type ModelError struct {
	// Model is the Go type, with its package.
	Model string
	// Field is the name of the field; it is empty if the fault is not in one.
	Field string
	// Problem says what is wrong.
	Problem string
	// Fix says what to change.
	Fix string
}

// Error returns the model, the field, the problem and the fix.
func (e *ModelError) Error() string {
	name := e.Model
	if e.Field != "" {
		name += "." + e.Field
	}
	return fmt.Sprintf("gormcrypt: %s: %s; %s", name, e.Problem, e.Fix)
}

// Unwrap returns ErrModel.
func (e *ModelError) Unwrap() error { return ErrModel }
