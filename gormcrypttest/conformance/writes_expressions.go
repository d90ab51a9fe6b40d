package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// SQL as the new value of an encrypted column.

// refusesAsValue has a value refused by every way of writing a single column.
func (c *check) refusesAsValue(value func() any) {
	c.Helper()
	c.existing("ada")
	ada := func() *gorm.DB { return c.db.Model(&customer{}).Where("name = ?", "ada") }
	upsert := func(set clause.Set) clause.OnConflict { return clause.OnConflict{Columns: byName, DoUpdates: set} }
	for _, f := range []field{customerFields[0], customerFields[4], customerFields[14]} {
		values := func() map[string]any { return map[string]any{f.column: value()} }
		for _, write := range []func() error{
			func() error { return ada().Update(f.column, value()).Error },
			func() error { return ada().UpdateColumn(f.name, value()).Error },
			func() error { return ada().Updates(values()).Error },
			func() error { return c.db.Table("customers").Where("name = ?", "ada").Updates(values()).Error },
			func() error { return c.db.Model(&customer{}).Create(values()).Error },
			func() error {
				return c.db.Model(&customer{}).Create(&[]map[string]any{{f.column: nil}, values()}).Error
			},
			func() error { return c.db.Table("customers").Create(values()).Error },
			func() error {
				return c.db.Clauses(upsert(clause.Assignments(values()))).Create(&customer{Name: "ada"}).Error
			},
			func() error {
				_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Update(c.Context(), f.column, value())
				return err
			},
			func() error {
				_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Set(clause.Assignments(values())).Update(c.Context())
				return err
			},
			func() error { return gorm.G[customer](c.db).Set(clause.Assignments(values())).Create(c.Context()) },
		} {
			c.refuses("customers", f.column, write)
		}
		// It looks for the row first.
		c.refused(c.db.Where("name = ?", "ada").Assign(values()).FirstOrCreate(&customer{}).Error, "customers", f.column)
	}
}

var expressionRows = []row{
	{path: "`gorm.Expr(\"?\", v)` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("?", c.text()) })
	}},
	{path: "`gorm.Expr(\"upper(?)\", v)` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("upper(?)", c.text()) })
	}},
	{path: "`gorm.Expr(\"column || ?\", v)` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("email || ?", c.text()) })
	}},
	{path: "`gorm.Expr(\"plain_column\")` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("city") })
	}},
	{path: "`gorm.Expr(\"other_encrypted_column\")` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("tax_number") })
	}},
	{path: "`clause.Column{...}` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return clause.Column{Name: "tax_number"} })
	}},
	{path: "A subquery as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return c.db.Model(&customer{}).Select("city").Limit(1) })
	}},
	{path: "`gorm.Expr` with a value of `encryptedtype` as the new value", refused: errExpression, run: func(c *check) {
		c.refusesAsValue(func() any { return gorm.Expr("?", typed(c.text())) })
	}},
	{path: "`excluded.other_column` in an upsert", refused: errExpression, needs: Upserts, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "email", func() error {
			set := clause.Set{{Column: clause.Column{Name: "email"}, Value: clause.Column{Table: "excluded", Name: "tax_number"}}}
			return c.db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: set}).Create(c.customer("ada")).Error
		})
	}},
	{path: "`gorm.Expr(\"encrypted_column\")` as the new value of a plain column", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		for _, value := range []any{gorm.Expr("email"), gorm.Expr("upper(email)"), gorm.Expr("(SELECT email FROM customers LIMIT 1)")} {
			c.refuses("customers", "email", func() error { return c.ada().Update("city", value).Error })
			c.refuses("customers", "email", func() error {
				return c.db.Table("customers").Where("name = ?", "ada").Updates(map[string]any{"city": value}).Error
			})
		}
	}},
	{path: "The value of an encrypted field for a plain column", refused: errUnsealed, run: func(c *check) {
		c.existing("ada")
		c.refuses("city_markeds", "city", func() error { return c.ada().Updates(&cityMarked{City: c.text()}).Error })
	}},
	{path: "A value that the field cannot hold", refused: errType, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "salary", func() error { return c.ada().Update("salary", c.text()).Error })
		c.refuses("customers", "badge", func() error { return c.ada().Updates(map[string]any{"Badge": -c.number()}).Error })
		c.refuses("customers", "quota", func() error {
			return c.db.Model(&customer{}).Create(map[string]any{"name": "bob", "quota": c.text()}).Error
		})
		c.refuses("customers", "notes", func() error { return c.ada().Update("notes", c.labels()).Error })
		c.refuses("customers", "born", func() error { return c.ada().Update("born", "not a time "+c.text()).Error })
		c.refuses("customers", "active", func() error {
			_, err := gorm.G[customer](c.db).Where("name = ?", "ada").Update(c.Context(), "active", c.text())
			return err
		})
	}},
}
