package gormcrypt

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// The read gate for everything that is not a field of the model: maps, single
// values, other structs. GORM scans it from a *sql.Rows, and so what the
// database gave is read here, opened, and handed on as another *sql.Rows.

// openedRows are the rows of a result with plaintext in place of ciphertext. It
// is a driver.Rows.
type openedRows struct {
	rows    *sql.Rows
	stmt    *gorm.Statement
	columns []string
	origins []origin
	types   []*sql.ColumnType
	values  []any // what the database gave for the current row
	into    []any // pointers to values
	// pending is the first row, as long as it is not known where to: DB.Scan asks
	// for it before it says that.
	pending []driver.Value
	targets []target
	zero    any // of the destination, if it is a single value
	maps    mapFixes
	joined  []*joinedRelation
	// selection is nil if all rows are asked for.
	selection *selection
	err       error
	told      bool // err was returned by Next
	// keep says that the destination is not emptied on an error: it is what the
	// program wrote.
	keep  bool
	close func() error
}

// target is where a column goes.
type target struct {
	// field is the encrypted field of a model or of another listed struct.
	field *schema.Field
	// goType is what the value goes into otherwise, without pointers. It is nil
	// if that takes any, or is left to another serializer.
	goType reflect.Type
	// toMap says that the value goes into a map.
	toMap bool
	// nowhere says that GORM throws it away: a struct has no field for it.
	nowhere bool
}

// opened is a plaintext on its way to the serializer.
type opened struct{ value any }

// openRows returns the rows of a statement's result, opened, and what they are
// read from. The statement's destination says for what.
func openRows(stmt *gorm.Statement, rows *sql.Rows, columns []resultColumn, keep bool) (*sql.Rows, *openedRows, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, nil, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, nil, err
	}
	o := &openedRows{rows: rows, stmt: stmt, columns: names, origins: matchColumns(columns, names), types: types, keep: keep, values: make([]any, len(names))}
	for i := range o.values {
		o.into = append(o.into, &o.values[i])
	}
	o.columns = o.columns[:o.hideBesides()]
	if !keep {
		o.joined = joinedRelations(stmt, o.columns)
	}
	// A handle of its own for every result: it leaves no goroutine behind.
	db := sql.OpenDB(handover{})
	o.close = db.Close
	opened, err := db.QueryContext(context.Background(), "", o)
	return opened, o, err
}

// Columns returns the names of the columns. GORM asks for them right before it
// scans, when the destination of the statement is settled.
func (o *openedRows) Columns() []string {
	if _, undecided := o.stmt.Dest.(*sql.Rows); !undecided && o.targets == nil {
		o.settle()
		if o.pending != nil {
			o.fill(o.pending)
		}
	}
	return o.columns
}

// Next reads and opens a row.
func (o *openedRows) Next(dest []driver.Value) error {
	if o.err != nil {
		o.told = true
		return o.err
	}
	if err := o.advance(); err != nil {
		return err
	}
	if o.targets == nil { // database/sql keeps dest for all rows
		o.pending = dest
		return o.try()
	}
	if o.fill(dest); o.err != nil {
		o.told = true
	}
	return o.err
}

// advance reads the next row that is asked for.
func (o *openedRows) advance() error {
	for {
		if o.selection != nil && o.selection.limit == 0 {
			return io.EOF
		}
		if !o.rows.Next() {
			if err := o.rows.Err(); err != nil {
				return err
			}
			return io.EOF
		}
		if err := o.rows.Scan(o.into...); err != nil {
			return err
		}
		admitted, err := o.admits()
		if err != nil {
			o.err, o.told = err, true
			return err
		}
		if admitted {
			if o.selection != nil {
				o.selection.limit--
			}
			return nil
		}
	}
}

// try opens the first row for nothing: once it is known where to, it is too late
// to keep it back.
func (o *openedRows) try() error {
	o.targets = make([]target, len(o.columns))
	defer func() { o.targets = nil }()
	var failed error
	for i := range o.columns {
		if o.origins[i].policy != nil {
			_, err := o.open(i, o.values[i])
			failed = also(failed, err)
		}
	}
	return failed
}

// also joins the errors of a row's columns, as GORM does: the last is the first
// that errors.As finds.
func also(before, err error) error {
	if err == nil || before == nil {
		return cmp.Or(err, before)
	}
	return errors.Join(err, before)
}

// fill opens the current row.
func (o *openedRows) fill(dest []driver.Value) {
	o.maps.next()
	for _, relation := range o.joined {
		relation.next(o.values)
	}
	for i := range o.columns {
		dest[i] = nil
		opened, err := o.open(i, o.values[i])
		switch {
		case err != nil:
			o.err = also(o.err, err)
		case o.targets[i].toMap && o.origins[i].policy != nil:
			o.maps.set(o.columns[i], opened)
		default:
			dest[i] = opened
		}
	}
	if o.err != nil {
		for i := range dest {
			dest[i] = o.zero // which GORM can scan
		}
	}
}

// open returns what goes to the target of a column.
func (o *openedRows) open(i int, stored any) (any, error) {
	from, to := o.origins[i], o.targets[i]
	policy := from.policy
	switch {
	case to.nowhere:
		return nil, nil
	case policy == nil && (!from.unknown || to.field != nil):
		return stored, nil
	case policy == nil:
		return stored, o.checkUnknown(i, stored)
	case stored == nil && policy.beside != nil:
		var err error
		if stored, err = o.sealedBeside(i); err != nil || stored == nil {
			return nil, err
		}
	case stored == nil:
		return nil, nil
	}
	if to.field != nil {
		own := lookup(to.field)
		if own != nil && own.sameAs(policy) && len(own.bind) == 0 {
			return stored, nil // which the serializer opens in place
		}
	}
	bound, err := o.bound(i, stored)
	if err != nil {
		return nil, err
	}
	fresh := reflect.New(policy.inner)
	if policy.inner != timeType && fresh.Type().Implements(scannerType) && !to.toMap && to.field == nil {
		// What its driver.Valuer gave is what its like can scan.
		fresh = reflect.New(reflect.TypeFor[any]())
	}
	if err := policy.openInto(fresh.Interface(), stored, bound); err != nil {
		return nil, err
	}
	value := fresh.Elem().Interface()
	switch {
	case to.field != nil:
		return opened{value}, nil
	case to.toMap:
		return policy.fieldValue(value)
	case to.goType == nil:
		return value, nil
	}
	fitting, err := fit(value, to.goType)
	if err != nil {
		return nil, policy.openError(err)
	}
	return fitting, nil
}

// fieldValue returns a plaintext as the policy's field holds it.
func (p *policy) fieldValue(plaintext any) (any, error) {
	target := reflect.New(p.field.FieldType).Elem()
	err := p.assign(target, plaintext)
	return target.Interface(), err
}

// checkUnknown refuses ciphertext in a column of which it cannot be told where
// it comes from.
func (o *openedRows) checkUnknown(i int, stored any) error {
	var text []byte
	switch stored := stored.(type) {
	case string:
		text = []byte(stored)
	case []byte:
		text = stored
	}
	if !ciphertext.Resembles(text) {
		return nil
	}
	return &Error{Op: "open", Column: o.columns[i], Err: ErrUnknownOrigin}
}

// bound returns the values that what is stored for a column is bound to, from the row
// that it is in.
func (o *openedRows) bound(i int, stored any) ([]ciphertext.Bound, error) {
	from := o.origins[i]
	if from.policy.isPlain(stored) {
		return nil, nil
	}
	var all []ciphertext.Bound
	for _, field := range from.policy.bind {
		value, selected := o.neighbour(from.table, fold(field.DBName))
		if !selected {
			into := ""
			if len(o.columns) == 1 {
				into = ", into a model, another struct or a map"
			}
			return nil, from.policy.openError(fmt.Errorf("%w to %s, which was not selected; select it too%s", ErrBinding, field.Name, into))
		}
		if value != nil {
			converted, err := convert(o.stmt.Context, field, field.Set, field.IndirectFieldType, value)
			if err != nil {
				return nil, from.policy.openError(fmt.Errorf("%w to %s: %w", ErrBinding, field.Name, err))
			}
			value = converted
		}
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			return nil, from.policy.openError(fmt.Errorf("%w to %s, and %w in the row", ErrBinding, field.Name, err))
		}
		all = append(all, canonical)
	}
	return all, nil
}

// neighbour returns the value of another column of the same table, if the result
// has it.
func (o *openedRows) neighbour(table, column string) (found any, ok bool) {
	for i, from := range o.origins {
		if from.policy != nil || from.unknown || from.column != column {
			continue
		}
		if from.table == table {
			return o.values[i], true
		}
		if from.table == "" { // of a star, which has one of that name, or two
			if found != nil {
				return nil, false
			}
			found, ok = o.values[i], true
		}
	}
	return found, ok
}

// settle finds out where the columns go.
func (o *openedRows) settle() {
	stmt := o.stmt
	o.targets = make([]target, len(o.columns))
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		o.maps.one = dest
	case *map[string]any:
		o.maps.pointer = dest
	case *[]map[string]any:
		o.maps.slice, o.maps.start = dest, len(*dest)
	}
	if o.maps.isSet() {
		for i := range o.targets {
			o.targets[i].toMap = true
		}
		return
	}
	t := indirect(reflect.TypeOf(stmt.Dest))
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = indirect(t.Elem())
	}
	switch {
	case t == nil || t.Kind() == reflect.Interface:
	case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(scannerType) && t != timeType:
		o.settleStruct()
	default:
		for i := range o.targets {
			o.targets[i].goType = t
		}
		o.zero = reflect.Zero(t).Interface()
	}
}

var timeType = reflect.TypeFor[time.Time]()

func indirect(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// settleStruct is settle for the fields of a struct.
func (o *openedRows) settleStruct() {
	parsed := &gorm.Statement{DB: o.stmt.DB}
	if parsed.Parse(o.stmt.Dest) != nil {
		return
	}
	for i, column := range o.columns {
		if mapped, ok := o.stmt.ColumnMapping[column]; ok {
			column = mapped
		}
		switch field := fieldOf(parsed.Schema, o.stmt, column); {
		case field == nil:
			o.targets[i].nowhere = true
		case isMarked(field):
			o.targets[i].field = field
		case field.Serializer == nil:
			o.targets[i].goType = field.IndirectFieldType
		}
	}
}

// fieldOf returns the field that GORM scans a column into, or nil.
func fieldOf(s *schema.Schema, stmt *gorm.Statement, column string) *schema.Field {
	if field := s.LookUpField(column); field != nil {
		return field
	}
	names := utils.SplitNestedRelationName(column)
	if len(names) < 2 {
		return nil
	}
	path, name := names[:len(names)-1], names[len(names)-1]
	for _, join := range stmt.Joins {
		if join.Alias == utils.JoinNestedRelationNames(path) {
			path = strings.Split(join.Name, ".")
			break
		}
	}
	for _, relation := range path {
		found := s.Relationships.Relations[relation]
		if found == nil {
			return nil
		}
		s = found.FieldSchema
	}
	return s.LookUpField(name)
}

// Close closes the rows, finishes what went into maps, and takes everything back
// if a value could not be opened.
func (o *openedRows) Close() error {
	err := o.rows.Close()
	_ = o.close() // lets go of the connection that runs this, after it
	if o.err == nil {
		o.maps.apply()
		return err
	}
	result := o.stmt.ReflectValue
	if !o.keep && result.IsValid() && result.CanSet() && result.Type() != reflect.TypeFor[*sql.Rows]() {
		result.SetZero()
	}
	if !o.keep {
		o.maps.discard(o.columns)
	}
	o.stmt.RowsAffected = 0
	if o.told {
		return err
	}
	return o.err
}

// ColumnTypeScanType returns the Go type of a column.
func (o *openedRows) ColumnTypeScanType(i int) reflect.Type { return o.types[i].ScanType() }

// ColumnTypeDatabaseTypeName returns the name of a column's type.
func (o *openedRows) ColumnTypeDatabaseTypeName(i int) string { return o.types[i].DatabaseTypeName() }

// mapFixes are the values for the maps of a destination. GORM calls Value on
// what it puts into a map; so it puts nothing there, and these take its place
// when it is done.
type mapFixes struct {
	one     map[string]any
	pointer *map[string]any
	slice   *[]map[string]any
	start   int // the length of slice before
	rows    []map[string]any
}

func (m *mapFixes) isSet() bool { return m.one != nil || m.pointer != nil || m.slice != nil }

func (m *mapFixes) next() {
	if m.isSet() {
		m.rows = append(m.rows, nil)
	}
}

func (m *mapFixes) set(column string, value any) {
	last := len(m.rows) - 1
	if m.rows[last] == nil {
		m.rows[last] = map[string]any{}
	}
	m.rows[last][column] = value
}

func (m *mapFixes) apply() {
	for i, row := range m.rows {
		for column, value := range row {
			switch {
			case m.one != nil:
				m.one[column] = value
			case m.pointer != nil:
				(*m.pointer)[column] = value
			default:
				(*m.slice)[m.start+i][column] = value
			}
		}
	}
}

// discard takes back what a result of which a value could not be opened has left
// in the caller's maps.
func (m *mapFixes) discard(columns []string) {
	one := m.one
	if m.pointer != nil {
		one = *m.pointer
	}
	for _, column := range columns {
		delete(one, column)
	}
	if m.slice != nil {
		*m.slice = slices.Clip((*m.slice)[:min(m.start, len(*m.slice))])
	}
}

// handover is a driver.Connector whose connections have one result to give: the
// argument of the query.
type handover struct{}

func (h handover) Connect(context.Context) (driver.Conn, error) { return h, nil }
func (h handover) Driver() driver.Driver                        { return nil }
func (handover) Prepare(string) (driver.Stmt, error)            { return nil, driver.ErrSkip }
func (handover) Close() error                                   { return nil }
func (handover) Begin() (driver.Tx, error)                      { return nil, driver.ErrSkip }

// CheckNamedValue lets the result pass.
func (handover) CheckNamedValue(*driver.NamedValue) error { return nil }

// QueryContext returns the result.
func (handover) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	return args[0].Value.(*openedRows), nil
}
