package integration_test

import (
	"testing"
	"time"

	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// What NULL does to a field that holds something is what GORM has it do to one
// that is not encrypted: only pointers, slices and maps are emptied.
func TestNullIntoFieldsThatHoldSomething(t *testing.T) {
	t.Parallel()
	type encrypted struct {
		ID    uint
		Text  string    `gorm:"serializer:encrypted"`
		Int   int       `gorm:"serializer:encrypted;type:text"`
		Time  time.Time `gorm:"serializer:encrypted;type:text"`
		Bytes []byte    `gorm:"serializer:encrypted"`
		Phone *string   `gorm:"serializer:encrypted"`
	}
	type plain struct {
		ID    uint
		Text  string
		Int   int
		Time  time.Time
		Bytes []byte
		Phone *string
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &encrypted{})
		if err := db.AutoMigrate(&plain{}); err != nil {
			t.Fatal(err)
		}
		phone, now := "p", time.Now()
		one := encrypted{0, "t", 1, now, []byte("b"), &phone}
		two := plain(one)
		for _, row := range []any{&one, &two} {
			if err := db.Clauses(clause.Returning{}).Select("ID").Create(row).Error; err != nil {
				t.Fatal(err)
			}
		}
		for name, got := range map[string]plain{"encrypted": plain(one), "plain": two} {
			if got.Text != "t" || got.Int != 1 || !got.Time.Equal(now) || got.Bytes != nil || got.Phone != nil {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}
