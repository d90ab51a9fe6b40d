package bench

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var migratedRows = flag.Int("migration.rows", 100_000, "rows of the tables of BenchmarkBackfill and BenchmarkBackfillForeground, 300,000 for the full size")

// What is migrated: a column of text, with and without a blind index. During
// Backfill, programs have it as in migrating and migratingIndexed.
type (
	unmigrated struct {
		ID    int64
		Name  string
		Email string
	}
	migrating struct {
		ID    int64
		Name  string
		Email string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	}
	migratingIndexed struct {
		ID         int64
		Name       string
		Email      string                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=lower"`
	}
)

const (
	migratedTableName = "migrateds"
	// migratedName is the table as SQL.
	migratedName = `"` + migratedTableName + `"`
)

func (unmigrated) TableName() string       { return migratedTableName }
func (migrating) TableName() string        { return migratedTableName }
func (migratingIndexed) TableName() string { return migratedTableName }

// migratedTable is a table of plaintext, made anew for each measurement.
type migratedTable[model any] struct {
	open func(testing.TB) testdb.Database
	keys *keyring.Keyring
	size int
}

// filled returns a database with so many rows, which are expanded.
func (t migratedTable[model]) filled(b *testing.B, rows int) testdb.Database {
	b.Helper()
	database := t.open(b)
	if err := database.Open(b, nil).AutoMigrate(&unmigrated{}); err != nil {
		b.Fatal(err)
	}
	pool := database.Plain(b)
	pool.SetMaxOpenConns(1)
	defer pool.Close()
	numbers := "(WITH RECURSIVE all_of_them (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM all_of_them WHERE n < %d) SELECT n FROM all_of_them)"
	after := []string{"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"}
	if database.Name == "postgres" {
		numbers, after = "(SELECT generate_series(1, %d) AS n)", []string{"VACUUM ANALYZE " + migratedName, "CHECKPOINT"}
	}
	fill := "INSERT INTO " + migratedName + " SELECT n, 'name', 'Customer' || n || '@example.org' FROM " + fmt.Sprintf(numbers, rows) + " AS numbers"
	if _, err := pool.Exec(fill); err != nil {
		b.Fatal(err)
	}
	if err := t.migration(b, t.use(b, database.Open(b, nil))).Expand(context.Background(), migrations.Config{}); err != nil {
		b.Fatal(err)
	}
	for _, statement := range after {
		if _, err := pool.Exec(statement); err != nil {
			b.Fatal(statement, err)
		}
	}
	return database
}

func (t migratedTable[model]) use(b *testing.B, db *gorm.DB) *gorm.DB {
	b.Helper()
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: t.keys, Models: []any{new(model)}})); err != nil {
		b.Fatal(err)
	}
	return db
}

func (migratedTable[model]) migration(b *testing.B, db *gorm.DB) *migrations.Migration {
	b.Helper()
	migration, err := migrations.Column(db, new(model), "Email")
	if err != nil {
		b.Fatal(err)
	}
	return migration
}

// backfill runs Backfill over a table and returns how long it took, and how long
// until the last row was written.
func (t migratedTable[model]) backfill(b *testing.B, r *recorder) (all, rewriting time.Duration) {
	b.Helper()
	pool := r.pool(b)
	defer pool.Close()
	migration := t.migration(b, t.use(b, r.OpenPool(b, pool, nil)))
	start := time.Now()
	report, err := migration.Backfill(context.Background(), migrations.Config{Deployed: migrations.Writing, Limits: fast})
	all = time.Since(start)
	if err != nil || report.Swapped != int64(t.size) {
		b.Fatalf("%+v: %v", report, err)
	}
	return all, r.lastWrite.Sub(start)
}

// BenchmarkBackfill measures how fast plaintext becomes ciphertext, by Backfill with
// fast limits, as BenchmarkRotation does: in turns with the same statements with
// values made beforehand, and with FindInBatches and Save. The metrics are those
// of BenchmarkRotation.
func BenchmarkBackfill(b *testing.B) {
	for _, kind := range []struct {
		name string
		open func(testing.TB) testdb.Database
	}{{"SQLite", testdb.SQLite}, {"PostgreSQL", testdb.Postgres}} {
		b.Run(kind.name+"/column", func(b *testing.B) { benchmarkBackfill[migrating](b, kind.open) })
		b.Run(kind.name+"/with-index", func(b *testing.B) { benchmarkBackfill[migratingIndexed](b, kind.open) })
	}
}

func benchmarkBackfill[model any](b *testing.B, open func(testing.TB) testdb.Database) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	table := migratedTable[model]{open, keys, *migratedRows}
	var all rounds
	for round := 0; b.Loop(); round++ {
		var took [rotationSides]time.Duration
		for turn := range 3 {
			switch (turn + round) % 3 {
			case rotating:
				took[rotating], took[rewriting] = table.backfill(b, &recorder{Database: table.filled(b, table.size), table: migratedName})
			case replaying:
				took[replaying], took[rewritingAgain] = table.replay(b)
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

// BenchmarkBackfillForeground measures how long an application waits while Backfill runs
// beside it at defaults, as BenchmarkForeground does.
func BenchmarkBackfillForeground(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkBackfillForeground(b, testdb.SQLite) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkBackfillForeground(b, testdb.Postgres) })
}

func benchmarkBackfillForeground(b *testing.B, open func(testing.TB) testdb.Database) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	table := migratedTable[migratingIndexed]{open, keys, *migratedRows}
	var beside foreground
	for b.Loop() {
		database := table.filled(b, table.size)
		app := table.use(b, database.Open(b, nil))
		migration := table.migration(b, table.use(b, database.Open(b, nil)))
		run := func(ctx context.Context) (rotation.Report, error) {
			return migration.Backfill(ctx, migrations.Config{Deployed: migrations.Writing})
		}
		beside.measure(b, run, func() error {
			row := migratingIndexed{ID: 1 + rand.Int64N(int64(table.size))}
			if rand.IntN(3) > 0 {
				return app.Take(&row).Error
			}
			return app.Model(&row).Updates(migratingIndexed{Email: "new@example.org"}).Error
		})
	}
	beside.report(b)
}

// replay returns how long the floor takes, and how long until the last row is
// written.
func (t migratedTable[model]) replay(b *testing.B) (all, rewriting time.Duration) {
	b.Helper()
	r := &recorder{Database: t.filled(b, t.size), table: migratedName, keep: true}
	t.backfill(b, r)
	return r.replay(b, t.filled(b, t.size), t.size)
}

// save returns how long it takes to encrypt rows by GORM alone.
func (t migratedTable[model]) save(b *testing.B, rows int) time.Duration {
	b.Helper()
	return saveAll[model](b, t.use(b, t.filled(b, rows).Open(b, nil)))
}
