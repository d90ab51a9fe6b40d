package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Rows of a table that change.

// existing returns a customer that is in the table. It is not active, so that an
// update can make it so.
func (c *check) existing(name string) *customer {
	c.Helper()
	row := c.customer(name)
	row.Active = false
	c.must(c.db.Create(row).Error)
	return row
}

// changed returns what a customer is to become: a fresh secret in every field.
func (c *check) changed(row *customer) *customer {
	changed := c.customer(row.Name)
	changed.ID = row.ID
	return changed
}

// eachField changes one customer field by field, beside another one who stays as
// she is.
func (c *check) eachField(change func(f field, value any) error) {
	c.Helper()
	ada, bob := c.existing("ada"), c.existing("bob")
	want := *ada
	for _, f := range customerFields {
		value := f.fresh(&c.secrets)
		c.must(change(f, value))
		f.set(&want, value)
	}
	expect(c, &want, bob)
}

// eachRow changes all fields of one customer at once.
func (c *check) eachRow(change func(want *customer) error) {
	c.Helper()
	ada, bob := c.existing("ada"), c.existing("bob")
	want := c.changed(ada)
	c.must(change(want))
	expect(c, want, bob)
}

// ada selects her by a plain column.
func (c *check) ada() *gorm.DB { return c.db.Model(&customer{}).Where("name = ?", "ada") }

// values are those of all encrypted fields, by column.
func (c *customer) all() map[string]any { return c.values(byColumn) }

var updateRows = []row{
	{path: "`Model(&m).Updates(model)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Model(&customer{ID: want.ID}).Updates(keep(c, *want)).Error
		})
	}},
	{path: "`Updates(&model)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error { return c.db.Updates(keep(c, want)).Error })
	}},
	{path: "`Model(&m).Where(...).Updates(model)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			change := *want
			change.ID = 0
			return c.ada().Updates(keep(c, &change)).Error
		})
	}},
	{path: "`Model(&m).Updates` of another struct, without the mark", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := c.changed(ada)
		c.must(c.db.Model(&customer{ID: ada.ID}).Updates(keep(c, *change.unmarked())).Error)
		want := change.partly()
		want.City, want.Labels, want.Notes, want.Home.Door = ada.City, ada.Labels, ada.Notes, ada.Home.Door
		want.TaxNumber, want.Settings = ada.TaxNumber, ada.Settings
		expect(c, want, bob)
	}},
	{path: "`Model(&m).Updates` of another struct, with the mark", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := &marked{Email: c.text(), APIKey: typed(c.text()).(encryptedString), Salary: new(c.number())}
		c.must(c.db.Model(&customer{ID: ada.ID}).Updates(keep(c, change)).Error)
		want := *ada
		want.Email, want.APIKey, want.Salary = change.Email, change.APIKey, *change.Salary
		expect(c, &want, bob)
	}},
	{path: "`Model(&m).Updates` of a struct of its own type, in place", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := keep(c, struct {
			Email  string
			APIKey *string
		}{c.text(), new(c.text())})
		c.must(c.db.Model(&customer{ID: ada.ID}).Updates(change).Error)
		ada.Email, ada.APIKey = change.Email, typed(*change.APIKey).(encryptedString)
		expect(c, ada, bob)
	}},
	{path: "`Table(\"t\").Updates` of another struct, without the mark", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := &unmarked{Email: c.text(), APIKey: c.text(), Quota: new(c.number())}
		c.must(c.db.Table("customers").Where("name = ?", "ada").Updates(keep(c, change)).Error)
		want := *ada
		want.Email, want.APIKey, want.Quota = change.Email, typed(change.APIKey).(encryptedString), typed(*change.Quota).(encryptedInt)
		expect(c, &want, bob)
	}},
	{path: "`Model(&m).Updates(map)`, keys by column", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Model(&customer{ID: want.ID}).Updates(keep(c, want.all())).Error
		})
	}},
	{path: "`Model(&m).Updates(map)`, keys by field", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Model(&customer{ID: want.ID}).Updates(keep(c, want.values(byField))).Error
		})
	}},
	{path: "`Model(&m).Updates(map)`, keys in upper case", happens: "sealed, or refused by a database that tells case apart", run: func(c *check) {
		ada := c.existing("ada")
		change := c.text()
		err := c.ada().Updates(keep(c, map[string]any{"EMAIL": change})).Error
		c.heard(err)
		if err == nil {
			ada.Email = change
		}
		expect(c, ada)
	}},
	{path: "`Model(&m).Updates(map)` with values of other types: pointers, plain values, types of `encryptedtype`", happens: sealed, run: func(c *check) {
		ada, bob, eve := c.existing("ada"), c.existing("bob"), c.existing("eve")
		var want []*customer
		for _, change := range []struct {
			c    *customer
			form func(any) any
		}{{ada, plain}, {bob, func(v any) any { return typed(plain(v)) }}, {eve, pointer}} {
			changed := c.changed(change.c)
			values := changed.all()
			for column, value := range values {
				values[column] = change.form(value)
			}
			c.must(c.db.Model(&customer{ID: changed.ID}).Updates(keep(c, values)).Error)
			want = append(want, changed)
		}
		expect(c, want...)
	}},
	{path: "`Model(&loaded).Updates(map)`: the model in memory follows", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		want := c.changed(ada)
		c.must(c.db.Model(ada).Updates(keep(c, want.all())).Error)
		c.same("the model", ada, want)
		c.must(c.db.Save(ada).Error)
		expect(c, want)
	}},
	{path: "`Model(&slice).Updates(map)`", happens: sealed, run: func(c *check) {
		ada, bob, eve := c.existing("ada"), c.existing("bob"), c.existing("eve")
		change := c.text()
		c.must(c.db.Model(&[]customer{{ID: ada.ID}, {ID: bob.ID}}).Updates(keep(c, map[string]any{"email": change})).Error)
		ada.Email, bob.Email = change, change
		expect(c, ada, bob, eve)
	}},
	{path: "`Table(\"t\").Updates(map)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Table("customers").Where("name = ?", "ada").Updates(keep(c, want.all())).Error
		})
	}},
	{path: "`Table(\"t AS t\").Updates(map)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Table("customers AS customers").Where("name = ?", "ada").Updates(keep(c, want.all())).Error
		})
	}},
	{path: "`Update(\"column\", v)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error { return c.ada().Update(f.column, keep(c, value)).Error })
	}},
	{path: "`Update(\"Field\", v)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error { return c.ada().Update(f.name, keep(c, value)).Error })
	}},
	{path: "`Update(\"column\", v)`, `v` of a type of `encryptedtype`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error { return c.ada().Update(f.column, typed(plain(value))).Error })
	}},
	{path: "`Update(\"column\", v)`, `v` of the plain type", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error { return c.ada().Update(f.column, plain(value)).Error })
	}},
	{path: "`Table(\"t\").Update(\"column\", v)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			return c.db.Table("customers").Where("name = ?", "ada").Update(f.column, value).Error
		})
	}},
	{path: "`UpdateColumn(\"column\", v)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error { return c.ada().UpdateColumn(f.column, value).Error })
	}},
	{path: "`UpdateColumns(map)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error { return c.ada().UpdateColumns(keep(c, want.all())).Error })
	}},
	{path: "`UpdateColumns(model)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.db.Model(&customer{ID: want.ID}).UpdateColumns(keep(c, *want)).Error
		})
	}},
	{path: "`Select(columns).Updates(model)`: what is selected is written, zero or not", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := c.changed(ada)
		change.Salary = 0
		c.must(c.db.Model(&customer{ID: ada.ID}).Select("Email", "salary", "api_key", "home_street").Updates(keep(c, *change)).Error)
		ada.Email, ada.Salary, ada.APIKey, ada.Home.Street = change.Email, 0, change.APIKey, change.Home.Street
		expect(c, ada, bob)
	}},
	{path: "`Select(\"*\").Updates(model)`", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := &customer{ID: ada.ID, Name: "ada", Email: c.text()}
		c.must(c.db.Model(&customer{ID: ada.ID}).Select("*").Updates(keep(c, *change)).Error)
		expect(c, change, bob)
	}},
	{path: "`Omit(columns).Updates(model)`: what is omitted is not written", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := c.changed(ada)
		c.must(c.db.Model(&customer{ID: ada.ID}).Omit("Email", "api_key").Updates(keep(c, *change)).Error)
		change.Email, change.APIKey = ada.Email, ada.APIKey
		expect(c, change, bob)
	}},
	{path: "`Select(columns).Updates(map)`", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := c.changed(ada)
		c.must(c.ada().Select("email", "APIKey").Updates(keep(c, change.all())).Error)
		ada.Email, ada.APIKey = change.Email, change.APIKey
		expect(c, ada, bob)
	}},
	{path: "`Omit(columns).Updates(map)`", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		change := c.changed(ada)
		c.must(c.ada().Omit("email", "APIKey").Updates(keep(c, change.values(byField))).Error)
		change.Email, change.APIKey = ada.Email, ada.APIKey
		expect(c, change, bob)
	}},
	{path: "`Select(columns).Save(&model)`, `Omit(columns).Save(&model)`", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		adas, bobs := c.changed(ada), c.changed(bob)
		c.must(c.db.Select("Email").Save(keep(c, adas)).Error)
		c.must(c.db.Omit("Email").Save(keep(c, bobs)).Error)
		want := *bobs
		ada.Email, want.Email = adas.Email, bob.Email
		expect(c, ada, &want)
	}},
	{path: "`Model(&m).Where(...).Save(map)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error { return c.ada().Save(keep(c, want.all())).Error })
	}},
	{path: "`Clauses(clause.Set{...}).Updates(map)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			return c.ada().Clauses(keep(c, clause.Assignments(want.all()))).Updates(map[string]any{}).Error
		})
	}},
	{path: "`G[T].Update(\"column\", v)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Update(c.Context(), f.column, keep(c, value))
			return err
		})
	}},
	{path: "`G[T].Update(\"Field\", v)`, `v` of the plain type", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Update(c.Context(), f.name, plain(value))
			return err
		})
	}},
	{path: "`G[T].Updates(model)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Updates(c.Context(), *keep(c, want))
			return err
		})
	}},
	{path: "`G[T].Select(columns).Updates(model)`", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		change := c.changed(ada)
		_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Select("email", "APIKey").Updates(c.Context(), *keep(c, change))
		c.must(err)
		ada.Email, ada.APIKey = change.Email, change.APIKey
		expect(c, ada)
	}},
	{path: "`G[T].Set(clause.Assignment{...}).Update`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			set := clause.Assignment{Column: clause.Column{Name: f.column}, Value: value}
			_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Set(set).Update(c.Context())
			return err
		})
	}},
	{path: "`G[T].Set(...).Update`, of all columns at once, with a condition of `clause.Eq`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			set := keep(c, clause.Assignments(want.all()))
			_, err := gorm.G[customer](c.db).Where(clause.Eq{Column: clause.Column{Name: "name"}, Value: "ada"}).Set(set).Update(c.Context())
			return err
		})
	}},
	{path: "`G[T].Set(...).Create`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(gorm.G[customer](c.db).Set(keep(c, clause.Assignments(ada.columns()))).Create(c.Context()))
		expect(c, ada)
	}},
	{path: "`G[T].Table(\"t\").Update`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			_, err := gorm.G[customer](c.db).Table("customers").Where("name = ?", "ada").Update(c.Context(), f.column, value)
			return err
		})
	}},
	{path: "`Delete` by a plain column, `Unscoped().Delete`", happens: "the rows are gone, and no others", run: func(c *check) {
		first, second := &card{Name: "first", Number: c.text()}, &card{Name: "second", Number: c.text()}
		c.must(c.db.Create([]*card{first, second}).Error)
		c.must(c.db.Where("name = ?", "first").Delete(&card{}).Error)
		expect(c, second)
		c.must(c.db.Unscoped().Where("name = ?", "first").Delete(&card{}).Error)
		expect(c, second)
	}},
}
