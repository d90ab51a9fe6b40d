package conformance

import (
	"database/sql"
	"math"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// Values at the edges: NULL, empty and odd ones.

// encryptedNames are the encrypted columns of customers.
func encryptedNames() []string {
	var names []string
	for _, f := range customerFields {
		names = append(names, f.column)
	}
	return names
}

// nulls has every encrypted column of a customer set to NULL, by one way of
// writing.
func (c *check) nulls(null func(f field) any) {
	c.Helper()
	c.existing("ada")
	c.existing("eve")
	values := map[string]any{}
	for _, f := range customerFields {
		values[f.column] = null(f)
		c.must(c.db.Model(&customer{}).Where("name = ?", "eve").Update(f.column, null(f)).Error)
	}
	c.must(c.ada().Updates(values).Error)
	values["name"] = "bob"
	c.must(c.db.Model(&customer{}).Create(values).Error)
	expect(c, &customer{Name: "ada", City: "London"}, &customer{Name: "bob"}, &customer{Name: "eve", City: "London"})
	c.requireNull("customers", encryptedNames()...)
}

// texts writes texts into every field that takes them, in every way.
func (c *check) texts(texts ...string) {
	c.Helper()
	var want []*customer
	for i, text := range texts {
		fill := func(row *customer) *customer {
			row.Email, row.Phone, row.Portrait, row.Thumbprint = text, &text, []byte(text), []byte(text)
			row.Home.Street, row.TaxNumber, row.APIKey = text, text, encryptedtype.NewEncryptedString(text)
			row.Seed, row.Token = encryptedtype.NewEncryptedBytes([]byte(text)), new(encryptedtype.NewEncryptedString(text))
			return row
		}
		name := string(rune('a' + i))
		create, fromMap, updated := fill(c.customer(name+"1")), fill(c.customer(name+"2")), fill(c.customer(name+"3"))
		c.must(c.db.Create(create).Error)
		c.must(c.db.Model(&customer{}).Create(fromMap.columns()).Error)
		c.existing(name + "3")
		c.must(c.db.Model(&customer{}).Where("name = ?", name+"3").Updates(updated.all()).Error)
		want = append(want, create, fromMap, updated)
	}
	expect(c, want...)
}

var valueRows = []row{
	{path: "A model with nil pointers, nil slices, nil maps and zero values of `encryptedtype`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.must(c.db.Create(keep(c, &customer{Name: "ada"})).Error)
		expect(c, &customer{Name: "ada"})
		c.requireNull("customers", "phone", "portrait", "thumbprint", "labels", "notes", "api_key", "seed", "quota", "seen", "settings", "token")
	}},
	{path: "`nil` in a map, and in `Update(\"column\", nil)`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.nulls(func(field) any { return nil })
	}},
	{path: "A nil pointer in a map, and in `Update`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.nulls(func(f field) any {
			switch f.name {
			case "Salary", "Quota":
				return (*int64)(nil)
			case "APIKey", "Token":
				return (*encryptedString)(nil)
			}
			return (*string)(nil)
		})
	}},
	{path: "Zero values of `encryptedtype` in a map, and in `Update`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.nulls(func(field) any { return encryptedString{} })
	}},
	{path: "`gorm.Expr(\"NULL\")` in a map, and in `Update`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.nulls(func(field) any { return gorm.Expr("NULL") })
	}},
	{path: "`sql.NullString{}` and its like in a map, and in `Update`", happens: "NULL, and NULL comes back", run: func(c *check) {
		c.nulls(func(f field) any {
			switch f.name {
			case "Salary", "Quota":
				return sql.NullInt64{}
			case "Born", "Seen":
				return sql.NullTime{}
			case "Score":
				return sql.Null[float64]{}
			}
			return sql.NullString{}
		})
	}},
	{path: "`sql.NullString{String: v, Valid: true}` and its like in a map", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		want := c.changed(ada)
		values := map[string]any{
			"email": sql.NullString{String: want.Email, Valid: true}, "phone": sql.Null[string]{V: *want.Phone, Valid: true},
			"salary": sql.NullInt64{Int64: want.Salary, Valid: true}, "score": sql.NullFloat64{Float64: want.Score, Valid: true},
			"active": sql.NullBool{Bool: true, Valid: true}, "born": sql.NullTime{Time: want.Born, Valid: true},
			"api_key": sql.NullString{String: want.APIKey.Reveal(), Valid: true}, "quota": sql.NullInt64{Int64: want.Quota.Reveal(), Valid: true},
		}
		c.must(c.ada().Updates(keep(c, values)).Error)
		ada.Email, ada.Phone, ada.Salary, ada.Score, ada.Active, ada.Born = want.Email, want.Phone, want.Salary, want.Score, true, want.Born
		ada.APIKey, ada.Quota = want.APIKey, want.Quota
		expect(c, ada)
	}},
	{path: "Fields of type `sql.NullString` and its like, valid and not", happens: sealed, run: func(c *check) {
		full := &option{
			Name: "full", Text: sql.NullString{String: c.text(), Valid: true}, Number: sql.NullInt64{Int64: c.number(), Valid: true},
			Ratio: sql.NullFloat64{Float64: c.float(), Valid: true}, Moment: sql.NullTime{Time: c.moment(), Valid: true}, Value: c.text(),
		}
		c.must(c.db.Create(keep(c, []*option{full, {Name: "null"}})).Error)
		expect(c, full, &option{Name: "null"})
	}},
	{path: "Zero values: `\"\"`, `0`, `false`, the zero time, empty slices and maps", happens: "sealed; they are not NULL", run: func(c *check) {
		zero := func(name string) *customer {
			return &customer{
				Name: name, Phone: new(""), Portrait: []byte{}, Thumbprint: []byte{}, Labels: []string{}, Notes: map[string]string{},
				APIKey: typed("").(encryptedString), Seed: typed([]byte{}).(encryptedBytes), Quota: typed(int64(0)).(encryptedInt),
				Seen: typed(time.Time{}).(encryptedTime), Settings: typed(map[string]string{}).(encryptedNotes), Token: new(typed("").(encryptedString)),
			}
		}
		ada, bob, eve := zero("ada"), zero("bob"), zero("eve")
		c.must(c.db.Create(keep(c, ada)).Error)
		c.must(c.db.Model(&customer{}).Create(keep(c, bob.columns())).Error)
		c.existing("eve")
		c.must(c.db.Model(&customer{}).Where("name = ?", "eve").Updates(keep(c, eve.columns())).Error)
		expect(c, ada, bob, eve)
		for _, row := range c.query("SELECT " + strings.Join(encryptedNames(), ", ") + " FROM customers") {
			for i, value := range row {
				if value == nil {
					c.fail("stored", "%s is NULL", customerFields[i].column)
				}
			}
		}
	}},
	{path: "Text that starts with gormcrypt's own prefix, and whole ciphertext", happens: "sealed like any other, exactly", run: func(c *check) {
		c.must(c.db.Create(c.customer("zoe")).Error)
		stored := c.query("SELECT email, api_key FROM customers")[0]
		c.execute("DELETE FROM customers")
		c.texts("gc1:"+c.text(), "gc1:1:"+c.text(), "gc1:1:AQ", "gc1:", stored[0].(string), stored[1].(string))
	}},
	{path: "Invalid UTF-8", happens: "sealed, exactly", run: func(c *check) {
		c.texts("\xff\xfe"+c.text()+"\x80", c.text()+"\xc3", "\xed\xa0\x80"+c.text())
	}},
	{path: "NUL bytes, control characters, quotes, placeholders", happens: "sealed, exactly", run: func(c *check) {
		c.texts("\x00", c.text()+"\x00\x00", "\x00"+c.text(), c.text()+"\r\n\t\x1b[0m", "'"+c.text()+"'' \" ` \\", "? $1 @name "+c.text(), "\u202e\U0001F600 "+c.text())
	}},
	{path: "1 MiB of text and of bytes", happens: "sealed, exactly", run: func(c *check) {
		large := strings.Repeat(c.text()+" \xff", 1<<20/28)
		large += strings.Repeat("x", 1<<20-len(large))
		ada := &customer{Name: "ada", Email: large}
		bob := &customer{Name: "bob", Seed: typed([]byte(large)).(encryptedBytes)}
		c.must(c.db.Create(ada).Error)
		c.must(c.db.Model(&customer{}).Create(map[string]any{"name": "bob", "seed": bob.Seed}).Error)
		expect(c, ada, bob)
	}},
	{path: "The largest and smallest numbers and times", happens: "sealed, exactly", run: func(c *check) {
		extremes := []*customer{
			{Name: "ada", Salary: math.MinInt64, Badge: math.MaxUint32, Score: math.SmallestNonzeroFloat64, Born: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
			{Name: "bob", Salary: math.MaxInt64, Score: -math.MaxFloat64, Born: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", -12*3600))},
			{Name: "eve", Score: math.Inf(1), Home: address{Door: -1}, Quota: typed(int64(math.MinInt64)).(encryptedInt)},
		}
		c.must(c.db.Create(keep(c, extremes)).Error)
		for _, row := range extremes {
			c.must(c.db.Model(&customer{}).Where("name = ?", row.Name).Updates(keep(c, row.all())).Error)
		}
		expect(c, extremes...)
	}},
}
