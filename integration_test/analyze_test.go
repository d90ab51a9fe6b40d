package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// admission has one value in every kind of column that can be analyzed, and some
// that cannot.
type admission struct {
	ID           uint
	Ward         *string                  `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Bytes        []byte                   `gorm:"serializer:encrypted;type:bytes" encrypt:"deterministic"`
	Illness      *string                  `gorm:"serializer:encrypted"`
	IllnessIndex encryptedtype.BlindIndex `gorm:"column:n" encrypt:"of=Illness"`
	Truncated    encryptedtype.BlindIndex `encrypt:"of=Illness,bits=32"`
	Bound        string                   `gorm:"serializer:encrypted" encrypt:"deterministic,bind=ID"`
	Note         string                   `gorm:"serializer:encrypted"`
	Name         string
	DeletedAt    gorm.DeletedAt
	Computed     string `gorm:"-"`
}

// admit stores rows: one for each element of a distribution, with the value
// that it counts, and some with none.
func admit(t *testing.T, db *database, none int, counts ...int) {
	t.Helper()
	var rows []*admission
	id := uint(0)
	add := func(value *string, n int) {
		for range n {
			id++
			row := &admission{ID: id, Ward: value, Illness: value}
			if value != nil {
				row.Bytes = []byte(*value)
			}
			rows = append(rows, row)
		}
	}
	add(nil, none)
	for i, n := range counts {
		value := fmt.Sprint("SECRET ", i)
		add(&value, n)
	}
	if len(rows) == 0 {
		return
	}
	if err := db.CreateInBatches(rows, 500).Error; err != nil {
		t.Fatal(err)
	}
}

// What a report says of distributions whose numbers are known.
func TestAnalyzeIndex(t *testing.T) {
	t.Parallel()
	zipf := make([]int, 40) // the n-th most frequent value is n times as rare as the first
	for i := range zipf {
		zipf[i] = 240 / (i + 1)
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for name, test := range map[string]struct {
			none   int
			counts []int
			want   gormcrypt.IndexReport
		}{
			"an empty table": {},
			"NULL only":      {none: 3, want: gormcrypt.IndexReport{Rows: 3, Nulls: 3}},
			"one value": {none: 1, counts: []int{64}, want: gormcrypt.IndexReport{
				Rows: 65, Nulls: 1, Distinct: 1, Top: []float64{1}, OneGuess: 1, TenGuesses: 1, ByRank: 1,
			}},
			"all different": {none: 2, counts: slices.Repeat([]int{1}, 128), want: gormcrypt.IndexReport{
				Rows: 130, Nulls: 2, Distinct: 128, Top: slices.Repeat([]float64{1. / 128}, 10), Shannon: 7, MinEntropy: 7,
				OneGuess: 1. / 128, TenGuesses: 10. / 128, ByRank: 1. / 128,
			}},
			"uniform": {counts: slices.Repeat([]int{8}, 16), want: gormcrypt.IndexReport{
				Rows: 128, Distinct: 16, Top: slices.Repeat([]float64{1. / 16}, 10), Shannon: 4, MinEntropy: 4,
				OneGuess: 1. / 16, TenGuesses: 10. / 16, ByRank: 1. / 16,
			}},
			// Of the two rarest, frequency tells nothing: half of those rows are right.
			"halves": {counts: []int{4, 2, 1, 1}, want: gormcrypt.IndexReport{
				Rows: 8, Distinct: 4, Top: []float64{.5, .25, .125, .125}, Shannon: 1.75, MinEntropy: 1,
				OneGuess: .5, TenGuesses: 1, ByRank: 7. / 8,
			}},
			"Zipf": {none: 10, counts: zipf, want: expected(10, zipf)},
		} {
			t.Run(name, func(t *testing.T) {
				db := open(t, where, generate(t), &admission{})
				db.execute(t, "DELETE FROM admissions")
				admit(t, db, test.none, test.counts...)
				if err := db.Where("id % 2 = 0").Delete(&admission{}).Error; err != nil { // softly
					t.Fatal(err)
				}
				for _, field := range []string{"Ward", "Bytes", "bytes", "IllnessIndex", "n", "Truncated"} {
					report, err := gormcrypt.AnalyzeIndex(t.Context(), db.DB, &admission{}, field)
					if err != nil {
						t.Fatal(err)
					}
					want := test.want
					want.Table, want.Column = "admissions", map[string]string{"Ward": "ward", "Bytes": "bytes", "IllnessIndex": "n", "Truncated": "truncated"}[field]
					if want.Column == "" {
						want.Column = field
					}
					if want.Distinct > 0 {
						want.Versions = []gormcrypt.IndexVersion{{Version: keyring.MakeVersion(keyring.IndexKeys, 1), Rows: want.Rows - want.Nulls, Distinct: want.Distinct}}
					}
					if diff := differ(report, want); diff != "" {
						t.Errorf("%s: %s\n%s", field, diff, report)
					}
				}
				db.requireUnsaid(t, "SECRET")
			})
		}
	})
}

// expected computes a report from all counts of values, by the definitions.
func expected(none int, counts []int) gormcrypt.IndexReport {
	counts = slices.Clone(counts)
	slices.Sort(counts)
	slices.Reverse(counts)
	total := 0
	for _, n := range counts {
		total += n
	}
	r := gormcrypt.IndexReport{Rows: int64(total + none), Nulls: int64(none), Distinct: int64(len(counts))}
	for i, n := range counts {
		share := float64(n) / float64(total)
		r.Shannon -= share * math.Log2(share)
		if i < 10 {
			r.Top = append(r.Top, share)
			r.TenGuesses += share
		}
		alike := 0 // by lot, one of them is right on average, so each with this chance
		for _, other := range counts {
			if other == n {
				alike++
			}
		}
		r.ByRank += share / float64(alike)
	}
	r.OneGuess, r.MinEntropy = r.Top[0], -math.Log2(r.Top[0])
	return r
}

// differ says where two reports differ by more than rounding.
func differ(got, want gormcrypt.IndexReport) string {
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	switch {
	case got.Table != want.Table || got.Column != want.Column:
		return fmt.Sprintf("it is of %s.%s, want %s.%s", got.Table, got.Column, want.Table, want.Column)
	case got.Rows != want.Rows || got.Nulls != want.Nulls || got.Distinct != want.Distinct || got.Others != want.Others:
		return fmt.Sprintf("counted %d, %d, %d, %d, want %d, %d, %d, %d", got.Rows, got.Nulls, got.Distinct, got.Others, want.Rows, want.Nulls, want.Distinct, want.Others)
	case !slices.Equal(got.Versions, want.Versions):
		return fmt.Sprintf("the versions are %v, want %v", got.Versions, want.Versions)
	case !slices.EqualFunc(got.Top, want.Top, near):
		return fmt.Sprintf("the largest shares are %v, want %v", got.Top, want.Top)
	case !near(got.Shannon, want.Shannon) || !near(got.MinEntropy, want.MinEntropy):
		return fmt.Sprintf("the entropies are %v and %v, want %v and %v", got.Shannon, got.MinEntropy, want.Shannon, want.MinEntropy)
	case !near(got.OneGuess, want.OneGuess) || !near(got.TenGuesses, want.TenGuesses) || !near(got.ByRank, want.ByRank):
		return fmt.Sprintf("the success rates are %v, %v and %v, want %v, %v and %v", got.OneGuess, got.TenGuesses, got.ByRank, want.OneGuess, want.TenGuesses, want.ByRank)
	}
	return ""
}

// While two index keys are in use, each value may have two terms. What no key of
// the keyring made is counted for itself.
func TestAnalyzeIndexUnderTwoKeys(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rotatedIndex(t)
		db := open(t, where, first, &admission{})
		value := "SECRET"
		admitOne := func(id uint) {
			t.Helper()
			if err := db.Create(&admission{ID: id, Ward: &value, Bytes: []byte(value), Illness: &value}).Error; err != nil {
				t.Fatal(err)
			}
		}
		admitOne(1)
		admitOne(2)
		admitOne(3)
		if err := db.crypt.SetKeys(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		admitOne(4)
		db.execute(t, "INSERT INTO admissions (id, ward, bytes, n) VALUES (5, 'somebody else''s', ?, 'i9:AAAA')", []byte{0, 255})
		for _, field := range []string{"Ward", "Bytes", "IllnessIndex"} {
			report, err := gormcrypt.AnalyzeIndex(t.Context(), db.DB, &admission{}, field)
			if err != nil {
				t.Fatal(err)
			}
			want := expected(0, []int{3, 1, 1})
			want.Table, want.Column, want.Others, want.ByRank = "admissions", report.Column, 1, (3.+1.+1.)/5.
			want.Versions = []gormcrypt.IndexVersion{
				{Version: keyring.MakeVersion(keyring.IndexKeys, 1), Rows: 3, Distinct: 1},
				{Version: keyring.MakeVersion(keyring.IndexKeys, 2), Rows: 1, Distinct: 1},
			}
			if diff := differ(report, want); diff != "" {
				t.Errorf("%s: %s", field, diff)
			}
			if text := report.String(); !strings.Contains(text, "2 key versions") || !strings.Contains(text, "none of the keyring") {
				t.Errorf("the report says\n%s", text)
			}
		}
	})
}

// A report is read where the *gorm.DB reads: in its transaction, from the table
// that it names.
func TestAnalyzeIndexReadsWhereItIsCalled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &admission{})
		admit(t, db, 0, 1)
		rows := func(db *gorm.DB) int64 {
			t.Helper()
			report, err := gormcrypt.AnalyzeIndex(t.Context(), db, &admission{}, "Ward")
			if err != nil {
				t.Fatal(err)
			}
			return report.Rows
		}
		err := db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&admission{ID: 7}).Error; err != nil {
				return err
			}
			if n := rows(tx); n != 2 {
				t.Errorf("in the transaction there are %d rows", n)
			}
			return errors.New("back")
		})
		if n := rows(db.DB); n != 1 {
			t.Errorf("after it there are %d rows, %v", n, err)
		}
		for name, session := range map[string]*gorm.DB{
			"prepared":     db.Session(&gorm.Session{PrepareStmt: true}),
			"a dry run":    db.Session(&gorm.Session{DryRun: true}),
			"a condition":  db.Where("id > ?", 100),
			"another name": db.Table("admissions AS p"),
			"its schema":   db.Table(map[string]string{"sqlite": "main", "postgres": schemaOf(t, db)}[where.Name] + ".admissions"),
		} {
			if n := rows(session); n != 1 {
				t.Errorf("%s: there are %d rows", name, n)
			}
		}
	})
}

// schemaOf returns the schema that names without one are looked for in.
func schemaOf(t *testing.T, db *database) string {
	t.Helper()
	if db.Name != "postgres" {
		return ""
	}
	var schema string
	if err := db.plain.QueryRow("SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// What cannot be analyzed is refused with what to do, and nothing is sent.
func TestAnalyzeIndexRefuses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &admission{})
		before := db.wire.Statements()
		for field, says := range map[string]string{
			"Illness":  "analyze IllnessIndex",
			"Note":     "it has no index",
			"Bound":    "bound to other fields",
			"Name":     "neither a blind index nor deterministic",
			"ID":       "neither a blind index nor deterministic",
			"Computed": "neither a blind index nor deterministic",
			"Nothing":  "no field of that name",
			"":         "no field of that name",
		} {
			_, err := gormcrypt.AnalyzeIndex(t.Context(), db.DB, &admission{}, field)
			var detail *gormcrypt.ModelError
			if !errors.As(err, &detail) || !errors.Is(err, gormcrypt.ErrModel) || detail.Field != field || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: error %v", field, err)
			}
		}
		if _, err := gormcrypt.AnalyzeIndex(t.Context(), where.Open(t, nil), &admission{}, "Ward"); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without the plugin: error %v", err)
		}
		if _, err := gormcrypt.AnalyzeIndex(t.Context(), db.DB, 7, "Ward"); err == nil {
			t.Error("a number is analyzed")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := gormcrypt.AnalyzeIndex(ctx, db.DB, &admission{}, "Ward"); !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled context: error %v", err)
		}
		if sent := db.wire.Statements() - before; sent != 0 {
			t.Errorf("%d statements were sent", sent)
		}
		if err := db.Migrator().DropTable(&admission{}); err != nil {
			t.Fatal(err)
		}
		if _, err := gormcrypt.AnalyzeIndex(t.Context(), db.DB, &admission{}, "Ward"); err == nil || !strings.Contains(err.Error(), "admissions.ward") {
			t.Errorf("without the table: error %v", err)
		}
	})
}

// A report fits a terminal, whatever it says.
func TestIndexReportString(t *testing.T) {
	t.Parallel()
	const many = int64(math.MaxInt32) * 100
	wide := gormcrypt.IndexReport{
		Table: "admissions", Column: "illness_index", Rows: many, Nulls: 1, Distinct: many, Others: many,
		Versions: []gormcrypt.IndexVersion{{Version: keyring.MakeVersion(keyring.IndexKeys, math.MaxUint32), Rows: many, Distinct: many}, {Version: keyring.MakeVersion(keyring.IndexKeys, 1)}},
		Top:      slices.Repeat([]float64{1}, 10), Shannon: 99, MinEntropy: 99, OneGuess: 1, TenGuesses: 1, ByRank: 1,
	}
	for _, report := range []gormcrypt.IndexReport{{}, {Rows: 5, Nulls: 5}, wide} {
		for line := range strings.Lines(report.String()) {
			if len(strings.TrimRight(line, "\n")) >= 80 {
				t.Errorf("too long: %s", line)
			}
		}
	}
}
