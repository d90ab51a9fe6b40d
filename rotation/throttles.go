package rotation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/sources"
)

// Throttle says when a job should wait. It is asked about once a second, by one
// goroutine at a time.
type Throttle interface {
	// Throttled returns why the job should wait, or an empty string. An error means
	// that it does not know: the job waits then, too. It has a few seconds, after
	// which ctx is done.
	Throttled(ctx context.Context) (reason string, err error)
}

// throttle is a Throttle that asks a database.
type throttle struct {
	db  *gorm.DB
	ask func(ctx context.Context, pool *sql.DB) (string, error)
	// about is what it asks for, if only PostgreSQL has that.
	about string
}

// Throttled implements Throttle. It goes past the plugin.
func (t throttle) Throttled(ctx context.Context) (string, error) {
	if name := t.db.Dialector.Name(); t.about != "" && name != "postgres" {
		return "", fmt.Errorf("gormcrypt: %s can be seen on PostgreSQL only, and this is %s; leave that throttle out", t.about, name)
	}
	pool, err := sources.Pool(t.db)
	if err != nil {
		return "", err
	}
	return t.ask(ctx, pool)
}

// ReplicationLag has a job wait while a replica of a PostgreSQL server is more
// than limit behind in replaying. It asks the primary, and sees the replicas that
// are connected to it, and subscribers of logical replication. A replica that is
// not connected it does not see.
//
// The role of db needs pg_read_all_stats or pg_monitor as soon as there is a
// replica: without it, it gets an error that says so, and the job waits.
func ReplicationLag(db *gorm.DB, limit time.Duration) Throttle {
	return throttle{db, func(ctx context.Context, pool *sql.DB) (string, error) {
		replica, err := slowest(ctx, pool)
		switch {
		case err != nil:
			return "", err
		case replica.lag > limit:
			return fmt.Sprintf("replica %q is %s behind; the limit is %s", replica.name, replica.lag.Round(time.Millisecond), limit), nil
		case replica.catchingUp:
			return fmt.Sprintf("replica %q is catching up, and how far it is behind is not known yet", replica.name), nil
		}
		return "", nil
	}, "the lag of replicas"}
}

// replica is one that is connected.
type replica struct {
	name string
	lag  time.Duration
	// catchingUp is that the lag is not known, of one that has yet to catch up.
	catchingUp bool
}

// replicas selects those that replay: not a base backup, and not one that begins.
// The lag is NULL until it was measured, and after a while without anything to
// replay. In that while it is the last one, of a replica that is not behind.
const replicas = `SELECT state IS NULL, coalesce(nullif(application_name, ''), client_addr::text, 'unnamed'),
	coalesce(CASE WHEN replay_lsn < pg_current_wal_flush_lsn() THEN extract(epoch FROM replay_lag)::float8 END, 0), coalesce(replay_lag IS NULL AND state = 'catchup', false), quote_ident(current_user)
FROM pg_stat_replication WHERE state IS NULL OR state IN ('streaming', 'catchup')
ORDER BY 1 DESC, 3 DESC, 4 DESC LIMIT 1`

// slowest returns the replica that is the furthest behind, the zero value if there
// is none.
func slowest(ctx context.Context, pool *sql.DB) (replica, error) {
	var r replica
	var hidden bool
	var seconds float64
	var role string
	err := pool.QueryRowContext(ctx, replicas).Scan(&hidden, &r.name, &seconds, &r.catchingUp, &role)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return replica{}, nil
	case err != nil:
		return replica{}, fmt.Errorf("gormcrypt: asking for the replication lag: %w", err)
	case hidden:
		return replica{}, missingGrant("the replication lag", role)
	}
	r.lag = time.Duration(seconds * float64(time.Second))
	return r, nil
}

// missingGrant is the error of a view that hides the rows of others.
func missingGrant(what, role string) error {
	return fmt.Errorf("gormcrypt: PostgreSQL hides %s from the role %s; GRANT pg_read_all_stats TO %s", what, role, role)
}

// ActiveConnections has a job wait while more than limit connections of clients to
// a PostgreSQL server are running a statement, in whatever database of it. Those
// of the run itself count, up to one for each worker; the one that asks does not.
//
// The role of db needs pg_read_all_stats or pg_monitor as soon as other roles are
// connected: without it, it gets an error that says so, and the job waits.
func ActiveConnections(db *gorm.DB, limit int) Throttle {
	return throttle{db, func(ctx context.Context, pool *sql.DB) (string, error) {
		var active, hidden, untracked int
		var role string
		if err := pool.QueryRowContext(ctx, connections).Scan(&active, &hidden, &untracked, &role); err != nil {
			return "", fmt.Errorf("gormcrypt: asking for the active connections: %w", err)
		}
		switch {
		case hidden > 0:
			return "", missingGrant("what the connections of others do", role)
		case untracked > 0:
			return "", fmt.Errorf("gormcrypt: what %d connections do is not tracked; set track_activities = on", untracked)
		case active > limit:
			return fmt.Sprintf("%d connections are active; the limit is %d", active, limit), nil
		}
		return "", nil
	}, "active connections"}
}

// connections counts those of clients. Of one that is hidden there is neither a
// state nor a type, but it has a database and a role, which other processes of the
// server lack.
const connections = `SELECT count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE backend_type IS NULL),
	count(*) FILTER (WHERE state = 'disabled'), quote_ident(current_user)
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND (backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL)`

// Query has a job wait by a query of the user's own, by the first column of its
// first row: while that is true, a number other than zero, or a text that is not
// empty and not a zero, which is the reason then and is shown and logged as it is.
// The job goes on while there is no row, or NULL. It waits while the query fails.
//
// The query is sent about once a second, past the plugin, and has a few seconds.
func Query(db *gorm.DB, query string) Throttle {
	return throttle{db: db, ask: func(ctx context.Context, pool *sql.DB) (string, error) {
		value, err := first(ctx, pool, query)
		if err != nil {
			return "", fmt.Errorf("gormcrypt: a throttle's query: %w", err)
		}
		return reason(value)
	}}
}

// first returns the first column of the first row, nil if there is none.
func first(ctx context.Context, pool *sql.DB, query string) (any, error) {
	rows, err := pool.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, errors.New("it returns no column; want one")
	}
	if !rows.Next() {
		return nil, rows.Err()
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &values[i]
	}
	err = rows.Scan(into...)
	return values[0], err
}

// says begins a reason that the query itself does not give.
const says = "a throttle's query returns "

// reason returns why to wait by what a query returned.
func reason(value any) (string, error) {
	switch value := value.(type) {
	case nil:
		return "", nil
	case bool:
		if value {
			return says + "true", nil
		}
		return "", nil
	case int64:
		return number(float64(value)), nil
	case float64:
		return number(value), nil
	case []byte:
		return reason(string(value))
	case string:
		// Drivers return exact numbers, such as sums, as text.
		if n, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			return number(n), nil
		}
		return value, nil
	}
	return "", fmt.Errorf("gormcrypt: a throttle's query returns a %T; want a boolean, a number or a text", value)
}

func number(n float64) string {
	if n == 0 {
		return ""
	}
	return says + strconv.FormatFloat(n, 'g', -1, 64)
}
