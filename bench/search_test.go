package bench

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// searched has a field that is found by a blind index.
type searched struct {
	ID         uint
	Name       string
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
}

// indexed is the same with a plain column and an index on it.
type indexed struct {
	ID    uint
	Name  string
	Email string `gorm:"index"`
}

// stored is what the database has of searched, to a *gorm.DB without the plugin.
type stored struct {
	ID         uint
	Name       string
	Email      string
	EmailIndex string
}

func (stored) TableName() string { return "searcheds" }

const fewRows = 10_000

var manyRows = flag.Int("search.rows", 1_000_000, "rows of the large table of BenchmarkSearch")

// BenchmarkSearch measures how long it takes to find a row by an encrypted field,
// against the same by a plain one with an index, through GORM, in a small table
// and in a large one. All take turns. The metric x-plain is the ratio of the
// two, x-rows that of the large table to the small one, by the blind index and by
// the plain one.
//
// x-plain-by-hand is the floor: the ratio to the plain column of the same search
// without the plugin, by a program that makes the term and opens what it reads by
// package ciphertext. There is more to read, and the cryptography to be done.
func BenchmarkSearch(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkSearch(b, testdb.SQLite) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkSearch(b, testdb.Postgres) })
}

func benchmarkSearch(b *testing.B, database func(testing.TB) testdb.Database) {
	sizes := [2]int{fewRows, *manyRows}
	var tables [2]searchTables
	for i, size := range sizes {
		tables[i] = fill(b, database(b), size)
	}
	const calls = 50 // of each side in a turn
	var times [2 * searchSides][]time.Duration
	ratios := map[string][]float64{}
	for round := 0; b.Loop(); round++ {
		var took [2 * searchSides]time.Duration
		for turn := range took {
			side := (turn + round) % len(took)
			in := tables[side/searchSides]
			emails := make([]string, calls)
			for i := range emails {
				emails[i] = emailOf(rand.IntN(sizes[side/searchSides]))
			}
			start := time.Now()
			for _, email := range emails {
				var err error
				found := email
				switch side % searchSides {
				case byIndex:
					var row searched
					err = in.crypted.Where("email = ?", email).Take(&row).Error
					found = row.Email
				case byPlain:
					var row indexed
					err = in.uncrypted.Where("email = ?", email).Take(&row).Error
					found = row.Email
				case byHand:
					found, err = in.byHand(email)
				}
				if err != nil || found != email {
					b.Fatalf("found %q for %q: %v", found, email, err)
				}
			}
			took[side] = time.Since(start) / calls
			times[side] = append(times[side], took[side])
		}
		for name, pair := range map[string][2]int{
			"x-plain": {large + byIndex, large + byPlain}, "x-plain-small": {byIndex, byPlain},
			"x-plain-by-hand": {large + byHand, large + byPlain}, "x-plain-by-hand-small": {byHand, byPlain},
			"x-rows": {large + byIndex, byIndex}, "x-rows-of-plain": {large + byPlain, byPlain},
		} {
			ratios[name] = append(ratios[name], float64(took[pair[0]])/float64(took[pair[1]]))
		}
	}
	for name, all := range ratios {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name)
	}
	b.ReportMetric(float64(median(times[large+byIndex]).Nanoseconds())/1000, "µs")
	b.ReportMetric(float64(median(times[large+byPlain]).Nanoseconds())/1000, "µs-plain")
	b.ReportMetric(0, "ns/op") // a round of all sides, which says nothing
}

// The sides of the comparison, in each of the two tables.
const (
	byIndex = iota
	byPlain
	byHand
	searchSides
	large = searchSides // the first one of the large table
)

func emailOf(i int) string { return fmt.Sprintf("user%07d@example.org", i) }

// searchTables are a table with encrypted rows, and one with plain rows, opened
// with the plugin and without it.
type searchTables struct {
	crypted, uncrypted *gorm.DB
	column             *ciphertext.Column
	index              *ciphertext.Index
}

// byHand finds a row without the plugin.
func (in searchTables) byHand(email string) (found string, err error) {
	term, err := in.index.Term(email)
	if err != nil {
		return "", err
	}
	var row stored
	if err := in.uncrypted.Where("email_index = ?", term).Take(&row).Error; err != nil {
		return "", err
	}
	err = in.column.OpenString(&found, row.Email)
	return found, err
}

// fill fills the tables, past GORM, with what GORM would have stored.
func fill(b *testing.B, database testdb.Database, size int) searchTables {
	b.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	crypted, uncrypted := database.Open(b, nil), database.Open(b, nil)
	crypt := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&searched{}}})
	if err := crypted.Use(crypt); err != nil {
		b.Fatal(err)
	}
	if err := crypted.AutoMigrate(&searched{}, &indexed{}); err != nil {
		b.Fatal(err)
	}
	column, err := crypt.Cipher().Column(ciphertext.ColumnConfig{Table: "searcheds", Column: "email"})
	if err != nil {
		b.Fatal(err)
	}
	index, err := crypt.Cipher().Index(ciphertext.IndexConfig{Table: "searcheds", Column: "email_index"})
	if err != nil {
		b.Fatal(err)
	}
	// Indexes of full tables are made faster than they are kept.
	dropped := map[string]any{"EmailIndex": &searched{}, "Email": &indexed{}}
	for field, model := range dropped {
		if err := crypted.Migrator().DropIndex(model, field); err != nil {
			b.Fatal(err)
		}
	}
	plain := database.Plain(b)
	const chunk = 500
	order := rand.Perm(size)
	tx, err := plain.Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	for numbers := range slices.Chunk(order, chunk) {
		var sealedRows, plainRows []any
		for _, i := range numbers {
			email := emailOf(i)
			sealed, err := column.Seal(nil, email)
			if err != nil {
				b.Fatal(err)
			}
			term, err := index.Term(email)
			if err != nil {
				b.Fatal(err)
			}
			sealedRows = append(sealedRows, "name", string(sealed), term)
			plainRows = append(plainRows, "name", email)
		}
		for into, rows := range map[string][]any{"searcheds (name, email, email_index)": sealedRows, "indexeds (name, email)": plainRows} {
			if _, err := tx.Exec("INSERT INTO "+into+" VALUES "+placeholders(len(numbers), len(rows)/len(numbers)), rows...); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	for field, model := range dropped {
		if err := crypted.Migrator().CreateIndex(model, field); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := plain.Exec(map[string]string{"sqlite": "ANALYZE", "postgres": "VACUUM ANALYZE"}[database.Name]); err != nil {
		b.Fatal(err)
	}
	return searchTables{crypted, uncrypted, column, index}
}

// placeholders returns rows of numbered placeholders.
func placeholders(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String() + ")"
}

// BenchmarkCondition measures what is added to a condition that a program writes
// as SQL: by dry runs of the same query by an encrypted field with the plugin, and
// by a plain field without it, in turns. The metric µs-added is the difference.
// "map" is the same by a map in place of SQL.
func BenchmarkCondition(b *testing.B) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	database := testdb.SQLite(b)
	with := database.Open(b, &gorm.Config{DryRun: true})
	without := database.Open(b, &gorm.Config{DryRun: true})
	if err := with.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&searched{}}})); err != nil {
		b.Fatal(err)
	}
	const email = "ada@example.org"
	for _, condition := range []struct {
		name  string
		where func(db *gorm.DB) *gorm.DB
	}{
		{"text", func(db *gorm.DB) *gorm.DB { return db.Where("email = ?", email) }},
		{"two", func(db *gorm.DB) *gorm.DB { return db.Where("name = ? AND email = ?", "ada", email) }},
		{"map", func(db *gorm.DB) *gorm.DB { return db.Where(map[string]any{"email": email}) }},
	} {
		ours := func() error { return condition.where(with).Find(&[]searched{}).Error }
		bare := func() error { return condition.where(without).Find(&[]indexed{}).Error }
		b.Run(condition.name, func(b *testing.B) {
			const calls = 200 // of each side in a turn
			var added []float64
			var base []time.Duration
			for round := 0; b.Loop(); round++ {
				var took [2]time.Duration
				for turn := range 2 {
					side := (turn + round) % 2
					start := time.Now()
					for range calls {
						if err := []func() error{ours, bare}[side](); err != nil {
							b.Fatal(err)
						}
					}
					took[side] = time.Since(start) / calls
				}
				added = append(added, float64((took[0]-took[1]).Nanoseconds())/1000)
				base = append(base, took[1])
			}
			slices.Sort(added)
			b.ReportMetric(added[len(added)/2], "µs-added")
			b.ReportMetric(float64(median(base).Nanoseconds())/1000, "µs-without")
			b.ReportMetric(testing.AllocsPerRun(100, func() { _ = ours() })-testing.AllocsPerRun(100, func() { _ = bare() }), "allocs-added")
			b.ReportMetric(0, "ns/op")
		})
	}
}
