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
// to do with an encrypted column: in the same database, by the same calls, with
// the plugin and without it, in turns.
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
	for name, do := range map[string]func(db *gorm.DB) error{
		"Create": func(db *gorm.DB) error {
			return db.Session(&gorm.Session{DryRun: true}).Create(&plain{Name: "ada", City: "London", Age: 36, Email: "a", Phone: "b", Note: "c"}).Error
		},
		"First": func(db *gorm.DB) error {
			var row plain
			return db.First(&row, "name = ? AND age > ?", "ada", 30).Error
		},
		"Find": func(db *gorm.DB) error {
			var rows []plain
			return db.Where("city = ?", "London").Where(&plain{Name: "ada"}).Order("age").Limit(20).Find(&rows).Error
		},
		"Updates": func(db *gorm.DB) error {
			return db.Session(&gorm.Session{DryRun: true}).Model(&plain{ID: 1}).Updates(map[string]any{"name": "ada", "age": 37}).Error
		},
		"Raw": func(db *gorm.DB) error {
			var names []string
			return db.Raw("SELECT name FROM plains WHERE age > ? LIMIT 20", 30).Scan(&names).Error
		},
		"Map": func(db *gorm.DB) error {
			row := map[string]any{}
			return db.Table("plains").Take(&row).Error
		},
		"Exec": func(db *gorm.DB) error {
			return db.Session(&gorm.Session{DryRun: true}).Exec("UPDATE plains SET age = ? WHERE name = ?", 30, "ada").Error
		},
	} {
		b.Run(name, func(b *testing.B) {
			const calls = 50 // of each side in a turn
			for i := range 20 {
				if err := without.Create(&plain{Name: "ada", City: "London", Age: 31 + i}).Error; err != nil {
					b.Fatal(err)
				}
			}
			var ratios []float64
			var base []time.Duration
			for round := 0; b.Loop(); round++ {
				var times [2]time.Duration
				for turn := range 2 {
					side := (turn + round) % 2
					db := []*gorm.DB{with, without}[side]
					start := time.Now()
					for range calls {
						if err := do(db); err != nil {
							b.Fatal(err)
						}
					}
					times[side] = time.Since(start) / calls
				}
				ratios = append(ratios, float64(times[0])/float64(times[1]))
				base = append(base, times[1])
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-without")
			b.ReportMetric(float64(median(base).Nanoseconds())/1000, "µs-without")
			b.ReportMetric(0, "ns/op")
		})
	}
}
