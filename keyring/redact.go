package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// String describes the keyring without its keys: versions, states and check
// values.
func (r *Keyring) String() string {
	if r == nil {
		return "keyring(nil)"
	}
	var b strings.Builder
	b.WriteString("keyring(")
	for i, key := range r.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(key.String())
	}
	b.WriteByte(')')
	return b.String()
}

// Format writes what String returns, whatever the verb and its flags.
func (r *Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue returns what String returns.
func (r *Keyring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalJSON returns what String returns, as a JSON string. To write a
// keyring with its keys, use [WriteCleartext].
func (r *Keyring) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// errGob refuses an encoding that nobody would look at for missing keys.
var errGob = errors.New("a keyring is not encoded as gob: it would be without its keys; see WriteCleartext")

// GobEncode always fails.
func (r *Keyring) GobEncode() ([]byte, error) { return nil, errGob }

// GobDecode always fails.
func (r *Keyring) GobDecode([]byte) error { return errGob }

// String describes the key by version, state and check value.
func (k Key) String() string {
	s := k.version.String() + " " + k.state.String()
	if k.check != "" {
		s += " " + k.check
	}
	if errors.Is(k.err, ErrExpired) {
		s += " expired"
	}
	return s
}

// Format writes what String returns, whatever the verb and its flags.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue returns what String returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON returns what String returns, as a JSON string.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// GobEncode always fails.
func (k Key) GobEncode() ([]byte, error) { return nil, errGob }

// GobDecode always fails.
func (k *Key) GobDecode([]byte) error { return errGob }
