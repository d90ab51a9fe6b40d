package conformance

import (
	"database/sql/driver"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Writes that lose data without a word where values are encrypted by other means:
// GORM drops the errors of values in conditions, and takes them for NULL.

// down is a value that cannot be had, as when the source of its key is down.
type down struct{}

var errDown = errors.New("the key source is down")

// Value fails.
func (down) Value() (driver.Value, error) { return nil, errDown }

// conditions are ways to select options by a value. Of one that cannot be sealed,
// GORM by itself makes IS NULL in some of them.
func (c *check) conditions(value func() any) []func() *gorm.DB {
	fresh := func() *gorm.DB { return c.db.Session(&gorm.Session{NewDB: true}) }
	return []func() *gorm.DB{
		func() *gorm.DB { return fresh().Where(&option{Value: value()}) },
		func() *gorm.DB { return fresh().Where(&option{Value: value()}, "Value") },
		func() *gorm.DB { return fresh().Where(map[string]any{"value": value()}) },
		func() *gorm.DB { return fresh().Where("value", value()) },
		func() *gorm.DB { return fresh().Where("value = ?", value()) },
		func() *gorm.DB { return fresh().Where("value IN ?", []any{value(), value()}) },
		func() *gorm.DB { return fresh().Where("value = @v", map[string]any{"v": value()}) },
		func() *gorm.DB { return fresh().Not(map[string]any{"value": value()}) },
		func() *gorm.DB { return fresh().Where("1 = 2").Or(map[string]any{"value": value()}) },
		func() *gorm.DB { return fresh().Where(fresh().Where("1 = 2").Or("value", value())) },
		func() *gorm.DB { return fresh().Where(clause.Eq{Column: "value", Value: value()}) },
		func() *gorm.DB { return fresh().Where(clause.Neq{Column: "value", Value: value()}) },
		func() *gorm.DB { return fresh().Where(clause.IN{Column: "value", Values: []any{value()}}) },
	}
}

// inSubquery puts a condition into a subquery, and into one of a subquery.
func (c *check) inSubquery(condition func() *gorm.DB) []func() *gorm.DB {
	fresh := func() *gorm.DB { return c.db.Session(&gorm.Session{NewDB: true}) }
	inner := func() *gorm.DB { return condition().Model(&option{}).Select("id") }
	return []func() *gorm.DB{
		func() *gorm.DB { return fresh().Where("id IN (?)", inner()) },
		func() *gorm.DB { return fresh().Where("id IN (?)", fresh().Table("(?) AS t", inner()).Select("id")) },
	}
}

// refusesConditions has every write by a condition refused, in a table where one
// row has a value and another has NULL.
func (c *check) refusesConditions(conditions ...func() *gorm.DB) {
	c.Helper()
	c.must(c.db.Create([]*option{{Name: "full", Value: c.text()}, {Name: "null"}}).Error)
	for _, condition := range conditions {
		c.refuses("", "", func() error { return condition().Delete(&option{}).Error })
		c.refuses("", "", func() error { return condition().Model(&option{}).Update("name", "x").Error })
		c.refuses("", "", func() error { return condition().Model(&option{}).Updates(map[string]any{"value": c.text()}).Error })
		c.refuses("", "", func() error { return condition().Model(&option{}).UpdateColumns(&option{Value: c.text()}).Error })
	}
}

var lossRows = []row{
	{path: "`Delete` and `Update` where an encrypted column is a value whose key source fails", refused: errNotQueryable, happens: "not taken for `IS NULL`; nothing is deleted or changed", run: func(c *check) {
		c.refusesConditions(c.conditions(func() any { return down{} })...)
	}},
	{path: "`Delete` and `Update` where an encrypted column is a value of `encryptedtype` that cannot be sealed", refused: errNoTerm, happens: "not taken for `IS NULL`; nothing is deleted or changed", run: func(c *check) {
		c.refusesConditions(c.conditions(func() any { return encryptedtype.NewEncrypted(make(chan int)) })...)
	}},
	{path: "`Delete` and `Update` where an encrypted column is a value, without an index", refused: errNotQueryable, happens: "nothing is deleted or changed", run: func(c *check) {
		c.refusesConditions(c.conditions(func() any { return c.text() })...)
	}},
	{path: "`Delete` and `Update` by a subquery with such a condition", refused: errNotQueryable, happens: "nothing is deleted or changed, or sent", run: func(c *check) {
		var all []func() *gorm.DB
		for _, value := range []func() any{func() any { return down{} }, func() any { return c.text() }} {
			for _, condition := range c.conditions(value) {
				all = append(all, c.inSubquery(condition)...)
			}
		}
		c.refusesConditions(all...)
	}},
	{path: "Any write of a value whose key source fails", refused: errType, happens: "nothing is written", run: func(c *check) {
		c.must(c.db.Create([]*option{{Name: "full", Value: c.text()}, {Name: "null"}}).Error)
		values := func() map[string]any { return map[string]any{"value": down{}} }
		named := func() *gorm.DB { return c.db.Model(&option{}).Where("name = ?", "full") }
		for _, write := range []func() error{
			func() error { return c.db.Create(&option{Name: "new", Value: down{}}).Error },
			func() error { return c.db.Model(&option{}).Create(values()).Error },
			func() error { return c.db.Table("options").Create(values()).Error },
			func() error { return named().Update("value", down{}).Error },
			func() error { return named().Updates(values()).Error },
			func() error { return named().Updates(&option{Value: down{}}).Error },
			func() error { return c.db.Table("options").Where("name = ?", "full").Updates(values()).Error },
			func() error {
				conflict := clause.OnConflict{Columns: byName, DoUpdates: clause.Assignments(values())}
				return c.db.Clauses(conflict).Create(&option{Name: "full"}).Error
			},
			func() error {
				_, err := gorm.G[option](c.db).Where("name = ?", "full").Update(c.Context(), "value", down{})
				return err
			},
		} {
			c.refuses("options", "value", write)
		}
		c.refused(c.db.Where(map[string]any{"name": "full"}).Assign(values()).FirstOrCreate(&option{}).Error, "options", "value")
		c.refused(c.db.Where(map[string]any{"name": "new"}).Attrs(values()).FirstOrCreate(&option{}).Error, "options", "value")
	}},
	{path: "`SetKeys` from a source that fails, and then a write", happens: "sealed, under the keyring that was in use", run: func(c *check) {
		crypt := c.db.Plugins["gormcrypt"].(*gormcrypt.Plugin)
		for _, source := range []keyring.Source{keyring.Env("GORMCRYPT_CONFORMANCE_UNSET"), gormcrypttest.Keyring(c)} {
			if err := crypt.SetKeys(c.Context(), source); err == nil {
				c.fail("run", "SetKeys took another keyring")
			}
		}
		expect(c, c.write(c.db)...)
	}},
	{path: "A slice of which the third of five values cannot be sealed", refused: errType, happens: "nothing is written", run: func(c *check) {
		options := func() []*option {
			var rows []*option
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				rows = append(rows, &option{Name: name, Value: c.text()})
			}
			rows[2].Value = make(chan int)
			return rows
		}
		maps := func() []map[string]any {
			var rows []map[string]any
			for _, row := range options() {
				rows = append(rows, map[string]any{"name": row.Name, "value": row.Value})
			}
			return rows
		}
		c.refuses("options", "value", func() error { return c.db.Create(options()).Error })
		c.refuses("options", "value", func() error { return c.db.Model(&option{}).Create(new(maps())).Error })
		c.refuses("options", "value", func() error { return c.db.Save(new(options())).Error })
		// The first batches were sent, and are undone.
		c.refused(c.db.CreateInBatches(options(), 1).Error, "options", "value")
		c.refused(c.db.Session(&gorm.Session{CreateBatchSize: 2}).Create(options()).Error, "options", "value")
	}},
	{path: "`Unscoped().Create(map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Unscoped().Model(&customer{}).Create(keep(c, ada.columns())).Error)
		expect(c, ada)
	}},
}
