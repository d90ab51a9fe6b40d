package gormcrypt

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Manifest lists the encrypted columns of the models of db, and of those that
// they are related to, as package manifest describes them. Which of the structs
// have a table is asked of the database: others are what results are read into.
// Tables come in the order of their names, and columns in that of the fields. Columns
// need not be there yet: Expand of package migrations makes those of blind indexes.
//
// It returns ErrNoPlugin if db is without the plugin; a *ModelError for a model
// without a primary key, whose rows could not be told apart, and for two models
// that do not agree on a column; and the error of the database.
func Manifest(db *gorm.DB) (manifest.Manifest, error) {
	declarations, err := declarations(db, func(s *schema.Schema) (bool, error) {
		exists, err := hasTable(db, s.Table)
		if exists && len(s.PrimaryFields) == 0 {
			err = &ModelError{Model: s.ModelType.String(), Problem: "it has encrypted fields and no primary key, so its rows cannot be told apart", Fix: "add a primary key"}
		}
		return exists, err
	})
	if err != nil {
		return manifest.Manifest{}, err
	}
	m := manifest.Manifest{Format: manifest.Format, Tables: []manifest.Table{}}
	for _, declared := range declarations {
		m.Tables = append(m.Tables, declared.Table)
	}
	return m, m.Check()
}

// Declaration is what models say of one table, or of what a result is read into.
type Declaration struct {
	manifest.Table
	// Names are those of all columns, encrypted or not.
	Names []string
	// Types are the Go types of the values of the encrypted columns, by name.
	Types map[string]reflect.Type
}

// Declarations returns what the models of db and those that they are related to
// say of encrypted columns, in the order of [Manifest], without asking the
// database: also of structs that have no table, and of those that have no primary
// key. It is for checking models where there is no database.
//
// It returns ErrNoPlugin if db is without the plugin, and a *ModelError for two
// models that do not agree on a column.
func Declarations(db *gorm.DB) ([]Declaration, error) {
	return declarations(db, func(*schema.Schema) (bool, error) { return true, nil })
}

func declarations(db *gorm.DB, isMeant func(*schema.Schema) (bool, error)) ([]Declaration, error) {
	p, ok := db.Plugins[(&Plugin{}).Name()].(*Plugin)
	if !ok {
		return nil, ErrNoPlugin
	}
	tables := map[string]*Declaration{}
	models := *p.models.Load()
	bySchema := slices.SortedFunc(func(yield func(*schema.Schema) bool) {
		for s, m := range models {
			if len(m.byField) > 0 && !yield(s) {
				return
			}
		}
	}, func(a, b *schema.Schema) int { return cmp.Compare(a.ModelType.String(), b.ModelType.String()) })
	for _, s := range bySchema {
		if ok, err := isMeant(s); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		declared, err := models[s].declaration()
		if err != nil {
			return nil, err
		}
		if before := tables[s.Table]; before == nil {
			tables[s.Table] = &declared
		} else if err := before.merge(declared, s); err != nil {
			return nil, err
		}
	}
	var all []Declaration
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		all = append(all, *tables[name])
	}
	return all, nil
}

// hasTable asks the database for a table. GORM's own question drops its error.
func hasTable(db *gorm.DB, table string) (bool, error) {
	migrator := db.Session(&gorm.Session{NewDB: true})
	exists := migrator.Migrator().HasTable(table)
	if exists {
		return true, nil
	}
	// No table, or no answer.
	pool, err := db.DB()
	if err != nil {
		return false, fmt.Errorf("gormcrypt: asking for the table %s: %w", table, err)
	}
	if err := pool.PingContext(db.Statement.Context); err != nil {
		return false, fmt.Errorf("gormcrypt: asking for the table %s: %w", table, err)
	}
	return false, nil
}

// declaration returns what a model says of its table.
func (m *modelPolicy) declaration() (Declaration, error) {
	t := Declaration{Table: manifest.Table{Name: m.schema.Table}, Names: slices.Clone(m.schema.DBNames), Types: map[string]reflect.Type{}}
	for _, field := range m.schema.PrimaryFields {
		t.PrimaryKey = append(t.PrimaryKey, field.DBName)
	}
	for _, field := range m.schema.Fields {
		policy := m.byField[field]
		if policy == nil {
			continue
		}
		column := manifest.Column{
			Name:          field.DBName,
			Type:          valueType(policy.inner),
			Migrating:     string(policy.migrating),
			Context:       manifest.Context{Table: policy.column.Table, Column: policy.column.Column},
			Deterministic: policy.column.Deterministic,
			Unique:        policy.column.Deterministic && isUnique(field),
			Binary:        policy.column.Binary,
			Named:         policy.column.Named,
			Pad:           policy.column.Pad,
		}
		if policy.beside != nil {
			column.Beside = policy.besideField.DBName
		}
		for _, bound := range policy.bind {
			kind, err := boundType(bound)
			if err != nil {
				return t, err
			}
			column.Bind = append(column.Bind, manifest.Bound{Column: bound.DBName, Type: kind})
		}
		t.Columns = append(t.Columns, column)
		t.Types[column.Name] = policy.inner
	}
	t.DatabaseIndexes = m.databaseIndexes()
	for _, x := range m.indexes {
		described := manifest.Index{
			Name:      x.field.DBName,
			Context:   manifest.Context{Table: x.Table, Column: x.Column},
			Normalize: x.normalize,
			Bits:      x.Bits,
			Slow:      x.Slow,
			Unique:    isUnique(x.field),
			Migrating: string(x.migrating),
		}
		for _, policy := range x.of {
			described.Of = append(described.Of, policy.field.DBName)
		}
		t.Indexes = append(t.Indexes, described)
	}
	return t, nil
}

// valueType returns what values of a Go type are sealed as. Of a type with a Value
// method, an example says so.
func valueType(t reflect.Type) manifest.ValueType {
	t = indirect(t)
	if reflect.PointerTo(t).Implements(valuerType) && !t.ConvertibleTo(timeType) {
		for _, example := range examples(t) {
			if value, err := example.(driver.Valuer).Value(); err == nil && value != nil && reflect.TypeOf(value) != t {
				return valueType(reflect.TypeOf(value))
			}
		}
		return manifest.AnyValue
	}
	switch k := t.Kind(); {
	case t.ConvertibleTo(timeType):
		return manifest.TimeValue
	case k == reflect.Interface:
		return manifest.AnyValue
	case k == reflect.String:
		return manifest.StringValue
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return manifest.BytesValue
	case k >= reflect.Int && k <= reflect.Int64:
		return manifest.IntValue
	case k >= reflect.Uint && k <= reflect.Uint64:
		return manifest.UintValue
	case k == reflect.Float32 || k == reflect.Float64:
		return manifest.FloatValue
	case k == reflect.Bool:
		return manifest.BoolValue
	}
	return manifest.JSONValue
}

// boundType returns what a bound field is in the associated data. Of a type with
// a Value method, an example says so.
func boundType(field *schema.Field) (manifest.BoundType, error) {
	for _, example := range examples(field.IndirectFieldType) {
		bound, err := ciphertext.Bind(example)
		if err != nil {
			continue
		}
		switch bound[0] {
		case 's':
			return manifest.Text, nil
		case 'i':
			return manifest.Integer, nil
		case 'b':
			return manifest.Bytes, nil
		}
	}
	return "", modelError(field, "a value is bound to it, and its type "+field.IndirectFieldType.String()+" does not say what it is in the database", "bind to a string, an integer or a []byte")
}

// examples returns values of a type that are not zero.
func examples(t reflect.Type) []any {
	var all []any
	for _, text := range []any{"1", "00000000-0000-0000-0000-000000000001", []byte("1234567890123456"), int64(1), time.Unix(1, 0).UTC()} {
		v := reflect.New(t)
		if scanner, ok := v.Interface().(interface{ Scan(any) error }); ok {
			if scanner.Scan(text) == nil {
				all = append(all, v.Elem().Interface())
			}
		} else if from := reflect.ValueOf(text); from.CanConvert(t) && (from.Kind() == t.Kind() || from.CanInt() && (v.Elem().CanInt() || v.Elem().CanUint())) {
			all = append(all, from.Convert(t).Interface())
		}
	}
	return all
}

// merge adds what another model says of the same table.
func (t *Declaration) merge(other Declaration, s *schema.Schema) error {
	differ := func(name string) error {
		return &ModelError{Model: s.ModelType.String(), Field: name, Problem: "another model of the table " + t.Name + " describes it otherwise", Fix: "give both the same tags"}
	}
	if !slices.Equal(t.PrimaryKey, other.PrimaryKey) {
		return differ(strings.Join(other.PrimaryKey, ", "))
	}
	for _, column := range other.Columns {
		at := slices.IndexFunc(t.Columns, func(c manifest.Column) bool { return c.Name == column.Name })
		if at < 0 {
			t.Columns = append(t.Columns, column)
			t.Types[column.Name] = other.Types[column.Name]
		} else if !reflect.DeepEqual(t.Columns[at], column) {
			return differ(column.Name)
		}
	}
	for _, x := range other.Indexes {
		at := slices.IndexFunc(t.Indexes, func(y manifest.Index) bool { return y.Name == x.Name })
		if at < 0 {
			t.Indexes = append(t.Indexes, x)
		} else if !reflect.DeepEqual(t.Indexes[at], x) {
			return differ(x.Name)
		}
	}
	for _, x := range other.DatabaseIndexes {
		at := slices.IndexFunc(t.DatabaseIndexes, func(y manifest.DatabaseIndex) bool { return y.Name == x.Name })
		if at < 0 {
			t.DatabaseIndexes = append(t.DatabaseIndexes, x)
		} else if !reflect.DeepEqual(t.DatabaseIndexes[at], x) {
			return differ(x.Name)
		}
	}
	for _, name := range other.Names {
		if !slices.Contains(t.Names, name) {
			t.Names = append(t.Names, name)
		}
	}
	return nil
}
