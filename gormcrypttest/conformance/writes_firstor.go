package conformance

import (
	"maps"

	"gorm.io/gorm"
)

// FirstOrCreate and FirstOrInit, which write what they do not find.

// scalar reports whether GORM keeps a value in a map of attributes: slices are
// lists of values to it, for IN.
func scalar(f field) bool {
	return f.column != "portrait" && f.column != "thumbprint" && f.column != "labels"
}

// attributes are the values of a customer that GORM keeps.
func (c *customer) attributes(name func(field) string) map[string]any {
	values := c.values(name)
	for _, f := range customerFields {
		if !scalar(f) {
			delete(values, name(f))
		}
	}
	return values
}

// withoutSlices is a customer without what GORM drops.
func (c *customer) withoutSlices() *customer {
	without := *c
	without.City, without.Portrait, without.Thumbprint, without.Labels = "", nil, nil, nil
	return &without
}

var firstOrRows = []row{
	{path: "`Attrs(model).FirstOrCreate`, not found", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Where("name = ?", "ada").Attrs(ada).FirstOrCreate(&customer{}).Error)
		expect(c, ada)
	}},
	{path: "`Assign(model).FirstOrCreate`, not found", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Where("name = ?", "ada").Assign(*ada).FirstOrCreate(&customer{}).Error)
		expect(c, ada)
	}},
	{path: "`Attrs(map).FirstOrCreate`, not found", happens: "sealed; nothing is dropped", run: func(c *check) {
		ada := c.customer("ada")
		values := ada.attributes(byColumn)
		c.must(c.db.Where("name = ?", "ada").Where(map[string]any{"name": "ada"}).Attrs(keep(c, values)).FirstOrCreate(&customer{}).Error)
		expect(c, ada.withoutSlices())
	}},
	{path: "`Attrs(map).FirstOrCreate`, not found, with plain values for the types of `encryptedtype`", happens: "sealed; nothing is dropped", run: func(c *check) {
		ada := c.customer("ada")
		values := ada.attributes(byField)
		for name, value := range values {
			values[name] = plain(value)
		}
		delete(values, "Seed") // a plain slice
		c.must(c.db.Where(map[string]any{"name": "ada"}).Attrs(keep(c, values)).FirstOrCreate(&customer{}).Error)
		want := ada.withoutSlices()
		want.Seed = encryptedBytes{}
		expect(c, want)
	}},
	{path: "`Attrs(map).FirstOrCreate`, not found, with values of `encryptedtype`", happens: "sealed; nothing is dropped", run: func(c *check) {
		ada := c.customer("ada")
		values := ada.values(byColumn) // these are no slices to GORM
		for name, value := range values {
			values[name] = typed(plain(value))
		}
		c.must(c.db.Where(map[string]any{"name": "ada"}).Attrs(keep(c, values)).FirstOrCreate(&customer{}).Error)
		ada.City = ""
		expect(c, ada)
	}},
	{path: "`Attrs(map)` with a slice or a `[]byte`", happens: "dropped by GORM itself, as of plain columns; use a struct", run: func(c *check) {
		ada := c.customer("ada")
		values := map[string]any{"email": ada.Email, "portrait": ada.Portrait, "labels": ada.Labels}
		c.must(c.db.Where(map[string]any{"name": "ada"}).Attrs(keep(c, values)).FirstOrCreate(&customer{}).Error)
		expect(c, &customer{Name: "ada", Email: ada.Email})
	}},
	{path: "`Attrs(map).FirstOrCreate`, with a value that the field cannot hold", refused: errType, run: func(c *check) {
		c.freeze()
		ada := func() *gorm.DB { return c.db.Where(map[string]any{"name": "ada"}) }
		c.refused(ada().Attrs(map[string]any{"salary": c.text()}).FirstOrCreate(&customer{}).Error, "customers", "salary")
		c.refused(ada().Attrs(map[string]any{"quota": c.text()}).FirstOrCreate(&customer{}).Error, "customers", "quota")
	}},
	{path: "`Assign(map).FirstOrCreate`, with a value that the field cannot hold", refused: errType, run: func(c *check) {
		c.existing("bob")
		c.freeze()
		for _, name := range []string{"ada", "bob"} {
			named := func() *gorm.DB { return c.db.Where(map[string]any{"name": name}) }
			c.refused(named().Assign(map[string]any{"salary": c.text()}).FirstOrCreate(&customer{}).Error, "customers", "salary")
			c.refused(named().Assign(map[string]any{"quota": c.text()}).FirstOrCreate(&customer{}).Error, "customers", "quota")
		}
	}},
	{path: "`Assign(map).FirstOrCreate`, not found", happens: "sealed; nothing is dropped", run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Where(map[string]any{"name": "ada"}).Assign(keep(c, ada.attributes(byColumn))).FirstOrCreate(&customer{}).Error)
		expect(c, ada.withoutSlices())
	}},
	{path: "`Assign(model).FirstOrCreate`, found", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		want := c.changed(ada)
		change := *want
		change.ID = 0
		c.must(c.db.Where("name = ?", "ada").Assign(keep(c, change)).FirstOrCreate(&customer{}).Error)
		expect(c, want, bob)
	}},
	{path: "`Assign(map).FirstOrCreate`, found", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		want := c.changed(ada)
		var got customer
		c.must(c.db.Where("name = ?", "ada").Assign(keep(c, want.attributes(byColumn))).FirstOrCreate(&got).Error)
		want.Portrait, want.Thumbprint, want.Labels = ada.Portrait, ada.Thumbprint, ada.Labels
		c.same("the model", &got, want)
		expect(c, want, bob)
	}},
	{path: "`Attrs(map).FirstOrCreate`, found", happens: "read; nothing is written", run: func(c *check) {
		ada := c.existing("ada")
		var got customer
		c.must(c.db.Where("name = ?", "ada").Attrs(map[string]any{"email": c.text()}).FirstOrCreate(&got).Error)
		c.same("the model", &got, ada)
		expect(c, ada)
	}},
	{path: "`Attrs(map).FirstOrInit`, `Save`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		values := maps.Clone(ada.attributes(byColumn))
		var got customer
		c.must(c.db.Where(map[string]any{"name": "ada"}).Attrs(keep(c, values)).FirstOrInit(&got).Error)
		c.same("the model", &got, ada.withoutSlices())
		expect[customer](c)
		c.must(c.db.Save(&got).Error)
		expect(c, ada.withoutSlices())
	}},
	{path: "`Attrs(model).FirstOrInit`, `Save`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		var got customer
		c.must(c.db.Where("name = ?", "ada").Attrs(keep(c, ada)).FirstOrInit(&got).Error)
		c.must(c.db.Save(&got).Error)
		expect(c, ada)
	}},
	{path: "`Assign(map).FirstOrInit`, found, `Save`", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		want := c.changed(ada)
		var got customer
		c.must(c.db.Where("name = ?", "ada").Assign(keep(c, want.attributes(byColumn))).FirstOrInit(&got).Error)
		expect(c, ada)
		c.must(c.db.Save(&got).Error)
		want.Portrait, want.Thumbprint, want.Labels = ada.Portrait, ada.Thumbprint, ada.Labels
		expect(c, want)
	}},
	{path: "`FirstOrInit` with a value that the field cannot hold", refused: errType, run: func(c *check) {
		c.existing("ada")
		c.freeze()
		err := c.db.Where("name = ?", "ada").Assign(map[string]any{"salary": c.text()}).FirstOrInit(&customer{}).Error
		c.refused(err, "customers", "salary")
	}},
	{path: "`FirstOrCreate` with a condition on an encrypted column", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "email", func() error { return c.db.FirstOrCreate(&customer{}, customer{Email: c.text()}).Error })
		c.refuses("customers", "email", func() error {
			return c.db.Where(map[string]any{"email": c.text()}).FirstOrCreate(&customer{}).Error
		})
		c.refuses("customers", "email", func() error { return c.db.Where("email = ?", c.text()).FirstOrCreate(&customer{}).Error })
	}},
}
