package gormcrypttest

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// What a driver need not have, database/sql does otherwise, and so does the
// wire, on its behalf: it has every optional method, with the default where the
// driver has none. Only where database/sql draws conclusions from the mere
// presence of a method, the wire has it if and only if the driver does.

// connector connects with another one.
type connector struct {
	driver.Connector
	wire *Wire
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	watched := &conn{inner, c.wire}
	resets, _ := inner.(driver.SessionResetter)
	validates, _ := inner.(driver.Validator)
	// A connection with both outlives a transaction whose context ended.
	switch {
	case resets != nil && validates != nil:
		return struct {
			*conn
			driver.SessionResetter
			driver.Validator
		}{watched, resets, validates}, nil
	case resets != nil:
		return struct {
			*conn
			driver.SessionResetter
		}{watched, resets}, nil
	case validates != nil:
		return struct {
			*conn
			driver.Validator
		}{watched, validates}, nil
	}
	return watched, nil
}

// Close is called when the database is closed.
func (c connector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// conn is a watched connection.
type conn struct {
	inner driver.Conn
	wire  *Wire
}

// Unwrap returns the driver's own connection, of which nothing is watched.
func (c *conn) Unwrap() driver.Conn { return c.inner }

func (c *conn) Close() error { return c.inner.Close() }

func (c *conn) Ping(ctx context.Context) error {
	if pinger, ok := c.inner.(driver.Pinger); ok {
		return pinger.Ping(ctx)
	}
	return nil
}

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if beginner, ok := c.inner.(driver.ConnBeginTx); ok {
		return beginner.BeginTx(ctx, options)
	}
	if options.Isolation != 0 {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if options.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	tx, err := c.inner.Begin() //lint:ignore SA1019 it has nothing else
	if err == nil && ctx.Err() != nil {
		_ = tx.Rollback()
		return nil, ctx.Err()
	}
	return tx, err
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := c.prepare(ctx, query)
	c.wire.look(query, "the SQL text", query)
	if err != nil {
		c.wire.lookAtError(query, err)
		return nil, err
	}
	watched := &stmt{inner, c, query}
	// One with a ColumnConverter is given arguments only after conversion.
	if converter, ok := inner.(columnConverter); ok {
		return struct {
			*stmt
			columnConverter
		}{watched, converter}, nil
	}
	return watched, nil
}

func (c *conn) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if preparer, ok := c.inner.(driver.ConnPrepareContext); ok {
		return preparer.PrepareContext(ctx, query)
	}
	inner, err := c.inner.Prepare(query)
	if err == nil && ctx.Err() != nil {
		inner.Close()
		return nil, ctx.Err()
	}
	return inner, err
}

// What is deprecated, and database/sql still calls.
type (
	columnConverter interface {
		ColumnConverter(i int) driver.ValueConverter
	}
	execer interface {
		Exec(query string, args []driver.Value) (driver.Result, error)
	}
	queryer interface {
		Query(query string, args []driver.Value) (driver.Rows, error)
	}
)

// CheckNamedValue is asked about the arguments of ExecContext and QueryContext;
// those of prepared statements are for stmt. A connection with neither takes
// them as they are, because they will be skipped.
func (c *conn) CheckNamedValue(arg *driver.NamedValue) error {
	switch c.inner.(type) {
	case driver.ExecerContext, driver.QueryerContext, execer, queryer:
		return checkNamedValue(c.inner, arg)
	}
	return nil
}

// checkNamedValue asks the driver about an argument.
func checkNamedValue(inner any, arg *driver.NamedValue) error {
	if checker, ok := inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(arg)
	}
	return driver.ErrSkip
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.exec(ctx, query, args)
	c.sent(query, args, err)
	return result, err
}

func (c *conn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	switch inner := c.inner.(type) {
	case driver.ExecerContext:
		return inner.ExecContext(ctx, query, args)
	case execer:
		values, err := unnamed(ctx, args)
		if err != nil {
			return nil, err
		}
		return inner.Exec(query, values)
	}
	return nil, driver.ErrSkip
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.query(ctx, query, args)
	c.sent(query, args, err)
	return c.wire.watch(rows, query), err
}

func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	switch inner := c.inner.(type) {
	case driver.QueryerContext:
		return inner.QueryContext(ctx, query, args)
	case queryer:
		values, err := unnamed(ctx, args)
		if err != nil {
			return nil, err
		}
		return inner.Query(query, values)
	}
	return nil, driver.ErrSkip
}

// sent looks at a statement, unless the driver has not taken it: then
// database/sql prepares it.
func (c *conn) sent(query string, args []driver.NamedValue, err error) {
	if err != driver.ErrSkip {
		c.wire.look(query, "the SQL text", query)
		c.wire.sent(query, args, err)
	}
}

// unnamed returns arguments for the methods that know no names and no context.
func unnamed(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = arg.Value
	}
	return values, ctx.Err()
}
