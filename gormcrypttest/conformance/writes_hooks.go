package conformance

import (
	"context"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// What hooks see, and what they leave.

// visitor returns a visitor with fresh secrets.
func (s *secrets) visitor(name string) *visitor {
	return &visitor{Name: name, Email: s.text(), Phone: new(s.text()), Pass: typed(s.text()).(encryptedString)}
}

// hooked returns a *gorm.DB that has a hook called.
func (c *check) hooked(name string, hook func(v *visitor, tx *gorm.DB)) *gorm.DB {
	return c.db.WithContext(withHook(c.Context(), name, hook))
}

var hookRows = []row{
	{path: "`BeforeSave` that changes fields, `Create`", happens: "sealed as the hook left it", run: func(c *check) {
		email, phone, key := c.text(), c.text(), c.text()
		db := c.hooked("BeforeSave", func(v *visitor, _ *gorm.DB) {
			v.Email, v.Phone, v.Pass = email, &phone, typed(key).(encryptedString)
		})
		c.must(db.Create(c.visitor("ada")).Error)
		expect(c, &visitor{Name: "ada", Email: email, Phone: &phone, Pass: typed(key).(encryptedString)})
	}},
	{path: "`BeforeSave` that changes fields, `Save`", happens: "sealed as the hook left it", run: func(c *check) {
		ada := c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		email := c.text()
		c.must(c.hooked("BeforeSave", func(v *visitor, _ *gorm.DB) { v.Email = email }).Save(ada).Error)
		want := *ada
		want.Email = email
		expect(c, &want)
	}},
	{path: "`BeforeCreate` of every row of a slice", happens: "sealed as the hook left it", run: func(c *check) {
		db := c.hooked("BeforeCreate", func(v *visitor, _ *gorm.DB) { v.Email = strings.ToUpper(v.Email) })
		ada, bob := c.visitor("ada"), c.visitor("bob")
		adas, bobs := *ada, *bob
		c.must(db.Create([]*visitor{ada, bob}).Error)
		adas.Email, bobs.Email = strings.ToUpper(adas.Email), strings.ToUpper(bobs.Email)
		expect(c, &adas, &bobs)
	}},
	{path: "`SetColumn` in `BeforeCreate`", happens: sealed, run: func(c *check) {
		email, phone, key := c.text(), c.text(), c.text()
		db := c.hooked("BeforeCreate", func(_ *visitor, tx *gorm.DB) {
			tx.Statement.SetColumn("Email", email)
			tx.Statement.SetColumn("phone", phone)
			tx.Statement.SetColumn("Pass", key)
		})
		c.must(db.Create(c.visitor("ada")).Error)
		expect(c, &visitor{Name: "ada", Email: email, Phone: &phone, Pass: typed(key).(encryptedString)})
	}},
	{path: "`SetColumn` in `BeforeUpdate`, `Updates(map)`", happens: sealed, run: func(c *check) {
		c.setInUpdate(func(db *gorm.DB, ada *visitor) error {
			return db.Model(&visitor{ID: ada.ID}).Updates(map[string]any{"email": c.text()}).Error
		})
	}},
	{path: "`SetColumn` in `BeforeUpdate`, `Updates(model)`", happens: sealed, run: func(c *check) {
		c.setInUpdate(func(db *gorm.DB, ada *visitor) error {
			return db.Model(&visitor{ID: ada.ID}).Updates(&visitor{Email: c.text()}).Error
		})
	}},
	{path: "`SetColumn` in `BeforeUpdate`, `Update(\"column\", v)`", happens: sealed, run: func(c *check) {
		c.setInUpdate(func(db *gorm.DB, ada *visitor) error {
			return db.Model(&visitor{ID: ada.ID}).Update("email", c.text()).Error
		})
	}},
	{path: "`AfterCreate`, `AfterSave` and `AfterUpdate` that read the model", happens: "see plaintext", run: func(c *check) {
		ada := c.visitor("ada")
		seen := map[string]string{}
		ctx := c.Context()
		for _, name := range []string{"BeforeSave", "BeforeCreate", "AfterCreate", "AfterSave", "BeforeUpdate", "AfterUpdate"} {
			ctx = withHook(ctx, name, func(v *visitor, _ *gorm.DB) { seen[name] = dump(v) })
		}
		check := func(names ...string) {
			c.Helper()
			for _, name := range names {
				if got, want := seen[name], dump(ada); got != want {
					c.fail("value", "%s saw another:%s", name, difference(got, want))
				}
			}
		}
		c.must(c.db.WithContext(ctx).Create(ada).Error)
		check("BeforeSave", "BeforeCreate", "AfterCreate", "AfterSave")
		ada.Email = c.text()
		c.must(c.db.WithContext(ctx).Save(ada).Error)
		check("BeforeSave", "BeforeUpdate", "AfterUpdate", "AfterSave")
		expect(c, ada)
	}},
	{path: "`Statement.Dest` in `BeforeUpdate` of `Updates(map)`", happens: "plaintext, the caller's map", run: func(c *check) {
		ada := c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		values := keep(c, map[string]any{"email": c.text(), "pass": typed(c.text())})
		db := c.hooked("BeforeUpdate", func(_ *visitor, tx *gorm.DB) { c.same("the map", tx.Statement.Dest, values) })
		c.must(db.Model(ada).Updates(values).Error)
		expect(c, ada)
	}},
	{path: "`Changed` in `BeforeUpdate`", happens: "compares plaintext", run: func(c *check) {
		ada := c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		var changed []string
		db := c.hooked("BeforeUpdate", func(_ *visitor, tx *gorm.DB) {
			changed = nil
			for _, name := range []string{"Email", "Phone", "Pass"} {
				if tx.Statement.Changed(name) {
					changed = append(changed, name)
				}
			}
		})
		same, other := *ada, *ada
		other.Email, other.Pass = c.text(), typed(c.text()).(encryptedString)
		c.must(db.Model(ada).Updates(same).Error)
		c.same("what has changed", changed, []string(nil))
		c.must(db.Model(ada).Updates(other).Error)
		c.same("what has changed", changed, []string{"Email", "Pass"})
		expect(c, &other)
	}},
	{path: "Hooks that write other rows", happens: sealed, run: func(c *check) {
		other := c.remark("by a hook")
		db := c.hooked("AfterCreate", func(_ *visitor, tx *gorm.DB) {
			c.must(tx.Session(&gorm.Session{NewDB: true}).Model(&remark{}).Create(keep(c, map[string]any{"name": other.Name, "text": other.Text})).Error)
		})
		ada := keep(c, c.visitor("ada"))
		c.must(db.Create(ada).Error)
		expect(c, ada)
		expect(c, other)
	}},
	{path: "`BeforeDelete` and `AfterDelete` of a model that was read", happens: "see plaintext", run: func(c *check) {
		ada := c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		ctx := c.Context()
		for _, name := range []string{"BeforeDelete", "AfterDelete"} {
			ctx = withHook(ctx, name, func(v *visitor, _ *gorm.DB) { c.same("what "+name+" saw", v, ada) })
		}
		var read visitor
		c.must(c.db.First(&read).Error)
		c.must(c.db.WithContext(ctx).Delete(&read).Error)
		expect[visitor](c)
	}},
	{path: "Hooks of an upsert", happens: "sealed as the hook left it", needs: Upserts, run: func(c *check) {
		c.must(c.db.Create(c.visitor("ada")).Error)
		email := c.text()
		db := c.hooked("BeforeSave", func(v *visitor, _ *gorm.DB) { v.Email = email })
		change := c.visitor("ada")
		c.must(db.Clauses(clause.OnConflict{Columns: byName, UpdateAll: true}).Create(change).Error)
		expect(c, &visitor{Name: "ada", Email: email, Phone: change.Phone, Pass: change.Pass})
	}},
	{path: "`Session{SkipHooks: true}`, `UpdateColumns`: hooks are skipped", happens: "sealed all the same", run: func(c *check) {
		ctx := c.Context()
		for _, name := range []string{"BeforeSave", "BeforeCreate", "BeforeUpdate", "AfterSave"} {
			ctx = withHook(ctx, name, func(*visitor, *gorm.DB) { c.fail("run", "%s was called", name) })
		}
		db := c.db.WithContext(ctx)
		skip := db.Session(&gorm.Session{SkipHooks: true})
		ada, bob := keep(c, c.visitor("ada")), c.visitor("bob")
		c.must(skip.Create(ada).Error)
		c.must(skip.Model(&visitor{}).Create(keep(c, map[string]any{"name": "bob", "email": bob.Email, "phone": *bob.Phone, "pass": bob.Pass})).Error)
		bob.Email = c.text()
		c.must(db.Model(&visitor{}).Where("name = ?", "bob").UpdateColumns(keep(c, map[string]any{"email": bob.Email})).Error)
		expect(c, ada, bob)
	}},
}

// setInUpdate has a hook set what an update does not.
func (c *check) setInUpdate(update func(db *gorm.DB, ada *visitor) error) {
	c.Helper()
	ada := c.visitor("ada")
	c.must(c.db.Create(ada).Error)
	email, key := c.text(), c.text()
	ctx := withHook(context.Background(), "BeforeUpdate", func(_ *visitor, tx *gorm.DB) {
		tx.Statement.SetColumn("email", email)
		tx.Statement.SetColumn("pass", key)
	})
	c.must(update(c.db.WithContext(ctx), ada))
	expect(c, &visitor{Name: "ada", Email: email, Phone: ada.Phone, Pass: typed(key).(encryptedString)})
}
