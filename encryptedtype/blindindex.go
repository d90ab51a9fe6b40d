package encryptedtype

import (
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
)

// BlindIndex is the type of a model's field whose column holds the terms of a
// blind index. The column is the plugin's own: it writes the terms, and looks
// for them where a program asks for the fields that the index is of. The field
// holds nothing, so that a model that was read and is used as a condition does
// not become one about the term.
//
//	Email      string                   `gorm:"serializer:encrypted"`
//	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
//
// Its column is text. It is safe for concurrent use.
type BlindIndex struct{}

// redactedIndex is what a BlindIndex prints.
const redactedIndex = "[index]"

// GormDataType returns text, the type of the column.
func (BlindIndex) GormDataType() string { return "text" }

// Value returns nil, for NULL. The plugin stores the term in its place.
func (BlindIndex) Value() (driver.Value, error) { return nil, nil }

// Scan takes whatever is stored, and forgets it.
func (*BlindIndex) Scan(any) error { return nil }

// Format writes [index], whatever the verb and its flags.
func (BlindIndex) Format(f fmt.State, _ rune) { io.WriteString(f, redactedIndex) }

// String returns [index].
func (BlindIndex) String() string { return redactedIndex }

// LogValue returns [index].
func (BlindIndex) LogValue() slog.Value { return slog.StringValue(redactedIndex) }

// MarshalText returns [index]. Encoders for JSON, XML and YAML use it.
func (BlindIndex) MarshalText() ([]byte, error) { return []byte(redactedIndex), nil }

// UnmarshalText takes any text, and forgets it: a model that was sent out as
// JSON comes back.
func (*BlindIndex) UnmarshalText([]byte) error { return nil }
