package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The same writes in every kind of session.

// write creates and changes customers in the ways that differ in GORM, and
// returns what the table must hold then.
func (c *check) write(db *gorm.DB) []*customer {
	c.Helper()
	ada, bob, eve, kim, lea := c.customer("ada"), c.customer("bob"), c.customer("eve"), c.customer("kim"), c.customer("lea")
	c.must(db.Create(keep(c, ada)).Error)
	c.must(db.Model(&customer{}).Create(keep(c, bob.columns())).Error)
	for _, row := range []*customer{eve, kim, lea} {
		old := c.customer(row.Name)
		c.must(db.Create(old).Error)
		row.ID = old.ID
	}
	c.must(db.Model(&customer{}).Where("name = ?", "eve").Updates(keep(c, eve.all())).Error)
	c.must(db.Model(&customer{ID: kim.ID}).Updates(keep(c, *kim)).Error)
	for _, f := range customerFields {
		c.must(db.Model(&customer{}).Where("name = ?", "lea").Update(f.column, keep(c, f.of(lea))).Error)
	}
	return []*customer{ada, bob, eve, kim, lea}
}

// session is a row that writes in a session of some kind.
func session(path string, open func(c *check) *gorm.DB) row {
	return row{path: path, happens: sealed, run: func(c *check) { expect(c, c.write(open(c))...) }}
}

var sessionRows = []row{
	session("`Session{}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{}) }),
	session("`Session{NewDB: true}`", func(c *check) *gorm.DB { return c.db.Where("1 = 2").Session(&gorm.Session{NewDB: true}) }),
	session("`Session{Context: ctx}`, `WithContext(ctx)`", func(c *check) *gorm.DB { return c.db.WithContext(c.Context()) }),
	session("`Session{SkipHooks: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{SkipHooks: true}) }),
	session("`Session{SkipDefaultTransaction: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{SkipDefaultTransaction: true}) }),
	session("`Session{QueryFields: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{QueryFields: true}) }),
	session("`Session{FullSaveAssociations: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{FullSaveAssociations: true}) }),
	session("`Session{CreateBatchSize: 2}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{CreateBatchSize: 2}) }),
	session("`Session{PrepareStmt: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{PrepareStmt: true}) }),
	session("`Session{PropagateUnscoped: true}`", func(c *check) *gorm.DB { return c.db.Session(&gorm.Session{PropagateUnscoped: true}) }),
	session("`Unscoped()`", func(c *check) *gorm.DB { return c.db.Unscoped().Session(&gorm.Session{}) }),
	session("`Debug()`", func(c *check) *gorm.DB { return c.db.Debug() }),
	session("`Set(key, value)`", func(c *check) *gorm.DB {
		return c.db.Set("gorm:table_options", "").Session(&gorm.Session{})
	}),
	{path: "`Session{AllowGlobalUpdate: true}`, `Update` of every row", happens: sealed, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		ada.Email = c.text()
		bob.Email = ada.Email
		db := c.db.Session(&gorm.Session{AllowGlobalUpdate: true})
		c.must(db.Model(&customer{}).Updates(keep(c, map[string]any{"email": ada.Email})).Error)
		expect(c, ada, bob)
	}},
	{path: "`Scopes(...)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			ada := func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "ada") }
			return c.db.Model(&customer{}).Scopes(ada).Updates(keep(c, want.all())).Error
		})
	}},
	{path: "`G[T].Scopes(...)`", happens: sealed, run: func(c *check) {
		c.eachRow(func(want *customer) error {
			ada := func(stmt *gorm.Statement) { stmt.Where("name = ?", "ada") }
			_, err := gorm.G[customer](c.db).Scopes(ada).Updates(c.Context(), *keep(c, want))
			return err
		})
	}},
	{path: "`Connection(func)`", happens: sealed, run: func(c *check) {
		var want []*customer
		c.must(c.db.Connection(func(tx *gorm.DB) error {
			want = c.write(tx.Session(&gorm.Session{}))
			return nil
		}))
		expect(c, want...)
	}},
	{path: "`Transaction(func)`", happens: sealed, run: func(c *check) {
		var want []*customer
		c.must(c.db.Transaction(func(tx *gorm.DB) error { want = c.write(tx); return nil }))
		expect(c, want...)
	}},
	{path: "`Transaction(func)` with prepared statements", happens: sealed, run: func(c *check) {
		var want []*customer
		c.must(c.db.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error { want = c.write(tx); return nil }))
		expect(c, want...)
	}},
	{path: "`Transaction(func)` that fails", happens: "undone", run: func(c *check) {
		ada := c.existing("ada")
		undo := errors.New("undo")
		err := c.db.Transaction(func(tx *gorm.DB) error {
			c.must(tx.Model(&customer{ID: ada.ID}).Updates(map[string]any{"email": c.text()}).Error)
			c.must(tx.Create(c.customer("bob")).Error)
			return undo
		})
		if !errors.Is(err, undo) {
			c.fail("run", "the error is %v", err)
		}
		expect(c, ada)
	}},
	{path: "`Transaction(func)` in a transaction", happens: sealed, needs: SavePoints, run: func(c *check) {
		var want []*customer
		undo := errors.New("undo")
		c.must(c.db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Transaction(func(tx *gorm.DB) error { c.write(tx); return undo }); !errors.Is(err, undo) {
				return fmt.Errorf("the inner transaction: %w", err)
			}
			return tx.Transaction(func(tx *gorm.DB) error { want = c.write(tx); return nil })
		}))
		expect(c, want...)
	}},
	{path: "`Begin`, `Commit`", happens: sealed, run: func(c *check) {
		tx := c.db.Begin()
		defer tx.Rollback()
		want := c.write(tx)
		c.must(tx.Commit().Error)
		expect(c, want...)
	}},
	{path: "`Begin`, `SavePoint`, `RollbackTo`", happens: sealed, needs: SavePoints, run: func(c *check) {
		tx := c.db.Begin()
		defer tx.Rollback()
		c.must(tx.SavePoint("before").Error)
		c.write(tx)
		c.must(tx.RollbackTo("before").Error)
		want := c.write(tx)
		c.must(tx.Commit().Error)
		expect(c, want...)
	}},
	{path: "`Session{DryRun: true}`", happens: "sealed, and not sent", run: func(c *check) {
		ada := c.existing("ada")
		c.freeze()
		before := c.wire.Statements()
		db := c.db.Session(&gorm.Session{DryRun: true})
		email := c.text()
		for what, stmt := range map[string]*gorm.Statement{
			"Create":       db.Create(keep(c, c.customer("bob"))).Statement,
			"Create(map)":  db.Model(&customer{}).Create(keep(c, c.customer("bob").columns())).Statement,
			"Update":       db.Model(&customer{}).Where("name = ?", "ada").Update("email", email).Statement,
			"Updates(map)": db.Model(&customer{ID: ada.ID}).Updates(keep(c, c.customer("bob").all())).Statement,
			"upsert": db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.Assignments(map[string]any{"email": email})}).
				Create(c.customer("ada")).Statement,
		} {
			shown := fmt.Sprintf("%s %+v %#v", stmt.SQL.String(), stmt.Vars, stmt.Vars)
			c.said = append(c.said, shown)
			if !strings.Contains(shown, "gc1:") {
				c.fail("value", "%s shows no ciphertext: %s", what, shown)
			}
		}
		if sent := c.wire.Statements() - before; sent > 0 {
			c.fail("wire", "%d statements were sent", sent)
		}
		expect(c, ada)
	}},
	{path: "`ToSQL(func)`", happens: "shows ciphertext", run: func(c *check) {
		for what, build := range map[string]func(tx *gorm.DB) *gorm.DB{
			"Create":      func(tx *gorm.DB) *gorm.DB { return tx.Create(keep(c, c.customer("ada"))) },
			"Create(map)": func(tx *gorm.DB) *gorm.DB { return tx.Model(&customer{}).Create(keep(c, c.customer("ada").columns())) },
			"Update":      func(tx *gorm.DB) *gorm.DB { return tx.Model(&customer{ID: 1}).Update("email", c.text()) },
			"Updates(map)": func(tx *gorm.DB) *gorm.DB {
				return tx.Model(&customer{ID: 1}).Updates(keep(c, c.customer("ada").all()))
			},
			"Save": func(tx *gorm.DB) *gorm.DB { return tx.Save(c.customer("ada")) },
		} {
			sql := c.db.ToSQL(build)
			c.said = append(c.said, sql)
			if !strings.Contains(sql, "gc1:") {
				c.fail("value", "%s shows no ciphertext: %s", what, sql)
			}
		}
		expect[customer](c)
	}},
	{path: "A statement that fails in the database", happens: "sealed in the log and in the error", run: func(c *check) {
		ada := c.existing("ada")
		over, cancel := context.WithCancel(c.Context())
		cancel()
		for what, err := range map[string]error{
			"cancelled":   c.db.WithContext(over).Create(keep(c, c.customer("bob"))).Error,
			"Create":      c.db.Create(keep(c, c.customer("ada"))).Error,
			"Create(map)": c.db.Model(&customer{}).Create(keep(c, c.customer("ada").columns())).Error,
			"Update":      c.db.Model(&customer{}).Where("no_such_column = 1").Update("email", c.text()).Error,
			"Updates":     c.db.Table("no_such_table").Model(&customer{}).Where("1 = 1").Updates(keep(c, c.customer("bob").all())).Error,
			"G[T].Create": gorm.G[customer](c.db).Create(c.Context(), c.customer("ada")),
		} {
			c.heard(err)
			if err == nil {
				c.fail("run", "%s did not fail", what)
			}
		}
		expect(c, ada)
	}},
	{path: "A statement that finds no row", happens: "sealed in the log and in the error", run: func(c *check) {
		for _, err := range []error{
			c.db.Model(&customer{}).Where("name = ?", "nobody").Update("email", c.text()).Error,
			c.db.Model(&customer{ID: 4242}).Updates(keep(c, *c.customer("nobody"))).Error,
		} {
			c.must(err)
		}
		err := c.db.Where("name = ?", "nobody").First(&customer{}).Error
		c.heard(err)
		if !errors.Is(err, gorm.ErrRecordNotFound) {
			c.fail("run", "the error is %v", err)
		}
		expect[customer](c)
	}},
}
