package conformance

import (
	"fmt"
	"reflect"

	"gorm.io/gorm"
)

// Reads into maps.

// intoMap is a row that reads ada, with all columns, into maps.
func intoMap(path string, from func(db *gorm.DB) *gorm.DB, read func(db *gorm.DB) (any, error)) row {
	return row{path: path, happens: "opened, to the fields' types", run: func(c *check) {
		ada := c.existing("ada")
		got, err := read(from(c.fresh()))
		c.must(err)
		want := any(ada.columns())
		if _, many := got.([]map[string]any); many {
			want = []map[string]any{ada.columns()}
		}
		c.same("what was read", got, want)
	}}
}

func takeMap(db *gorm.DB) (any, error) {
	got := map[string]any{}
	return got, db.Take(&got).Error
}

func findMap(db *gorm.DB) (any, error) {
	got := map[string]any{}
	return got, db.Limit(1).Find(got).Error
}

func findMaps(db *gorm.DB) (any, error) {
	var got []map[string]any
	err := db.Find(&got).Error
	return got, err
}

func scanMap(db *gorm.DB) (any, error) {
	got := map[string]any{}
	return got, db.Scan(&got).Error
}

func scanMaps(db *gorm.DB) (any, error) {
	var got []map[string]any
	err := db.Scan(&got).Error
	return got, err
}

func inTable(db *gorm.DB) *gorm.DB { return db.Table("customers") }

var mapReads = []row{
	intoMap("`Model(&m).Take(&map)`", model, takeMap),
	intoMap("`Model(&m).First(&map)`", model, func(db *gorm.DB) (any, error) {
		got := map[string]any{}
		return got, db.First(&got).Error
	}),
	intoMap("`Model(&m).Find(map)`", model, findMap),
	intoMap("`Model(&m).Find(&[]map)`", model, findMaps),
	intoMap("`Model(&m).Scan(&map)`", model, scanMap),
	intoMap("`Model(&m).Scan(&[]map)`", model, scanMaps),
	intoMap("`Model(&m).FindInBatches(&[]map)`", model, func(db *gorm.DB) (any, error) {
		var got []map[string]any
		err := db.FindInBatches(&got, 2, func(*gorm.DB, int) error { return nil }).Error
		return got, err
	}),
	intoMap("`Table(\"t\").Take(&map)`", inTable, takeMap),
	intoMap("`Table(\"t\").Find(map)`", inTable, findMap),
	intoMap("`Table(\"t\").Find(&[]map)`", inTable, findMaps),
	intoMap("`Table(\"t\").Scan(&map)`", inTable, scanMap),
	intoMap("`Table(\"t\").Scan(&[]map)`", inTable, scanMaps),
	intoMap("`Raw(\"SELECT * ...\").Scan(&map)`", func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT * FROM customers") }, scanMap),
	intoMap("`Raw(\"SELECT * ...\").Find(&[]map)`", func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT * FROM customers") }, findMaps),
	intoMap("`G[T].Scan(&map)`", func(db *gorm.DB) *gorm.DB { return db }, func(db *gorm.DB) (any, error) {
		got := map[string]any{}
		return got, gorm.G[customer](db).Scan(db.Statement.Context, &got)
	}),
	intoMap("`G[T].Scan(&[]map)`", func(db *gorm.DB) *gorm.DB { return db }, func(db *gorm.DB) (any, error) {
		var got []map[string]any
		err := gorm.G[customer](db).Scan(db.Statement.Context, &got)
		return got, err
	}),
	{path: "`Select(columns)`, `AS`, into a map", happens: "opened, to the fields' types", run: func(c *check) {
		ada := c.existing("ada")
		want := map[string]any{"name": "ada", "title": ada.Email, "amount": ada.Salary, "secret": ada.APIKey}
		for _, from := range []*gorm.DB{
			c.fresh().Model(&customer{}).Select(labelColumns), c.fresh().Table("customers").Select(labelColumns),
			c.fresh().Model(&customer{}).Select("name", "email AS title", "salary AS amount", "customers.api_key AS secret"),
		} {
			got := map[string]any{}
			c.must(from.Take(&got).Error)
			c.same("what was read", got, want)
		}
	}},
	{path: "Columns of joined tables, into maps", happens: "opened, to the fields' types", run: func(c *check) {
		ada := c.existingOwner("ada")
		var got []map[string]any
		c.must(c.fresh().Model(&owner{}).Select("owners.name, owners.email, passports.number AS passport, c.account").
			Joins("JOIN passports ON passports.owner_id = owners.id JOIN companies c ON c.id = owners.company_id").Find(&got).Error)
		c.same("what was read", got, []map[string]any{{"name": "ada", "email": ada.Email, "passport": ada.Passport.Number, "account": ada.Company.Account}})
	}},
	{path: "NULL, into a map", happens: "nil", run: func(c *check) {
		c.execute("INSERT INTO customers (name) VALUES ('ada')")
		for _, from := range []func(db *gorm.DB) *gorm.DB{model, inTable} {
			got := map[string]any{}
			c.must(from(c.fresh()).Select("email", "phone", "salary", "labels", "api_key", "token").Take(&got).Error)
			c.same("what was read", got, map[string]any{"email": nil, "phone": nil, "salary": nil, "labels": nil, "api_key": nil, "token": nil})
		}
	}},
	{path: "A map of plain columns only", happens: "unchanged", run: func(c *check) {
		c.existing("ada")
		for _, from := range []func(db *gorm.DB) *gorm.DB{model, inTable} {
			got := map[string]any{}
			c.must(from(c.fresh()).Select("name", "upper(city) AS town", "1 + 1 AS two").Take(&got).Error)
			c.same("the name", got["name"], "ada")
			c.same("the town", fmt.Sprint(reflect.Indirect(reflect.ValueOf(got["town"]))), "LONDON")
		}
	}},
	{path: "`Rows` with `ScanRows` into a map", happens: "ciphertext, as of `Rows().Scan`", run: func(c *check) {
		c.existing("ada")
		db := c.fresh()
		rows, err := db.Model(&customer{}).Select("name", "email").Rows()
		c.must(err)
		defer rows.Close()
		got := map[string]any{}
		for rows.Next() {
			c.must(db.ScanRows(rows, &got))
		}
		text, _ := got["email"].(string)
		c.ciphertext(text)
	}},
	{path: "What SQL computes of an encrypted column, into a map", refused: errNotQueryable, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		for _, expression := range computed {
			column := "email"
			if expression == "substr(api_key, 1, 200)" {
				column = "api_key"
			}
			for _, from := range []func(db *gorm.DB) *gorm.DB{
				model, inTable, func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT " + expression + " AS title FROM customers") },
			} {
				one, two := map[string]any{}, map[string]any{}
				var found []map[string]any
				query := func() *gorm.DB { return from(c.fresh()).Select(expression + " AS title") }
				c.refused(query().Take(&one).Error, "customers", column)
				c.refused(query().Find(&found).Error, "customers", column)
				c.refused(query().Scan(&two).Error, "customers", column)
				c.nothing(one)
				c.nothing(found)
				c.nothing(two)
			}
		}
	}},
}
