package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var (
	rotatedRows       = flag.Int("rotation.rows", 100_000, "rows of the tables of BenchmarkRotation and BenchmarkForeground, 300,000 for the full size")
	savedRows         = flag.Int("rotation.saved", 3000, "rows that BenchmarkRotation saves one by one")
	foregroundRate    = flag.Int("rotation.foreground", 300, "operations a second of BenchmarkForeground")
	foregroundWindows = flag.Int("rotation.windows", 10, "windows of BenchmarkForeground, 60 for the full size")
	memoryRows        = flag.Int("rotation.memory", 300_000, "rows of the large table of BenchmarkRotationMemory, 1,000,000 for the full size")
	fewMemoryRows     = flag.Int("rotation.memory-few", 100_000, "rows of its small table")
)

// fast is what docs/rotation.md recommends for the night.
var fast = rotation.Limits{Duty: 1, Target: 100 * time.Millisecond}

// rotated has two encrypted columns.
type rotated struct {
	ID    int64
	Name  string
	Email string `gorm:"serializer:encrypted"`
	Note  string `gorm:"serializer:encrypted"`
}

// rotatedName is its table as SQL.
const rotatedName = `"rotateds"`

// rotatedTable is a table of rotated, of which copies are made.
type rotatedTable struct {
	open            func(testing.TB) testdb.Database
	source          testdb.Database
	first, promoted *keyring.Keyring
	size            int
}

// newRotated fills a table, past GORM, under the first of two key versions.
func newRotated(b *testing.B, open func(testing.TB) testdb.Database, size int) rotatedTable {
	b.Helper()
	t := rotatedTable{open: open, source: open(b), size: size}
	var version keyring.Version
	var err error
	if t.first, err = keyring.Generate(); err == nil {
		t.promoted, version, err = t.first.Add(keyring.DataKeys)
	}
	if err == nil {
		t.promoted, err = t.promoted.Promote(version)
	}
	if err != nil {
		b.Fatal(err)
	}
	db := t.use(b, t.source.Open(b, nil), t.first)
	if err := db.AutoMigrate(&rotated{}); err != nil {
		b.Fatal(err)
	}
	cipher, err := ciphertext.New(t.first, ciphertext.Config{})
	if err != nil {
		b.Fatal(err)
	}
	var columns [2]*ciphertext.Column
	for i, name := range []string{"email", "note"} {
		if columns[i], err = cipher.Column(ciphertext.ColumnConfig{Table: "rotateds", Column: name}); err != nil {
			b.Fatal(err)
		}
	}
	tx, err := t.source.Plain(b).Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	note := strings.Repeat("n", secretLen)
	for from := 0; from < size; from += batchSize {
		var values []any
		n := min(batchSize, size-from)
		for i := range n {
			values = append(values, from+i+1, "name")
			for j, text := range []string{emailOf(from + i), note} {
				sealed, err := columns[j].Seal(nil, text)
				if err != nil {
					b.Fatal(err)
				}
				values = append(values, string(sealed))
			}
		}
		if _, err := tx.Exec("INSERT INTO rotateds (id, name, email, note) VALUES "+placeholders(n, 4), values...); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return t
}

func (rotatedTable) use(b *testing.B, db *gorm.DB, keys *keyring.Keyring) *gorm.DB {
	b.Helper()
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&rotated{}}})); err != nil {
		b.Fatal(err)
	}
	return db
}

// copy returns a database with a copy of the table, or of its first rows.
func (t rotatedTable) copy(b *testing.B, rows int) testdb.Database {
	b.Helper()
	database := t.open(b)
	if err := t.use(b, database.Open(b, nil), t.first).AutoMigrate(&rotated{}); err != nil {
		b.Fatal(err)
	}
	pool := database.Plain(b)
	pool.SetMaxOpenConns(1)
	defer pool.Close()
	from, after := "source.", []string{"DETACH source", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"}
	if t.source.Name == "postgres" {
		var schema string
		if err := t.source.Plain(b).QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
			b.Fatal(err)
		}
		from, after = schema+".", []string{"VACUUM ANALYZE rotateds", "CHECKPOINT"}
	} else if _, err := pool.Exec("ATTACH ? AS source", t.source.Path); err != nil {
		b.Fatal(err)
	}
	for _, statement := range append([]string{fmt.Sprintf("INSERT INTO rotateds SELECT * FROM %srotateds ORDER BY id LIMIT %d", from, rows)}, after...) {
		if _, err := pool.Exec(statement); err != nil {
			b.Fatal(statement, err)
		}
	}
	return database
}

// rotate runs a rotation over a table and returns how long it took, and how long
// until the last row was written.
func (t rotatedTable) rotate(b *testing.B, r *recorder, config rotation.Config) (all, rewriting time.Duration) {
	b.Helper()
	pool := r.pool(b)
	defer pool.Close()
	job, err := rotation.New(t.use(b, r.OpenPool(b, pool, nil), t.promoted), config)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	report, err := job.Run(context.Background())
	all = time.Since(start)
	if err != nil || report.Swapped != int64(t.size) {
		b.Fatalf("%+v: %v", report, err)
	}
	return all, r.lastWrite.Sub(start)
}

// BenchmarkRotation measures how fast rows are rotated that have two encrypted
// columns, by a run with fast limits, in turns with the two
// sides below, on equal tables. The rate is that of the run until it returns:
// beside rewriting all rows it counts what is stale, and opens all of them once
// more to verify them.
//
// x-floor is its share of the rate of the floor: the same statements, with values
// made beforehand, by as many connections. The floor is recorded from another run
// of the rotation. It has no ledger and no cryptography, and does not wait between
// passes. x-floor-rewriting is the same until the last row is written, without what
// verifies them: what rewriting takes of the same updates, and the reads for them.
// x-floor-unverified is the rate of the whole run as a share of the floor's without
// verifying.
//
// x-save is how many times faster it is than FindInBatches with Save, which is
// measured on -rotation.saved rows, and takes the same for each of more.
func BenchmarkRotation(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkRotation(b, testdb.SQLite) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkRotation(b, testdb.Postgres) })
}

func benchmarkRotation(b *testing.B, open func(testing.TB) testdb.Database) {
	table := newRotated(b, open, *rotatedRows)
	config := rotation.Config{Limits: fast}
	var all rounds
	for round := 0; b.Loop(); round++ {
		var took [rotationSides]time.Duration
		for turn := range 3 {
			switch (turn + round) % 3 {
			case rotating:
				took[rotating], took[rewriting] = table.rotate(b, &recorder{Database: table.copy(b, table.size), table: rotatedName}, config)
			case replaying:
				took[replaying], took[rewritingAgain] = table.replay(b, config)
			case saving:
				rows := min(*savedRows, table.size)
				took[saving] = table.save(b, rows) * time.Duration(table.size) / time.Duration(rows)
			}
			runtime.GC()
		}
		all.add(table.size, took)
	}
	all.report(b)
}

// The sides of the comparison, and the first phase of two of them.
const (
	rotating = iota
	replaying
	saving
	rewriting
	rewritingAgain
	rotationSides
)

// rounds are the rates of all rounds, and their ratios.
type rounds struct {
	rates  [rotationSides][]float64
	ratios map[string][]float64
}

// add adds a round: how long each side took for so many rows.
func (s *rounds) add(rows int, took [rotationSides]time.Duration) {
	if s.ratios == nil {
		s.ratios = map[string][]float64{}
	}
	for side, t := range took {
		s.rates[side] = append(s.rates[side], float64(rows)/t.Seconds())
	}
	for name, pair := range map[string][2]int{
		"x-floor": {rotating, replaying}, "x-floor-rewriting": {rewriting, rewritingAgain},
		"x-floor-unverified": {rotating, rewritingAgain}, "x-save": {rotating, saving},
	} {
		s.ratios[name] = append(s.ratios[name], float64(took[pair[1]])/float64(took[pair[0]]))
	}
}

func (s *rounds) report(b *testing.B) {
	b.Helper()
	for name, all := range s.ratios {
		b.ReportMetric(middle(all), name)
	}
	for side, name := range []string{"rows/s", "rows/s-floor", "rows/s-save", "rows/s-rewriting", "rows/s-floor-rewriting"} {
		b.ReportMetric(middle(s.rates[side]), name)
	}
	b.ReportMetric(0, "ns/op") // a round of all sides, which says nothing
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// replay returns how long the floor takes, and how long until the last row is
// written.
func (t rotatedTable) replay(b *testing.B, config rotation.Config) (all, rewriting time.Duration) {
	b.Helper()
	r := &recorder{Database: t.copy(b, t.size), table: rotatedName, keep: true}
	t.rotate(b, r, config)
	return r.replay(b, t.copy(b, t.size), t.size)
}

// save returns how long it takes to rotate rows by GORM alone.
func (t rotatedTable) save(b *testing.B, rows int) time.Duration {
	b.Helper()
	db := t.use(b, t.copy(b, rows).Open(b, nil), t.promoted)
	return saveAll[rotated](b, db)
}

// saveAll saves every row of a table.
func saveAll[model any](b *testing.B, db *gorm.DB) time.Duration {
	b.Helper()
	var found []model
	start := time.Now()
	err := db.FindInBatches(&found, 1000, func(tx *gorm.DB, _ int) error {
		for i := range found {
			if err := db.Save(&found[i]).Error; err != nil {
				return err
			}
		}
		return nil
	}).Error
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkForeground measures how long an application waits while a rotation at
// defaults runs beside it: by a steady load of reads by key and updates of
// encrypted columns, far from what the database can do, in windows of two seconds
// with and without the rotation, -rotation.windows of them, or until it has ended.
// The rotation has a pool of its own, in the same process, and the database runs on
// the same machine. An operation begins when it is due, whether the one before has
// ended or not.
//
// The metric x-p99 is the ratio of the two 99th percentiles of all windows.
func BenchmarkForeground(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkForeground(b, testdb.SQLite) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkForeground(b, testdb.Postgres) })
}

func benchmarkForeground(b *testing.B, open func(testing.TB) testdb.Database) {
	table := newRotated(b, open, *rotatedRows)
	var beside foreground
	for b.Loop() {
		database := table.copy(b, table.size)
		app := table.use(b, database.Open(b, nil), table.promoted)
		job, err := rotation.New(table.use(b, database.Open(b, nil), table.promoted), rotation.Config{})
		if err != nil {
			b.Fatal(err)
		}
		beside.measure(b, job.Run, func() error {
			row := rotated{ID: 1 + rand.Int64N(int64(table.size))}
			if rand.IntN(3) > 0 {
				return app.Take(&row).Error
			}
			return app.Model(&row).Updates(rotated{Email: "new@example.org", Note: "new"}).Error
		})
	}
	beside.report(b)
}

// foreground is what an application took, without a job and with one.
type foreground struct {
	times   [2][]time.Duration
	swapped int64 // in all windows with one
}

// measure runs an application, with a job in every other window.
func (f *foreground) measure(b *testing.B, run func(context.Context) (rotation.Report, error), operation func() error) {
	b.Helper()
	const window = 2 * time.Second
	var before int64
	for round := range *foregroundWindows {
		ctx, cancel := context.WithTimeout(context.Background(), window)
		var took []time.Duration
		var group sync.WaitGroup
		group.Go(func() { took = load(ctx, b, operation) })
		with := round % 2
		report := rotation.Report{Status: rotation.Status{Swapped: before}}
		var err error
		if with == 1 {
			report, err = run(ctx)
		}
		ended := with == 1 && err == nil
		if ended {
			cancel() // what comes now is without it
		}
		group.Wait()
		cancel()
		f.times[with] = append(f.times[with], took...)
		f.swapped += report.Swapped - before
		before = report.Swapped
		if ended {
			break
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			b.Fatal(err)
		}
	}
}

func (f *foreground) report(b *testing.B) {
	b.Helper()
	var p99 [2]float64
	for with, all := range f.times {
		slices.Sort(all)
		p99[with] = float64(all[len(all)*99/100].Microseconds()) / 1000
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, []string{"ms-p50-without", "ms-p50"}[with])
	}
	b.ReportMetric(p99[1]/p99[0], "x-p99")
	b.ReportMetric(p99[0], "ms-p99-without")
	b.ReportMetric(p99[1], "ms-p99")
	b.ReportMetric(float64(f.swapped)/(float64(len(f.times[1]))/float64(*foregroundRate)), "rows/s")
	b.ReportMetric(0, "ns/op")
}

// load works as an application does until ctx ends, and returns how long each
// operation took from when it was due.
func load(ctx context.Context, b *testing.B, operation func() error) []time.Duration {
	const users = 8
	var mu sync.Mutex
	var all []time.Duration
	var group sync.WaitGroup
	every := time.Second * users / time.Duration(*foregroundRate)
	for range users {
		group.Go(func() {
			due := time.Now().Add(rand.N(every))
			for {
				time.Sleep(time.Until(due))
				if ctx.Err() != nil {
					return
				}
				err := operation()
				took := time.Since(due)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
				due = due.Add(every)
			}
		})
	}
	group.Wait()
	return all
}

// BenchmarkRotationMemory measures the most memory that a process has while it
// rotates tables of two sizes, by fast limits: the peak of its resident set, SQLite
// and the Go runtime included. The metric x-rows is the ratio of the two.
func BenchmarkRotationMemory(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkRotationMemory(b, testdb.SQLite) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkRotationMemory(b, testdb.Postgres) })
}

func benchmarkRotationMemory(b *testing.B, open func(testing.TB) testdb.Database) {
	var ratios []float64
	peaks := map[int][]float64{}
	sizes := []int{*fewMemoryRows, *memoryRows}
	tables := map[int]rotatedTable{}
	for _, size := range sizes {
		tables[size] = newRotated(b, open, size)
	}
	for b.Loop() {
		var of []float64
		for _, size := range sizes {
			of = append(of, tables[size].rotateElsewhere(b))
			peaks[size] = append(peaks[size], of[len(of)-1])
		}
		ratios = append(ratios, of[1]/of[0])
	}
	b.ReportMetric(middle(ratios), "x-rows")
	b.ReportMetric(middle(peaks[sizes[0]]), "MiB-few")
	b.ReportMetric(middle(peaks[sizes[1]]), "MiB")
	b.ReportMetric(0, "ns/op")
}

// elsewhere is the environment of a process that rotates a table: its database, and
// a file with its keyring.
const elsewhere = "GORMCRYPT_BENCH_ROTATE"

// rotateElsewhere rotates a copy of the table in a process of its own, and returns
// the peak of its resident set, in MiB.
func (t rotatedTable) rotateElsewhere(b *testing.B) float64 {
	b.Helper()
	database := t.copy(b, t.size)
	path := filepath.Join(b.TempDir(), "keys.json")
	if err := keyring.WriteFile(path, t.promoted); err != nil {
		b.Fatal(err)
	}
	told, err := json.Marshal([]any{database.Name, database.DSN, path, t.size})
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestRotateElsewhere$")
	child.Env = append(os.Environ(), elsewhere+"="+string(told))
	out, err := child.CombinedOutput()
	_, after, found := strings.Cut(string(out), peakOf)
	var kib float64
	if found {
		_, err = fmt.Sscan(after, &kib)
	}
	if err != nil || !found {
		b.Fatalf("%v\n%s", err, out)
	}
	return kib / 1024
}

// peakOf is what the peak of a process follows in Linux, in KiB.
const peakOf = "VmHWM:"

// TestRotateElsewhere is what the other process does. In this one it does nothing.
func TestRotateElsewhere(t *testing.T) {
	text := os.Getenv(elsewhere)
	if text == "" {
		return
	}
	var database testdb.Database
	var path string
	var size int64
	if err := json.Unmarshal([]byte(text), &[]any{&database.Name, &database.DSN, &path, &size}); err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.FromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db := database.Open(t, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&rotated{}}})); err != nil {
		t.Fatal(err)
	}
	job, err := rotation.New(db, rotation.Config{Limits: fast})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := job.Run(t.Context()); err != nil || report.Swapped != size {
		t.Fatalf("%v: %+v", err, report)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), peakOf)
	fmt.Println(peakOf, after)
}
