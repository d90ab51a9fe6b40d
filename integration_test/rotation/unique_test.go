package rotation_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// While two index keys are live, an application that looks before it writes, in
// one serializable transaction, writes no value twice: docs/rotation.md says so.
func TestUniqueWhileIndexKeysRotate(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, added, promoted := rings(t)
		before, after := use(t, where, added, &unique{}), use(t, where, promoted, &unique{})
		if err := before.AutoMigrate(&unique{}); err != nil {
			t.Fatal(err)
		}
		const rounds = 60
		written := 0
		var mu sync.Mutex
		for i := range rounds {
			var group sync.WaitGroup
			for _, db := range []*gorm.DB{before, after, before, after} {
				group.Go(func() {
					value := fmt.Sprint("SECRET ", i)
					err := db.Transaction(func(tx *gorm.DB) error {
						var n int64
						if err := tx.Model(&unique{}).Where("tax_id = ?", value).Count(&n).Error; err != nil || n > 0 {
							return errors.Join(err, gorm.ErrDuplicatedKey)
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
		if err := after.Model(&unique{}).Count(&rows).Error; err != nil || int(rows) != written || written < rounds/2 || written > rounds {
			t.Errorf("%d rows, and %d were written: %v", rows, written, err)
		}
	})
}
