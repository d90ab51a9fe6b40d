package chains

import (
	"database/sql"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// Values are drawn as those of neither world: nil, string, int64, bool, []byte,
// time.Time, []string and map[string]string. Each world makes of them what its
// fields and its arguments are.

// secrets are in every plaintext that is drawn for an encrypted field, but for
// the empty ones: in texts, in numbers, and in times.
var secrets = []string{"hushhush~", "42424242", "4242-04-24"}

// start is the time when a chain begins. As a number of milliseconds, which is
// what the encrypted field for it holds, it is a secret.
var start = time.UnixMilli(4242424242000).UTC()

var (
	names  = []string{"ada", "bob", "cyd", "dan", "eve", "fay"}
	cities = []string{"Rome", "Oslo", ""}
	titles = []string{"red", "blue", "green"}
	labels = []string{"work", "home"}
)

// engineInGo says that SQLite is the engine in Go. It gives back an empty []byte
// as nil, and fails to read what it wrote of a time in a zone without a name.
var engineInGo = testdb.Database{Name: "sqlite"}.Driver() == "sqlite"

// draw draws a value for a field.
func (f *field) draw(t *rapid.T) any {
	if f.nullable && sometimes(t, 3) {
		return nil
	}
	switch f.column {
	case "name", "holder":
		return pick(t, names...)
	case "city":
		return pick(t, cities...)
	case "title":
		return pick(t, titles...)
	case "label":
		return pick(t, labels...)
	}
	switch f.kind {
	case numberKind:
		switch {
		case !f.encrypted:
			return int64(upTo(t, 9))
		case sometimes(t, 5):
			return int64(0)
		}
		return (4242424200 + int64(upTo(t, f.variety()))) * pick[int64](t, 1, -1)
	case flagKind:
		return coin(t)
	case bytesKind:
		switch upTo(t, 4) {
		case 0:
			return []byte(nil)
		case 1:
			if !engineInGo {
				return []byte{}
			}
		case 2:
			return []byte("\x00\xff " + f.mark(t))
		}
		return []byte(f.mark(t))
	case momentKind:
		if sometimes(t, 5) {
			return time.Time{}
		}
		zone := pick(t, time.UTC, time.FixedZone("", 3600))
		if engineInGo {
			zone = time.UTC
		}
		return time.Date(4242, 4, 24, 12, upTo(t, 59), 0, pick(t, 0, 123456000), zone)
	case listKind:
		if sometimes(t, 5) {
			return []string(nil)
		}
		return append([]string{}, many(t, 0, 3, f.mark)...)
	case dictKind:
		if sometimes(t, 5) {
			return map[string]string(nil)
		}
		drawn := map[string]string{}
		for _, key := range some(t, 2, "a", "b", "hushhush~key") {
			drawn[key] = f.mark(t)
		}
		return drawn
	case taxKind:
		return f.mark(t)[:len("hushhush~tax_id~0")]
	}
	switch mark := f.mark(t); {
	case !f.encrypted || !sometimes(t, 3):
		return mark
	default:
		return pick(t, "", mark+" "+strings.Repeat("long ", 400), "gc1:1:"+mark, mark+` '"\ ? $1 @name :x; -- é 世`, mark+trimmed)
	}
}

// mark is a text that tells which field it belongs to.
func (f *field) mark(t *rapid.T) string {
	mark := f.column + "-"
	if f.encrypted {
		mark = "hushhush~" + f.column + "~"
	}
	return mark + strconv.Itoa(upTo(t, f.variety()))
}

// variety is the highest number in a value. What is searched has few values, so
// that there are rows to find.
func (f *field) variety() int {
	if f.index != "" {
		return 4
	}
	return 99
}

// sought draws a value to search for: one such as rows have, or that of ada.
func (f *field) sought(t *rapid.T) any {
	if coin(t) {
		return f.draw(t)
	}
	for _, rows := range inhabitants {
		for _, one := range append(rows, rows[0].cards...) {
			for _, c := range one.cells {
				if c.field == f {
					return c.value
				}
			}
		}
	}
	return f.draw(t)
}

// written is a value as one would write it in Go.
func written(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		if i := strings.Index(v, strings.Repeat("long ", 400)); i >= 0 {
			return fmt.Sprintf("%q+strings.Repeat(%q, 400)", v[:i], "long ")
		}
		return strconv.Quote(v)
	case []byte:
		if v == nil {
			return "[]byte(nil)"
		}
		return fmt.Sprintf("[]byte(%q)", v)
	case time.Time:
		return "at(" + v.Format(time.RFC3339Nano) + ")"
	}
	return fmt.Sprintf("%#v", v)
}

// cell is a value for a field.
type cell struct {
	field *field
	value any
}

// record is a row of a table, with those that are related to it.
type record struct {
	table *table
	cells []cell
	cards []record
	teams []record
	owner *record
}

// draw draws a row, with its key and up to so many other fields.
func (t *table) draw(rt *rapid.T, most int) record {
	r := record{table: t}
	for _, f := range append([]*field{t.fields[0]}, some(rt, most, t.choosable()...)...) {
		r.cells = append(r.cells, cell{f, f.draw(rt)})
	}
	return r
}

// drawRelated draws an account with cards and teams.
func drawRelated(t *rapid.T) record {
	r := accounts.draw(t, 5)
	r.cards = many(t, 0, 2, func(t *rapid.T) record { return cards.draw(t, 2) })
	r.teams = many(t, 0, 2, func(t *rapid.T) record { return teams.draw(t, 1) })
	return r
}

// inhabitants are the rows that most chains begin with: those of ada, who has
// everything, and of bob, who has next to nothing.
var inhabitants = func() [][]record {
	of := func(t *table, values ...any) record {
		r := record{table: t}
		for i, value := range values {
			if value != nil {
				r.cells = append(r.cells, cell{t.fields[i], value})
			}
		}
		return r
	}
	red, blue := of(teams, "red", "hushhush~motto~red", int64(1)), of(teams, "blue", "", int64(2))
	ada := of(accounts, "ada", "Rome", int64(1), "note-ada", "hushhush~email~ada", "hushhush~phone~ada", int64(4242424299), true,
		[]byte("hushhush~photo~ada"), time.Date(4242, 4, 24, 1, 2, 3, 0, time.UTC), []string{"hushhush~labels~ada"},
		map[string]string{"a": "hushhush~extra~ada"}, "hushhush~api_key~ada", "hushhush~tax_id~ada", "hushhush~home_street~ada", "zip-ada")
	ada.cards = []record{of(cards, "work", "hushhush~number~1", int64(4242424201)), of(cards, "home", "hushhush~number~2", int64(0))}
	ada.teams = []record{red, blue}
	bob := of(accounts, "bob", "Oslo")
	bob.teams = []record{red}
	return [][]record{{red, blue}, {ada, bob}, {of(wallets, "ada", "hushhush~memo~ada", "hushhush~payout~ada"), of(wallets, "bob")}}
}()

func (r record) String() string {
	var parts []string
	for _, c := range r.cells {
		parts = append(parts, c.field.name+": "+written(c.value))
	}
	list := func(name string, records []record) {
		if len(records) > 0 {
			parts = append(parts, fmt.Sprintf("%s: %v", name, records))
		}
	}
	list("Cards", r.cards)
	list("Teams", r.teams)
	if r.owner != nil {
		parts = append(parts, fmt.Sprintf("Account: &%v", *r.owner))
	}
	return r.table.model + "{" + strings.Join(parts, ", ") + "}"
}

// rowTypes are the Go types of the rows of the tables in a world.
type rowTypes map[*table]reflect.Type

// row returns a pointer to a struct of the world with the values of a record.
func (w *world) row(r record) any {
	row := reflect.New(w.types[r.table])
	w.fill(row.Elem(), r)
	return row.Interface()
}

func (w *world) fill(row reflect.Value, r record) {
	for _, c := range r.cells {
		w.set(row, c)
	}
	for name, related := range map[string][]record{"Cards": r.cards, "Teams": r.teams} {
		if len(related) > 0 {
			row.FieldByName(name).Set(reflect.ValueOf(w.rows(related)).Elem())
		}
	}
	if r.owner != nil {
		row.FieldByName("Account").Set(reflect.ValueOf(w.row(*r.owner)))
	}
}

// rows returns a pointer to a slice of structs.
func (w *world) rows(records []record) any {
	rows := w.slice(records[0].table)
	slice := reflect.ValueOf(rows).Elem()
	slice.Set(reflect.MakeSlice(slice.Type(), len(records), len(records)))
	for i, r := range records {
		w.fill(slice.Index(i), r)
	}
	return rows
}

// pointers returns a pointer to a slice of pointers to structs.
func (w *world) pointers(records []record) any {
	rows := w.slicePointers(records[0].table)
	slice := reflect.ValueOf(rows).Elem()
	for _, r := range records {
		slice.Set(reflect.Append(slice, reflect.ValueOf(w.row(r))))
	}
	return rows
}

// empty returns a pointer to an empty struct, slice a pointer to an empty slice
// of structs, and slicePointers one to an empty slice of pointers to structs.

func (w *world) empty(t *table) any { return reflect.New(w.types[t]).Interface() }

func (w *world) slice(t *table) any { return reflect.New(reflect.SliceOf(w.types[t])).Interface() }

func (w *world) slicePointers(t *table) any {
	return reflect.New(reflect.SliceOf(reflect.PointerTo(w.types[t]))).Interface()
}

// set sets a field of a struct.
func (w *world) set(row reflect.Value, c cell) {
	for _, name := range strings.Split(c.field.name, ".") {
		row = row.FieldByName(name)
	}
	put(row, c.value)
}

func put(dst reflect.Value, value any) {
	switch {
	case value == nil:
		dst.SetZero()
	case dst.Type() == reflect.TypeFor[encryptedtype.EncryptedString]():
		dst.Set(reflect.ValueOf(encryptedtype.NewEncryptedString(value.(string))))
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		put(dst.Elem(), value)
	default:
		dst.Set(reflect.ValueOf(clone(value)).Convert(dst.Type()))
	}
}

// clone copies what could be changed in place.
func clone(value any) any {
	switch v := value.(type) {
	case []byte:
		return slices.Clone(v)
	case []string:
		return slices.Clone(v)
	case map[string]string:
		return maps.Clone(v)
	}
	return value
}

// form is how a value is passed by itself.
type form int

const (
	asItIs  form = iota
	pointed      // by a pointer to it
	typed        // as one of the types of database/sql, or of encryptedtype
)

// argument is a value that is passed by itself: in a map, or to Update.
type argument struct {
	cell
	form form
}

// drawArgument draws a value to be passed by itself.
func drawArgument(t *rapid.T, f *field) argument {
	a := argument{cell{f, f.draw(t)}, pick(t, asItIs, asItIs, pointed, typed)}
	if sometimes(t, 8) {
		a.value = nil
	}
	if a.value == nil && a.form == pointed && (f.kind == listKind || f.kind == dictKind) {
		a.form = asItIs // GORM leaves the field of a model as it is, if that is a Scanner
	}
	return a
}

func (a argument) String() string {
	text := written(a.value)
	switch a.form {
	case pointed:
		return "pointer(" + text + ")"
	case typed:
		return "typed(" + text + ")"
	}
	return text
}

// argument returns the value as the world takes it.
func (w *world) argument(a argument) any {
	f, value := a.field, clone(a.value)
	if f.kind == indexKind {
		if w.encrypted {
			return encryptedtype.BlindIndex{}
		}
		return nil
	}
	if value != nil {
		value = reflect.ValueOf(value).Convert(w.argumentType(f)).Interface()
	}
	switch {
	case a.form == pointed:
		if value == nil {
			return reflect.Zero(reflect.PointerTo(w.argumentType(f))).Interface()
		}
		pointer := reflect.New(reflect.TypeOf(value))
		pointer.Elem().Set(reflect.ValueOf(value))
		return pointer.Interface()
	case a.form == asItIs:
		return value
	case f.encrypted && (f.kind == textKind || f.kind == heldKind || f.kind == taxKind):
		if !w.encrypted {
			return value
		}
		if value == nil {
			return encryptedtype.EncryptedString{}
		}
		return encryptedtype.NewEncryptedString(value.(string))
	}
	switch v := value.(type) {
	case nil:
		return sql.NullString{}
	case string:
		return sql.NullString{String: v, Valid: true}
	case int64:
		return sql.NullInt64{Int64: v, Valid: true}
	case bool:
		return sql.NullBool{Bool: v, Valid: true}
	case time.Time:
		return sql.NullTime{Time: v, Valid: true}
	}
	return value
}

// argumentType is the type of values of a field, as the world takes them.
func (w *world) argumentType(f *field) reflect.Type {
	switch f.kind {
	case numberKind:
		return reflect.TypeFor[int64]()
	case flagKind:
		return reflect.TypeFor[bool]()
	case bytesKind:
		return reflect.TypeFor[[]byte]()
	case momentKind:
		return reflect.TypeFor[time.Time]()
	case listKind:
		if !w.encrypted {
			return reflect.TypeFor[plainList]()
		}
		return reflect.TypeFor[[]string]()
	case dictKind:
		if !w.encrypted {
			return reflect.TypeFor[plainDict]()
		}
		return reflect.TypeFor[map[string]string]()
	}
	return reflect.TypeFor[string]()
}

// values are those of a map, by the keys that it has.
type values []keyed

type keyed struct {
	key string
	argument
}

// drawValue draws a value by the name of the column.
func drawValue(t *rapid.T, f *field) keyed { return keyed{f.column, drawArgument(t, f)} }

// drawValues draws the values of a map, for up to so many fields, by the names
// of the columns and of the fields.
func drawValues(t *rapid.T, most int, byColumn bool, fields ...*field) values {
	var drawn values
	for _, f := range some(t, most, fields...) {
		key := f.column
		if !byColumn && !strings.Contains(f.name, ".") && sometimes(t, 3) {
			key = f.name
		}
		drawn = append(drawn, keyed{key, drawArgument(t, f)})
	}
	return drawn
}

func (v values) String() string {
	parts := make([]string, len(v))
	for i, one := range v {
		parts[i] = strconv.Quote(one.key) + ": " + one.argument.String()
	}
	return "map[string]any{" + strings.Join(parts, ", ") + "}"
}

// values returns the map as the world takes it.
func (w *world) values(v values) map[string]any {
	m := make(map[string]any, len(v))
	for _, one := range v {
		m[one.key] = w.argument(one.argument)
	}
	return m
}

// contact returns the contact with the values of an account.
func (r record) contact() *contact {
	c := &contact{}
	row := reflect.ValueOf(c).Elem()
	for _, cell := range r.cells {
		if dst := row.FieldByName(cell.field.name); dst.IsValid() {
			put(dst, cell.value)
		}
	}
	return c
}

// contactFields are those that a contact has.
var contactFields = accounts.where(func(f *field) bool {
	_, ok := reflect.TypeFor[contact]().FieldByName(f.name)
	return ok && f.name != "ID"
})

// drawContact draws an account with no other fields than a contact has.
func drawContact(t *rapid.T) record {
	r := record{table: accounts}
	for _, f := range append([]*field{accounts.fields[0]}, some(t, 4, contactFields[1:]...)...) {
		r.cells = append(r.cells, cell{f, f.draw(t)})
	}
	return r
}
