package gormcrypttest

import (
	"database/sql/driver"
	"io"
	"reflect"
)

// rows is a watched result.
type rows struct {
	driver.Rows
	wire  *Wire
	query string
	// told has the columns that were reported.
	told map[string]bool
}

// watch returns rows that look at what they hand out; nil if there are none.
func (w *Wire) watch(inner driver.Rows, query string) driver.Rows {
	if inner == nil {
		return nil
	}
	return &rows{inner, w, query, map[string]bool{}}
}

func (r *rows) Next(dest []driver.Value) error {
	if err := r.Rows.Next(dest); err != nil {
		if err != io.EOF {
			r.wire.lookAtError(r.query, err)
		}
		return err
	}
	columns := r.Columns()
	for i, value := range dest {
		if cursor, ok := value.(driver.Rows); ok {
			dest[i] = r.wire.watch(cursor, r.query)
			continue
		}
		where := "column " + columns[i]
		if !r.told[where] && r.wire.look(r.query, where, value) {
			r.told[where] = true
		}
	}
	return nil
}

func (r *rows) HasNextResultSet() bool {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && inner.HasNextResultSet()
}

func (r *rows) NextResultSet() error {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return inner.NextResultSet()
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if inner, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return inner.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if inner, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return inner.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if inner, ok := r.Rows.(driver.RowsColumnTypeLength); ok {
		return inner.ColumnTypeLength(i)
	}
	return 0, false
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypeNullable); has {
		return inner.ColumnTypeNullable(i)
	}
	return false, false
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypePrecisionScale); has {
		return inner.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
