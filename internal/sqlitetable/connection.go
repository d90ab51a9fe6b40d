package sqlitetable

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"
)

const (
	// patience is how long others may hold the database.
	patience = 10 * time.Second
	// turn is how long a lock is waited for at a time. Without a write-ahead log,
	// everybody waits behind a transaction that waits for its end.
	turn = time.Second
	// pause is how long the others have their turn.
	pause = 20 * time.Millisecond
)

// connection is one connection of a pool, with settings that are put back.
type connection struct {
	*sql.Conn
	// steady is a context that is never done, for statements that take no time.
	// What stops a driver in the middle of them differs between drivers.
	steady context.Context
	// busy and writable are the settings as they were.
	busy, writable int64
	// edited says that a definition may have been edited.
	edited bool
	// broken says that the connection could not be put back as it was.
	broken bool
}

// connect runs f with a connection of its own, again while it fails for locks that
// others have.
func connect(ctx context.Context, pool *sql.DB, f func(*connection) error) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	c := &connection{Conn: conn, steady: context.WithoutCancel(ctx)}
	defer func() {
		if c.broken {
			// Nobody gets it from the pool again.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		conn.Close()
	}()
	for setting, value := range map[string]*int64{"busy_timeout": &c.busy, "writable_schema": &c.writable} {
		if err := conn.QueryRowContext(c.steady, "PRAGMA "+setting).Scan(value); err != nil {
			return err
		}
	}
	defer func() { c.restored(c.set("busy_timeout", c.busy)) }()
	if err := c.set("busy_timeout", turn.Milliseconds()); err != nil {
		return err
	}
	for began := time.Now(); ; {
		err := f(c)
		switch {
		case ctx.Err() != nil && err != nil:
			return ctx.Err()
		case !isLocked(err) || c.broken:
			return err
		case time.Since(began) > patience:
			return fmt.Errorf("others held the database for %v; try again when less is going on: %w", patience, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// transaction runs f in a transaction. After an error nothing of it is left.
func (c *connection) transaction(begin string, f func() error) error {
	if err := c.exec(begin); err != nil {
		return err
	}
	err := f()
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil {
		// Some errors end the transaction by themselves.
		if e := c.exec("ROLLBACK"); e != nil && !strings.Contains(e.Error(), "no transaction is active") {
			c.restored(e)
		}
	}
	if c.edited {
		// It may have read a definition that was taken back. Its version may soon be
		// that of another one, which the connection would not read then.
		c.restored(c.exec("PRAGMA writable_schema = RESET"))
		if c.writable != 0 {
			c.restored(c.set("writable_schema", c.writable))
		}
	}
	return err
}

func (c *connection) set(setting string, value int64) error {
	return c.exec(fmt.Sprintf("PRAGMA %s = %d", setting, value))
}

// restored takes note of what became of putting something back.
func (c *connection) restored(err error) { c.broken = c.broken || err != nil }

// isLocked goes by SQLite's messages, which all drivers for Go have.
func isLocked(err error) bool {
	if err == nil {
		return false
	}
	for _, what := range []string{"database", "database table", "database schema"} {
		if strings.Contains(err.Error(), what+" is locked") {
			return true
		}
	}
	return false
}
