package conformance

import (
	"database/sql"
	"reflect"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Reads of one column, into single values.

// column reads each encrypted column of ada and bob into a slice. With form,
// the slice is of another type than the field.
func (c *check) column(form func(any) any, read func(f field, dst any) error) {
	c.Helper()
	ada, bob := c.existing("ada"), c.existing("bob")
	for _, f := range customerFields {
		want := []any{form(f.of(ada)), form(f.of(bob))}
		if !plucks(want[0]) {
			continue
		}
		got := reflect.New(reflect.SliceOf(reflect.TypeOf(want[0])))
		err := read(f, got.Interface())
		c.heard(err)
		if err != nil {
			c.fail("value", "%s: %v", f.column, err)
			continue
		}
		var values []any
		for i := range got.Elem().Len() {
			values = append(values, got.Elem().Index(i).Interface())
		}
		c.same(f.column, values, want)
	}
}

// one reads each encrypted column of ada into a single value of a plain type, if
// GORM has such values.
func (c *check) one(read func(f field, dst any) error) {
	c.Helper()
	ada := c.existing("ada")
	for _, f := range customerFields {
		want := plain(f.of(ada))
		if !isScalar(want) {
			continue
		}
		got := reflect.New(reflect.TypeOf(want))
		err := read(f, got.Interface())
		c.heard(err)
		if err != nil {
			c.fail("value", "%s: %v", f.column, err)
			continue
		}
		c.same(f.column, got.Elem().Interface(), want)
	}
}

// plucks reports whether GORM reads a column into a slice of values of a type.
func plucks(value any) bool {
	switch value.(type) {
	case []string, map[string]string:
		return false
	}
	return true
}

func itself(value any) any { return value }

// isScalar reports whether GORM reads a column into a single value of a type,
// and not into a struct or a list of rows.
func isScalar(value any) bool {
	switch value.(type) {
	case string, int64, uint32, float64, bool:
		return true
	}
	return false
}

var valueReads = []row{
	{path: "`Pluck(\"column\", &slice)`, into the fields' types", happens: opened, run: func(c *check) {
		c.column(itself, func(f field, dst any) error {
			return c.fresh().Model(&customer{}).Order("name").Pluck(f.column, dst).Error
		})
	}},
	{path: "`Pluck(\"column\", &slice)`, into plain types", happens: opened, run: func(c *check) {
		c.column(plain, func(f field, dst any) error {
			return c.fresh().Model(&customer{}).Order("name").Pluck(f.column, dst).Error
		})
	}},
	{path: "`Pluck(\"Field\", &slice)`", happens: opened, run: func(c *check) {
		c.column(itself, func(f field, dst any) error {
			return c.fresh().Model(&customer{}).Order("name").Pluck(f.name, dst).Error
		})
	}},
	{path: "`Table(\"t\").Pluck(\"column\", &slice)`", happens: opened, run: func(c *check) {
		c.column(plain, func(f field, dst any) error {
			return c.fresh().Table("customers").Order("name").Pluck(f.column, dst).Error
		})
	}},
	{path: "`Pluck(\"t.column\", &slice)`, `Pluck(\"column AS x\", &slice)`", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		for _, column := range []string{"customers.email", "email AS x", "customers.email x"} {
			var got []string
			c.must(c.fresh().Model(&customer{}).Order("name").Pluck(column, &got).Error)
			c.same(column, got, []string{ada.Email, bob.Email})
		}
	}},
	{path: "`Distinct().Pluck(\"column\", &slice)`, `Distinct(\"column\").Pluck`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		for _, db := range []*gorm.DB{c.fresh().Distinct(), c.fresh().Distinct("email")} {
			var got []string
			c.must(db.Model(&customer{}).Pluck("email", &got).Error)
			c.same("what was read", got, []string{ada.Email})
		}
	}},
	{path: "`Pluck` of `NULL`", happens: "not valid", run: func(c *check) {
		ada := c.existing("ada")
		c.execute("INSERT INTO customers (name) VALUES ('bob')")
		db := c.fresh().Model(&customer{}).Order("name").Session(&gorm.Session{})
		var nullable []sql.NullString
		c.must(db.Pluck("api_key", &nullable).Error)
		c.same("NullStrings", nullable, []sql.NullString{{String: ada.APIKey.Reveal(), Valid: true}, {}})
		var numbers []sql.NullInt64
		c.must(db.Pluck("salary", &numbers).Error)
		c.same("NullInt64s", numbers, []sql.NullInt64{{Int64: ada.Salary, Valid: true}, {}})
	}},
	{path: "`Pluck` of a slice or a map, which GORM cannot pluck", happens: "opened, or GORM's own error; never ciphertext", run: func(c *check) {
		ada := c.existing("ada")
		var labels [][]string
		var notes []map[string]string
		err := c.fresh().Model(&customer{}).Pluck("labels", &labels).Error
		c.heard(err)
		if err == nil {
			c.same("the labels", labels, [][]string{ada.Labels})
		}
		err = c.fresh().Model(&customer{}).Pluck("notes", &notes).Error
		c.heard(err)
		if err == nil {
			c.same("the notes", notes, []map[string]string{ada.Notes})
		}
		var texts []string
		err = c.fresh().Model(&customer{}).Pluck("notes", &texts).Error
		c.heard(err)
		for _, text := range texts {
			if strings.HasPrefix(text, "gc1:") {
				c.fail("value", "it is ciphertext")
			}
		}
		c.values++
	}},
	{path: "`Pluck` of a plain column", happens: "unchanged", run: func(c *check) {
		c.existing("ada")
		c.existing("bob")
		var names, towns []string
		c.must(c.fresh().Model(&customer{}).Order("name").Pluck("name", &names).Error)
		c.must(c.fresh().Model(&customer{}).Distinct().Pluck("upper(city)", &towns).Error)
		c.same("the names", names, []string{"ada", "bob"})
		c.same("the towns", towns, []string{"LONDON"})
	}},
	{path: "`Select(\"column\").Scan(&slice)`, `Find(&slice)`", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		for _, from := range []func(db *gorm.DB) *gorm.DB{model, inTable} {
			query := func(column string) *gorm.DB { return from(c.fresh()).Select(column).Order("name") }
			var scanned, found []string
			var numbers []int64
			var moments []time.Time
			c.must(query("email").Scan(&scanned).Error)
			c.same("strings", scanned, []string{ada.Email, bob.Email})
			c.must(query("api_key").Find(&found).Error)
			c.same("strings", found, []string{ada.APIKey.Reveal(), bob.APIKey.Reveal()})
			c.must(query("salary").Scan(&numbers).Error)
			c.same("numbers", numbers, []int64{ada.Salary, bob.Salary})
			c.must(query("born").Scan(&moments).Error)
			c.same("times", moments, []time.Time{ada.Born, bob.Born})
		}
	}},
	{path: "`Select(\"column\").Scan(&v)`, into a string, a number, a bool", happens: opened, run: func(c *check) {
		c.one(func(f field, dst any) error {
			return c.fresh().Model(&customer{}).Where("name = ?", "ada").Select(f.column).Scan(dst).Error
		})
	}},
	{path: "`Select(\"column\").Scan(&v)`, into a `sql.NullString`, a `sql.NullInt64`, a `*int64`, a `*string`, a `time.Time`, a type of `encryptedtype`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		for _, from := range []func(db *gorm.DB) *gorm.DB{model, inTable} {
			scan := func(column string, dst any) {
				c.Helper()
				c.must(from(c.fresh()).Where("name = ?", "ada").Select(column).Scan(dst).Error)
			}
			var nullable sql.NullString
			scan("email", &nullable)
			c.same("a NullString", nullable, sql.NullString{String: ada.Email, Valid: true})
			var number sql.NullInt64
			scan("salary", &number)
			c.same("a NullInt64", number, sql.NullInt64{Int64: ada.Salary, Valid: true})
			quota := new(int64)
			scan("quota", quota)
			c.same("a *int64", *quota, ada.Quota.Reveal())
			phone := new(string)
			scan("phone", &phone)
			c.same("a **string", *phone, *ada.Phone)
			var born time.Time
			scan("born", &born)
			c.same("a time", born, ada.Born)
			var key encryptedString
			scan("api_key", &key)
			c.same("an EncryptedString", key, ada.APIKey)
		}
	}},
	{path: "`Select(\"column\").Find(&v)`, `Take(&v)`", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		var found, taken string
		c.must(c.fresh().Model(&customer{}).Select("email").Limit(1).Find(&found).Error)
		c.same("what Find read", found, ada.Email)
		c.must(c.fresh().Model(&customer{}).Select("api_key").Take(&taken).Error)
		c.same("what Take read", taken, ada.APIKey.Reveal())
	}},
	{path: "`Raw(\"SELECT column ...\").Scan(&v)`, `Scan(&slice)`", happens: opened, run: func(c *check) {
		ada, bob := c.existing("ada"), c.existing("bob")
		var one string
		c.must(c.fresh().Raw("SELECT email FROM customers WHERE name = ?", "ada").Scan(&one).Error)
		c.same("one", one, ada.Email)
		var all []string
		c.must(c.fresh().Raw("SELECT c.api_key AS x FROM customers c ORDER BY c.name").Scan(&all).Error)
		c.same("all", all, []string{ada.APIKey.Reveal(), bob.APIKey.Reveal()})
		var number int64
		c.must(c.fresh().Raw("SELECT salary FROM customers WHERE name = ?", "ada").Scan(&number).Error)
		c.same("a number", number, ada.Salary)
	}},
	{path: "`G[T].Select(\"column\").Scan(&slice)`", happens: opened, run: func(c *check) {
		c.column(plain, func(f field, dst any) error {
			return gorm.G[customer](c.fresh()).Select(f.column).Order("name").Scan(c.Context(), dst)
		})
	}},
	{path: "`Scan(&v)` of `NULL`", happens: "nil, or not valid", run: func(c *check) {
		c.execute("INSERT INTO customers (name) VALUES ('ada')")
		nullable := sql.NullString{String: "x", Valid: true}
		c.must(c.fresh().Model(&customer{}).Select("email").Scan(&nullable).Error)
		c.same("a NullString", nullable, sql.NullString{})
		phone := new("x")
		c.must(c.fresh().Model(&customer{}).Select("phone").Scan(&phone).Error)
		c.same("a *string", phone, (*string)(nil))
	}},
	{path: "`Pluck` and `Scan` of what SQL computes of an encrypted column", refused: errNotQueryable, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		for _, expression := range computed {
			column := "email"
			if expression == "substr(api_key, 1, 200)" {
				column = "api_key"
			}
			var plucked, scanned []string
			var one, two string
			if expression != "email || ''" { // for GORM, that is the name of a column
				c.refused(c.fresh().Model(&customer{}).Pluck(expression, &plucked).Error, "customers", column)
			}
			c.refused(c.fresh().Table("customers").Select(expression).Scan(&scanned).Error, "customers", column)
			c.refused(c.fresh().Model(&customer{}).Select(expression).Scan(&one).Error, "customers", column)
			c.refused(c.fresh().Raw("SELECT "+expression+" FROM customers").Scan(&two).Error, "customers", column)
			c.nothing(plucked)
			c.nothing(scanned)
			c.nothing(one)
			c.nothing(two)
		}
	}},
	{path: "`Pluck` into a type that the value does not fit", refused: errType, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		var numbers []int64
		c.refused(c.fresh().Model(&customer{}).Pluck("email", &numbers).Error, "customers", "email")
		c.nothing(numbers)
		var small []uint8
		c.refused(c.fresh().Model(&customer{}).Pluck("salary", &small).Error, "customers", "salary")
		c.nothing(small)
	}},
}
