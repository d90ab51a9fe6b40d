package sqlitetable_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// faulty opens connections of which one statement fails.
type faulty struct {
	driver driver.Driver
	dsn    string
	// opened counts connections, statements those that are left before the fault.
	opened, statements int
}

var errFault = errors.New("a fault")

func (f *faulty) Driver() driver.Driver { return f.driver }

func (f *faulty) Connect(context.Context) (driver.Conn, error) {
	conn, err := f.driver.Open(f.dsn)
	f.opened++
	return &faultyConn{conn, f}, err
}

type faultyConn struct {
	driver.Conn
	faults *faulty
}

func (c *faultyConn) fault() error {
	if c.faults.statements--; c.faults.statements == 0 {
		return errFault
	}
	return nil
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.fault(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.fault(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// Whichever statement fails, the table is as it was or as it is to be, and the next
// who gets the connection from the pool finds it as it was opened.
func TestFaults(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		execute(t, db, "CREATE TABLE t (c)", "INSERT INTO t VALUES ('a')")
		without := snapshot(t, db)
		add(t, db, "t")
		with := snapshot(t, db)
		drop(t, db, "t")
		discarded, taken, done := 0, 0, false
		for n := 1; !done; n++ {
			faults := &faulty{driver: db.Driver(), dsn: where.DSN}
			pool := sql.OpenDB(faults)
			pool.SetMaxOpenConns(1)
			execute(t, pool, "SELECT 1") // it is open
			faults.statements = n
			err := sqlitetable.AddCheck(t.Context(), pool, "t", constraint, condition)
			done = faults.statements > 0
			want := with
			if err != nil {
				want = without
				taken++
				if !errors.Is(err, errFault) {
					t.Errorf("at statement %d: %v", n, err)
				}
			}
			if d := cmp.Diff(want, snapshot(t, db)); d != "" {
				t.Errorf("at statement %d (%v): (-want +got)\n%s", n, err, d)
			}
			faults.statements = 0
			wantSettings(t, pool)
			if _, err := pool.Exec("INSERT INTO t VALUES ('bad')"); (err == nil) != cmp.Equal(want, without) {
				t.Errorf("at statement %d: after it, %v", n, err)
			}
			if faults.opened > 1 {
				discarded++
			}
			pool.Close()
			execute(t, db, "DELETE FROM t WHERE c = 'bad'")
			drop(t, db, "t")
		}
		t.Logf("%d faults were errors, and after %d a connection was discarded", taken, discarded)
		if taken < 15 || discarded < 2 {
			t.Error("there are fewer than expected")
		}
	})
}
