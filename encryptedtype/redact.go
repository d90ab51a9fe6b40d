package encryptedtype

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what the types of this package print.
const redacted = "[encrypted]"

// Format writes [encrypted], whatever the verb and its flags.
func (e EncryptedString) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns [encrypted].
func (e EncryptedString) String() string { return redacted }

// LogValue returns [encrypted].
func (e EncryptedString) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [encrypted]. Encoders for JSON, XML and YAML use it.
func (e EncryptedString) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalJSON takes a JSON string, or null. It refuses "[encrypted]", which
// is what was written in place of a value.
func (e *EncryptedString) UnmarshalJSON(text []byte) error {
	return unmarshal(text, func(s string) { *e = NewEncryptedString(s) }, func() { *e = EncryptedString{} })
}

// Format writes [encrypted], whatever the verb and its flags.
func (e EncryptedBytes) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns [encrypted].
func (e EncryptedBytes) String() string { return redacted }

// LogValue returns [encrypted].
func (e EncryptedBytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [encrypted]. Encoders for JSON, XML and YAML use it.
func (e EncryptedBytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalJSON takes a JSON string in base64, as encoding/json does for byte
// slices, or null. It refuses "[encrypted]", which is what was written in
// place of a value.
func (e *EncryptedBytes) UnmarshalJSON(text []byte) error {
	return unmarshal(text, func(b []byte) { *e = NewEncryptedBytes(b) }, func() { *e = EncryptedBytes{} })
}

// Format writes [encrypted], whatever the verb and its flags.
func (e Encrypted[T]) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns [encrypted].
func (e Encrypted[T]) String() string { return redacted }

// LogValue returns [encrypted].
func (e Encrypted[T]) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [encrypted]. Encoders for JSON, XML and YAML use it.
func (e Encrypted[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalJSON takes what encoding/json takes for the type, or null. It
// refuses "[encrypted]", which is what was written in place of a value.
func (e *Encrypted[T]) UnmarshalJSON(text []byte) error {
	return unmarshal(text, func(v T) { *e = NewEncrypted(v) }, func() { *e = Encrypted[T]{} })
}

// errRedacted: a value that was printed came back. Storing it would replace a
// secret by the placeholder.
var errRedacted = errors.New(`gormcrypt: "` + redacted + `" is what encrypted values print as, not a value; leave the field out, or send the value itself`)

func unmarshal[T any](text []byte, set func(T), setNull func()) error {
	switch string(text) {
	case "null":
		setNull()
		return nil
	case `"` + redacted + `"`:
		return errRedacted
	}
	var v T
	if json.Unmarshal(text, &v) != nil {
		// The error would quote the value.
		return fmt.Errorf("gormcrypt: cannot unmarshal JSON into an encrypted %T", v)
	}
	set(v)
	return nil
}
