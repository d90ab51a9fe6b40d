package chains

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// outcome is everything that can be seen of an operation, a line for each value,
// in words that are the same for both worlds.
type outcome struct {
	world *world
	lines []string
	err   error
	// madeUp says that GORM may make up accounts for cards without one, by a join
	// in the plain world: a serializer's value is never nil to it, and the plain
	// model has one for lists.
	madeUp bool
}

func (o *outcome) note(format string, args ...any) {
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

// done notes the error and the number of rows, and searches the statement.
func (o *outcome) done(tx *gorm.DB) *gorm.DB {
	o.failed(tx.Error)
	o.note("rows affected: %d", tx.RowsAffected)
	o.world.search("the statement", tx.Statement.SQL.String(), tx.Statement.Vars)
	return tx
}

var (
	// typeNames are what the worlds call the models.
	typeNames = regexp.MustCompile(`(?:chains\.)?(?:secret|plain)_?(account|card|team|home|wallet|Account|Card|Team|Home|Wallet)\b`)
	// addresses are those of the models.
	addresses = regexp.MustCompile(`\b0x[0-9a-f]{6,}\b`)
	// constraints are those of which two can be violated at once. Which one the
	// database tells of depends on the order in which GORM made them, and that
	// is by chance.
	constraints = regexp.MustCompile(`(uni_|idx_)?(accounts|wallets)[._](name|tax_id|holder|pkey|id)\b|fk_account_teams_\w+`)
)

// failed notes an error: by its text, in which the models have the same names.
func (o *outcome) failed(err error) {
	o.err = errors.Join(o.err, err)
	if err == nil {
		return
	}
	o.world.search("an error", err)
	said := typeNames.ReplaceAllString(err.Error(), "$1")
	said = constraints.ReplaceAllString(addresses.ReplaceAllString(said, "0x"), "a constraint")
	o.note("error: %s", said)
}

// see notes a value.
func (o *outcome) see(name string, v any) { o.value(name, reflect.ValueOf(v)) }

// seeUnordered notes rows that a database may give in any order.
func (o *outcome) seeUnordered(name string, rows any) {
	if v := reflect.Indirect(reflect.ValueOf(rows)); v.Kind() == reflect.Slice {
		o.unordered(name, v)
		return
	}
	o.see(name, rows)
}

func (o *outcome) unordered(name string, rows reflect.Value) {
	var each []string
	for i := range rows.Len() {
		row := &outcome{world: o.world}
		row.value(name+"[]", rows.Index(i))
		each = append(each, strings.Join(row.lines, "\n"))
	}
	slices.Sort(each)
	o.note("%s has %d, nil is %t", name, rows.Len(), rows.IsNil())
	for _, row := range each {
		o.lines = append(o.lines, strings.Split(row, "\n")...)
	}
}

func (o *outcome) value(name string, v reflect.Value) {
	if v.IsValid() && v.CanInterface() {
		if empty, ok := v.Interface().([]byte); ok && len(empty) == 0 && engineInGo {
			o.note("%s = nil", name)
			return
		}
		if leaf, ok := plaintext(v.Interface()); ok {
			o.note("%s = %s", name, leaf)
			return
		}
	}
	switch v.Kind() {
	case reflect.Invalid:
		o.note("%s = nil", name)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			o.note("%s = nil", name)
			return
		}
		o.value(name, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			field, value := v.Type().Field(i), v.Field(i)
			if !field.IsExported() || strings.HasSuffix(field.Name, "Index") { // which one world has nothing in
				continue
			}
			if account, ok := value.Interface().(*plainAccount); ok && o.madeUp && account != nil && account.ID == 0 && account.Name == "" {
				value.SetZero()
			}
			if field.Name == "Cards" || field.Name == "Teams" { // which nothing orders
				o.unordered(name+"."+field.Name, value)
				continue
			}
			o.value(name+"."+field.Name, value)
		}
	case reflect.Slice:
		if v.IsNil() {
			o.note("%s = nil", name)
			return
		}
		o.note("%s has %d", name, v.Len())
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			o.value(fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			o.note("%s = nil", name)
			return
		}
		o.note("%s has %d", name, v.Len())
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			o.value(fmt.Sprintf("%s[%s]", name, key), v.MapIndex(key))
		}
	default:
		o.note("%s = %v", name, v)
	}
}

// plaintext returns a value that has no parts as it is compared.
func plaintext(v any) (string, bool) {
	if inner, ok := encryptedtype.Plaintext(v); ok {
		if inner == nil {
			return "nil", true
		}
		v = inner
	}
	if reflect.ValueOf(v).Kind() == reflect.Pointer {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v), true
	case []byte:
		if v == nil {
			return "nil", true
		}
		return fmt.Sprintf("%q", v), true
	case time.Time: // databases differ in the zone that they give
		return v.UTC().Format(time.RFC3339Nano), true
	case plainList, plainDict:
		return "", false
	case driver.Valuer:
		inner, err := v.Value()
		if err != nil {
			return "error: " + err.Error(), true
		}
		if inner == nil {
			return "nil", true
		}
		return plaintext(inner)
	}
	if k := reflect.ValueOf(v).Kind(); k >= reflect.Bool && k <= reflect.Float64 {
		return fmt.Sprint(v), true
	}
	return "", false
}

// seeMap notes a map that rows were read into. Where no field says how, drivers
// differ in what they give, so values are compared as what the fields hold. In
// the encrypted world, the values of encrypted fields are of the fields' types.
// Columns that the statement renames are in the aliases.
func (o *outcome) seeMap(name string, t *table, m map[string]any, aliases map[string]string) {
	if m == nil {
		o.note("%s = nil", name)
		return
	}
	converted := make(map[string]any, len(m))
	for key, value := range m {
		if strings.HasSuffix(key, "_index") {
			continue
		}
		column := key
		if original, ok := aliases[key]; ok {
			column = original
		}
		f := t.field(column)
		switch {
		case f == nil || value == nil:
		case value == "what is stored": // past GORM
		case o.world.encrypted && f.encrypted:
			want := o.world.fieldType(t, f)
			if got := reflect.TypeOf(value); got != want {
				o.note("%s[%s] is a %v, want a %v", name, key, got, want)
			}
		default:
			value = f.fromDriver(value)
		}
		converted[key] = value
	}
	o.see(name, converted)
}

func (o *outcome) seeMaps(name string, t *table, maps []map[string]any, aliases map[string]string) {
	o.note("%s has %d", name, len(maps))
	for i, m := range maps {
		o.seeMap(fmt.Sprintf("%s[%d]", name, i), t, m, aliases)
	}
}

// fieldType returns the type of a field in a world.
func (w *world) fieldType(t *table, f *field) reflect.Type {
	in := w.types[t]
	for _, name := range strings.Split(f.name, ".") {
		field, _ := in.FieldByName(name)
		in = field.Type
	}
	return in
}

// fromDriver makes what a driver gave for a plain column what its field holds.
func (f *field) fromDriver(value any) any {
	value = reflect.Indirect(reflect.ValueOf(value)).Interface()
	switch v := value.(type) {
	case int64:
		if f.kind == flagKind {
			return v != 0
		}
	case float64: // SQLite's numeric
		if f.kind == flagKind {
			return v != 0
		}
	case string:
		switch f.kind {
		case bytesKind:
			return []byte(v)
		case listKind:
			return decoded[[]string](v)
		case dictKind:
			return decoded[map[string]string](v)
		case momentKind:
			for _, layout := range []string{"2006-01-02 15:04:05.999999999-07:00", time.RFC3339Nano} {
				if at, err := time.Parse(layout, v); err == nil {
					return at
				}
			}
		}
	}
	return value
}

func decoded[T any](s string) any {
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return s
	}
	return v
}

// difference returns how the outcomes differ, or "".
func difference(plain, encrypted *outcome) string {
	if slices.Equal(plain.lines, encrypted.lines) {
		return ""
	}
	return cmp.Diff(plain.lines, encrypted.lines)
}
