package backfill

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// part is a value of a key in the ledger: one of these.
type part struct {
	Int   *int64  `json:"i,omitempty"`
	Float *string `json:"f,omitempty"` // JSON has no infinity
	Text  *string `json:"t,omitempty"`
	Bytes *[]byte `json:"b,omitempty"`
	Other *[]byte `json:"o,omitempty"` // text that is not UTF-8, which JSON cannot hold
}

// encodeKey returns a key for the ledger, nil for a key that is nil.
func encodeKey(key Key) any {
	if key == nil {
		return nil
	}
	parts := make([]part, len(key))
	for i, value := range key {
		switch value := value.(type) {
		case int64:
			parts[i].Int = &value
		case float64:
			text := strconv.FormatFloat(value, 'g', -1, 64)
			parts[i].Float = &text
		case string:
			if parts[i].Text = &value; !utf8.ValidString(value) {
				raw := []byte(value)
				parts[i] = part{Other: &raw}
			}
		case []byte:
			parts[i].Bytes = &value
		}
	}
	encoded, _ := json.Marshal(parts) // which has nothing that JSON cannot hold
	return string(encoded)
}

// decodeKey returns a key from the ledger, of so many columns, or any number if that
// is zero.
func decodeKey(encoded string, columns int) (Key, error) {
	var parts []part
	if err := json.Unmarshal([]byte(encoded), &parts); err != nil {
		return nil, fmt.Errorf("a key in the ledger: %w", err)
	}
	if columns > 0 && len(parts) != columns {
		return nil, fmt.Errorf("a key in the ledger has %d columns, and the table has %d", len(parts), columns)
	}
	key := make(Key, len(parts))
	for i, p := range parts {
		switch {
		case p.Int != nil:
			key[i] = *p.Int
		case p.Float != nil:
			value, err := strconv.ParseFloat(*p.Float, 64)
			if err != nil {
				return nil, fmt.Errorf("a key in the ledger: %w", err)
			}
			key[i] = value
		case p.Text != nil:
			key[i] = *p.Text
		case p.Other != nil:
			key[i] = string(*p.Other)
		case p.Bytes != nil:
			key[i] = *p.Bytes
		default:
			return nil, errors.New("a key in the ledger has an empty part")
		}
	}
	return key, nil
}

// String returns the key as an operator reads it.
func (k Key) String() string {
	parts := make([]string, len(k))
	for i, value := range k {
		if b, ok := value.([]byte); ok {
			parts[i] = fmt.Sprintf("x'%x'", b)
		} else {
			parts[i] = fmt.Sprint(value)
		}
	}
	return strings.Join(parts, ", ")
}

// KeyOf returns the key of Go values, as the database with a GORM dialector's name
// gives it.
func KeyOf(dialectName string, values []any) Key {
	key := make(Key, len(values))
	for i, value := range values {
		switch v := reflect.ValueOf(value); {
		case dialectName == "postgres":
			key[i] = fmt.Sprint(value)
			if b, ok := value.([]byte); ok {
				key[i] = fmt.Sprintf("\\x%x", b)
			}
		case v.CanInt():
			key[i] = v.Int()
		case v.CanUint():
			key[i] = int64(v.Uint())
		case v.Kind() == reflect.String:
			key[i] = v.String()
		default:
			key[i] = value
		}
	}
	return key
}
