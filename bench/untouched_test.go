package bench

import (
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// BenchmarkUntouched measures what the plugin costs statements that have nothing
// to do with an encrypted column: in the same SQLite file, by the same calls,
// with the plugin and without it, in turns. A dry run is GORM's work alone,
// without any of the database's. The third side is the floor of x-without: a
// plugin that asks GORM to be called where ours is, and then does nothing.
func BenchmarkUntouched(b *testing.B) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	database := testdb.SQLite(b)
	with, without, idle := database.Open(b, nil), database.Open(b, nil), database.Open(b, nil)
	callButDoNothing(b, idle)
	if err := with.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&encrypted{}}})); err != nil {
		b.Fatal(err)
	}
	if err := with.AutoMigrate(&encrypted{}, &plain{}); err != nil {
		b.Fatal(err)
	}
	for i := range 20 {
		if err := without.Create(&plain{Name: "ada", City: "London", Age: 31 + i}).Error; err != nil {
			b.Fatal(err)
		}
	}
	row := func() *plain {
		return &plain{Name: "bob", City: "Paris", Age: 36, CreatedAt: time.Now(), Email: "a", Phone: "b", Note: "c"}
	}
	changes := map[string]any{"name": "ada", "age": 37}
	dry := func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{DryRun: true}) }
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
		{"DryRunFind", func(db *gorm.DB) error {
			return dry(db).Where("city = ?", "London").Order("age").Find(&[]plain{}).Error
		}},
		{"DryRunUpdates", func(db *gorm.DB) error { return dry(db).Model(&plain{ID: 1}).Updates(changes).Error }},
		{"DryRunCreate", func(db *gorm.DB) error { return dry(db).Create(row()).Error }},
	} {
		b.Run(call.name, func(b *testing.B) { benchmarkUntouched(b, []*gorm.DB{with, without, idle}, call.do) })
	}
}

// callButDoNothing installs what gormcrypt.Plugin installs, with nothing in it.
func callButDoNothing(b *testing.B, db *gorm.DB) {
	for _, name := range []string{"VALUES", "SET", "ON CONFLICT", "WHERE", "FROM", "GROUP BY", "ORDER BY", "SELECT", "RETURNING"} {
		db.ClauseBuilders[name] = func(c clause.Clause, builder clause.Builder) { c.Build(builder) }
	}
	nothing := func(*gorm.DB) {}
	callbacks := db.Callback()
	for _, register := range []func(string, func(*gorm.DB)) error{
		callbacks.Create().Before("gorm:create").Register, callbacks.Query().Before("gorm:query").Register,
		callbacks.Update().Before("gorm:update").Register, callbacks.Delete().Before("gorm:delete").Register,
		callbacks.Row().Before("gorm:row").Register, callbacks.Raw().Before("gorm:raw").Register,
	} {
		for _, name := range []string{"models", "enter", "leave", "discard"} {
			if err := register("idle:"+name, nothing); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func benchmarkUntouched(b *testing.B, sides []*gorm.DB, do func(db *gorm.DB) error) {
	const calls = 50 // of each side in a turn
	var ratios, floor []float64
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
		ratios, base = append(ratios, float64(times[0])/float64(times[1])), append(base, times[1])
		floor = append(floor, float64(times[2])/float64(times[1]))
		if err := sides[1].Where("name = ?", "bob").Delete(&plain{}).Error; err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(ratios)
	slices.Sort(floor)
	b.ReportMetric(ratios[len(ratios)/2], "x-without")
	b.ReportMetric(floor[len(floor)/2], "x-idle")
	b.ReportMetric(float64(median(base).Nanoseconds())/1000, "µs-without")
	b.ReportMetric(0, "ns/op")
}
