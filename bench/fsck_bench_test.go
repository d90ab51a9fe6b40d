package bench

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

var fsckRows = flag.Int("fsck.rows", 100_000, "rows of the table of BenchmarkFsck")

// checked has one encrypted column, and checkedWide four.
type checked struct {
	ID    int64
	Email string `gorm:"serializer:encrypted"`
}

type checkedWide struct {
	ID                    int64
	One, Two, Three, Four string `gorm:"serializer:encrypted"`
}

// fsckTable is a table of values of 64 bytes.
type fsckTable struct {
	testdb.Database
	keys    *keyring.Keyring
	model   any
	name    string
	columns []string
}

func newFsckTable(b *testing.B, database testdb.Database, model any, name string, columns ...string) fsckTable {
	b.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	t := fsckTable{database, keys, model, name, columns}
	if err := t.open(b).AutoMigrate(model); err != nil {
		b.Fatal(err)
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		b.Fatal(err)
	}
	var sealing []*ciphertext.Column
	for _, column := range columns {
		sealed, err := cipher.Column(ciphertext.ColumnConfig{Table: name, Column: column})
		if err != nil {
			b.Fatal(err)
		}
		sealing = append(sealing, sealed)
	}
	pool := database.Plain(b)
	tx, err := pool.Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	for from := 0; from < *fsckRows; from += batchSize {
		var values []any
		n := min(batchSize, *fsckRows-from)
		for i := range n {
			values = append(values, from+i+1)
			for _, column := range sealing {
				sealed, err := column.Seal(nil, fmt.Sprintf("%064d", from+i))
				if err != nil {
					b.Fatal(err)
				}
				values = append(values, string(sealed))
			}
		}
		if _, err := tx.Exec("INSERT INTO "+name+" (id, "+strings.Join(columns, ", ")+") VALUES "+placeholders(n, 1+len(columns)), values...); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	after := "VACUUM ANALYZE " + name
	if database.Name == "sqlite" {
		after = "PRAGMA wal_checkpoint(TRUNCATE)"
	}
	if _, err := pool.Exec(after); err != nil {
		b.Fatal(err)
	}
	return t
}

func (t fsckTable) open(b *testing.B) *gorm.DB {
	b.Helper()
	db := t.Open(b, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: t.keys, Models: []any{t.model}})); err != nil {
		b.Fatal(err)
	}
	return db
}

// spent is the time that something takes, of the clock and of the processor in this
// process.
type spent struct{ wall, processor time.Duration }

func spend(b *testing.B, f func() error) spent {
	b.Helper()
	runtime.GC()
	usage := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	processor, start := usage(), time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return spent{time.Since(start), usage() - processor}
}

// read is the floor: all rows by one statement of database/sql.
func (t fsckTable) read(pool *sql.DB) error {
	rows, err := pool.Query("SELECT id, " + strings.Join(t.columns, ", ") + " FROM " + t.name + " ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	values := make([]string, len(t.columns))
	into := []any{&id}
	for i := range values {
		into = append(into, &values[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// BenchmarkFsck measures how many values of 64 bytes in text columns fsck checks in a
// second with one worker: values/s by the clock, and values/s/core by the time of the
// processor that this process takes. With SQLite both include the database. PostgreSQL
// has processes of its own, for which this one waits.
//
// x-floor is the time by the clock as a multiple of that of the floor, which is read in
// the same round: the same rows by one SELECT with database/sql, and nothing done with
// them. values/s-floor is its rate.
func BenchmarkFsck(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) testdb.Database
	}{{"SQLite", testdb.SQLite}, {"PostgreSQL", testdb.Postgres}} {
		b.Run(database.name+"/one-column", func(b *testing.B) {
			newFsckTable(b, database.open(b), &checked{}, "checkeds", "email").benchmark(b)
		})
		b.Run(database.name+"/four-columns", func(b *testing.B) {
			newFsckTable(b, database.open(b), &checkedWide{}, "checked_wides", "one", "two", "three", "four").benchmark(b)
		})
	}
}

func (t fsckTable) benchmark(b *testing.B) {
	db, pool := t.open(b), t.Plain(b)
	values := float64(*fsckRows * len(t.columns))
	var wall, processor, floor, ratio []float64
	for b.Loop() {
		checking := spend(b, func() error {
			report, err := fsck.Check(context.Background(), db, fsck.Config{Workers: 1})
			if err == nil && (!report.Sound() || report.Columns[0].Sound != int64(*fsckRows)) {
				err = fmt.Errorf("%+v", report)
			}
			return err
		})
		reading := spend(b, func() error { return t.read(pool) })
		wall = append(wall, values/checking.wall.Seconds())
		processor = append(processor, values/checking.processor.Seconds())
		floor = append(floor, values/reading.wall.Seconds())
		ratio = append(ratio, checking.wall.Seconds()/reading.wall.Seconds())
	}
	b.ReportMetric(middle(wall), "values/s")
	b.ReportMetric(middle(processor), "values/s/core")
	b.ReportMetric(middle(floor), "values/s-floor")
	b.ReportMetric(middle(ratio), "x-floor")
	b.ReportMetric(0, "ns/op") // a round of both
}

// BenchmarkFsckHuge measures how many MiB of heap are in use at most while values of a
// megabyte are checked by one worker, garbage included.
func BenchmarkFsckHuge(b *testing.B) {
	const rows = 200
	for _, database := range []struct {
		name string
		open func(testing.TB) testdb.Database
	}{{"SQLite", testdb.SQLite}, {"PostgreSQL", testdb.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			keys, err := keyring.Generate()
			if err != nil {
				b.Fatal(err)
			}
			db := fsckTable{Database: database.open(b), keys: keys, model: &checked{}}.open(b)
			if err := db.AutoMigrate(&checked{}); err != nil {
				b.Fatal(err)
			}
			for i := range rows {
				if err := db.Create(&checked{ID: int64(i + 1), Email: strings.Repeat("huge", 1<<18)}).Error; err != nil {
					b.Fatal(err)
				}
			}
			var most uint64
			for b.Loop() {
				runtime.GC()
				done, peak := make(chan struct{}), make(chan uint64)
				go func() { peak <- peakHeap(done) }()
				report, err := fsck.Check(context.Background(), db, fsck.Config{Workers: 1})
				close(done)
				most = max(most, <-peak)
				if err != nil || !report.Sound() || report.Columns[0].Sound != rows {
					b.Fatalf("%v, %+v", err, report)
				}
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
		})
	}
}

// peakHeap returns the largest heap, in bytes, that was seen each millisecond until done.
func peakHeap(done <-chan struct{}) (peak uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		metrics.Read(sample)
		peak = max(peak, sample[0].Value.Uint64())
		select {
		case <-ticker.C:
		case <-done:
			return peak
		}
	}
}
