package migrations_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// Bytes of every kind are encrypted in a column of bytes, and no bytes are not NULL.
func TestBytes(t *testing.T) {
	t.Parallel()
	type scan struct {
		ID int64
		V  []byte `gorm:"serializer:encrypted;type:bytes" encrypt:"migrating=write"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		db := c.open(&scan{})
		if err := db.AutoMigrate(&scan{}); err != nil {
			t.Fatal(err)
		}
		none, zero := "x''", "x'00'"
		if where.Name == "postgres" {
			none, zero = `''`, `'\x00'`
		}
		execute(t, where, "INSERT INTO scans (id, v) VALUES (1, "+none+"), (2, "+zero+"), (3, NULL)")
		m := column(t, db, &scan{}, "V")
		if err := m.Expand(t.Context(), fast("")); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Backfill(t.Context(), fast(migrations.Writing)); err != nil {
			t.Fatal(err)
		}
		if v, err := m.Verify(t.Context(), fast("")); err != nil || v.Values != 2 {
			t.Errorf("%+v: %v", v, err)
		}
		var all []scan
		if err := db.Order("id").Find(&all).Error; err != nil || len(all) != 3 || all[0].V == nil || len(all[0].V) > 0 || string(all[1].V) != "\x00" || all[2].V != nil {
			t.Errorf("%v: %v", all, err)
		}
	})
}
