package conformance

import (
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Reads into the models.

const opened = "opened"

// reads is a row that reads ada, by another handle than the one that wrote her.
func reads(path string, read func(c *check, db *gorm.DB, got *customer) error) row {
	return row{path: path, happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		c.existing("bob")
		var got customer
		c.must(read(c, c.fresh(), &got))
		c.same("what was read", &got, ada)
	}}
}

// readsAll is a row that reads ada and bob.
func readsAll(path string, read func(c *check, db *gorm.DB) ([]*customer, error)) row {
	return row{path: path, happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		got, err := read(c, c.fresh())
		c.must(err)
		c.same("what was read", got, []*customer{ada, bob})
	}}
}

// pointers returns pointers to the elements of a slice.
func pointers[T any](values []T) []*T {
	var all []*T
	for i := range values {
		all = append(all, &values[i])
	}
	return all
}

var modelReads = []row{
	reads("`First`", func(c *check, db *gorm.DB, got *customer) error { return db.First(got).Error }),
	reads("`First(&model, conditions)`", func(c *check, db *gorm.DB, got *customer) error { return db.First(got, "name = ?", "ada").Error }),
	reads("`Take`", func(c *check, db *gorm.DB, got *customer) error { return db.Where("name = ?", "ada").Take(got).Error }),
	reads("`Last`", func(c *check, db *gorm.DB, got *customer) error { return db.Where("name < ?", "b").Last(got).Error }),
	reads("`Find(&model)`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Where("name = ?", "ada").Limit(1).Find(got).Error
	}),
	readsAll("`Find(&slice)`", func(c *check, db *gorm.DB) ([]*customer, error) {
		var got []customer
		err := db.Order("name").Find(&got).Error
		return pointers(got), err
	}),
	readsAll("`Find` of a slice of pointers", func(c *check, db *gorm.DB) (got []*customer, err error) {
		return got, db.Order("name").Find(&got).Error
	}),
	readsAll("`Find` of an array", func(c *check, db *gorm.DB) ([]*customer, error) {
		var got [2]customer
		err := db.Order("name").Find(&got).Error
		return pointers(got[:]), err
	}),
	readsAll("`FindInBatches`", func(c *check, db *gorm.DB) (all []*customer, err error) {
		var got []*customer
		err = db.FindInBatches(&got, 1, func(*gorm.DB, int) error { all = append(all, got...); return nil }).Error
		return all, err
	}),
	reads("`Scan(&model)`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Model(&customer{}).Where("name = ?", "ada").Scan(got).Error
	}),
	readsAll("`Scan(&slice)`", func(c *check, db *gorm.DB) (got []*customer, err error) {
		return got, db.Model(&customer{}).Order("name").Scan(&got).Error
	}),
	readsAll("`Rows` with `ScanRows`", func(c *check, db *gorm.DB) (all []*customer, err error) {
		rows, err := db.Model(&customer{}).Order("name").Rows()
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var got customer
			if err := db.ScanRows(rows, &got); err != nil {
				return nil, err
			}
			all = append(all, &got)
		}
		return all, rows.Err()
	}),
	reads("`Table(\"t\").Take(&model)`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Table("customers").Where("name = ?", "ada").Take(got).Error
	}),
	readsAll("`Table(\"t\").Find(&slice)`, `Table(\"t AS t\").Find(&slice)`", func(c *check, db *gorm.DB) (got []*customer, err error) {
		if err := db.Table("customers AS customers").Order("customers.name").Find(&got).Error; err != nil {
			return nil, err
		}
		return got, db.Table("customers").Order("name").Find(&got).Error
	}),
	reads("`Raw(\"SELECT * ...\").Scan(&model)`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Raw("SELECT * FROM customers WHERE name = ?", "ada").Scan(got).Error
	}),
	readsAll("`Raw(\"SELECT * ...\").Scan(&slice)`", func(c *check, db *gorm.DB) (got []*customer, err error) {
		return got, db.Raw("SELECT * FROM customers ORDER BY name").Scan(&got).Error
	}),
	readsAll("`Raw(\"SELECT * ...\").Find(&slice)`", func(c *check, db *gorm.DB) (got []*customer, err error) {
		return got, db.Raw("SELECT * FROM customers ORDER BY name").Find(&got).Error
	}),
	readsAll("`Raw` of a join, a subquery and a CTE that keep the columns' names", func(c *check, db *gorm.DB) (got []*customer, err error) {
		for _, text := range []string{
			"SELECT c.* FROM customers c JOIN customers o ON o.id = c.id ORDER BY c.name",
			"SELECT * FROM (SELECT * FROM customers) AS c ORDER BY c.name",
			"WITH c AS (SELECT * FROM customers) SELECT * FROM c ORDER BY name",
		} {
			got = nil
			if err := db.Raw(text).Scan(&got).Error; err != nil {
				return nil, err
			}
		}
		return got, nil
	}),
	reads("`Raw(\"SELECT ...\").Rows` with `ScanRows`", func(c *check, db *gorm.DB, got *customer) error {
		rows, err := db.Raw("SELECT * FROM customers WHERE name = ?", "ada").Rows()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := db.ScanRows(rows, got); err != nil {
				return err
			}
		}
		return rows.Err()
	}),
	reads("`Select(\"*\")`, `Omit()`", func(c *check, db *gorm.DB, got *customer) error { return db.Select("*").Omit().First(got).Error }),
	reads("`Distinct()`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Distinct().Where("name = ?", "ada").Take(got).Error
	}),
	reads("`Session{QueryFields: true}`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Session(&gorm.Session{QueryFields: true}).First(got).Error
	}),
	reads("`Session{PrepareStmt: true}`", func(c *check, db *gorm.DB, got *customer) error {
		db = db.Session(&gorm.Session{PrepareStmt: true})
		if err := db.First(&customer{}).Error; err != nil {
			return err
		}
		return db.First(got).Error
	}),
	reads("In a transaction", func(c *check, db *gorm.DB, got *customer) error {
		return db.Transaction(func(tx *gorm.DB) error { return tx.First(got).Error })
	}),
	reads("`Scopes`, `Limit`, `Offset`, `Order` by a plain column", func(c *check, db *gorm.DB, got *customer) error {
		london := func(db *gorm.DB) *gorm.DB { return db.Where("city = ?", "London") }
		return db.Scopes(london).Order("name DESC").Limit(1).Offset(1).Find(got).Error
	}),
	reads("A subquery in `Where`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Where("id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(&customer{}).Select("id").Where("name = ?", "ada")).First(got).Error
	}),
	reads("A subquery in `Table`", func(c *check, db *gorm.DB, got *customer) error {
		return db.Table("(?) AS customers", db.Session(&gorm.Session{NewDB: true}).Model(&customer{}).Where("name = ?", "ada")).Take(got).Error
	}),
	reads("`IS NULL` and `IS NOT NULL` of encrypted columns", func(c *check, db *gorm.DB, got *customer) error {
		return db.Where("email IS NOT NULL AND NOT customers.api_key IS NULL").Where("name = ?", "ada").First(got).Error
	}),
	{path: "`Select(columns)`, `Omit(columns)`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		var selected, omitted, quoted customer
		c.must(c.fresh().Select("name", "Email", "api_key").First(&selected).Error)
		c.same("what was selected", &selected, &customer{Name: "ada", Email: ada.Email, APIKey: ada.APIKey})
		c.must(c.fresh().Omit("Email", "api_key").First(&omitted).Error)
		want := *ada
		want.Email, want.APIKey = "", encryptedNull
		c.same("what was not omitted", &omitted, &want)
		c.must(c.fresh().Select("customers.name, customers.email, salary").First(&quoted).Error)
		c.same("what was selected", &quoted, &customer{Name: "ada", Email: ada.Email, Salary: ada.Salary})
	}},
	{path: "A column with `bind=`, with what it is bound to: `Find`, `Select`, `Raw`, into models, maps and other structs", happens: opened, run: func(c *check) {
		want := pledge{ID: 1, Name: "ada", Lender: "x", Number: c.text()}
		c.must(c.db.Create(&want).Error)
		var found, selected, raw pledge
		c.must(c.fresh().First(&found).Error)
		c.must(c.fresh().Select("id", "number", "name", "lender").Find(&selected).Error)
		c.must(c.fresh().Raw("SELECT * FROM pledges").Scan(&raw).Error)
		c.same("what was read", []pledge{found, selected, raw}, []pledge{want, want, want})
		one := map[string]any{}
		c.must(c.fresh().Model(&pledge{}).Select("number", "lender").Take(&one).Error)
		c.same("the map", one, map[string]any{"number": want.Number, "lender": "x"})
		var other struct{ Number, Lender string }
		c.must(c.fresh().Table("pledges").Take(&other).Error)
		c.same("the number in another struct", other.Number, want.Number)
	}},
	{path: "A column with `bind=`, without what it is bound to: `Select`, `Omit`, `Pluck`, `Scan(&v)`", refused: errBinding, happens: "nothing is handed out", run: func(c *check) {
		c.must(c.db.Create(&pledge{Name: "ada", Lender: "x", Number: c.text()}).Error)
		var selected, omitted pledge
		var plucked []string
		var one string
		c.refused(c.fresh().Select("number").First(&selected).Error, "pledges", "number")
		c.refused(c.fresh().Omit("lender").First(&omitted).Error, "pledges", "number")
		c.refused(c.fresh().Model(&pledge{}).Pluck("number", &plucked).Error, "pledges", "number")
		c.refused(c.fresh().Model(&pledge{}).Select("number").Scan(&one).Error, "pledges", "number")
		c.nothing(plucked)
		c.nothing(one)
	}},
	{path: "`MapColumns`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		var got customer
		c.must(c.fresh().Select("name, home_street AS street_of_home, api_key").MapColumns(map[string]string{"street_of_home": "home_street"}).First(&got).Error)
		c.same("what was read", &got, &customer{Name: "ada", Home: address{Street: ada.Home.Street}, APIKey: ada.APIKey})
	}},
	{path: "A row that is not found", happens: "`gorm.ErrRecordNotFound`", run: func(c *check) {
		c.existing("ada")
		var got customer
		err := c.fresh().Where("name = ?", "nobody").First(&got).Error
		c.heard(err)
		if !errors.Is(err, gorm.ErrRecordNotFound) {
			c.fail("value", "the error is %v", err)
		}
		c.same("what was read", &got, &customer{})
	}},
	{path: "NULL in every column", happens: "nil, or the zero value", run: func(c *check) {
		c.execute("INSERT INTO customers (name) VALUES ('ada')")
		var got customer
		c.must(c.fresh().First(&got).Error)
		c.same("what was read", &got, &customer{Name: "ada"})
	}},
	{path: "`AfterFind`", happens: "sees plaintext", run: func(c *check) {
		ada := c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		seen := 0
		ctx := withHook(c.Context(), "AfterFind", func(v *visitor, _ *gorm.DB) { seen++; c.same("what the hook saw", v, ada) })
		c.must(c.fresh().WithContext(ctx).First(&visitor{}).Error)
		c.must(c.fresh().WithContext(ctx).Find(&[]visitor{}).Error)
		if seen != 2 {
			c.fail("run", "the hook was called %d times", seen)
		}
	}},
	{path: "`clause.Locking`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		var got customer
		c.must(c.fresh().Transaction(func(tx *gorm.DB) error {
			return tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&got).Error
		}))
		c.same("what was read", &got, ada)
	}},
	reads("`G[T].First`", func(c *check, db *gorm.DB, got *customer) (err error) {
		*got, err = gorm.G[customer](db).First(c.Context())
		return err
	}),
	reads("`G[T].Take`, `G[T].Last`", func(c *check, db *gorm.DB, got *customer) (err error) {
		if *got, err = gorm.G[customer](db).Where("name = ?", "ada").Last(c.Context()); err != nil {
			return err
		}
		*got, err = gorm.G[customer](db).Where("name = ?", "ada").Take(c.Context())
		return err
	}),
	readsAll("`G[T].Find`", func(c *check, db *gorm.DB) ([]*customer, error) {
		got, err := gorm.G[customer](db).Order("name").Find(c.Context())
		return pointers(got), err
	}),
	readsAll("`G[*T].Find`", func(c *check, db *gorm.DB) ([]*customer, error) {
		return gorm.G[*customer](db).Order("name").Find(c.Context())
	}),
	readsAll("`G[T].FindInBatches`", func(c *check, db *gorm.DB) (all []*customer, err error) {
		err = gorm.G[customer](db).FindInBatches(c.Context(), 1, func(got []customer, _ int) error {
			for _, one := range got {
				all = append(all, &one)
			}
			return nil
		})
		return all, err
	}),
	readsAll("`G[T].Scan(&slice)`", func(c *check, db *gorm.DB) (got []*customer, err error) {
		return got, gorm.G[customer](db).Order("name").Scan(c.Context(), &got)
	}),
	readsAll("`G[T].Raw(\"SELECT ...\").Find`", func(c *check, db *gorm.DB) ([]*customer, error) {
		got, err := gorm.G[customer](db).Raw("SELECT * FROM customers ORDER BY name").Find(c.Context())
		return pointers(got), err
	}),
	readsAll("`G[T].Rows` with `ScanRows`", func(c *check, db *gorm.DB) (all []*customer, err error) {
		rows, err := gorm.G[customer](db).Order("name").Rows(c.Context())
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var got customer
			if err := db.ScanRows(rows, &got); err != nil {
				return nil, err
			}
			all = append(all, &got)
		}
		return all, rows.Err()
	}),
	{path: "`G[T].Select(columns).First`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		got, err := gorm.G[customer](c.fresh()).Select("name", "email", "api_key").First(c.Context())
		c.must(err)
		c.same("what was read", got, customer{Name: "ada", Email: ada.Email, APIKey: ada.APIKey})
	}},
}
