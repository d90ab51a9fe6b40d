package conformance

import (
	"slices"

	"gorm.io/gorm/clause"
)

// What a statement that writes gives back.

// returning are the columns that a row has returned, in no particular order.
var returning = clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "name"}, {Name: "email"}, {Name: "api_key"}, {Name: "salary"}}}

// returned is what those columns hold.
func (c *customer) returned() *customer {
	return &customer{Name: c.Name, Email: c.Email, APIKey: c.APIKey, Salary: c.Salary}
}

var returningRows = []row{
	{path: "`RETURNING *` of `Create(&model)`", happens: "opens into the model", needs: Returning, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Clauses(clause.Returning{}).Create(ada).Error)
		expect(c, ada)
	}},
	{path: "`RETURNING *` of `Create(&slice)`", happens: "opens into the models", needs: Returning, run: func(c *check) {
		rows := keep(c, []*customer{c.customer("ada"), c.customer("bob")})
		c.must(c.db.Clauses(clause.Returning{}).Create(&rows).Error)
		expect(c, rows...)
	}},
	{path: "`RETURNING *` of `Update(\"column\", v)`", happens: "opens into the model", needs: Returning, run: func(c *check) {
		ada := c.existing("ada")
		ada.Email = c.text()
		var got customer
		c.must(c.db.Model(&got).Clauses(clause.Returning{}).Where("name = ?", "ada").Update("email", ada.Email).Error)
		c.same("what was returned", &got, ada)
		expect(c, ada)
	}},
	{path: "`RETURNING columns` of `Updates(map)`, into a slice", happens: "opens into the models", needs: Returning, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		ada.Email = c.text()
		bob.Email = ada.Email
		var got []customer
		c.must(c.db.Model(&got).Clauses(returning).Where("city = ?", "London").Updates(keep(c, map[string]any{"email": ada.Email})).Error)
		c.same("what was returned", got, []customer{*ada.returned(), *bob.returned()})
		expect(c, ada, bob)
	}},
	{path: "`RETURNING columns` of `Updates(model)`", happens: "opens into the model", needs: Returning, run: func(c *check) {
		ada := c.existing("ada")
		change := c.changed(ada)
		got := customer{ID: ada.ID}
		c.must(c.db.Model(&got).Clauses(returning).Updates(keep(c, *change)).Error)
		c.same("what was returned", got.returned(), change.returned())
		expect(c, change)
	}},
	{path: "`RETURNING *` of `Delete(&model)`", happens: "opens into the model", needs: Returning, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		var got customer
		c.must(c.db.Clauses(clause.Returning{}).Where("name = ?", "ada").Delete(&got).Error)
		c.same("what was returned", &got, ada)
		expect(c, bob)
	}},
	{path: "`RETURNING columns` of `Delete(&slice)`", happens: "opens into the models", needs: Returning, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		var got []customer
		c.must(c.db.Clauses(returning).Where("city = ?", "London").Delete(&got).Error)
		slices.SortFunc(got, func(a, b customer) int { return int(a.ID) - int(b.ID) })
		c.same("what was returned", got, []customer{*ada.returned(), *bob.returned()})
		expect[customer](c)
	}},
	{path: "`RETURNING *` of an upsert", happens: "opens into the model", needs: Returning, run: func(c *check) {
		ada := c.existing("ada")
		got := &customer{Name: "ada", Email: c.text()}
		ada.Email = got.Email
		conflict := clause.OnConflict{Columns: byName, DoUpdates: clause.AssignmentColumns([]string{"email"})}
		c.must(c.db.Clauses(conflict, clause.Returning{}).Create(got).Error)
		c.same("what was returned", got, ada)
		expect(c, ada)
	}},
	{path: "`RETURNING *` of `Create(map)`", happens: "opens into the map, to the fields' types", needs: Returning, run: func(c *check) {
		ada := c.customer("ada")
		got := ada.columns()
		c.must(c.db.Model(&customer{}).Clauses(clause.Returning{}).Create(got).Error)
		c.same("what was returned", got, ada.columns())
		expect(c, ada)
	}},
	{path: "`RETURNING columns` of `Create(&map)`", happens: "opens into the map, to the fields' types", needs: Returning, run: func(c *check) {
		ada := c.customer("ada")
		got := ada.columns()
		c.must(c.db.Model(&customer{}).Clauses(returning).Create(&got).Error)
		c.same("what was returned", got, ada.columns())
		expect(c, ada)
	}},
}
