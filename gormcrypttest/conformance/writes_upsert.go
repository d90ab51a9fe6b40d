package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Rows of a table that come into being, or change if they are there.

// byName is what the customers conflict in.
var byName = []clause.Column{{Name: "name"}}

// upsert writes a customer who is in the table and one who is not.
func (c *check) upsert(write func(change *customer) error) {
	c.Helper()
	ada := c.existing("ada")
	changed, bob := c.changed(ada), c.customer("bob")
	changed.ID = 0
	c.must(write(changed))
	c.must(write(bob))
	expect(c, changed, bob)
}

var upsertRows = []row{
	{path: "`OnConflict{UpdateAll: true}`, `Create(&model)`", happens: sealed, needs: Upserts, run: func(c *check) {
		c.upsert(func(change *customer) error {
			return c.db.Clauses(clause.OnConflict{Columns: byName, UpdateAll: true}).Create(keep(c, change)).Error
		})
	}},
	{path: "`OnConflict{UpdateAll: true}`, `Create(map)`", happens: sealed, needs: Upserts, run: func(c *check) {
		c.upsert(func(change *customer) error {
			return c.db.Model(&customer{}).Clauses(clause.OnConflict{Columns: byName, UpdateAll: true}).Create(keep(c, change.columns())).Error
		})
	}},
	{path: "`OnConflict{UpdateAll: true}`, `Create(slice)`", happens: sealed, needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		rows := keep(c, []*customer{c.changed(ada), c.customer("bob")})
		rows[0].ID = 0
		c.must(c.db.Clauses(clause.OnConflict{Columns: byName, UpdateAll: true}).Create(rows).Error)
		expect(c, rows...)
	}},
	{path: "`OnConflict{DoUpdates: clause.AssignmentColumns(...)}`", happens: sealed, needs: Upserts, run: func(c *check) {
		var columns []string
		for _, f := range customerFields {
			columns = append(columns, f.column)
		}
		c.upsert(func(change *customer) error {
			return c.db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.AssignmentColumns(columns)}).Create(keep(c, change)).Error
		})
	}},
	{path: "`OnConflict{DoUpdates: clause.Assignments(map)}`", happens: sealed, needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		want, unused := c.changed(ada), c.customer("ada")
		set := keep(c, clause.Assignments(want.all()))
		c.must(c.db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: set}).Create(keep(c, unused)).Error)
		expect(c, want)
	}},
	{path: "`OnConflict{DoUpdates: clause.Assignments(map)}` with values of other types", happens: sealed, needs: Upserts, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		adas, bobs := c.changed(ada), c.changed(bob)
		for change, form := range map[*customer]func(any) any{adas: plain, bobs: func(v any) any { return typed(plain(v)) }} {
			values := change.all()
			for column, value := range values {
				values[column] = form(value)
			}
			conflict := clause.OnConflict{Columns: byName, DoUpdates: keep(c, clause.Assignments(values))}
			c.must(c.db.Clauses(conflict).Create(&customer{Name: change.Name}).Error)
		}
		expect(c, adas, bobs)
	}},
	{path: "`OnConflict{DoUpdates: clause.Set{...}}`, `Create(map)` into `Table(\"t\")`", happens: sealed, needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		change := c.text()
		set := keep(c, clause.Set{{Column: clause.Column{Name: "email"}, Value: change}})
		unused := keep(c, c.customer("ada").columns())
		c.must(c.db.Table("customers").Clauses(clause.OnConflict{Columns: byName, DoUpdates: set}).Create(unused).Error)
		ada.Email = change
		expect(c, ada)
	}},
	{path: "`OnConflict{Where: ...}` on a plain column", happens: sealed, needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		for city, change := range map[string]string{"London": c.text(), "Paris": c.text()} {
			where := clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Table: "customers", Name: "city"}, Value: city}}}
			set := clause.Assignments(map[string]any{"email": change})
			c.must(c.db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: set, Where: where}).Create(c.customer("ada")).Error)
			if city == ada.City {
				ada.Email = change
			}
		}
		expect(c, ada)
	}},
	{path: "`OnConflict{Where: ...}` on an encrypted column", refused: errNotQueryable, needs: Upserts, run: func(c *check) {
		c.existing("ada")
		where := clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Table: "customers", Name: "email"}, Value: c.text()}}}
		c.refuses("customers", "email", func() error {
			return c.db.Clauses(clause.OnConflict{Columns: byName, UpdateAll: true, Where: where}).Create(c.customer("ada")).Error
		})
	}},
	{path: "`OnConflict{DoNothing: true}`", happens: sealed, needs: Upserts, run: func(c *check) {
		ada, bob := c.existing("ada"), c.customer("bob")
		c.must(c.db.Clauses(clause.OnConflict{DoNothing: true}).Create([]*customer{c.customer("ada"), bob}).Error)
		expect(c, ada, bob)
	}},
	{path: "`G[T](db, clause.OnConflict{...}).Create`", happens: sealed, needs: Upserts, run: func(c *check) {
		c.upsert(func(change *customer) error {
			conflict := clause.OnConflict{Columns: byName, UpdateAll: true}
			return gorm.G[customer](c.db, conflict).Create(c.Context(), keep(c, change))
		})
	}},
	{path: "`G[T](db, clause.OnConflict{DoUpdates: clause.Assignments(map)}).Create`", happens: sealed, needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		want := c.changed(ada)
		conflict := clause.OnConflict{Columns: byName, DoUpdates: keep(c, clause.Assignments(want.all()))}
		c.must(gorm.G[customer](c.db, conflict).Create(c.Context(), c.customer("ada")))
		expect(c, want)
	}},
}
