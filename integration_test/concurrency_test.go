package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// ledger has one row for each goroutine, and a column for each kind of field.
type ledger struct {
	ID     uint
	Owner  string            `gorm:"unique"`
	Note   string            `gorm:"serializer:encrypted"`
	Phone  *string           `gorm:"serializer:encrypted"`
	Amount int64             `gorm:"serializer:encrypted;type:text"`
	Tags   map[string]string `gorm:"serializer:encrypted"`
	Key    encryptedtype.EncryptedString
	Bound  string `gorm:"serializer:encrypted" encrypt:"bind=Owner"`
}

// One *gorm.DB serves 64 goroutines on mixed paths. Each writes and reads values
// that carry its own name, and none ever sees another's.
func TestManyGoroutinesOnOneDB(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &ledger{})
		const goroutines, rounds = 64, 6
		var wait sync.WaitGroup
		for g := range goroutines {
			wait.Go(func() {
				owner := fmt.Sprintf("owner-%02d", g)
				for round := range rounds {
					if err := useLedger(db.DB, owner, fmt.Sprintf("SECRET %s %d", owner, round), int64(g*1000+round), (g+round)%8); err != nil {
						t.Errorf("%s, round %d: %v", owner, round, err)
						return
					}
				}
			})
		}
		wait.Wait()
		db.requireSealed(t, "ledgers", "note", "phone", "amount", "tags", "key", "bound")
		db.requireUnsaid(t, "SECRET")
	})
}

// useLedger writes a secret to the owner's row on one of several paths, and reads
// it back on all.
func useLedger(db *gorm.DB, owner, secret string, amount int64, path int) error {
	ctx := context.Background()
	row := func() *ledger {
		return &ledger{Owner: owner, Note: secret, Phone: &secret, Amount: amount, Tags: map[string]string{"of": secret}, Key: encryptedtype.NewEncryptedString(secret), Bound: secret}
	}
	columns := map[string]any{"note": secret, "phone": &secret, "amount": amount, "tags": map[string]string{"of": secret}, "key": secret, "owner": owner, "bound": secret}
	byOwner := []clause.Column{{Name: "owner"}}
	upsert := func(tx *gorm.DB) error {
		return tx.Clauses(clause.OnConflict{Columns: byOwner, UpdateAll: true}).Create(row()).Error
	}
	if err := upsert(db); err != nil {
		return err
	}
	var err error
	switch path {
	case 0:
		err = db.Model(&ledger{}).Where("owner = ?", owner).Updates(columns).Error
	case 1:
		err = db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Where("owner = ?", owner).Delete(&ledger{}).Error; err != nil {
				return err
			}
			return tx.Model(&ledger{}).Create(columns).Error
		})
	case 2:
		err = upsert(db.Session(&gorm.Session{PrepareStmt: true}))
	case 3:
		err = db.Clauses(clause.OnConflict{Columns: byOwner, DoUpdates: clause.Assignments(columns)}).Create(row()).Error
	case 4:
		err = db.Exec("UPDATE ledgers SET note = ?, phone = ?, amount = ?, bound = ?, owner = ? WHERE owner = ?", secret, secret, amount, secret, owner, owner).Error
	case 5:
		_, err = gorm.G[ledger](db).Where("owner = ?", owner).Updates(ctx, *row())
	case 6:
		var found ledger
		if err = db.Where("owner = ?", owner).Assign(row()).FirstOrCreate(&found).Error; err == nil && found.Note != secret {
			err = fmt.Errorf("FirstOrCreate left %q", found.Note)
		}
	case 7:
		found, takeErr := gorm.G[ledger](db).Where("owner = ?", owner).First(ctx)
		found.Note = secret
		err = errors.Join(takeErr, db.Save(&found).Error)
	}
	if err != nil {
		return err
	}
	return readLedger(db, owner, secret, amount)
}

func readLedger(db *gorm.DB, owner, secret string, amount int64) error {
	mine := func() *gorm.DB { return db.Model(&ledger{}).Where("owner = ?", owner) }
	var model ledger
	var notes []string
	var amounts []int64
	var maps []map[string]any
	var raw string
	err := errors.Join(
		mine().First(&model).Error, mine().Pluck("note", &notes).Error, mine().Pluck("amount", &amounts).Error, mine().Find(&maps).Error,
		db.Raw("SELECT note AS n FROM ledgers WHERE owner = ?", owner).Scan(&raw).Error,
	)
	if err != nil {
		return err
	}
	if len(notes) != 1 || len(amounts) != 1 || len(maps) != 1 {
		return fmt.Errorf("read %d, %d and %d rows", len(notes), len(amounts), len(maps))
	}
	held, _ := maps[0]["key"].(encryptedtype.EncryptedString)
	for _, got := range []string{model.Note, *model.Phone, model.Tags["of"], model.Key.Reveal(), model.Bound, notes[0], raw, maps[0]["note"].(string), maps[0]["bound"].(string), held.Reveal()} {
		if got != secret && !strings.HasPrefix(got, "SECRET "+owner) {
			return fmt.Errorf("read %q", got)
		}
	}
	if model.Note != secret || notes[0] != secret || model.Amount != amount || amounts[0] != amount {
		return fmt.Errorf("read %q, %d", model.Note, model.Amount)
	}
	return nil
}
