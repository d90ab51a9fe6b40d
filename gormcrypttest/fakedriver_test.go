package gormcrypttest_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
)

// journal is what was asked of a fake driver, and what it answered.
type journal struct {
	mu sync.Mutex
	strings.Builder
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j, format+"\n", args...)
}

// shown tells arguments apart, and not by their address.
func shown(args ...driver.NamedValue) string {
	var all []string
	for _, arg := range args {
		text := fmt.Sprintf("%d:%s %T", arg.Ordinal, arg.Name, arg.Value)
		if driver.IsValue(arg.Value) {
			text += fmt.Sprintf(" %v", arg.Value)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// fakeConnector connects with what make returns.
type fakeConnector struct {
	*journal
	make func(*journal) driver.Conn
}

func (c fakeConnector) Connect(context.Context) (driver.Conn, error) {
	c.note("connect")
	return c.make(c.journal), nil
}

func (c fakeConnector) Driver() driver.Driver { return nil }

func (c fakeConnector) Close() error {
	c.note("close connector")
	return nil
}

// fakeConns are drivers by what they have beside the least.
var fakeConns = map[string]func(*journal) driver.Conn{
	"the least": func(j *journal) driver.Conn { return fakeConn{j, nil} },
	"everything": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeContexts
			fakeResetter
			fakeValidator
			fakeChecker
		}{fakeConn{j, func(s fakeStmt) driver.Stmt {
			return struct {
				fakeStmt
				fakeStmtContexts
			}{s, fakeStmtContexts{j}}
		}}, fakeContexts{j, nil}, fakeResetter{j}, fakeValidator{j}, fakeChecker{j}}
	},
	"contexts that skip": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeContexts
		}{fakeConn{j, nil}, fakeContexts{j, driver.ErrSkip}}
	},
	"contexts that fail": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeContexts
		}{fakeConn{j, nil}, fakeContexts{j, io.ErrUnexpectedEOF}}
	},
	"a lost connection": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeContexts
		}{fakeConn{j, nil}, fakeContexts{j, driver.ErrBadConn}}
	},
	"the predecessors": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakePredecessors
		}{fakeConn{j, nil}, fakePredecessors{j}}
	},
	"a resetter": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeResetter
		}{fakeConn{j, nil}, fakeResetter{j}}
	},
	"a validator": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeValidator
		}{fakeConn{j, nil}, fakeValidator{j}}
	},
	"both": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeResetter
			fakeValidator
		}{fakeConn{j, nil}, fakeResetter{j}, fakeValidator{j}}
	},
	"a checker": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeChecker
		}{fakeConn{j, nil}, fakeChecker{j}}
	},
	"a checker of statements": func(j *journal) driver.Conn {
		return fakeConn{j, func(s fakeStmt) driver.Stmt {
			return struct {
				fakeStmt
				fakeChecker
			}{s, fakeChecker{j}}
		}}
	},
	"converters": func(j *journal) driver.Conn {
		return fakeConn{j, func(s fakeStmt) driver.Stmt {
			return fakeConverter{s}
		}}
	},
	"a checker and converters": func(j *journal) driver.Conn {
		return struct {
			fakeConn
			fakeContexts
			fakeChecker
		}{fakeConn{j, func(s fakeStmt) driver.Stmt {
			return fakeConverter{s}
		}}, fakeContexts{j, driver.ErrSkip}, fakeChecker{j}}
	},
}

type fakeConn struct {
	*journal
	dress func(fakeStmt) driver.Stmt
}

func (c fakeConn) Prepare(query string) (driver.Stmt, error) {
	c.note("prepare %s", query)
	s := fakeStmt{c.journal, query}
	if c.dress != nil {
		return c.dress(s), nil
	}
	return s, nil
}

func (c fakeConn) Close() error { c.note("close"); return nil }

func (c fakeConn) Begin() (driver.Tx, error) { c.note("begin"); return fakeTx{c.journal}, nil }

type fakeTx struct{ *journal }

func (tx fakeTx) Commit() error   { tx.note("commit"); return nil }
func (tx fakeTx) Rollback() error { tx.note("rollback"); return nil }

// fakeContexts has the methods of a connection that take a context.
type fakeContexts struct {
	*journal
	err error
}

func (c fakeContexts) Ping(context.Context) error { c.note("ping"); return nil }

func (c fakeContexts) BeginTx(_ context.Context, options driver.TxOptions) (driver.Tx, error) {
	c.note("begin %+v", options)
	return fakeTx{c.journal}, nil
}

func (c fakeContexts) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	c.note("prepare in context %s", query)
	return fakeStmt{c.journal, query}, nil
}

func (c fakeContexts) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.note("exec in context %s %s", query, shown(args...))
	return driver.RowsAffected(1), c.err
}

func (c fakeContexts) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.note("query in context %s %s", query, shown(args...))
	return &fakeTypedRows{fakeRows: fakeRows{journal: c.journal}}, c.err
}

type fakePredecessors struct{ *journal }

func (c fakePredecessors) Exec(query string, args []driver.Value) (driver.Result, error) {
	c.note("exec %s %#v", query, args)
	return driver.RowsAffected(1), nil
}

func (c fakePredecessors) Query(query string, args []driver.Value) (driver.Rows, error) {
	c.note("query %s %#v", query, args)
	return &fakeRows{journal: c.journal}, nil
}

type fakeResetter struct{ *journal }

func (c fakeResetter) ResetSession(context.Context) error { c.note("reset"); return nil }

type fakeValidator struct{ *journal }

func (c fakeValidator) IsValid() bool { c.note("valid"); return true }

type fakeChecker struct{ *journal }

func (c fakeChecker) CheckNamedValue(arg *driver.NamedValue) error {
	c.note("check %s", shown(*arg))
	switch arg.Value {
	case "removed":
		return driver.ErrRemoveArgument
	case "refused":
		return io.ErrNoProgress
	}
	return driver.ErrSkip
}

type fakeConverter struct{ fakeStmt }

func (c fakeConverter) ColumnConverter(i int) driver.ValueConverter {
	c.note("convert %d", i)
	return toTypeName{}
}

type toTypeName struct{}

func (toTypeName) ConvertValue(v any) (driver.Value, error) { return fmt.Sprintf("%T", v), nil }

// NumInput is not known.
func (c fakeConverter) NumInput() int { return -1 }

type fakeStmt struct {
	*journal
	query string
}

func (s fakeStmt) Close() error { s.note("close statement"); return nil }

func (s fakeStmt) NumInput() int { return strings.Count(s.query, "?") }

func (s fakeStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.note("exec prepared %#v", args)
	return driver.RowsAffected(1), nil
}

func (s fakeStmt) Query(args []driver.Value) (driver.Rows, error) {
	s.note("query prepared %#v", args)
	return &fakeRows{journal: s.journal}, nil
}

type fakeStmtContexts struct{ *journal }

func (s fakeStmtContexts) ExecContext(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.note("exec prepared in context %s", shown(args...))
	return driver.RowsAffected(1), nil
}

func (s fakeStmtContexts) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.note("query prepared in context %s", shown(args...))
	return &fakeTypedRows{fakeRows: fakeRows{journal: s.journal}}, nil
}

// fakeRows are two rows.
type fakeRows struct {
	*journal
	next int
}

func (r *fakeRows) Columns() []string { return []string{"a", "b"} }

func (r *fakeRows) Close() error { r.note("close rows"); return nil }

func (r *fakeRows) Next(dest []driver.Value) error {
	if r.next++; r.next > 2 {
		return io.EOF
	}
	dest[0], dest[1] = int64(r.next), []byte("text")
	return nil
}

// fakeTypedRows are two results of two rows, whose types are known.
type fakeTypedRows struct {
	fakeRows
	second bool
}

func (r *fakeTypedRows) HasNextResultSet() bool {
	r.note("another result? %t", !r.second)
	return !r.second
}

func (r *fakeTypedRows) NextResultSet() error {
	r.note("next result")
	if r.second {
		return io.EOF
	}
	r.second, r.next = true, 0
	return nil
}

func (r *fakeTypedRows) ColumnTypeScanType(int) reflect.Type { return reflect.TypeFor[int64]() }

func (r *fakeTypedRows) ColumnTypeDatabaseTypeName(i int) string { return []string{"INT", "TEXT"}[i] }

func (r *fakeTypedRows) ColumnTypeLength(i int) (int64, bool) { return 7, i == 1 }

func (r *fakeTypedRows) ColumnTypeNullable(i int) (nullable, ok bool) { return i == 1, true }

func (r *fakeTypedRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return 5, 2, i == 0
}
