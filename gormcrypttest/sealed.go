package gormcrypttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// AssertSealed fails t, by Errorf, unless the database holds ciphertext, or
// NULL, in the columns of a model's encrypted fields. Fields have their Go
// names, with a path where that is not enough ("Address.Street"); none means all
// that are encrypted. It also fails t where it would say nothing: if the table
// is empty, if a field does not exist, is not encrypted, or is NULL in every
// row, though without names one field with a value is enough.
//
// It reads every row, soft-deleted ones too, past GORM and the plugin, by the
// connections of db.DB(). So it does not see what a transaction has not
// committed yet. The table is the model's, or that of db.Table. It looks at the
// format and opens nothing, and it never prints what is stored.
func AssertSealed(t TB, db *gorm.DB, model any, fields ...string) {
	t.Helper()
	if err := requireSealed(t, db, model, fields); err != nil {
		t.Errorf("gormcrypttest: %v", err)
	}
}

// requireSealed returns why nothing could be said, and reports the rest to t.
func requireSealed(t TB, db *gorm.DB, model any, names []string) error {
	t.Helper()
	if _, ok := db.Plugins[(*gormcrypt.Plugin)(nil).Name()].(*gormcrypt.Plugin); !ok {
		return errors.New("the plugin is not registered with this *gorm.DB")
	}
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return fmt.Errorf("parsing the model %T: %w", model, err)
	}
	fields, err := encryptedFields(stmt.Schema, names)
	if err != nil {
		return fmt.Errorf("%T: %w", model, err)
	}
	table := stmt.Schema.Table
	if db.Statement.Table != "" {
		table = db.Statement.Table
	}
	values := 0
	for _, field := range fields {
		stored, err := readColumn(stmt, table, field)
		if err != nil {
			return fmt.Errorf("reading %s.%s: %w", table, field.DBName, err)
		}
		values += stored.values
		if len(names) > 0 && stored.values == 0 {
			return fmt.Errorf("%s.%s is NULL in every row", table, field.DBName)
		}
		for i, bad := range stored.bad {
			if i == maxReports {
				t.Errorf("gormcrypttest: %s.%s: and %d more", table, field.DBName, len(stored.bad)-i)
				break
			}
			t.Errorf("gormcrypttest: %s.%s: %s", table, field.DBName, bad)
		}
	}
	if values == 0 {
		return fmt.Errorf("the encrypted columns of %s are NULL in every row", table)
	}
	return nil
}

// encryptedFields returns the fields with the names, or all that are encrypted.
func encryptedFields(s *schema.Schema, names []string) ([]*schema.Field, error) {
	encrypted := func(f *schema.Field) bool { return strings.EqualFold(f.TagSettings["SERIALIZER"], "encrypted") }
	if len(names) == 0 {
		fields := slices.DeleteFunc(slices.Clone(s.Fields), func(f *schema.Field) bool { return !encrypted(f) })
		if len(fields) == 0 {
			return nil, errors.New("no field is encrypted")
		}
		return fields, nil
	}
	var fields []*schema.Field
	for _, name := range names {
		found := false
		for _, field := range s.Fields {
			if field.Name != name && strings.Join(field.BindNames, ".") != name {
				continue
			}
			if !encrypted(field) {
				return nil, fmt.Errorf("the field %s is not encrypted", name)
			}
			fields, found = append(fields, field), true
		}
		if !found {
			return nil, fmt.Errorf("there is no field %s", name)
		}
	}
	return fields, nil
}

// column is what a database holds of a column.
type column struct {
	values int      // that are not NULL
	bad    []string // which of them are not ciphertext, and why
}

func readColumn(stmt *gorm.Statement, table string, field *schema.Field) (column, error) {
	pool, err := stmt.DB.DB()
	if err != nil {
		return column{}, err
	}
	names := []string{stmt.Quote(field.DBName)}
	for _, key := range stmt.Schema.PrimaryFields {
		names = append(names, stmt.Quote(key.DBName))
	}
	rows, err := pool.QueryContext(stmt.DB.Statement.Context, "SELECT "+strings.Join(names, ", ")+" FROM "+stmt.Quote(table))
	if err != nil {
		return column{}, err
	}
	defer rows.Close()
	var found column
	n := 0
	for ; rows.Next(); n++ {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return column{}, err
		}
		if row[0] == nil {
			continue
		}
		found.values++
		if err := parse(row[0]); err != nil {
			found.bad = append(found.bad, fmt.Sprintf("%s: %v", shownKey(stmt.Schema, row[1:]), err))
		}
	}
	if n == 0 && rows.Err() == nil {
		return column{}, errors.New("the table is empty")
	}
	return found, rows.Err()
}

// parse returns why a stored value is not ciphertext.
func parse(stored any) error {
	switch stored := stored.(type) {
	case string:
		_, err := ciphertext.Parse([]byte(stored))
		return err
	case []byte:
		_, err := ciphertext.Parse(stored)
		return err
	}
	return fmt.Errorf("%w: it is a %T", ciphertext.ErrNotCiphertext, stored)
}

// shownKey names a row by its primary key.
func shownKey(s *schema.Schema, values []any) string {
	if len(values) == 0 {
		return "a row"
	}
	var parts []string
	for i, value := range values {
		if raw, ok := value.([]byte); ok {
			value = string(raw)
		}
		parts = append(parts, fmt.Sprintf("%s=%v", s.PrimaryFields[i].DBName, value))
	}
	return "the row " + strings.Join(parts, ", ")
}
