package conformance

import (
	"reflect"
	"time"

	"gorm.io/gorm"
)

// Reads into other structs than the models.

// contact has some columns of customers, with their own names, in plain types.
type contact struct {
	Name       string
	Email      string
	Phone      *string
	Portrait   []byte
	Thumbprint []byte
	Salary     int64
	Badge      uint32
	Score      float64
	Active     bool
	Born       time.Time
	HomeStreet string
	TaxNumber  string
	APIKey     string
	Seed       []byte
	Quota      *int64
	Seen       time.Time
	Token      *string
}

const contactColumns = "name, email, phone, portrait, thumbprint, salary, badge, score, active, born, home_street, tax_number, api_key, seed, quota, seen, token"

func (c *customer) contact() contact {
	return contact{
		Name: c.Name, Email: c.Email, Phone: c.Phone, Portrait: c.Portrait, Thumbprint: c.Thumbprint, Salary: c.Salary, Badge: c.Badge,
		Score: c.Score, Active: c.Active, Born: c.Born, HomeStreet: c.Home.Street, TaxNumber: c.TaxNumber, APIKey: c.APIKey.Reveal(),
		Seed: c.Seed.Reveal(), Quota: new(c.Quota.Reveal()), Seen: c.Seen.Reveal(), Token: new(c.Token.Reveal()),
	}
}

// label has columns by other names.
type label struct {
	Name   string
	Title  string
	Amount int64
	Secret *string
}

const labelColumns = "name, email AS title, salary AS amount, api_key AS secret"

func (c *customer) label() label {
	return label{Name: c.Name, Title: c.Email, Amount: c.Salary, Secret: new(c.APIKey.Reveal())}
}

// nested has columns in an embedded struct.
type nested struct {
	Name string
	Home struct {
		Street string
		Door   int64
	} `gorm:"embedded;embeddedPrefix:home_"`
}

// markedContact has marks, and the table of customers.
type markedContact struct {
	Name       string
	Email      string  `gorm:"serializer:encrypted"`
	Phone      *string `gorm:"serializer:encrypted"`
	Salary     int64   `gorm:"serializer:encrypted;type:text"`
	HomeStreet string  `gorm:"serializer:encrypted"`
	APIKey     encryptedString
}

// TableName is that of customer.
func (markedContact) TableName() string { return "customers" }

// markedLabel has marks, other names, and the names of the columns in its
// options.
type markedLabel struct {
	Name   string
	Title  string          `gorm:"serializer:encrypted" encrypt:"context=customers.email"`
	Amount int64           `gorm:"serializer:encrypted;type:text" encrypt:"context=customers.salary"`
	Secret encryptedString `encrypt:"context=customers.api_key"`
}

// markedResult has marks, other names and another table.
type markedResult struct {
	Name   string
	Title  string `gorm:"serializer:encrypted"`
	Amount int64  `gorm:"serializer:encrypted;type:text"`
	Secret encryptedString
}

// resultModels are the structs with marks that are only read into.
func resultModels() []any { return []any{&markedContact{}, &markedLabel{}, &markedResult{}} }

// into is a row that reads ada into another struct, and into a slice of it with
// bob.
func into[T any](path string, from func(db *gorm.DB) *gorm.DB, want func(c *customer) T) row {
	return row{path: path, happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		for what, read := range map[string]func(db *gorm.DB, dst any) *gorm.DB{
			"Find": func(db *gorm.DB, dst any) *gorm.DB { return db.Find(dst) },
			"Scan": func(db *gorm.DB, dst any) *gorm.DB { return db.Scan(dst) },
		} {
			var all []T
			err := read(from(c.fresh()).Order("name"), &all).Error
			c.heard(err)
			if err != nil {
				c.fail("value", "%s: %v", what, err)
			}
			c.same("what "+what+" read into a slice", all, []T{want(ada), want(bob)})
			var one T
			err = read(from(c.fresh()).Where("name = ?", "ada"), &one).Error
			c.heard(err)
			if err != nil {
				c.fail("value", "%s: %v", what, err)
			}
			c.same("what "+what+" read into a struct", one, want(ada))
		}
	}}
}

// raw is a row that reads ada and bob by hand-written SQL into another struct.
func raw[T any](path, text string, want func(c *customer) T) row {
	return row{path: path, happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		for what, read := range map[string]func(db *gorm.DB, dst any) *gorm.DB{
			"Find": func(db *gorm.DB, dst any) *gorm.DB { return db.Find(dst) },
			"Scan": func(db *gorm.DB, dst any) *gorm.DB { return db.Scan(dst) },
		} {
			var all []T
			err := read(c.fresh().Raw(text), &all).Error
			c.heard(err)
			if err != nil {
				c.fail("value", "%s: %v", what, err)
			}
			c.same("what "+what+" read", all, []T{want(ada), want(bob)})
		}
	}}
}

func model(db *gorm.DB) *gorm.DB { return db.Model(&customer{}) }

// computed are expressions whose result is no value of an encrypted column.
var computed = []string{
	"upper(email)", "COALESCE(email, '')", "email || ''", "CASE WHEN name = 'ada' THEN email ELSE '' END", "max(email)",
	"(SELECT email || '' FROM customers WHERE name = 'ada')", "substr(api_key, 1, 200)", "CAST(email AS varchar(500))", "NULLIF(email, '')",
}

var structReads = []row{
	into("`Model(&m)`: a smaller struct, without marks", model, func(c *customer) contact { return c.contact() }),
	into("`Table(\"t\")`: a smaller struct, without marks", func(db *gorm.DB) *gorm.DB { return db.Table("customers") },
		func(c *customer) contact { return c.contact() }),
	raw("`Raw`: a smaller struct, without marks", "SELECT "+contactColumns+" FROM customers ORDER BY name", func(c *customer) contact { return c.contact() }),
	raw("`Raw(\"SELECT t.* ...\")`: a smaller struct, without marks", "SELECT x.* FROM customers x JOIN customers y ON y.id = x.id ORDER BY x.name", func(c *customer) contact { return c.contact() }),
	into("`Select(\"t.*\")`, `Distinct(columns)`: a smaller struct, without marks", func(db *gorm.DB) *gorm.DB {
		return db.Table("customers AS x").Select("x.*").Distinct()
	}, func(c *customer) contact { return c.contact() }),
	into("`Select(\"column AS name\")`: other names, without marks", func(db *gorm.DB) *gorm.DB { return db.Model(&customer{}).Select(labelColumns) },
		func(c *customer) label { return c.label() }),
	into("`Select(columns, ...)` with `AS`: other names, without marks", func(db *gorm.DB) *gorm.DB {
		return db.Model(&customer{}).Select("name", "email AS title", "customers.salary AS amount", "api_key AS secret")
	}, func(c *customer) label { return c.label() }),
	into("`Table(\"t AS x\")`, qualified columns, aliases without `AS`, quoted names", func(db *gorm.DB) *gorm.DB {
		quote := func(name string) string { return db.Statement.Quote(name) }
		return db.Table("customers AS x").Select("x.name, x.email title, " + quote("x.salary") + " AS " + quote("amount") + ", X.API_KEY AS secret")
	}, func(c *customer) label { return c.label() }),
	raw("`Raw` with `AS`: other names, without marks", "SELECT "+labelColumns+" FROM customers ORDER BY name", func(c *customer) label { return c.label() }),
	into("An embedded struct, without marks", model, func(c *customer) nested {
		n := nested{Name: c.Name}
		n.Home.Street, n.Home.Door = c.Home.Street, c.Home.Door
		return n
	}),
	into("A struct of its own type, in place", model, func(c *customer) struct{ Name, Email, APIKey string } {
		return struct{ Name, Email, APIKey string }{c.Name, c.Email, c.APIKey.Reveal()}
	}),
	into("A struct with the table's name, without marks", func(db *gorm.DB) *gorm.DB { return db.Model(&unmarked{}) }, func(c *customer) unmarked {
		u := c.unmarked()
		return *u
	}),
	into("A smaller struct with marks, and the table's name", model, func(c *customer) markedContact {
		return markedContact{Name: c.Name, Email: c.Email, Phone: c.Phone, Salary: c.Salary, HomeStreet: c.Home.Street, APIKey: c.APIKey}
	}),
	into("A struct with marks, other names and `context=`", func(db *gorm.DB) *gorm.DB { return db.Model(&customer{}).Select(labelColumns) }, func(c *customer) markedLabel {
		return markedLabel{Name: c.Name, Title: c.Email, Amount: c.Salary, Secret: c.APIKey}
	}),
	into("A struct with marks, other names and no `context=`", func(db *gorm.DB) *gorm.DB { return db.Model(&customer{}).Select(labelColumns) }, func(c *customer) markedResult {
		return markedResult{Name: c.Name, Title: c.Email, Amount: c.Salary, Secret: c.APIKey}
	}),
	raw("`Raw` with `AS`: a struct with marks, other names and no `context=`", "SELECT "+labelColumns+" FROM customers ORDER BY name", func(c *customer) markedResult {
		return markedResult{Name: c.Name, Title: c.Email, Amount: c.Salary, Secret: c.APIKey}
	}),
	{path: "Columns of joined tables, without marks", happens: opened, run: func(c *check) {
		ada := c.existingOwner("ada")
		type card struct {
			Name   string
			Email  string
			Number string
			Pin    string
			Firm   string
		}
		want := []card{
			{"ada's first card", ada.Email, ada.Cards[0].Number, ada.Cards[0].Pin.Reveal(), ada.Company.Account.Reveal()},
			{"ada's second card", ada.Email, ada.Cards[1].Number, ada.Cards[1].Pin.Reveal(), ada.Company.Account.Reveal()},
		}
		const columns = "cards.name, owners.email, cards.number, c.account AS firm, cards.pin"
		const joins = "JOIN cards ON cards.owner_id = owners.id JOIN companies c ON c.id = owners.company_id"
		var found, scanned, handWritten []card
		c.must(c.fresh().Model(&owner{}).Select(columns).Joins(joins).Order("cards.name").Find(&found).Error)
		c.same("what Find read", found, want)
		c.must(c.fresh().Table("owners").Select(columns).Joins(joins).Order("cards.name").Scan(&scanned).Error)
		c.same("what Scan read", scanned, want)
		c.must(c.fresh().Raw("SELECT " + columns + " FROM owners " + joins + " ORDER BY cards.name").Scan(&handWritten).Error)
		c.same("what Raw read", handWritten, want)
	}},
	{path: "Columns of two tables with the same name, each by its own", happens: opened, run: func(c *check) {
		ada, lovelace := c.customer("ada"), c.visitor("ada")
		c.must(c.db.Create(ada).Error)
		c.must(c.db.Create(lovelace).Error)
		type both struct{ Mine, Theirs, Phone string }
		want := []both{{ada.Email, lovelace.Email, *lovelace.Phone}}
		const text = "SELECT c.email AS mine, v.email AS theirs, v.phone FROM customers c JOIN visitors v ON v.name = c.name"
		var got []both
		c.must(c.fresh().Raw(text).Scan(&got).Error)
		c.same("what was read", got, want)
	}},
	{path: "`Table(\"(?) AS t\", subquery)`, without marks", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		sub := c.fresh().Model(&customer{}).Select("name", "email", "api_key", "salary")
		var got []label
		c.must(c.fresh().Table("(?) AS t", sub).Select("t.name, t.email AS title, salary AS amount, api_key AS secret").Order("t.name").Find(&got).Error)
		c.same("what was read", got, []label{ada.label(), bob.label()})
	}},
	{path: "`G[T].Select(columns).Scan(&slice)`, without marks", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		var got []contact
		c.must(gorm.G[customer](c.fresh()).Order("name").Scan(c.Context(), &got))
		c.same("what was read", got, []contact{ada.contact(), bob.contact()})
		var labels []label
		c.must(gorm.G[customer](c.fresh()).Select(labelColumns).Order("name").Scan(c.Context(), &labels))
		c.same("what was read", labels, []label{ada.label(), bob.label()})
	}},
	{path: "`G[other].Find`, a struct with the table's name, without marks", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		got, err := gorm.G[unmarked](c.fresh()).Find(c.Context())
		c.must(err)
		c.same("what was read", got, []unmarked{*ada.unmarked()})
	}},
	{path: "`FindInBatches` into another struct", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		var got, all []unmarked
		c.must(c.fresh().FindInBatches(&got, 1, func(*gorm.DB, int) error { all = append(all, got...); return nil }).Error)
		c.same("what was read", all, []unmarked{*ada.unmarked(), *bob.unmarked()})
	}},
	{path: "A scalar subquery in the select list, without marks", happens: "opened, or refused, `ErrNotQueryable`", run: func(c *check) {
		ada := c.existing("ada")
		var got []label
		err := c.fresh().Model(&customer{}).Select("name, (SELECT c.email FROM customers c WHERE c.id = customers.id) AS title").Find(&got).Error
		c.heard(err)
		if err == nil {
			c.same("what was read", got, []label{{Name: "ada", Title: ada.Email}})
			return
		}
		c.values++
		if !errNotQueryable.matches(err) {
			c.fail("refused", "the error is %v", err)
		}
		c.nothing(got)
	}},
	{path: "A view, into a struct without marks", happens: "ciphertext: the plugin does not know what the view reads", run: func(c *check) {
		c.existing("ada")
		c.execute("CREATE VIEW titles AS SELECT name, email AS title FROM customers")
		defer c.execute("DROP VIEW titles")
		var labels []label
		c.must(c.fresh().Table("titles").Find(&labels).Error)
		for _, label := range labels {
			c.ciphertext(label.Title)
		}
	}},
	{path: "A view, into a struct with marks and `context=`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		c.execute("CREATE VIEW titles AS SELECT name, email AS title, salary AS amount, api_key AS secret FROM customers")
		defer c.execute("DROP VIEW titles")
		want := []markedLabel{{Name: "ada", Title: ada.Email, Amount: ada.Salary, Secret: ada.APIKey}}
		var found, scanned []markedLabel
		c.must(c.fresh().Table("titles").Find(&found).Error)
		c.must(c.fresh().Raw("SELECT * FROM titles").Scan(&scanned).Error)
		c.same("what Find read", found, want)
		c.same("what Scan read", scanned, want)
	}},
	{path: "A plain column that holds text like ciphertext", happens: "unchanged", run: func(c *check) {
		ada := c.customer("ada")
		ada.City = "gc1:1:AAAA"
		c.must(c.db.Create(ada).Error)
		expect(c, ada)
		var contacts []struct{ Name, City, Email string }
		c.must(c.fresh().Model(&customer{}).Find(&contacts).Error)
		c.same("structs", contacts, []struct{ Name, City, Email string }{{"ada", ada.City, ada.Email}})
		var towns []string
		c.must(c.fresh().Model(&customer{}).Pluck("city", &towns).Error)
		c.same("values", towns, []string{ada.City})
		var maps []map[string]any
		c.must(c.fresh().Table("customers").Select("city", "email AS title").Find(&maps).Error)
		c.same("maps", maps, []map[string]any{{"city": ada.City, "title": ada.Email}})
		var text string
		c.must(c.fresh().Raw("SELECT city FROM customers").Scan(&text).Error)
		c.same("a value", text, ada.City)
	}},
	{path: "`Rows` with `ScanRows` into a struct with marks", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		db := c.fresh()
		rows, err := db.Model(&customer{}).Rows()
		c.must(err)
		defer rows.Close()
		var got markedContact
		for rows.Next() {
			c.must(db.ScanRows(rows, &got))
		}
		c.same("what was read", got, markedContact{Name: "ada", Email: ada.Email, Phone: ada.Phone, Salary: ada.Salary, HomeStreet: ada.Home.Street, APIKey: ada.APIKey})
	}},
	{path: "`Rows` with `ScanRows` into a struct without marks", happens: "ciphertext, as of `Rows().Scan`", run: func(c *check) {
		c.existing("ada")
		db := c.fresh()
		rows, err := db.Model(&customer{}).Select("name", "email").Rows()
		c.must(err)
		defer rows.Close()
		var got struct{ Name, Email string }
		for rows.Next() {
			c.must(db.ScanRows(rows, &got))
		}
		c.ciphertext(got.Email)
	}},
	{path: "NULL, without marks", happens: "nil, or the zero value", run: func(c *check) {
		c.execute("INSERT INTO customers (name) VALUES ('ada')")
		var got []contact
		c.must(c.fresh().Model(&customer{}).Find(&got).Error)
		c.same("what was read", got, []contact{{Name: "ada"}})
	}},
	{path: "A struct whose field is of a type that the value does not fit", refused: errType, run: func(c *check) {
		c.existing("ada")
		type misfit struct {
			Name  string
			Email int64
		}
		var found, scanned []misfit
		c.refused(c.fresh().Model(&customer{}).Find(&found).Error, "customers", "email")
		c.refused(c.fresh().Model(&customer{}).Scan(&scanned).Error, "customers", "email")
		c.nothing(found)
	}},
	{path: "What SQL computes of an encrypted column: `upper(col) AS x`, `COALESCE(col, '')`, `CASE`, `max(col)`", refused: errNotQueryable, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		for _, expression := range computed {
			column := "email"
			if expression == "substr(api_key, 1, 200)" {
				column = "api_key"
			}
			for _, from := range []func(db *gorm.DB) *gorm.DB{
				func(db *gorm.DB) *gorm.DB { return db.Model(&customer{}).Select(expression + " AS title") },
				func(db *gorm.DB) *gorm.DB { return db.Model(&customer{}).Select("city", expression+" AS title") },
				func(db *gorm.DB) *gorm.DB { return db.Table("customers").Select(expression + " AS title") },
				func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT " + expression + " AS title FROM customers") },
			} {
				var found, scanned []label
				var first label
				c.refused(from(c.fresh()).Find(&found).Error, "customers", column)
				c.refused(from(c.fresh()).Scan(&scanned).Error, "customers", column)
				c.refused(from(c.fresh()).Take(&first).Error, "customers", column)
				c.nothing(found)
				c.nothing(scanned)
				c.nothing(first)
			}
		}
	}},
	{path: "`UNION` of an encrypted column with another", refused: errNotQueryable, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		var got []label
		c.refused(c.fresh().Raw("SELECT name, city AS title FROM customers UNION ALL SELECT name, email FROM customers").Scan(&got).Error, "customers", "email")
		c.nothing(got)
	}},
}

// ciphertext checks that a text is what the database holds.
func (c *check) ciphertext(text string) {
	c.Helper()
	c.values++
	if len(text) < 4 || text[:4] != "gc1:" {
		c.fail("value", "it is %.20q, want ciphertext", text)
	}
}

// nothing checks that nothing was handed out.
func (c *check) nothing(dst any) {
	c.Helper()
	if v := reflect.ValueOf(dst); !v.IsZero() && !((v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0) {
		c.fail("value", "this was handed out: %.300s", dump(dst))
	}
}
