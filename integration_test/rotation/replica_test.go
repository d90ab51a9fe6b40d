package rotation_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// nobody returns the database as a new role sees it that has no rights, and the
// name of the role.
func nobody(t *testing.T, where testdb.Database) (db *gorm.DB, role string) {
	t.Helper()
	as, role := where.AsNewRole(t)
	return as.Open(t, nil), role
}

func execute(t *testing.T, pool *sql.DB, statement string) {
	t.Helper()
	if _, err := pool.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// asks asks a throttle.
func asks(t *testing.T, throttle rotation.Throttle) string {
	t.Helper()
	reason, err := throttle.Throttled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return reason
}

func TestActiveConnections(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	db := where.Open(t, nil)
	if got := asks(t, rotation.ActiveConnections(db, 1000)); got != "" {
		t.Errorf("it waits because %q", got)
	}
	pool := where.Plain(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		go func() { _, _ = pool.ExecContext(ctx, "SELECT pg_sleep(60)") }()
	}
	idle := where.Plain(t)
	for range 20 {
		conn, err := idle.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	throttle := rotation.ActiveConnections(db, 2)
	var got string
	for deadline := time.Now().Add(30 * time.Second); got == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got = asks(t, throttle)
	}
	if !strings.HasSuffix(got, " connections are active; the limit is 2") {
		t.Errorf("with three it waits because %q", got)
	}
	if got := asks(t, rotation.ActiveConnections(db, 15)); got != "" {
		t.Errorf("with twenty that are idle it waits because %q", got)
	}

	// Whoever is not allowed to see that gets an error.
	other, role := nobody(t, where)
	want := "gormcrypt: PostgreSQL hides what the connections of others do from the role " + role + "; GRANT pg_read_all_stats TO " + role
	if got, err := rotation.ActiveConnections(other, 1000).Throttled(t.Context()); err == nil || err.Error() != want {
		t.Errorf("without the grant: %q, %v", got, err)
	}
	execute(t, idle, "GRANT pg_read_all_stats TO "+role)
	if got := asks(t, rotation.ActiveConnections(other, 1000)); got != "" {
		t.Errorf("with the grant it waits because %q", got)
	}

	// What is not tracked is not idle.
	execute(t, pool, "SET track_activities = off")
	if got, err := rotation.ActiveConnections(db, 1000).Throttled(t.Context()); err == nil || !strings.Contains(err.Error(), "track_activities") {
		t.Errorf("untracked: %q, %v", got, err)
	}
}

func TestThrottlesOfPostgresOnSQLite(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Open(t, nil)
	for _, throttle := range []rotation.Throttle{rotation.ActiveConnections(db, 1), rotation.ReplicationLag(db, time.Second)} {
		if got, err := throttle.Throttled(t.Context()); err == nil || !strings.Contains(err.Error(), "PostgreSQL only") {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// replica is a client that the server takes for a replica. It receives everything,
// and replays when it is told to.
type replica struct {
	t    *testing.T
	conn *pgconn.PgConn
	got  chan uint64 // where what was received ends
}

// replicate connects a replica to the server, from where its log ends.
func replicate(t *testing.T, where testdb.Database, name string) *replica {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	config, err := pgconn.ParseConfig(where.DSN)
	if err != nil {
		t.Fatal(err)
	}
	delete(config.RuntimeParams, "search_path")
	config.RuntimeParams["replication"] = "yes"
	config.RuntimeParams["application_name"] = name
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		t.Skipf("the server takes no replica from here: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	var at string
	if err := where.Plain(t).QueryRowContext(ctx, "SELECT pg_current_wal_flush_lsn()").Scan(&at); err != nil {
		t.Fatal(err)
	}
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION PHYSICAL " + at})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if message, err := conn.ReceiveMessage(ctx); err != nil {
		t.Fatal(err)
	} else if _, ok := message.(*pgproto3.CopyBothResponse); !ok {
		t.Fatalf("the server answers with %T", message)
	}
	r := &replica{t: t, conn: conn, got: make(chan uint64, 1000)}
	receiving, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { // before the connection is closed, which is not for two goroutines
		stop()
		group.Wait()
	})
	group.Go(func() {
		for {
			message, err := conn.ReceiveMessage(receiving)
			if err != nil {
				return
			}
			// 'w', where it begins, where the log ends, the time, and the log.
			if data, ok := message.(*pgproto3.CopyData); ok && data.Data[0] == 'w' {
				select {
				case r.got <- binary.BigEndian.Uint64(data.Data[1:]) + uint64(len(data.Data)-25):
				case <-receiving.Done():
					return
				}
			}
		}
	})
	return r
}

// replay tells the server that everything was replayed up to there.
func (r *replica) replay(at uint64) {
	r.t.Helper()
	status := []byte{'r'}
	for range 3 { // written, flushed, applied
		status = binary.BigEndian.AppendUint64(status, at)
	}
	status = append(binary.BigEndian.AppendUint64(status, 0), 0)
	r.conn.Frontend().Send(&pgproto3.CopyData{Data: status})
	if err := r.conn.Frontend().Flush(); err != nil {
		r.t.Fatal(err)
	}
}

func TestReplicationLag(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	admin, db := where.Plain(t), where.Open(t, nil)
	other, role := nobody(t, where)
	for _, db := range []*gorm.DB{db, other} {
		if got := asks(t, rotation.ReplicationLag(db, time.Nanosecond)); got != "" {
			t.Errorf("without a replica it waits because %q", got)
		}
	}

	name := "replica of " + role
	r := replicate(t, where, name)
	want := "gormcrypt: PostgreSQL hides the replication lag from the role " + role + "; GRANT pg_read_all_stats TO " + role
	if got, err := rotation.ReplicationLag(other, time.Hour).Throttled(t.Context()); err == nil || err.Error() != want {
		t.Errorf("without the grant: %q, %v", got, err)
	}
	execute(t, admin, "GRANT pg_read_all_stats TO "+role)

	// It replays what it has only after a while, and then there is more.
	execute(t, admin, "CREATE TABLE log (n int)")
	var lag string
	for deadline := time.Now().Add(30 * time.Second); lag == "" && time.Now().Before(deadline); {
		execute(t, admin, "INSERT INTO log VALUES (1)")
		at := <-r.got
		time.Sleep(200 * time.Millisecond)
		for len(r.got) > 0 {
			at = <-r.got
		}
		r.replay(at)
		execute(t, admin, "INSERT INTO log VALUES (2)")
		time.Sleep(50 * time.Millisecond)
		lag = asks(t, rotation.ReplicationLag(other, 100*time.Millisecond))
	}
	if !strings.HasPrefix(lag, fmt.Sprintf("replica %q is ", name)) || !strings.HasSuffix(lag, "ms behind; the limit is 100ms") {
		t.Errorf("it waits because %q", lag)
	}
	if got := asks(t, rotation.ReplicationLag(other, time.Hour)); got != "" {
		t.Errorf("with another limit it waits because %q", got)
	}

	// A replica that has replayed everything is not behind, whatever the server still
	// shows of before.
	time.Sleep(200 * time.Millisecond)
	for deadline := time.Now().Add(30 * time.Second); lag != "" && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		at := uint64(0)
		for len(r.got) > 0 {
			at = <-r.got
		}
		if at > 0 {
			r.replay(at)
		}
		lag = asks(t, rotation.ReplicationLag(other, 100*time.Millisecond))
	}
	if lag != "" {
		t.Errorf("when it has replayed everything it waits because %q", lag)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rotation.ReplicationLag(db, time.Hour).Throttled(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
