package conformance

import (
	"database/sql"

	"gorm.io/gorm"
)

// Reads past GORM, and what stays as it is.

// underDefault writes a customer with a *gorm.DB whose keyring is that of the
// process's default cipher.
func (c *check) underDefault() (db *gorm.DB, ada *customer) {
	c.Helper()
	keys, err := defaultKeys()
	c.must(err)
	c.keys, c.other = keys, nil
	ada = c.customer("ada")
	db = c.handle(keys)
	c.must(db.Create(ada).Error)
	return db, ada
}

// scanner reads one column of ada into a value.
type scanner func(column string, dst any) error

// scanners are the ways to read past GORM's own scanning.
func (c *check) scanners(db *gorm.DB) map[string]scanner {
	rows := func(rows *sql.Rows, err error, dst any) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(dst); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	return map[string]scanner{
		"Row": func(column string, dst any) error { return db.Model(&customer{}).Select(column).Row().Scan(dst) },
		"Rows": func(column string, dst any) error {
			r, err := db.Model(&customer{}).Select(column).Rows()
			return rows(r, err, dst)
		},
		"Table.Row": func(column string, dst any) error { return db.Table("customers").Select(column).Row().Scan(dst) },
		"Raw.Row": func(column string, dst any) error {
			return db.Raw("SELECT " + column + " FROM customers").Row().Scan(dst)
		},
		"Raw.Rows": func(column string, dst any) error {
			r, err := db.Raw("SELECT " + column + " FROM customers").Rows()
			return rows(r, err, dst)
		},
		"G.Row": func(column string, dst any) error {
			return gorm.G[customer](db).Select(column).Row(c.Context()).Scan(dst)
		},
		"database/sql": func(column string, dst any) error {
			return c.pool.QueryRow("SELECT " + column + " FROM customers").Scan(dst)
		},
	}
}

var sqlReads = []row{
	{path: "`Row().Scan(&s)`, `Rows().Scan(&s)`, plain `database/sql`, into a `string` or `[]byte`", happens: "ciphertext", run: func(c *check) {
		c.existing("ada")
		for _, scan := range c.scanners(c.fresh()) {
			for _, f := range customerFields {
				var text string
				var bytes []byte
				c.must(scan(f.column, &text))
				c.must(scan(f.column, &bytes))
				c.ciphertext(text)
				c.ciphertext(string(bytes))
			}
		}
	}},
	{path: "The same, into types of `encryptedtype`, of columns of such types, after `SetDefault`", happens: opened, run: func(c *check) {
		db, ada := c.underDefault()
		for what, scan := range c.scanners(db) {
			var key, token encryptedString
			var seed encryptedBytes
			var quota encryptedInt
			var seen encryptedTime
			var settings encryptedNotes
			for column, dst := range map[string]any{"api_key": &key, "token": &token, "seed": &seed, "quota": &quota, "seen": &seen, "settings": &settings} {
				c.must(scan(column, dst))
			}
			got := &customer{APIKey: key, Token: &token, Seed: seed, Quota: quota, Seen: seen, Settings: settings}
			c.same("what "+what+" read", got, &customer{APIKey: ada.APIKey, Token: ada.Token, Seed: ada.Seed, Quota: ada.Quota, Seen: ada.Seen, Settings: ada.Settings})
		}
	}},
	{path: "The same, of columns of other types", refused: errAuthentication, happens: "nothing is handed out", run: func(c *check) {
		db, _ := c.underDefault()
		for _, scan := range c.scanners(db) {
			for _, column := range []string{"email", "phone", "home_street", "tax_number"} {
				var got encryptedString
				c.refused(scan(column, &got), "", "")
				c.same("what was handed out", got, encryptedNull)
			}
		}
	}},
	{path: "The same, of columns of such types, under another keyring than the default's", refused: errAuthentication, happens: "nothing is handed out", run: func(c *check) {
		c.existing("ada")
		for _, scan := range c.scanners(c.fresh()) {
			var got encryptedString
			c.refused(scan("api_key", &got), "", "")
			c.same("what was handed out", got, encryptedNull)
		}
	}},
	{path: "`Count`, `Count` of a column, `Distinct(column).Count` of a plain or a deterministic one", happens: "unchanged", run: func(c *check) {
		c.existing("ada")
		c.existing("bob")
		c.execute("INSERT INTO customers (name) VALUES ('null')")
		for what, count := range map[string]struct {
			query *gorm.DB
			want  int64
		}{
			"all": {c.fresh().Model(&customer{}), 3}, "a table": {c.fresh().Table("customers"), 3}, "a condition": {c.fresh().Model(&customer{}).Where("city = ?", "London"), 2},
			"an encrypted column": {c.fresh().Model(&customer{}).Select("email"), 2}, "its text": {c.fresh().Model(&customer{}).Select("count(api_key)"), 2},
			"IS NULL": {c.fresh().Model(&customer{}).Where("email IS NULL"), 1}, "distinct": {c.fresh().Model(&customer{}).Distinct("city"), 1},
			"a deterministic column": {c.fresh().Model(&customer{}).Distinct("tax_number"), 2}, "its field": {c.fresh().Model(&customer{}).Distinct("TaxNumber"), 2},
			"groups": {c.fresh().Model(&customer{}).Group("city"), 2},
		} {
			var got int64
			c.must(count.query.Count(&got).Error)
			c.same("the number of "+what, got, count.want)
		}
		got, err := gorm.G[customer](c.fresh()).Count(c.Context(), "*")
		c.must(err)
		c.same("the number of G", got, int64(3))
	}},
	{path: "`Exists` by hand: `Select(\"1\").Limit(1)`, `Select(\"count(*) > 0\")`", happens: "unchanged", run: func(c *check) {
		c.existing("ada")
		var one int
		c.must(c.fresh().Model(&customer{}).Select("1").Where("name = ?", "ada").Limit(1).Scan(&one).Error)
		c.same("one", one, 1)
		var exists, missing bool
		c.must(c.fresh().Model(&customer{}).Select("count(*) > 0").Where("name = ?", "ada").Find(&exists).Error)
		c.must(c.fresh().Model(&customer{}).Select("count(*) > 0").Where("name = ?", "nobody").Scan(&missing).Error)
		c.same("whether they exist", []bool{exists, missing}, []bool{true, false})
		var raw bool
		c.must(c.fresh().Raw("SELECT EXISTS (SELECT 1 FROM customers WHERE name = ? AND email IS NOT NULL)", "ada").Scan(&raw).Error)
		c.same("EXISTS", raw, true)
	}},
	{path: "Aggregates and groups over plain columns", happens: "unchanged", run: func(c *check) {
		c.existing("ada")
		c.existing("bob")
		var longest int
		c.must(c.fresh().Model(&customer{}).Select("max(length(name))").Scan(&longest).Error)
		c.same("the longest", longest, 3)
		var cities []struct {
			City  string
			Total int64
			Last  string
		}
		c.must(c.fresh().Model(&customer{}).Select("city, count(*) AS total, max(name) AS last").Group("city").Having("count(*) > ?", 1).Order("city").Find(&cities).Error)
		if len(cities) != 1 || cities[0].City != "London" || cities[0].Total != 2 || cities[0].Last != "bob" {
			c.fail("value", "the cities are %+v", cities)
		}
	}},
	{path: "`Distinct(column).Count` of an encrypted column that is not deterministic", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		query := c.fresh().Model(&customer{}).Distinct("email")
		c.refuses("customers", "email", func() error { return query.Count(new(int64)).Error })
	}},
	{path: "`GROUP BY` and `DISTINCT` with a deterministic column, while one index key is live", happens: opened, run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		bob.TaxNumber = ada.TaxNumber
		c.must(c.db.Create([]*customer{ada, bob}).Error)
		var groups []struct {
			TaxNumber string
			Total     int64
		}
		c.must(c.fresh().Model(&customer{}).Select("tax_number, count(*) AS total").Group("tax_number").Find(&groups).Error)
		if len(groups) != 1 || groups[0].TaxNumber != ada.TaxNumber || groups[0].Total != 2 {
			c.fail("value", "the groups are %+v", groups)
		}
		var numbers []string
		c.must(c.fresh().Model(&customer{}).Distinct().Pluck("tax_number", &numbers).Error)
		c.same("the numbers", numbers, []string{ada.TaxNumber})
	}},
	{path: "`GROUP BY` with a column that is not deterministic, `ORDER BY` and `HAVING` with an encrypted column", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		for _, query := range []*gorm.DB{
			c.fresh().Order("email"), c.fresh().Order("customers.email DESC"), c.fresh().Model(&customer{}).Select("count(*)").Group("email"),
			c.fresh().Model(&customer{}).Select("city").Group("city").Having("max(email) > ?", c.text()),
		} {
			c.refuses("customers", "email", func() error { return query.Session(&gorm.Session{}).Find(&[]customer{}).Error })
		}
	}},
}
