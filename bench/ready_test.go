package bench

import (
	"context"
	"database/sql/driver"
	"io"
	"strings"
	"time"
)

// readyDriver is a database that has its answers ready: every statement does its
// work at once, and every query has rows of the plain model, one if it asks for
// one and 20 otherwise. With it, what is measured is what is in front of a
// driver.
type readyDriver struct{}

func (d readyDriver) Connect(context.Context) (driver.Conn, error) { return readyConn{}, nil }
func (readyDriver) Driver() driver.Driver                          { return nil }

type readyConn struct{}

func (readyConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (readyConn) Close() error                        { return nil }
func (readyConn) Begin() (driver.Tx, error)           { return readyConn{}, nil }
func (readyConn) Commit() error                       { return nil }
func (readyConn) Rollback() error                     { return nil }

func (readyConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (readyConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	rows := &readyRows{columns: readyColumns, left: 20}
	switch {
	case strings.Contains(query, "sqlite_version"): // which the dialect asks for
		rows.columns, rows.values = []string{"version"}, []driver.Value{"3.45.0"}
	case strings.HasPrefix(query, "SELECT name"):
		rows.columns, rows.values = []string{"name"}, []driver.Value{"ada"}
	case strings.HasPrefix(query, "INSERT"):
		rows.columns, rows.values = []string{"id"}, []driver.Value{int64(1)}
	case strings.Contains(query, "count("):
		rows.columns, rows.values = []string{"count"}, []driver.Value{int64(1)}
	default:
		rows.values = []driver.Value{int64(1), "ada", "London", int64(36), readyTime, "a", "b", "c"}
	}
	if len(rows.columns) == 1 && rows.columns[0] != "name" || strings.HasSuffix(query, "LIMIT 1") {
		rows.left = 1
	}
	return rows, nil
}

var (
	readyColumns = []string{"id", "name", "city", "age", "created_at", "email", "phone", "note"}
	readyTime    = time.Now()
)

type readyRows struct {
	columns []string
	values  []driver.Value
	left    int
}

func (r *readyRows) Columns() []string { return r.columns }
func (r *readyRows) Close() error      { return nil }

func (r *readyRows) Next(dest []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	copy(dest, r.values)
	return nil
}
