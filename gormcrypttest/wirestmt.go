package gormcrypttest

import (
	"context"
	"database/sql/driver"
)

// stmt is a watched prepared statement.
type stmt struct {
	inner driver.Stmt
	conn  *conn
	query string
}

func (s *stmt) Close() error { return s.inner.Close() }

func (s *stmt) NumInput() int { return s.inner.NumInput() }

func (s *stmt) CheckNamedValue(arg *driver.NamedValue) error {
	if checker, ok := s.inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(arg)
	}
	return checkNamedValue(s.conn.inner, arg)
}

func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.exec(ctx, args)
	s.conn.wire.sent(s.query, args, err)
	return result, err
}

func (s *stmt) exec(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if inner, ok := s.inner.(driver.StmtExecContext); ok {
		return inner.ExecContext(ctx, args)
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.inner.Exec(values) //lint:ignore SA1019 it has nothing else
}

func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.runQuery(ctx, args)
	s.conn.wire.sent(s.query, args, err)
	return s.conn.wire.watch(rows, s.query), err
}

func (s *stmt) runQuery(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if inner, ok := s.inner.(driver.StmtQueryContext); ok {
		return inner.QueryContext(ctx, args)
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.inner.Query(values) //lint:ignore SA1019 it has nothing else
}

// named numbers arguments.
func named(args []driver.Value) []driver.NamedValue {
	numbered := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		numbered[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return numbered
}
