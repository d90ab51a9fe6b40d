package rotation_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// uniques opens a database with a table of unique, as processes do before and after
// the promotion of an index key.
func uniques(t *testing.T, where testdb.Database) (before, after *gorm.DB) {
	t.Helper()
	_, added, promoted := rings(t)
	before, after = use(t, where, added, &unique{}), use(t, where, promoted, &unique{})
	if err := before.AutoMigrate(&unique{}); err != nil {
		t.Fatal(err)
	}
	return before, after
}

// While two index keys are live, an application that looks before it writes, in
// one serializable transaction, writes no value twice: docs/rotation.md says so.
func TestUniqueWhileIndexKeysRotate(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		before, after := uniques(t, where)
		const rounds = 60
		written := 0
		var mu sync.Mutex
		for i := range rounds {
			value := fmt.Sprint("SECRET ", i/2)
			var group sync.WaitGroup
			for _, db := range []*gorm.DB{before, after, before, after} {
				group.Go(func() {
					err := db.Transaction(func(tx *gorm.DB) error {
						var n int64
						if err := tx.Unscoped().Model(&unique{}).Where("tax_id = ?", value).Count(&n).Error; err != nil {
							return err
						}
						if n > 0 {
							return gorm.ErrDuplicatedKey
						}
						return tx.Create(&unique{TaxID: value}).Error
					}, &sql.TxOptions{Isolation: sql.LevelSerializable})
					if err == nil {
						mu.Lock()
						written++
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if i%4 == 0 { // the constraint counts those that are deleted softly
				if err := after.Where("tax_id = ?", value).Delete(&unique{}).Error; err != nil {
					t.Fatal(err)
				}
			}
		}
		job, err := rotation.New(after, rotation.Config{Set: keyring.IndexKeys, Unique: []string{"uniques.tax_id"}, Limits: rotation.Limits{Duty: 1}})
		if err != nil {
			t.Fatal(err)
		}
		// A value that was written twice would now violate the constraint.
		if report, err := job.Run(context.Background()); err != nil || report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, report)
		}
		var rows int64
		if err := after.Unscoped().Model(&unique{}).Count(&rows).Error; err != nil || int(rows) != written || written < rounds/4 || written > rounds/2 {
			t.Errorf("%d rows, and %d were written: %v", rows, written, err)
		}
	})
}

// An application that did not look has written values twice. The job seals all else
// anew, in the same rows too, and says which rows are in the way; when they are
// gone, the next one ends.
func TestValuesWrittenTwice(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		before, after := uniques(t, where)
		for i := range 200 { // rows 1 to 200
			if err := before.Create(&unique{TaxID: fmt.Sprint("SECRET ", i+1), Phone: "SECRET"}).Error; err != nil {
				t.Fatal(err)
			}
		}
		for _, twice := range []int{3, 77, 78, 200} { // rows 201 to 204
			if err := after.Create(&unique{TaxID: fmt.Sprint("SECRET ", twice)}).Error; err != nil {
				t.Fatal(err)
			}
		}
		config := rotation.Config{Set: keyring.IndexKeys, Unique: []string{"uniques.tax_id"}, ShardRows: 150}
		report, err := run(t, after, config)
		if !errors.Is(err, rotation.ErrQuarantined) || report.State != rotation.Quarantined || report.Swapped != 196 || report.Pass != 2 {
			t.Fatalf("%v: %+v", err, report)
		}
		quarantine, err := rotation.Quarantine(t.Context(), after, report.Job)
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for _, value := range quarantine {
			listed = append(listed, value.Key+" "+value.Column)
			if !strings.Contains(value.Reason, "another row has the same value") || value.Version != "i1" || strings.Contains(value.Reason, "SECRET") {
				t.Errorf("the reason is %q", value.Reason)
			}
		}
		if d := cmp.Diff([]string{"200 tax_id", "3 tax_id", "77 tax_id", "78 tax_id"}, listed); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if got := column(t, where, "SELECT count(*) FROM uniques WHERE phone LIKE 'gc1:i2:%'"); got[0] != "204" {
			t.Errorf("%s phones are sealed anew", got[0])
		}
		var rows []unique
		if err := after.Order("id").Find(&rows).Error; err != nil || len(rows) != 204 || rows[2].TaxID != "SECRET 3" {
			t.Errorf("%d rows: %v", len(rows), err)
		}
		if err := after.Unscoped().Delete(&unique{}, []int{3, 77, 201 + 2, 204}).Error; err != nil { // one of each two
			t.Fatal(err)
		}
		if report, err := run(t, after, config); err != nil || report.State != rotation.Finished || report.Swapped != 2 {
			t.Errorf("%v: %+v", err, report)
		}
	})
}
