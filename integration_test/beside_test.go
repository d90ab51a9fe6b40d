package integration_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// Columns that hold no text, on their way to columns beside them.

type legacyWorker struct {
	ID     int64
	Salary int64
	Bonus  *float64
	Tenure time.Time
	Senior bool
	Grade  string `gorm:"type:varchar(12)"`
	Number int32
	Note   string
}

type readingWorker struct {
	ID           int64
	Salary       int64                    `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	SalarySealed encryptedtype.Beside     `encrypt:"of=Salary"`
	SalaryIndex  encryptedtype.BlindIndex `encrypt:"of=Salary"`
	Bonus        *float64                 `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	BonusSealed  encryptedtype.Beside     `encrypt:"of=Bonus"`
	Tenure       time.Time                `gorm:"serializer:encrypted;type:timestamptz" encrypt:"migrating=read"`
	TenureSealed encryptedtype.Beside     `encrypt:"of=Tenure"`
	Senior       bool                     `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	SeniorSealed encryptedtype.Beside     `encrypt:"of=Senior"`
	Grade        string                   `gorm:"serializer:encrypted;type:varchar(12)" encrypt:"migrating=read"`
	GradeSealed  encryptedtype.Beside     `encrypt:"of=Grade"`
	Number       int32                    `gorm:"serializer:encrypted" encrypt:"migrating=read,deterministic"`
	NumberSealed encryptedtype.Beside     `encrypt:"of=Number"`
	Note         string
}

type writingWorker struct {
	ID           int64
	Salary       int64                    `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	SalarySealed encryptedtype.Beside     `encrypt:"of=Salary"`
	SalaryIndex  encryptedtype.BlindIndex `encrypt:"of=Salary"`
	Bonus        *float64                 `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	BonusSealed  encryptedtype.Beside     `encrypt:"of=Bonus"`
	Tenure       time.Time                `gorm:"serializer:encrypted;type:timestamptz" encrypt:"migrating=write"`
	TenureSealed encryptedtype.Beside     `encrypt:"of=Tenure"`
	Senior       bool                     `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	SeniorSealed encryptedtype.Beside     `encrypt:"of=Senior"`
	Grade        string                   `gorm:"serializer:encrypted;type:varchar(12)" encrypt:"migrating=write"`
	GradeSealed  encryptedtype.Beside     `encrypt:"of=Grade"`
	Number       int32                    `gorm:"serializer:encrypted" encrypt:"migrating=write,deterministic"`
	NumberSealed encryptedtype.Beside     `encrypt:"of=Number"`
	Note         string
}

func (legacyWorker) TableName() string  { return "workers" }
func (readingWorker) TableName() string { return "workers" }
func (writingWorker) TableName() string { return "workers" }

func (w legacyWorker) reading() *readingWorker {
	return &readingWorker{ID: w.ID, Salary: w.Salary, Bonus: w.Bonus, Tenure: w.Tenure, Senior: w.Senior, Grade: w.Grade, Number: w.Number, Note: w.Note}
}

func (w legacyWorker) writing() *writingWorker {
	row := writingWorker(*w.reading())
	return &row
}

func (w readingWorker) legacy() legacyWorker {
	return legacyWorker{ID: w.ID, Salary: w.Salary, Bonus: w.Bonus, Tenure: w.Tenure, Senior: w.Senior, Grade: w.Grade, Number: w.Number, Note: w.Note}
}

var besideColumns = []string{"salary", "bonus", "tenure", "senior", "grade", "number"}

// workers are the three programs on one database.
type workers struct {
	legacy           *gorm.DB
	reading, writing *database
}

func newWorkers(t *testing.T, where testdb.Database) workers {
	t.Helper()
	keys := generate(t)
	legacy := where.Open(t, nil)
	if err := legacy.AutoMigrate(&legacyWorker{}); err != nil {
		t.Fatal(err)
	}
	for _, column := range append(slices.Clone(besideColumns), "salary_index") {
		if !strings.HasSuffix(column, "_index") {
			column += "_sealed"
		}
		if err := legacy.Exec("ALTER TABLE workers ADD COLUMN " + column + " text").Error; err != nil {
			t.Fatal(err)
		}
	}
	open := func(model any) *database {
		log := &logBuffer{}
		db := &database{Database: where, log: log, plain: where.Plain(t), crypt: gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{model}})}
		db.DB = where.Open(t, &gorm.Config{Logger: talkative(log)})
		if err := db.Use(db.crypt); err != nil {
			t.Fatal(err)
		}
		return db
	}
	return workers{legacy, open(&readingWorker{}), open(&writingWorker{})}
}

func aWorker(id int64, n int64) legacyWorker {
	bonus := float64(n) / 3
	return legacyWorker{ID: id, Salary: n, Bonus: &bonus, Tenure: time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC), Senior: n%2 == 0, Grade: fmt.Sprint("G", n%1e6), Number: int32(n), Note: "n"}
}

// Each program reads what the others write, whichever of the columns it is in, and a
// row has it in one of them.
func TestBesideProgramsReadEachOther(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		w := newWorkers(t, where)
		sameInstant := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		read := func(id int64) {
			t.Helper()
			var legacy legacyWorker
			var byReading readingWorker
			var byWriting writingWorker
			if err := errors.Join(w.reading.First(&byReading, id).Error, w.writing.First(&byWriting, id).Error, w.legacy.First(&legacy, id).Error); err != nil {
				t.Error(err)
				return
			}
			if diff := cmp.Diff(byReading.legacy(), readingWorker(byWriting).legacy(), sameInstant); diff != "" {
				t.Errorf("row %d (-reading +writing)\n%s", id, diff)
			}
		}
		for i, n := range []int64{0, 1, -1, 4242, math.MaxInt64, math.MinInt64} {
			first := int64(10 * i)
			want := map[int64]legacyWorker{}
			for j := range int64(3) {
				row := aWorker(first+j+1, n)
				if n > 1e6 || n < -1e6 {
					row.Bonus, row.Number = nil, 7
				}
				want[row.ID] = row
			}
			one, two, three := want[first+1], want[first+2], want[first+3]
			if err := errors.Join(w.legacy.Create(&one).Error, w.reading.Create(two.reading()).Error, w.writing.Create(three.writing()).Error); err != nil {
				t.Fatal(err)
			}
			for id, row := range want {
				read(id)
				var got readingWorker
				if err := w.reading.First(&got, id).Error; err != nil {
					t.Error(err)
				} else if diff := cmp.Diff(row, got.legacy(), sameInstant); diff != "" {
					t.Errorf("row %d (-want +got)\n%s", id, diff)
				}
				found := map[string]any{}
				var salary int64
				if err := errors.Join(w.writing.Model(&writingWorker{}).Where("id = ?", id).Take(&found).Error, w.writing.Model(&writingWorker{}).Where("id = ?", id).Pluck("salary", &salary).Error); err != nil || salary != row.Salary || found["salary"] != row.Salary {
					t.Errorf("row %d: pluck %d, map %v: %v", id, salary, found["salary"], err)
				}
				if _, ok := found["salary_sealed"]; ok {
					t.Error("the column beside is shown")
				}
			}
			// Who knows nothing of it reads what migrating=read writes.
			var plain legacyWorker
			if err := w.legacy.First(&plain, two.ID).Error; err != nil {
				t.Error(err)
			} else if diff := cmp.Diff(two, plain, sameInstant); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// And updates, each way.
			if err := w.reading.Model(&readingWorker{ID: three.ID}).Updates(map[string]any{"salary": 5, "grade": "x"}).Error; err != nil {
				t.Error(err)
			}
			if err := w.writing.Model(&writingWorker{ID: two.ID}).Update("salary", 6).Error; err != nil {
				t.Error(err)
			}
			read(two.ID)
			read(three.ID)
			var two2, three2 writingWorker
			if err := errors.Join(w.writing.First(&two2, two.ID).Error, w.writing.First(&three2, three.ID).Error); err != nil || two2.Salary != 6 || three2.Salary != 5 || three2.Grade != "x" {
				t.Errorf("after updates: %d, %d, %q: %v", two2.Salary, three2.Salary, three2.Grade, err)
			}
		}
		for _, column := range besideColumns {
			plain, sealed := w.reading.column(t, "workers", column), w.reading.column(t, "workers", column+"_sealed")
			for i := range plain {
				if plain[i].Valid && sealed[i].Valid || sealed[i].Valid && !strings.HasPrefix(sealed[i].String, "gc1:") {
					t.Errorf("row %d of %s has %v and %v", i, column, plain[i], sealed[i])
				}
			}
		}
		w.reading.requireUnsaid(t, "4242")
		w.writing.requireUnsaid(t, "4242")
	})
}

// Conditions find rows of both kinds.
func TestBesideSearch(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		w := newWorkers(t, where)
		for i, n := range []int64{4242, 1, 4242} {
			legacy, writing := aWorker(int64(i+10), n), aWorker(int64(i+20), n)
			if i == 1 {
				legacy.Bonus, writing.Bonus = nil, nil
			}
			if err := errors.Join(w.legacy.Create(&legacy).Error, w.writing.Create(writing.writing()).Error); err != nil {
				t.Fatal(err)
			}
		}
		for _, db := range []*database{w.reading, w.writing} {
			var model any = &readingWorker{}
			if db == w.writing {
				model = &writingWorker{}
			}
			m := func() *gorm.DB { return db.Model(model) }
			for name, c := range map[string]struct {
				query *gorm.DB
				want  []int64
			}{
				"by the index":      {m().Where("salary = ?", 4242), []int64{10, 12, 20, 22}},
				"not":               {m().Not("salary = ?", 4242), []int64{11, 21}},
				"in":                {m().Where("salary IN ?", []int{1, 2}), []int64{11, 21}},
				"deterministic":     {m().Where("number = ?", 4242), []int64{10, 12, 20, 22}},
				"deterministic not": {m().Where("workers.number <> ?", 4242), []int64{11, 21}},
				"map":               {m().Where(map[string]any{"number": 1}), []int64{11, 21}},
				"null":              {m().Where("bonus IS NULL"), []int64{11, 21}},
				"not null":          {m().Where("workers.bonus IS NOT NULL AND id > 0"), []int64{10, 12, 20, 22}},
				"null in a map":     {m().Where(map[string]any{"bonus": nil}), []int64{11, 21}},
				"subquery":          {m().Where("id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(model).Select("id").Where("salary = ? AND bonus IS NULL", 1)), []int64{11, 21}},
			} {
				var got []int64
				if err := c.query.Order("id").Pluck("id", &got).Error; err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s: found %v, want %v: %v", name, got, c.want, err)
				}
			}
			db.requireUnsaid(t, "4242")
		}
	})
}

// Upserts and hand-written SQL write both columns, or are refused.
func TestBesideWrites(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		w := newWorkers(t, where)
		for _, c := range []struct {
			db     *database
			model  func(legacyWorker) any
			sealed bool
		}{
			{w.reading, func(l legacyWorker) any { return l.reading() }, false},
			{w.writing, func(l legacyWorker) any { return l.writing() }, true},
		} {
			row := aWorker(1, 1)
			for name, write := range map[string]func() error{
				"upsert of all": func() error {
					return c.db.Clauses(clause.OnConflict{UpdateAll: true}).Create(c.model(aWorker(1, 77))).Error
				},
				"upsert of one": func() error {
					return c.db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"salary"})}).Create(c.model(aWorker(1, 77))).Error
				},
				"upsert of a value": func() error {
					return c.db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"salary": 77})}).Create(c.model(aWorker(1, 3))).Error
				},
				"save": func() error { return c.db.Save(c.model(aWorker(1, 77))).Error },
				"map": func() error {
					return c.db.Model(c.model(legacyWorker{ID: 1})).Updates(map[string]any{"Salary": "77"}).Error
				},
				"column": func() error { return c.db.Model(c.model(legacyWorker{ID: 1})).UpdateColumn("salary", 77).Error },
				"SQL": func() error {
					return c.db.Exec("UPDATE workers SET salary = ?, salary_sealed = ?, salary_index = ? WHERE id = 1", 77, 77, encryptedtype.BlindIndex{}).Error
				},
			} {
				if err := errors.Join(w.legacy.Where("id = 1").Delete(&legacyWorker{}).Error, w.legacy.Create(&row).Error); err != nil {
					t.Fatal(err)
				}
				if err := write(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				plain, sealed := c.db.column(t, "workers", "salary")[0], c.db.column(t, "workers", "salary_sealed")[0]
				if plain.Valid == c.sealed || sealed.Valid != c.sealed || plain.Valid && plain.String != "77" {
					t.Errorf("%s: %v and %v", name, plain, sealed)
				}
				var got readingWorker
				if err := w.reading.First(&got, 1).Error; err != nil || got.Salary != 77 {
					t.Errorf("%s: %d, %v", name, got.Salary, err)
				}
			}
			for name, write := range map[string]func() error{
				"SQL of one": func() error {
					return c.db.Exec("UPDATE workers SET salary = ?, salary_index = ? WHERE id = 1", 77, encryptedtype.BlindIndex{}).Error
				},
				"the other": func() error { return c.db.Exec("UPDATE workers SET bonus_sealed = ? WHERE id = 1", 77).Error },
				"a value for the other": func() error {
					return c.db.Model(c.model(legacyWorker{ID: 1})).Updates(map[string]any{"salary": 1, "salary_sealed": "x"}).Error
				},
				"an expression": func() error {
					return c.db.Model(c.model(legacyWorker{ID: 1})).Update("salary", gorm.Expr("salary + 1")).Error
				},
				"a ciphertext": func() error {
					_, err := gormcrypt.Seal(c.db.DB, c.model(legacyWorker{}), "Salary", 1)
					return err
				},
				"a read of one": func() error {
					var salary []int64
					return w.writing.Raw("SELECT salary FROM workers WHERE salary_sealed IS NOT NULL OR id > 0").Scan(&salary).Error
				},
			} {
				if c.sealed || name != "a read of one" {
					if err := write(); err == nil {
						t.Errorf("%s is not refused", name)
					}
				}
			}
		}
	})
}
