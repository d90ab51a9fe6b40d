package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Reads of what is related to a model.

// related is a row that reads owners in some way. What want leaves of an owner is
// what must come.
func related(path string, read func(c *check, db *gorm.DB) ([]owner, error), want func(o owner) owner) row {
	return row{path: path, happens: opened, run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		got, err := read(c, c.fresh())
		c.must(err)
		c.same("what was read", got, []owner{want(*ada), want(*bob)})
	}}
}

// find reads owners.
func find(how func(db *gorm.DB) *gorm.DB) func(*check, *gorm.DB) ([]owner, error) {
	return func(c *check, db *gorm.DB) (got []owner, err error) {
		return got, how(db).Order("owners.name").Find(&got).Error
	}
}

func withCards(o owner) owner { return owner{Name: o.Name, Email: o.Email, Cards: o.Cards} }

func withCompany(o owner) owner {
	return owner{Name: o.Name, Email: o.Email, Company: &company{Name: o.Company.Name, Account: o.Company.Account}}
}

func withCountry(o owner) owner { return owner{Name: o.Name, Email: o.Email, Company: o.Company} }

func withPassport(o owner) owner { return owner{Name: o.Name, Email: o.Email, Passport: o.Passport} }

func withFirstCard(o owner) owner {
	return owner{Name: o.Name, Email: o.Email, Cards: []card{o.Cards[0]}}
}

var relationReads = []row{
	related("`Preload(has many)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Cards") }), withCards),
	related("`Preload(has one)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Passport") }), withPassport),
	related("`Preload(belongs to)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Company") }), withCompany),
	related("`Preload(many2many)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Groups") }), func(o owner) owner {
		return owner{Name: o.Name, Email: o.Email, Groups: o.Groups}
	}),
	related("`Preload(polymorphic)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Remarks") }), func(o owner) owner {
		return owner{Name: o.Name, Email: o.Email, Remarks: o.Remarks}
	}),
	related("`Preload(nested)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload("Company.Country") }), withCountry),
	related("`Preload(clause.Associations)`", find(func(db *gorm.DB) *gorm.DB { return db.Preload(clause.Associations) }), func(o owner) owner {
		o.Company = withCompany(o).Company
		return o
	}),
	related("`Preload` with conditions on a plain column", find(func(db *gorm.DB) *gorm.DB {
		return db.Preload("Cards", "name LIKE ?", "%first%")
	}), withFirstCard),
	related("`Preload` with a function", find(func(db *gorm.DB) *gorm.DB {
		return db.Preload("Cards", func(db *gorm.DB) *gorm.DB {
			return db.Select("id", "owner_id", "name", "number").Where("name LIKE ?", "%first%")
		})
	}), func(o owner) owner {
		o = withFirstCard(o)
		o.Cards = []card{{Name: o.Cards[0].Name, Number: o.Cards[0].Number}}
		return o
	}),
	{path: "`Preload` with conditions on an encrypted column", refused: errNotQueryable, run: func(c *check) {
		ada := c.existingOwner("ada")
		c.freeze()
		var got []owner
		c.refused(c.fresh().Preload("Cards", "number = ?", ada.Cards[0].Number).Find(&got).Error, "cards", "number")
		for _, one := range got {
			if len(one.Cards) > 0 {
				c.fail("value", "cards were handed out")
			}
		}
	}},
	related("`Joins(belongs to)`", find(func(db *gorm.DB) *gorm.DB { return db.Joins("Company") }), withCompany),
	related("`Joins(has one)`", find(func(db *gorm.DB) *gorm.DB { return db.Joins("Passport") }), withPassport),
	related("`Joins(nested)`", find(func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Joins("Company.Country") }), withCountry),
	related("`InnerJoins`", find(func(db *gorm.DB) *gorm.DB { return db.InnerJoins("Company") }), withCompany),
	related("`Joins` with a selection of columns", find(func(db *gorm.DB) *gorm.DB {
		return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Select("Account"))
	}), func(o owner) owner {
		return owner{Name: o.Name, Email: o.Email, Company: &company{Account: o.Company.Account}}
	}),
	related("`Joins` with conditions on a plain column of the other table", find(func(db *gorm.DB) *gorm.DB {
		return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Where(&company{Name: "ada's company"}))
	}), func(o owner) owner {
		if o.Name == "bob" {
			return owner{Name: o.Name, Email: o.Email}
		}
		return withCompany(o)
	}),
	related("`Joins` with `Preload`", find(func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Preload("Company.Country").Preload("Cards") }), func(o owner) owner {
		return owner{Name: o.Name, Email: o.Email, Company: o.Company, Cards: o.Cards}
	}),
	related("`Joins(\"JOIN ... ON ...\")` by hand", find(func(db *gorm.DB) *gorm.DB {
		return db.Joins("JOIN companies AS c ON c.id = owners.company_id AND c.name <> ?", "x").Where("c.account IS NOT NULL")
	}), func(o owner) owner { return owner{Name: o.Name, Email: o.Email} }),
	{path: "`Joins` without a match", happens: "makes no relation", run: func(c *check) {
		eve := &owner{Name: "eve", Email: c.text()}
		c.must(c.db.Create(eve).Error)
		var got []owner
		c.must(c.fresh().Joins("Company").Joins("Company.Country").Joins("Passport").Find(&got).Error)
		c.same("what was read", got, []owner{*eve})
	}},
	related("`G[T].Preload`", func(c *check, db *gorm.DB) ([]owner, error) {
		return gorm.G[owner](db).Preload("Cards", nil).Preload("Company.Country", nil).Order("name").Find(c.Context())
	}, func(o owner) owner { return owner{Name: o.Name, Email: o.Email, Cards: o.Cards, Company: o.Company} }),
	related("`G[T].Preload` with a builder", func(c *check, db *gorm.DB) ([]owner, error) {
		return gorm.G[owner](db).Preload("Cards", func(db gorm.PreloadBuilder) error {
			db.Where("name LIKE ?", "%first%").Order("name")
			return nil
		}).Order("name").Find(c.Context())
	}, withFirstCard),
	related("`G[T].Preload` with `LimitPerRecord`", func(c *check, db *gorm.DB) ([]owner, error) {
		return gorm.G[owner](db).Preload("Cards", func(db gorm.PreloadBuilder) error {
			db.Order("name").LimitPerRecord(1)
			return nil
		}).Order("name").Find(c.Context())
	}, withFirstCard),
	related("`G[T].Joins`", func(c *check, db *gorm.DB) ([]owner, error) {
		return gorm.G[owner](db).Joins(clause.Has("Company"), nil).Order("owners.name").Find(c.Context())
	}, withCompany),
	related("`G[T].Joins` with an alias", func(c *check, db *gorm.DB) ([]owner, error) {
		return gorm.G[owner](db).Joins(clause.LeftJoin.Association("Company").As("firm"), func(db gorm.JoinBuilder, joined, current clause.Table) error {
			db.Where("?.name <> ?", joined, "x")
			return nil
		}).Order("owners.name").Find(c.Context())
	}, withCompany),
	{path: "`Association(...).Find`, `Count`", happens: opened, run: func(c *check) {
		ada := c.existingOwner("ada")
		c.existingOwner("bob")
		db := c.fresh()
		var cards []card
		var circles []group
		var firm company
		c.must(db.Model(&owner{ID: ada.ID}).Association("Cards").Find(&cards))
		c.must(db.Model(&owner{ID: ada.ID}).Association("Groups").Find(&circles, "name <> ?", "x"))
		c.must(db.Model(&owner{ID: ada.ID, CompanyID: ada.CompanyID}).Association("Company").Find(&firm))
		c.same("the cards", cards, ada.Cards)
		c.same("the groups", circles, ada.Groups)
		c.same("the company", &firm, withCompany(*ada).Company)
		c.same("the number of cards", db.Model(&owner{ID: ada.ID}).Association("Cards").Count(), int64(2))
	}},
	{path: "Rows that were deleted softly, `Unscoped().Find`", happens: opened, run: func(c *check) {
		ada := c.existingOwner("ada")
		c.must(c.db.Delete(&ada.Cards[0]).Error)
		var left, all []card
		c.must(c.fresh().Order("name").Find(&left).Error)
		c.must(c.fresh().Unscoped().Order("name").Find(&all).Error)
		c.same("what is left", left, ada.Cards[1:])
		c.same("all", all, ada.Cards)
	}},
}
