package conformance

import (
	"context"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Rows that GORM writes because they are related to another one.

// existingOwner returns an owner who is in the table, with all that is related to
// her.
func (c *check) existingOwner(name string) *owner {
	c.Helper()
	row := c.owner(name)
	c.must(c.db.Create(row).Error)
	return row
}

// association changes one relation of an owner who is in the table, beside
// another one who stays as he is.
func (c *check) association(relation string, change func(ada *owner, relation *gorm.Association)) {
	c.Helper()
	ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
	relations := c.db.Model(ada).Association(relation)
	change(ada, relations)
	c.must(relations.Error)
	expect(c, ada, bob)
}

var associationRows = []row{
	{path: "`Create` with relations of every kind", happens: sealed, run: func(c *check) {
		ada := keep(c, c.owner("ada"))
		c.must(c.db.Create(ada).Error)
		expect(c, ada)
		expect(c, &ada.Cards[0], &ada.Cards[1])
	}},
	{path: "`Create` of a slice with relations of every kind", happens: sealed, run: func(c *check) {
		rows := keep(c, []*owner{c.owner("ada"), c.owner("bob")})
		c.must(c.db.Create(rows).Error)
		expect(c, rows...)
	}},
	{path: "`Save` with new relations", happens: sealed, run: func(c *check) {
		ada := &owner{Name: "ada", Email: c.text()}
		c.must(c.db.Create(ada).Error)
		want := c.owner("ada")
		want.ID, want.Email = ada.ID, ada.Email
		c.must(c.db.Save(keep(c, want)).Error)
		expect(c, want)
	}},
	{path: "`G[T].Create` with relations of every kind", happens: sealed, run: func(c *check) {
		ada := keep(c, c.owner("ada"))
		c.must(gorm.G[owner](c.db).Create(c.Context(), ada))
		expect(c, ada)
	}},
	{path: "`Select(relations).Create`, `Omit(relations).Create`", happens: "sealed; what is not selected is not written", run: func(c *check) {
		ada, bob, eve := keep(c, c.owner("ada")), keep(c, c.owner("bob")), keep(c, c.owner("eve"))
		c.must(c.db.Select("Name", "Email", "Cards").Create(ada).Error)
		c.must(c.db.Omit("Cards", "Company.Country").Create(bob).Error)
		c.must(c.db.Omit(clause.Associations).Create(eve).Error)
		bobs := *bob
		bobs.Cards, bobs.Company = nil, &company{Name: bob.Company.Name, Account: bob.Company.Account}
		expect(c, &owner{Name: "ada", Email: ada.Email, Cards: ada.Cards}, &bobs, &owner{Name: "eve", Email: eve.Email})
	}},
	{path: "`Omit(\"Relation.Field\").Create`", happens: "sealed; what is omitted is not written", run: func(c *check) {
		ada := keep(c, c.owner("ada"))
		c.must(c.db.Omit("Cards.Number", "Remarks").Create(ada).Error)
		want := *ada
		want.Remarks, want.Cards = nil, slices.Clone(ada.Cards)
		for i := range want.Cards {
			want.Cards[i].Number = ""
		}
		expect(c, &want)
	}},
	{path: "`Session{FullSaveAssociations: true}`, `Save`", happens: "sealed; the relations are updated too", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		ada.Email, ada.Company.Account, ada.Company.Country.Treaty = c.text(), typed(c.text()).(encryptedString), c.text()
		ada.Passport.Number, ada.Cards[1].Number, ada.Groups[0].Topic, ada.Remarks[0].Text = c.number(), c.text(), c.text(), c.text()
		ada.Cards = append(ada.Cards, *c.card("ada's third card"))
		c.must(c.db.Session(&gorm.Session{FullSaveAssociations: true}).Save(keep(c, ada)).Error)
		expect(c, ada, bob)
	}},
	{path: "`Session{FullSaveAssociations: true}`, `Updates(&model)`", happens: "sealed; the relations are updated too", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		ada.Passport.Number, ada.Cards[0].Pin = c.number(), typed(c.text()).(encryptedString)
		c.must(c.db.Session(&gorm.Session{FullSaveAssociations: true}).Updates(keep(c, ada)).Error)
		expect(c, ada, bob)
	}},
	{path: "`Save` with changed relations, without `FullSaveAssociations`", happens: "sealed; GORM leaves old relations as they are", run: func(c *check) {
		ada := c.existingOwner("ada")
		change := *ada
		change.Email, change.Cards = c.text(), slices.Clone(ada.Cards)
		change.Cards[0].Number = c.text()
		c.must(c.db.Save(keep(c, &change)).Error)
		ada.Email = change.Email
		expect(c, ada)
	}},

	{path: "`Association(has many).Append`", happens: sealed, run: func(c *check) {
		c.association("Cards", func(_ *owner, cards *gorm.Association) {
			c.must(cards.Append(c.card("ada's third card"), c.card("ada's fourth card")))
			c.must(cards.Append([]card{*c.card("ada's fifth card")}))
		})
	}},
	{path: "`Association(has many).Append(map)`", happens: sealed, run: func(c *check) {
		c.association("Cards", func(ada *owner, cards *gorm.Association) {
			third := c.card("ada's third card")
			c.must(cards.Append(map[string]any{"name": third.Name, "number": third.Number, "Pin": third.Pin.Reveal()}))
			ada.Cards = append(ada.Cards, *third)
		})
	}},
	{path: "`Association(has one).Append`", happens: sealed, run: func(c *check) {
		c.association("Passport", func(_ *owner, passports *gorm.Association) {
			c.must(passports.Append(&passport{Name: "ada's new passport", Number: c.number()}))
		})
	}},
	{path: "`Association(belongs to).Append`", happens: sealed, run: func(c *check) {
		c.association("Company", func(_ *owner, companies *gorm.Association) {
			c.must(companies.Append(&company{Name: "ada's new company", Account: typed(c.text()).(encryptedString)}))
		})
	}},
	{path: "`Association(many2many).Append`", happens: sealed, run: func(c *check) {
		c.association("Groups", func(_ *owner, groups *gorm.Association) { c.must(groups.Append(c.group("ada's new group"))) })
	}},
	{path: "`Association(many2many).Append(map)`", happens: sealed, run: func(c *check) {
		c.association("Groups", func(_ *owner, groups *gorm.Association) {
			fresh := c.group("ada's new group")
			c.must(groups.Append(map[string]any{"name": fresh.Name, "topic": fresh.Topic}))
		})
	}},
	{path: "`Association(polymorphic).Append`", happens: sealed, run: func(c *check) {
		c.association("Remarks", func(_ *owner, remarks *gorm.Association) { c.must(remarks.Append(c.remark("ada's new remark"))) })
	}},
	{path: "`Association(many2many).Append`, a join model with an encrypted field", happens: sealed, run: func(c *check) {
		ada := &owner{Name: "ada"}
		c.must(c.db.Create(ada).Error)
		role := c.text()
		db := c.db.WithContext(context.WithValue(c.Context(), roleKey{}, role))
		c.must(db.Model(ada).Association("Groups").Append(c.group("ada's group")))
		expect(c, ada)
		c.requireRoles(role)
	}},
	{path: "`Create` and `Updates` of the join model of a many2many", happens: sealed, run: func(c *check) {
		ada, circle := &owner{Name: "ada"}, c.group("ada's group")
		c.must(c.db.Create(ada).Error)
		c.must(c.db.Create(circle).Error)
		c.must(c.db.Create(keep(c, &membership{OwnerID: ada.ID, GroupID: circle.ID, Role: c.text()})).Error)
		role := c.text()
		c.must(c.db.Model(&membership{OwnerID: ada.ID, GroupID: circle.ID}).Updates(keep(c, map[string]any{"role": role})).Error)
		ada.Groups = []group{*circle}
		expect(c, ada)
		c.requireRoles(role)
	}},
	{path: "`Association(has many).Append` for a slice of models", happens: sealed, run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		rows := []owner{*ada, *bob}
		c.must(c.db.Model(&rows).Association("Cards").Append(c.card("ada's third card"), []card{*c.card("bob's third card")}))
		expect(c, &rows[0], &rows[1])
	}},
	{path: "`Association(...).Append` of an old model", happens: "the key is written, and nothing else", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		moved := bob.Cards[0]
		change := moved
		change.Number = c.text()
		c.must(c.db.Model(ada).Association("Cards").Append(&change))
		ada.Cards[2], bob.Cards = moved, bob.Cards[1:]
		expect(c, ada, bob)
	}},

	{path: "`Association(has many).Replace`", happens: sealed, run: func(c *check) {
		c.association("Cards", func(ada *owner, cards *gorm.Association) {
			c.must(cards.Replace(c.card("ada's third card"), &ada.Cards[0]))
		})
	}},
	{path: "`Association(has one).Replace`", happens: sealed, run: func(c *check) {
		c.association("Passport", func(_ *owner, passports *gorm.Association) {
			c.must(passports.Replace(&passport{Name: "ada's new passport", Number: c.number()}))
		})
	}},
	{path: "`Association(belongs to).Replace`", happens: sealed, run: func(c *check) {
		c.association("Company", func(_ *owner, companies *gorm.Association) {
			c.must(companies.Replace(&company{Name: "ada's new company", Account: typed(c.text()).(encryptedString)}))
		})
	}},
	{path: "`Association(many2many).Replace`", happens: sealed, run: func(c *check) {
		c.association("Groups", func(_ *owner, groups *gorm.Association) { c.must(groups.Replace(c.group("ada's new group"))) })
	}},
	{path: "`Association(polymorphic).Replace`", happens: sealed, run: func(c *check) {
		c.association("Remarks", func(_ *owner, remarks *gorm.Association) { c.must(remarks.Replace(c.remark("ada's new remark"))) })
	}},
	{path: "`Association(...).Delete`", happens: "the relation is gone; the values stay", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		relation := func(name string) *gorm.Association {
			return c.db.Model(&owner{ID: ada.ID, CompanyID: ada.CompanyID}).Association(name)
		}
		c.must(relation("Cards").Delete(&ada.Cards[0]))
		c.must(relation("Passport").Delete(ada.Passport))
		c.must(relation("Company").Delete(ada.Company))
		c.must(relation("Groups").Delete(&ada.Groups[0]))
		expect(c, &owner{Name: "ada", Email: ada.Email, Cards: ada.Cards[1:], Remarks: ada.Remarks}, bob)
		expect(c, &ada.Cards[0], &ada.Cards[1], &bob.Cards[0], &bob.Cards[1])
		expect(c, ada.Passport, bob.Passport)
		expect(c, &ada.Groups[0], &bob.Groups[0])
	}},
	{path: "`Association(...).Clear`", happens: "the relation is gone; the values stay", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		for _, relation := range []string{"Cards", "Passport", "Company", "Groups"} {
			c.must(c.db.Model(&owner{ID: ada.ID}).Association(relation).Clear())
		}
		expect(c, &owner{Name: "ada", Email: ada.Email, Remarks: ada.Remarks}, bob)
		expect(c, &ada.Cards[0], &ada.Cards[1], &bob.Cards[0], &bob.Cards[1])
		expect(c, ada.Passport, bob.Passport)
		expect(c, &ada.Groups[0], &bob.Groups[0])
	}},
	{path: "`Association(...).Unscoped().Clear`, `Unscoped().Delete`, `Unscoped().Replace`", happens: "the related rows are gone, and no others", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		third := c.card("ada's third card")
		c.must(c.db.Model(ada).Association("Cards").Unscoped().Replace(third))
		c.must(c.db.Model(ada).Association("Passport").Unscoped().Clear())
		c.must(c.db.Model(ada).Association("Groups").Unscoped().Delete(ada.Groups))
		expect(c, &owner{Name: "ada", Email: ada.Email, Company: ada.Company, Cards: []card{*third}, Remarks: ada.Remarks}, bob)
		expect(c, bob.Passport)
		expect(c, &bob.Cards[0], &bob.Cards[1], third)
	}},
	{path: "`Select(relations).Delete(&model)`", happens: "the related rows are gone, and no others", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		c.must(c.db.Select("Cards", "Passport", "Groups").Delete(ada).Error)
		expect(c, bob)
		expect(c, &bob.Cards[0], &bob.Cards[1])
		expect(c, bob.Passport)
		expect(c, &ada.Groups[0], &bob.Groups[0])
	}},

	{path: "`G[T].Set(clause.Association{OpCreate, Set: ...}).Update`", happens: sealed, run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		third, circle := c.card("ada's third card"), c.group("ada's new group")
		c.must(updateAssociation(c, clause.Association{Association: "Cards", Type: clause.OpCreate, Set: keep(c, clause.Assignments(map[string]any{
			"name": third.Name, "number": third.Number, "pin": third.Pin,
		}))}))
		c.must(updateAssociation(c, clause.Association{Association: "Groups", Type: clause.OpCreate, Set: keep(c, clause.Assignments(map[string]any{
			"name": circle.Name, "topic": circle.Topic,
		}))}))
		ada.Cards, ada.Groups = append(ada.Cards, *third), append(ada.Groups, *circle)
		expect(c, ada, bob)
	}},
	{path: "`G[T].Set(clause.Association{OpCreate, Values: ...}).Update`", happens: sealed, run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		third := c.card("ada's third card")
		c.must(updateAssociation(c, clause.Association{Association: "Cards", Type: clause.OpCreate, Values: []any{third}}))
		ada.Cards = append(ada.Cards, *third)
		expect(c, ada, bob)
	}},
	{path: "`G[T].Set(clause.Association{OpUpdate, Set: ...}).Update`", happens: sealed, run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		number, account, topic := c.text(), typed(c.text()).(encryptedString), c.text()
		c.must(c.db.Model(&owner{ID: bob.ID}).Association("Groups").Clear()) // GORM updates those of every owner
		bob.Groups = nil
		for relation, values := range map[string]map[string]any{
			"Cards": {"number": number, "pin": account.Reveal()}, "Company": {"account": account}, "Groups": {"topic": topic},
		} {
			c.must(updateAssociation(c, clause.Association{Association: relation, Type: clause.OpUpdate, Set: keep(c, clause.Assignments(values))}))
		}
		for i := range ada.Cards {
			ada.Cards[i].Number, ada.Cards[i].Pin = number, account
		}
		ada.Company.Account, ada.Groups[0].Topic = account, topic
		expect(c, ada, bob)
	}},
	{path: "`G[T].Set(clause.Association{OpUnlink}).Update`, `{OpDelete}`", happens: "the relation, or the related rows, are gone", run: func(c *check) {
		ada, bob := c.existingOwner("ada"), c.existingOwner("bob")
		c.must(updateAssociation(c, clause.Association{Association: "Cards", Type: clause.OpUnlink}))
		c.must(updateAssociation(c, clause.Association{Association: "Passport", Type: clause.OpDelete}))
		cards := ada.Cards
		ada.Cards, ada.Passport = nil, nil
		expect(c, ada, bob)
		expect(c, &cards[0], &cards[1], &bob.Cards[0], &bob.Cards[1])
		expect(c, bob.Passport)
	}},
	{path: "`Association(...).Append` of a value that cannot be sealed", refused: errExpression, run: func(c *check) {
		ada := c.existingOwner("ada")
		c.refuses("cards", "number", func() error {
			return c.db.Model(ada).Association("Cards").Append(map[string]any{"name": "third", "number": gorm.Expr("?", c.text())})
		})
	}},
}

// updateAssociation does one operation on the relations of ada.
func updateAssociation(c *check, operation clause.Association) error {
	c.Helper()
	_, err := gorm.G[owner](c.db).Where("name = ?", "ada").Set(operation).Update(c.Context())
	return err
}

// requireRoles checks what the memberships hold, which have no name.
func (c *check) requireRoles(want ...string) {
	c.Helper()
	var got []membership
	c.must(c.fresh().Find(&got).Error)
	var roles []string
	for _, membership := range got {
		roles = append(roles, membership.Role)
	}
	c.same("the roles", roles, want)
}
