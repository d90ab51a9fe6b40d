package encryptedtype

import (
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
)

// Beside is the type of a model's field whose column takes the ciphertext of another
// field while that is migrated from a column that holds no text, such as one of
// numbers. The column is the plugin's own, and the field holds nothing.
//
//	Salary       int64                `gorm:"serializer:encrypted" encrypt:"migrating=read"`
//	SalarySealed encryptedtype.Beside `encrypt:"of=Salary"`
//
// Its column is text. It is safe for concurrent use.
type Beside struct{}

// GormDataType returns text, the type of the column.
func (Beside) GormDataType() string { return "text" }

// Value returns nil, for NULL. The plugin stores the ciphertext in its place.
func (Beside) Value() (driver.Value, error) { return nil, nil }

// Scan takes whatever is stored, and forgets it.
func (*Beside) Scan(any) error { return nil }

// Format writes [encrypted], whatever the verb and its flags.
func (Beside) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns [encrypted].
func (Beside) String() string { return redacted }

// LogValue returns [encrypted].
func (Beside) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [encrypted]. Encoders for JSON, XML and YAML use it.
func (Beside) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes any text, and forgets it: a model that was sent out as JSON
// comes back.
func (*Beside) UnmarshalText([]byte) error { return nil }
