package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// opened is a value that has opened. Its plaintext is behind a function, so that no verb
// of fmt prints it.
type opened struct {
	version, kind string
	// bytes is the plaintext as it is printed: that of text and bytes itself.
	bytes func() []byte
}

// openStored opens the value of a row, and says what is wrong with one that does not
// open. version is set as soon as it is known.
func openStored(reader *rowcodec.Single, row *backfill.Current, version *string) (*opened, error) {
	stored, err := reader.Stored(row)
	if err != nil {
		return nil, cannotOpen(err)
	}
	if header, err := ciphertext.Parse(stored); err == nil {
		*version = header.Version.String()
	}
	kind, plaintext, err := openAny(func(dst any) error { return reader.Open(dst, row) })
	if err != nil {
		return nil, cannotOpen(err)
	}
	return &opened{version: *version, kind: kind, bytes: func() []byte { return plaintext }}, nil
}

// cannotOpen says what to do about a value that does not open.
func cannotOpen(err error) error {
	switch {
	case errors.Is(err, rowcodec.ErrNull):
		return fmt.Errorf("%w, so there is nothing to decrypt", err)
	case errors.Is(err, rowcodec.ErrPlaintext):
		return fmt.Errorf("%w, so there is nothing to decrypt; read it with SQL", err)
	case errors.Is(err, keyring.ErrUnknownVersion), errors.Is(err, keyring.ErrRetired):
		return fmt.Errorf("%w", err)
	case errors.Is(err, ciphertext.ErrAuthentication), errors.Is(err, ciphertext.ErrMalformed), errors.Is(err, ciphertext.ErrNotCiphertext), errors.Is(err, ciphertext.ErrUnsupported):
		return fmt.Errorf("%w: %w", errDamage, err)
	}
	return err
}

// openAny opens a value of any type, and returns what it is and how it is printed. Only
// strings and bytes go into a Sealed, and of the others only JSON goes into bytes.
func openAny(open func(dst any) error) (kind string, plaintext []byte, err error) {
	var natural any
	var raw json.RawMessage
	var textual ciphertext.Sealed
	if err := open(&textual); err == nil {
		if err := open(&natural); err != nil {
			return "", nil, err
		}
		if text, ok := natural.(string); ok {
			return "string", []byte(text), nil
		}
		return "bytes", natural.([]byte), nil
	} else if !errors.Is(err, ciphertext.ErrType) {
		return "", nil, err
	}
	if err := open(&raw); err == nil {
		return "json", raw, nil
	}
	if err := open(&natural); err != nil {
		return "", nil, err
	}
	switch v := natural.(type) {
	case int64:
		return "int", strconv.AppendInt(nil, v, 10), nil
	case uint64:
		return "uint", strconv.AppendUint(nil, v, 10), nil
	case float64:
		return "float", strconv.AppendFloat(nil, v, 'g', -1, 64), nil
	case bool:
		return "bool", strconv.AppendBool(nil, v), nil
	case time.Time:
		return "time", v.AppendFormat(nil, time.RFC3339Nano), nil
	}
	return "", nil, fmt.Errorf("%w: the value has a type that is not known here", ciphertext.ErrType)
}

// shownValue is a value as JSON. Value is there only if it is revealed.
type shownValue struct {
	Table      string `json:"table"`
	Key        string `json:"key"`
	Column     string `json:"column"`
	KeyVersion string `json:"key_version"`
	Type       string `json:"type"`
	// Bytes is the length of the value as it is printed.
	Bytes int `json:"bytes"`
	// Value is a string for all types but json, which is as it was sealed. Base64 is
	// there in its place for bytes, and for strings that are not UTF-8.
	Value  json.RawMessage `json:"value,omitempty"`
	Base64 string          `json:"base64,omitempty"`
}

func (a *app) shown(d decryption, v *opened) shownValue {
	return shownValue{Table: d.table, Key: d.key, Column: d.column, KeyVersion: v.version, Type: v.kind, Bytes: len(v.bytes())}
}

// describeValue says what would be shown.
func (a *app) describeValue(d decryption, v *opened) error {
	if a.json {
		return a.printJSON(a.shown(d, v))
	}
	_, err := fmt.Fprintf(a.out, "It opens: key version %s, %s, %s.\nTo see it, add --reveal and --reason TEXT; that is logged.\n", v.version, v.kind, counted(int64(len(v.bytes())), "byte"))
	return err
}

// revealValue prints a value.
func (a *app) revealValue(d decryption, v *opened) error {
	if a.json {
		return a.revealJSON(d, v)
	}
	plaintext := v.bytes()
	if !a.out.IsTerminal {
		_, err := a.out.Write(plaintext)
		return err
	}
	text, changed := terminal.Escape(string(plaintext))
	if changed {
		fmt.Fprintln(a.errOut, `characters that could drive the terminal are shown as \x1b; send the output to a file for the value as it is`)
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

func (a *app) revealJSON(d decryption, v *opened) error {
	shown, plaintext := a.shown(d, v), v.bytes()
	switch {
	case v.kind == "json":
		shown.Value = plaintext
	case v.kind == "bytes" || !utf8.Valid(plaintext):
		shown.Base64 = base64.StdEncoding.EncodeToString(plaintext)
	default:
		text, err := json.Marshal(string(plaintext))
		if err != nil {
			return errors.New("the value does not encode as JSON")
		}
		shown.Value = text
	}
	return a.printJSON(shown)
}
