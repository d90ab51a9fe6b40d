package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Rows of a table that come into being.

const sealed = "sealed"

var createRows = []row{
	{path: "`Create(&model)`", happens: "sealed; the struct keeps its plaintext", run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Create(ada).Error)
		expect(c, ada)
	}},
	{path: "`Create(slice)`", happens: sealed, run: func(c *check) {
		rows := keep(c, []customer{*c.customer("ada"), *c.customer("bob")})
		c.must(c.db.Create(rows).Error)
		expect(c, &rows[0], &rows[1])
	}},
	{path: "`Create(&slice)`", happens: sealed, run: func(c *check) {
		rows := keep(c, []customer{*c.customer("ada"), *c.customer("bob")})
		c.must(c.db.Create(&rows).Error)
		expect(c, &rows[0], &rows[1])
	}},
	{path: "`Create` of a slice of pointers", happens: sealed, run: func(c *check) {
		rows := keep(c, []*customer{c.customer("ada"), c.customer("bob")})
		c.must(c.db.Create(rows).Error)
		expect(c, rows...)
	}},
	{path: "`Create` of an array", happens: sealed, run: func(c *check) {
		rows := keep(c, &[2]customer{*c.customer("ada"), *c.customer("bob")})
		c.must(c.db.Create(rows).Error)
		expect(c, &rows[0], &rows[1])
	}},
	{path: "`CreateInBatches`", happens: sealed, run: func(c *check) {
		rows := keep(c, []*customer{c.customer("ada"), c.customer("bob"), c.customer("eve")})
		c.must(c.db.CreateInBatches(rows, 2).Error)
		expect(c, rows...)
	}},
	{path: "`Save` of a new model", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Save(ada).Error)
		expect(c, ada)
	}},
	{path: "`Save` of an old model, twice", happens: "sealed, once", run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Create(ada).Error)
		for range 2 {
			var read customer
			c.must(c.db.First(&read, ada.ID).Error)
			c.must(c.db.Save(&read).Error)
			expect(c, ada)
		}
	}},
	{path: "`Save` of a model with a key that is not in the table", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		ada.ID = 4242
		c.must(c.db.Save(keep(c, ada)).Error)
		expect(c, ada)
	}},
	{path: "`Save` of a slice of new and old models", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Create(ada).Error)
		changed := c.customer("ada")
		changed.ID = ada.ID
		rows := keep(c, []*customer{changed, c.customer("bob")})
		c.must(c.db.Save(&rows).Error)
		expect(c, rows...)
	}},
	{path: "`Model(&m).Create(map)`, keys by column", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Model(&customer{}).Create(keep(c, ada.columns())).Error)
		expect(c, ada)
	}},
	{path: "`Model(&m).Create(map)`, keys by field", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		values := ada.values(byField)
		values["Name"], values["City"] = ada.Name, ada.City
		c.must(c.db.Model(&customer{}).Create(keep(c, values)).Error)
		expect(c, ada)
	}},
	{path: "`Model(&m).Create(&map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Model(&customer{}).Create(new(keep(c, ada.columns()))).Error)
		expect(c, ada)
	}},
	{path: "`Model(&m).Create(&[]map)`", happens: sealed, run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		rows := keep(c, []map[string]any{ada.columns(), bob.columns()})
		c.must(c.db.Model(&customer{}).Create(&rows).Error)
		expect(c, ada, bob)
	}},
	{path: "`Model(&m).Create([]map)`", happens: "sealed, or undone: with `RETURNING`, GORM itself fails", run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		rows := keep(c, []map[string]any{ada.columns(), bob.columns()})
		c.allOrNothing(c.db.Model(&customer{}).Create(rows).Error, ada, bob)
	}},
	{path: "`Model(&m).CreateInBatches(&[]map)`", happens: "sealed, or undone: with `RETURNING`, GORM itself fails", run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		rows := []map[string]any{ada.columns(), bob.columns()} // which GORM overwrites
		c.allOrNothing(c.db.Model(&customer{}).CreateInBatches(&rows, 1).Error, ada, bob)
	}},
	{path: "`Table(\"t\").Create(map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Table("customers").Create(keep(c, ada.columns())).Error)
		expect(c, ada)
	}},
	{path: "`Table(\"t\").Create(&map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Table("customers").Create(new(keep(c, ada.columns()))).Error)
		expect(c, ada)
	}},
	{path: "`Table(\"t\").Create(&[]map)`", happens: sealed, run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		rows := keep(c, []map[string]any{ada.columns(), bob.columns()})
		c.must(c.db.Table("customers").Create(&rows).Error)
		expect(c, ada, bob)
	}},
	{path: "`Create` of a map with values of other types: pointers, plain values, types of `encryptedtype`", happens: sealed, run: func(c *check) {
		ada, bob, eve := c.customer("ada"), c.customer("bob"), c.customer("eve")
		for _, convert := range []struct {
			c    *customer
			form func(any) any
		}{{ada, plain}, {bob, func(v any) any { return typed(plain(v)) }}, {eve, pointer}} {
			values := convert.c.columns()
			for _, f := range customerFields {
				values[f.column] = convert.form(values[f.column])
			}
			c.must(c.db.Model(&customer{}).Create(keep(c, values)).Error)
		}
		expect(c, ada, bob, eve)
	}},
	{path: "`Create` of a map with pointers to pointers", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		values := ada.columns()
		values["email"], values["token"] = pointer2(&ada.Email), pointer2(ada.Token)
		c.must(c.db.Model(&customer{}).Create(keep(c, values)).Error)
		expect(c, ada)
	}},
	{path: "`Create` of another struct for the same table, without the mark", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Create(keep(c, ada.unmarked())).Error)
		expect(c, ada.partly())
	}},
	{path: "`Table(\"t\").Create` of another struct", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Table("customers").Create(keep(c, ada.unmarked())).Error)
		expect(c, ada.partly())
	}},
	{path: "`Table(\"t\").Create` of a struct of its own type, in place", happens: sealed, run: func(c *check) {
		ada := struct {
			ID                  uint
			Name, Email, APIKey string
			Salary              *int64
		}{Name: "ada", Email: c.text(), APIKey: c.text(), Salary: new(c.number())}
		keep(c, &ada)
		c.must(c.db.Table("customers").Create(&ada).Error)
		expect(c, &customer{Name: "ada", Email: ada.Email, APIKey: typed(ada.APIKey).(encryptedString), Salary: *ada.Salary})
	}},
	{path: "`Select(columns).Create(&model)`: what is selected is written", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Select("name", "Email", "api_key").Create(ada).Error)
		expect(c, &customer{Name: "ada", Email: ada.Email, APIKey: ada.APIKey})
	}},
	{path: "`Omit(columns).Create(&model)`: what is omitted is not", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(c.db.Omit("Email", "api_key", "home_street").Create(ada).Error)
		want := *ada
		want.Email, want.APIKey, want.Home.Street = "", encryptedNull, ""
		expect(c, &want)
	}},
	{path: "`Select(columns).Create(map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Model(&customer{}).Select("name", "Email", "api_key").Create(keep(c, ada.columns())).Error)
		expect(c, &customer{Name: "ada", Email: ada.Email, APIKey: ada.APIKey})
	}},
	{path: "`Omit(columns).Create(map)`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.db.Model(&customer{}).Omit("email", "APIKey").Create(keep(c, ada.columns())).Error)
		want := *ada
		want.Email, want.APIKey = "", encryptedNull
		expect(c, &want)
	}},
	{path: "`Table(\"another table\").Create`, `Updates` and `Find` of a model", happens: "sealed and opened, as in its own", run: func(c *check) {
		c.execute("CREATE TABLE archive AS SELECT * FROM customers WHERE 1 = 2")
		defer c.execute("DROP TABLE archive")
		ada, bob := c.customer("ada"), c.customer("bob")
		ada.ID, bob.ID = 1, 2
		c.must(c.db.Table("archive").Create(keep(c, ada)).Error)
		values := bob.columns()
		values["id"] = 2
		c.must(c.db.Model(&customer{}).Table("archive").Create(keep(c, values)).Error)
		bob.Email = c.text()
		c.must(c.db.Model(&customer{}).Table("archive").Where("name = ?", "bob").Updates(keep(c, map[string]any{"email": bob.Email})).Error)
		var got []*customer
		c.must(c.fresh().Table("archive").Order("name").Find(&got).Error)
		c.same("what was written", got, []*customer{ada, bob})
		c.requireSealed("archive", encryptedNames()...)
	}},
	{path: "A `schema.NamingStrategy` with a prefix", happens: "sealed", run: func(c *check) {
		open := func() *gorm.DB {
			db, err := gorm.Open(c.place.Dialector(c.pool), &gorm.Config{Logger: c.log.logger(), NamingStrategy: schema.NamingStrategy{TablePrefix: "app_", SingularTable: true}})
			c.must(err)
			_, err = register(db, c.keys, &remark{})
			c.must(err)
			return db
		}
		db := open()
		c.must(db.AutoMigrate(&remark{}))
		defer c.execute("DROP TABLE app_remark")
		first, second, third := c.remark("first"), c.remark("second"), c.remark("third")
		c.must(db.Create(keep(c, first)).Error)
		c.must(db.Table("app_remark").Create(keep(c, map[string]any{"name": "second", "subject_id": 0, "subject_type": "", "text": second.Text})).Error)
		c.must(db.Exec("INSERT INTO app_remark (name, subject_id, subject_type, text) VALUES ('third', 0, '', ?)", third.Text).Error)
		var got []*remark
		c.must(open().Order("name").Find(&got).Error)
		c.same("what was written", got, []*remark{first, second, third})
		c.requireSealed("app_remark", "text")
	}},
	{path: "`AutoMigrate` of a table with rows", happens: "they stay as they are", run: func(c *check) {
		ada := c.existing("ada")
		c.freeze()
		c.must(c.fresh().AutoMigrate(&customer{}))
		expect(c, ada)
	}},
	{path: "`Create` of a map without `Model` or `Table`", refused: errNoTable, happens: "by GORM", run: func(c *check) {
		values := keep(c, c.customer("ada").columns())
		c.refuses("", "", func() error { return c.db.Create(values).Error })
		c.refuses("", "", func() error { return c.db.Create([]map[string]any{values}).Error })
	}},
	{path: "`G[T].Create`", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(gorm.G[customer](c.db).Create(c.Context(), ada))
		expect(c, ada)
	}},
	{path: "`G[T].CreateInBatches`", happens: sealed, run: func(c *check) {
		rows := keep(c, []customer{*c.customer("ada"), *c.customer("bob"), *c.customer("eve")})
		c.must(gorm.G[customer](c.db).CreateInBatches(c.Context(), &rows, 2))
		expect(c, &rows[0], &rows[1], &rows[2])
	}},
	{path: "`G[T].Select(columns).Create`, `G[T].Omit(columns).Create`", happens: sealed, run: func(c *check) {
		ada, bob := keep(c, c.customer("ada")), keep(c, c.customer("bob"))
		c.must(gorm.G[customer](c.db).Select("name", "Email").Create(c.Context(), ada))
		c.must(gorm.G[customer](c.db).Omit("Email").Create(c.Context(), bob))
		want := *bob
		want.Email = ""
		expect(c, &customer{Name: "ada", Email: ada.Email}, &want)
	}},
	{path: "`G[T].Table(\"t\").Create`", happens: sealed, run: func(c *check) {
		ada := keep(c, c.customer("ada"))
		c.must(gorm.G[customer](c.db).Table("customers").Create(c.Context(), ada))
		expect(c, ada)
	}},
}

// allOrNothing expects rows if there is no error, and none if there is.
func (c *check) allOrNothing(err error, want ...*customer) {
	c.Helper()
	c.heard(err)
	if err != nil {
		want = nil
	}
	expect(c, want...)
}

func pointer2[T any](p *T) **T { return &p }
