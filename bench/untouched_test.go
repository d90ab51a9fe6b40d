package bench

import (
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// BenchmarkUntouched measures what the plugin costs statements that have nothing
// to do with an encrypted column: by the same calls, with the plugin and without
// it, in turns. It does so on SQLite, and over a driver that has its answers
// ready, where the time is that of GORM and database/sql alone.
//
// The metric x-floor is the least that x-without can be: a plugin that is called
// where ours is, and does nothing but look the text of the statement up in a map.
func BenchmarkUntouched(b *testing.B) {
	database := testdb.SQLite(b)
	if err := database.Open(b, nil).AutoMigrate(&plain{}); err != nil {
		b.Fatal(err)
	}
	b.Run("SQLite", func(b *testing.B) {
		benchmarkUntouched(b, func() *gorm.DB { return database.Open(b, nil) })
	})
	b.Run("GORM", func(b *testing.B) {
		benchmarkUntouched(b, func() *gorm.DB {
			pool := sql.OpenDB(readyDriver{})
			b.Cleanup(func() { pool.Close() })
			return database.OpenPool(b, pool, nil)
		})
	})
}

func benchmarkUntouched(b *testing.B, open func() *gorm.DB) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	with, without, floor := open(), open(), open()
	if err := with.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&encrypted{}}})); err != nil {
		b.Fatal(err)
	}
	lookUpTexts(b, floor)
	for i := range 20 {
		if err := without.Create(&plain{Name: "ada", City: "London", Age: 31 + i}).Error; err != nil {
			b.Fatal(err)
		}
	}
	row := func() *plain {
		return &plain{Name: "bob", City: "Paris", Age: 36, CreatedAt: time.Now(), Email: "a", Phone: "b", Note: "c"}
	}
	changes := map[string]any{"name": "ada", "age": 37}
	for _, call := range []struct {
		name string
		do   func(db *gorm.DB) error
	}{
		{"First", func(db *gorm.DB) error { return db.First(&plain{}, "name = ? AND age > ?", "ada", 30).Error }},
		{"Find", func(db *gorm.DB) error {
			return db.Where("city = ?", "London").Where(&plain{Name: "ada"}).Order("age").Limit(20).Find(&[]plain{}).Error
		}},
		{"Map", func(db *gorm.DB) error { return db.Table("plains").Take(&map[string]any{}).Error }},
		{"Raw", func(db *gorm.DB) error {
			return db.Raw("SELECT name FROM plains WHERE age > ? LIMIT 20", 30).Scan(&[]string{}).Error
		}},
		{"Updates", func(db *gorm.DB) error { return db.Model(&plain{ID: 1}).Updates(changes).Error }},
		{"Exec", func(db *gorm.DB) error { return db.Exec("UPDATE plains SET age = ? WHERE name = ?", 36, "eve").Error }},
		{"Create", func(db *gorm.DB) error { return db.Create(row()).Error }},
	} {
		b.Run(call.name, func(b *testing.B) { compareSides(b, []*gorm.DB{with, without, floor}, call.do) })
	}
}

// lookUpTexts installs what gormcrypt.Plugin installs. All that it does is to look
// up the texts of statements.
func lookUpTexts(b *testing.B, db *gorm.DB) {
	for _, name := range []string{"VALUES", "SET", "ON CONFLICT", "WHERE", "FROM", "GROUP BY", "ORDER BY", "SELECT", "RETURNING"} {
		db.ClauseBuilders[name] = func(c clause.Clause, builder clause.Builder) { c.Build(builder) }
	}
	var mu sync.RWMutex
	known := map[string]bool{}
	lookUp := func(db *gorm.DB) {
		text := db.Statement.SQL.String()
		mu.RLock()
		seen := known[text]
		mu.RUnlock()
		if !seen {
			mu.Lock()
			defer mu.Unlock()
			known[text] = true
		}
	}
	nothing := func(*gorm.DB) {}
	callbacks := db.Callback()
	if err := errors.Join(
		callbacks.Create().Before("gorm:create").Register("floor:models", nothing),
		callbacks.Create().Before("gorm:create").Register("floor:enter", nothing),
		callbacks.Create().After("gorm:create").Register("floor:leave", lookUp),
		callbacks.Query().Before("gorm:query").Register("floor:models", nothing),
		callbacks.Query().Before("gorm:query").Register("floor:enter", nothing),
		callbacks.Query().After("gorm:query").Register("floor:leave", lookUp),
		callbacks.Update().Before("gorm:update").Register("floor:models", nothing),
		callbacks.Update().Before("gorm:update").Register("floor:enter", nothing),
		callbacks.Update().After("gorm:update").Register("floor:leave", lookUp),
		callbacks.Row().Before("gorm:row").Register("floor:models", nothing),
		callbacks.Row().Before("gorm:row").Register("floor:enter", nothing),
		callbacks.Row().After("gorm:row").Register("floor:leave", lookUp),
		callbacks.Raw().After("gorm:raw").Register("floor:leave", lookUp),
	); err != nil {
		b.Fatal(err)
	}
}

// compareSides measures a call on the sides in turns: with the plugin, without
// it, and with one that does the least.
func compareSides(b *testing.B, sides []*gorm.DB, do func(db *gorm.DB) error) {
	const calls = 50 // of each side in a turn
	var with, floor []float64
	var base []time.Duration
	for round := 0; b.Loop(); round++ {
		var times [3]time.Duration
		for turn := range sides {
			side := (turn + round) % len(sides)
			start := time.Now()
			for range calls {
				if err := do(sides[side]); err != nil {
					b.Fatal(err)
				}
			}
			times[side] = time.Since(start) / calls
		}
		base = append(base, times[1])
		with = append(with, float64(times[0])/float64(times[1]))
		floor = append(floor, float64(times[2])/float64(times[1]))
		if err := sides[1].Where("name = ?", "bob").Delete(&plain{}).Error; err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(with)
	slices.Sort(floor)
	b.ReportMetric(with[len(with)/2], "x-without")
	b.ReportMetric(floor[len(floor)/2], "x-floor")
	b.ReportMetric(float64(median(base).Nanoseconds())/1000, "µs-without")
	b.ReportMetric(0, "ns/op")
}
