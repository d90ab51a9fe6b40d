package bench

import (
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// BenchmarkUntouched measures what the plugin costs statements that have nothing
// to do with an encrypted column: in the same SQLite file, by the same calls,
// with the plugin and without it, in turns. A dry run is GORM's work alone,
// without any of the database's.
func BenchmarkUntouched(b *testing.B) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	database := testdb.SQLite(b)
	with, without := database.Open(b, nil), database.Open(b, nil)
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
		b.Run(call.name, func(b *testing.B) { benchmarkUntouched(b, with, without, call.do) })
	}
}

func benchmarkUntouched(b *testing.B, with, without *gorm.DB, do func(db *gorm.DB) error) {
	const calls = 50 // of each side in a turn
	sides := []*gorm.DB{with, without}
	var ratios []float64
	var base []time.Duration
	for round := 0; b.Loop(); round++ {
		var times [2]time.Duration
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
		if err := without.Where("name = ?", "bob").Delete(&plain{}).Error; err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "x-without")
	b.ReportMetric(float64(median(base).Nanoseconds())/1000, "µs-without")
	b.ReportMetric(0, "ns/op")
}
