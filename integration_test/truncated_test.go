package integration_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// caller has an index that tells sixteen classes of numbers apart, and one of two
// fields that tells as many.
type caller struct {
	ID          uint
	Name        string
	Number      string                   `gorm:"serializer:encrypted"`
	Region      string                   `gorm:"serializer:encrypted"`
	NumberIndex encryptedtype.BlindIndex `encrypt:"of=Number,normalize=digits,bits=4"`
	BothIndex   encryptedtype.BlindIndex `encrypt:"of=Number+Region,bits=4"`
}

// What a truncated index matches too much is not in any result, and does not count
// in a LIMIT.
func TestTruncatedIndexes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &caller{})
		var rows []*caller
		for i := range 120 { // of which 12 have each number
			rows = append(rows, &caller{Name: fmt.Sprint("n", i), Number: fmt.Sprintf("SECRET-%d", 1000+i%10), Region: fmt.Sprint("SECRET r", i%3)})
		}
		if err := db.Create(rows).Error; err != nil {
			t.Fatal(err)
		}
		terms := db.column(t, "callers", "number_index")
		slices.SortFunc(terms, func(a, b sql.NullString) int { return strings.Compare(a.String, b.String) })
		if n := len(slices.Compact(terms)); n > 10 {
			t.Fatalf("there are %d terms", n)
		}
		var all []caller
		if err := db.Where("number = ?", "1003").Order("id").Find(&all).Error; err != nil || len(all) != 12 {
			t.Fatalf("found %d, %v", len(all), err)
		}
		for name, find := range map[string]struct {
			query *gorm.DB
			want  []caller
		}{
			"limit":             {db.Where("number = ?", "1003").Order("id").Limit(3), all[:3]},
			"limit and offset":  {db.Where("number = ?", "1003").Order("id").Limit(3).Offset(5), all[5:8]},
			"offset beyond":     {db.Where("number = ?", "1003").Order("id").Limit(3).Offset(11), all[11:]},
			"limit 0":           {db.Where("number = ?", "1003").Limit(0), nil},
			"more conditions":   {db.Where("number = ? AND id > ?", "1003", all[3].ID).Where("name IS NOT NULL").Order("id"), all[4:]},
			"struct":            {db.Where(&caller{Number: "1003"}).Order("id"), all},
			"list":              {db.Where("number IN ?", []string{"1003", "77"}).Order("id"), all},
			"two fields":        {db.Where("both_index = (?, ?)", all[0].Number, all[0].Region).Order("id"), slices.DeleteFunc(slices.Clone(all), func(c caller) bool { return c.Region != all[0].Region })},
			"nothing like that": {db.Where("number = ?", "99"), nil},
			"NULL":              {db.Where("number = ?", nil), nil},
			"columns":           {db.Select("id", "name", "number", "region").Where("number = ?", "1003").Order("id"), all},
			"a join":            {db.Joins("JOIN callers b ON b.id = callers.id").Where("callers.number = ?", "1003").Order("callers.id"), all},
		} {
			var got []caller
			if err := find.query.Find(&got).Error; err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !slices.Equal(got, find.want) && len(got)+len(find.want) > 0 {
				t.Errorf("%s: found %d rows, want %d", name, len(got), len(find.want))
			}
		}
		var first, last caller
		if err := db.First(&first, "number = ?", "1003").Error; err != nil || first != all[0] {
			t.Errorf("the first is %+v, %v", first, err)
		}
		if err := db.Last(&last, "number = ?", "1003").Error; err != nil || last != all[11] {
			t.Errorf("the last is %+v, %v", last, err)
		}
		if err := db.First(&caller{}, "number = ?", "99").Error; !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("there is none: %v", err)
		}
		var batches []int
		var batch, found []caller
		if err := db.Where("number = ?", "1003").FindInBatches(&batch, 5, func(*gorm.DB, int) error {
			batches, found = append(batches, len(batch)), append(found, batch...)
			return nil
		}).Error; err != nil || !slices.Equal(batches, []int{5, 5, 2}) || !slices.Equal(found, all) {
			t.Errorf("the batches are %v, %v", batches, err)
		}
		var numbers []string
		if err := db.Model(&caller{}).Where("number = ?", "1003").Limit(4).Pluck("number", &numbers).Error; err != nil || !slices.Equal(numbers, []string{"SECRET-1003", "SECRET-1003", "SECRET-1003", "SECRET-1003"}) {
			t.Errorf("plucked %d, %v", len(numbers), err)
		}
		var maps []map[string]any
		if err := db.Model(&caller{}).Where("number = ?", "1003").Offset(10).Limit(9).Find(&maps).Error; err != nil || len(maps) != 2 || maps[0]["number"] != "SECRET-1003" {
			t.Errorf("read %d maps, %v", len(maps), err)
		}

		var n int64
		called := func() *gorm.DB { return db.Model(&caller{}).Where("number = ?", "1003") }
		for name, run := range map[string]func() error{
			"Count":  func() error { return called().Count(&n).Error },
			"Update": func() error { return called().Update("name", "x").Error },
			"Update, returning": func() error {
				return db.Raw("UPDATE callers SET name = 'x' WHERE number = ? RETURNING *", "1003").Scan(&[]caller{}).Error
			},
			"Delete":    func() error { return db.Where("number = ?", "1003").Delete(&caller{}).Error },
			"aggregate": func() error { return called().Select("max(id)").Scan(&n).Error },
			"Distinct":  func() error { return called().Distinct("number").Find(&[]caller{}).Error },
			"Group":     func() error { return called().Select("name").Group("name").Find(&[]caller{}).Error },
			"Or":        func() error { return called().Or("name = ?", "x").Find(&[]caller{}).Error },
			"Not":       func() error { return db.Not("number = ?", "1003").Find(&[]caller{}).Error },
			"not equal": func() error { return db.Where("number <> ?", "1003").Find(&[]caller{}).Error },
			"subquery":  func() error { return db.Where("id IN (?)", called().Select("id")).Find(&[]caller{}).Error },
			"subquery in SQL": func() error {
				return db.Where("id IN (SELECT id FROM callers WHERE number = ?)", "1003").Find(&[]caller{}).Error
			},
			"derived":          func() error { return db.Table("(?) AS q", called()).Find(&[]caller{}).Error },
			"join":             func() error { return db.Joins("LEFT JOIN callers b ON b.number = ?", "1003").Find(&[]caller{}).Error },
			"Rows":             func() error { _, err := called().Rows(); return err },
			"Row":              func() error { return called().Row().Err() },
			"not selected":     func() error { return called().Select("name").Find(&[]caller{}).Error },
			"Pluck of another": func() error { return called().Pluck("name", &[]string{}).Error },
			"Exec":             func() error { return db.Exec("DELETE FROM callers WHERE number = ?", "1003").Error },
			"dry run":          func() error { return called().Session(&gorm.Session{DryRun: true}).Find(&[]caller{}).Error },
		} {
			if err := run(); !errors.Is(err, gormcrypt.ErrNotQueryable) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if err := db.Model(&caller{}).Count(&n).Error; err != nil || n != 120 {
			t.Errorf("%d rows are left, %v", n, err)
		}
	})
}
