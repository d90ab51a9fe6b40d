package gormcrypttest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

// A driver is asked the same over the wire as without it, and gives the same
// answers, whatever optional methods it has.
func TestWireChangesNothing(t *testing.T) {
	t.Parallel()
	for name, connect := range fakeConns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bare, wired := &journal{}, &journal{}
			exercise(bare, sql.OpenDB(fakeConnector{bare, connect}))
			wire := gormcrypttest.NewWire(t)
			exercise(wired, sql.OpenDB(wire.Wrap(fakeConnector{wired, connect})))
			want, got := strings.Split(bare.String(), "\n"), strings.Split(wired.String(), "\n")
			for i := range min(len(want), len(got)) {
				if want[i] != got[i] {
					t.Fatalf("after\n%s\nit goes on with %q, and without the wire with %q", strings.Join(want[max(0, i-10):i], "\n"), got[i], want[i])
				}
			}
			if len(got) != len(want) || len(want) < 100 {
				t.Errorf("%d lines over the wire, %d without it", len(got), len(want))
			}
		})
	}
}

// counted is a value that says how often it was asked.
type counted struct{ *journal }

func (v counted) Value() (driver.Value, error) {
	v.note("value")
	return "v", nil
}

// exercise does with a database whatever database/sql can do.
func exercise(j *journal, db *sql.DB) {
	ctx := context.Background()
	j.note("ping: %v", db.Ping())
	args := [][]any{{}, {1}, {"text", []byte("bytes"), 1.5, true, nil}, {"removed"}, {"refused"}, {time.Time{}},
		{sql.Named("name", 1)}, {struct{}{}}, {counted{j}}, {sql.NullString{}, new(7)}}
	for _, args := range args {
		query := "q " + "?????"[:len(args)]
		result, err := db.Exec(query, args...)
		j.note("exec: %v, %v", result != nil, err)
		rows, err := db.Query(query, args...)
		j.note("query: %v", err)
		read(j, rows)
	}
	prepared, err := db.Prepare("p ?")
	j.note("prepare: %v", err)
	for _, args := range args {
		result, err := prepared.Exec(args...)
		j.note("exec prepared: %v, %v", result != nil, err)
		rows, err := prepared.Query(args...)
		j.note("query prepared: %v", err)
		read(j, rows)
	}
	for _, options := range []*sql.TxOptions{nil, {ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
		tx, err := db.BeginTx(ctx, options)
		j.note("begin: %v", err)
		if err == nil {
			_, err = tx.Exec("in it")
			j.note("exec: %v", err)
			j.note("commit: %v", tx.Commit())
		}
	}
	j.note("prepare: %v", prepared.Close())
	// A transaction whose context ends takes its connection with it, or not.
	cancelled, cancel := context.WithCancel(ctx)
	_, err = db.BeginTx(cancelled, nil)
	j.note("begin: %v", err)
	cancel()
	for db.Stats().InUse > 0 {
		time.Sleep(time.Millisecond)
	}
	j.note("open: %d", db.Stats().OpenConnections)
	_, err = db.ExecContext(cancelled, "too late")
	j.note("exec: %v", err)
	j.note("close: %v", db.Close())
}

func read(j *journal, rows *sql.Rows) {
	if rows == nil {
		return
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	j.note("types: %v", err)
	for _, column := range types {
		length, hasLength := column.Length()
		nullable, hasNullable := column.Nullable()
		precision, scale, ok := column.DecimalSize()
		j.note("%s %s %v %d %t %t %t %d %d %t", column.Name(), column.DatabaseTypeName(), column.ScanType(), length, hasLength, nullable, hasNullable, precision, scale, ok)
	}
	for {
		for rows.Next() {
			var a, b any
			err := rows.Scan(&a, &b)
			j.note("row: %v %v %v", a, b, err)
		}
		if !rows.NextResultSet() {
			break
		}
		j.note("another result")
	}
	j.note("rows: %v", rows.Err())
}
