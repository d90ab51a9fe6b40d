package bench

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// recorder records what a job sends to its table: each SELECT, and the statements of
// each transaction that writes a batch. The ledger is left out.
type recorder struct {
	testdb.Database
	table string // as jobs name it
	keep  bool   // the statements, and not only when the last write was

	mu        sync.Mutex
	steps     []step
	lastWrite time.Time
}

// step is a SELECT, or a transaction that writes a batch.
type step struct {
	writes bool
	all    []statement
}

type statement struct {
	query string
	args  []driver.NamedValue
}

// pool opens the database through the recorder.
func (r *recorder) pool(b *testing.B) *sql.DB {
	b.Helper()
	pool := sql.OpenDB(recordedConnector{r, r.Plain(b).Driver()})
	b.Cleanup(func() { pool.Close() })
	return pool
}

// replay sends what was recorded to another database with as many rows, by as many
// connections as a job has. It returns how long that took, and how long until the
// last row was written.
func (r *recorder) replay(b *testing.B, database testdb.Database, rows int) (all, rewriting time.Duration) {
	b.Helper()
	target := database.Plain(b)
	defer target.Close()
	connections := runtime.GOMAXPROCS(0)
	target.SetMaxIdleConns(connections)
	runtime.GC()
	start := time.Now()
	changed, lastWrite, err := replay(context.Background(), target, r.steps, connections)
	all = time.Since(start)
	if err != nil || changed != int64(rows) {
		b.Fatalf("the floor has changed %d rows: %v", changed, err)
	}
	return all, lastWrite.Sub(start)
}

// replay sends the statements again, by so many connections, and reads all that
// they return. It returns the number of rows that were changed, and when the last
// of them were.
func replay(ctx context.Context, pool *sql.DB, steps []step, connections int) (changed int64, lastWrite time.Time, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			for {
				mu.Lock()
				if len(steps) == 0 || err != nil {
					mu.Unlock()
					return
				}
				next := steps[0]
				steps = steps[1:]
				mu.Unlock()
				n, failed := next.send(ctx, pool)
				mu.Lock()
				if changed += n; next.writes {
					lastWrite = time.Now()
				}
				if failed != nil {
					err = failed
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return changed, lastWrite, err
}

func (s step) send(ctx context.Context, pool *sql.DB) (changed int64, err error) {
	if !s.writes {
		return 0, s.all[0].read(ctx, pool)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	for _, one := range s.all {
		result, err := tx.ExecContext(ctx, one.query, one.values()...)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		changed += n
	}
	return changed, tx.Commit()
}

func (s statement) read(ctx context.Context, pool *sql.DB) error {
	rows, err := pool.QueryContext(ctx, s.query, s.values()...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s statement) values() []any {
	all := make([]any, len(s.args))
	for i, arg := range s.args {
		all[i] = arg.Value
	}
	return all
}

type recordedConnector struct {
	*recorder
	driver driver.Driver
}

func (c recordedConnector) Driver() driver.Driver { return c.driver }

func (c recordedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.DSN)
	return &recordedConn{Conn: conn, recorder: c.recorder}, err
}

type recordedConn struct {
	driver.Conn
	*recorder
	open []statement // of a transaction
}

func (c *recordedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.keep && strings.Contains(query, " FROM "+c.table) {
		c.mu.Lock()
		c.steps = append(c.steps, step{all: []statement{{query, args}}})
		c.mu.Unlock()
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *recordedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	switch {
	case !strings.Contains(query, "gormcrypt_"):
		c.open = append(c.open, statement{query, args})
	case len(c.open) > 0: // the ledger comes last in a transaction
		c.mu.Lock()
		if c.lastWrite = time.Now(); c.keep {
			c.steps = append(c.steps, step{true, c.open})
		}
		c.mu.Unlock()
		c.open = nil
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *recordedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	c.open = nil
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	return recordedTx{tx, c}, err
}

// recordedTx forgets what is not followed by the ledger, such as settings.
type recordedTx struct {
	driver.Tx
	conn *recordedConn
}

func (t recordedTx) Commit() error {
	t.conn.open = nil
	return t.Tx.Commit()
}

func (t recordedTx) Rollback() error {
	t.conn.open = nil
	return t.Tx.Rollback()
}

func (c *recordedConn) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

func (c *recordedConn) ResetSession(ctx context.Context) error {
	if resetter, ok := c.Conn.(driver.SessionResetter); ok {
		return resetter.ResetSession(ctx)
	}
	return nil
}
