package conformance

import (
	"database/sql"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
)

// SQL that the program writes by hand.

// either notes what came of a statement that may be sealed or refused. It
// returns whether it was sealed.
func (c *check) either(table, column string, err error) bool {
	c.Helper()
	c.heard(err)
	if err == nil {
		return true
	}
	if !errHandWritten.matches(err) && !errExpression.matches(err) {
		c.fail("refused", "%s.%s: the error is %v, want none or %s", table, column, err, errHandWritten.name)
	}
	return false
}

// assign writes all fields of ada by one statement, in which @ is a list of
// assignments.
func (c *check) assign(statement string, form func(field, any) any) {
	c.Helper()
	c.eachRow(func(want *customer) error {
		var list []string
		var args []any
		for _, f := range customerFields {
			list, args = append(list, f.column+" = ?"), append(args, form(f, f.of(want)))
		}
		return c.db.Exec(strings.Replace(statement, "@", strings.Join(list, ", "), 1), append(args, "ada")...).Error
	})
}

// insert writes customers by one statement.
func (c *check) insert(form func(field, any) any, rows ...*customer) (statement string, args []any) {
	columns := []string{"name", "city"}
	for _, f := range customerFields {
		columns = append(columns, f.column)
	}
	var lists []string
	for _, row := range rows {
		args = append(args, row.Name, row.City)
		for _, f := range customerFields {
			args = append(args, form(f, f.of(row)))
		}
		lists = append(lists, "(?"+strings.Repeat(", ?", len(columns)-1)+")")
	}
	return "INSERT INTO customers (" + strings.Join(columns, ", ") + ") VALUES " + strings.Join(lists, ", "), args
}

// asPlain makes values plain, but for slices: GORM spreads them.
func asPlain(_ field, value any) any {
	if _, ok := plain(value).([]string); ok {
		return typed(value)
	}
	return plain(value)
}

func asTyped(_ field, value any) any { return typed(plain(value)) }

// asSealed seals values before they go into the statement.
func (c *check) asSealed(f field, value any) any {
	c.Helper()
	sealed, err := gormcrypt.Seal(c.db, &customer{}, f.name, plain(value))
	c.must(err)
	c.said = append(c.said, fmt.Sprintf("%v %+v %#v %s", sealed, sealed, sealed, sealed))
	return sealed
}

const update = "UPDATE customers SET @ WHERE name = ?"

var rawSQLRows = []row{
	{path: "`Exec(\"UPDATE t SET col = ? WHERE plain = ?\", v, ...)`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			return c.db.Exec("UPDATE customers SET "+f.column+" = ? WHERE name = ?", asPlain(f, value), "ada").Error
		})
	}},
	{path: "`Exec(\"UPDATE t SET a = ?, b = ? ...\")`", happens: sealed, run: func(c *check) { c.assign(update, asPlain) }},
	{path: "`Exec(\"UPDATE ...\")` with a slice for a column", refused: errExpression, happens: "GORM makes a list of it; use `gormcrypt.Seal`", run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "labels", func() error {
			return c.db.Exec("UPDATE customers SET labels = ? WHERE name = ?", c.labels(), "ada").Error
		})
		c.refuses("customers", "labels", func() error {
			return c.db.Exec("INSERT INTO customers (name, labels) VALUES (?, ?)", "bob", []string{c.text(), c.text()}).Error
		})
	}},
	{path: "`Exec(\"UPDATE ...\")` with values of `encryptedtype`", happens: "sealed, for the column", run: func(c *check) { c.assign(update, asTyped) }},
	{path: "`Exec(\"UPDATE ...\")` with values of `gormcrypt.Seal`", happens: "pass", run: func(c *check) { c.assign(update, c.asSealed) }},
	{path: "`Exec(\"UPDATE ...\")` with quoted names, other letter case, comments, several lines", happens: sealed, run: func(c *check) {
		quote := func(name string) string { return c.db.Statement.Quote(name) }
		ada := c.existing("ada")
		for _, statement := range []string{
			"UPDATE " + quote("customers") + " SET " + quote("email") + " = ? WHERE " + quote("name") + " = ?",
			"update Customers set EMAIL=? where NAME=?",
			"UPDATE customers -- of ours\n\tSET email = ? /* sealed */\n\tWHERE name = ?;",
			"  UPDATE customers SET city = 'London', email = ?, active = NULL WHERE name = ? AND 1 = 1",
		} {
			ada.Email = c.text()
			c.must(c.db.Exec(statement, ada.Email, "ada").Error)
			expect(c, ada)
		}
	}},
	{path: "`Exec` with named arguments", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		const statement = "UPDATE customers SET email = @email, api_key = @key WHERE name = @name"
		for _, exec := range []func(email, key string) error{
			func(email, key string) error {
				return c.db.Exec(statement, sql.Named("email", email), sql.Named("key", key), sql.Named("name", "ada")).Error
			},
			func(email, key string) error {
				return c.db.Exec(statement, keep(c, map[string]any{"email": email, "key": key, "name": "ada"})).Error
			},
			func(email, key string) error {
				values := struct{ Email, Key, Name string }{email, key, "ada"}
				return c.db.Exec("UPDATE customers SET email = @Email, api_key = @Key WHERE name = @Name", values).Error
			},
		} {
			key := c.text()
			ada.Email, ada.APIKey = c.text(), typed(key).(encryptedString)
			c.must(exec(ada.Email, key))
			expect(c, ada)
		}
	}},
	{path: "`Exec(\"INSERT INTO t (...) VALUES (?, ...)\")`", happens: sealed, run: func(c *check) {
		ada := c.customer("ada")
		statement, args := c.insert(asPlain, ada)
		c.must(c.db.Exec(statement, args...).Error)
		expect(c, ada)
	}},
	{path: "`Exec(\"INSERT ...\")` of several rows", happens: sealed, run: func(c *check) {
		ada, bob := c.customer("ada"), c.customer("bob")
		statement, args := c.insert(asPlain, ada, bob)
		c.must(c.db.Exec(statement, args...).Error)
		expect(c, ada, bob)
	}},
	{path: "`Exec(\"INSERT ...\")` with values of `encryptedtype`", happens: "sealed, for the column", run: func(c *check) {
		ada := c.customer("ada")
		statement, args := c.insert(asTyped, ada)
		c.must(c.db.Exec(statement, args...).Error)
		expect(c, ada)
	}},
	{path: "`Exec(\"INSERT ...\")` with values of `gormcrypt.Seal`", happens: "pass", run: func(c *check) {
		ada := c.customer("ada")
		statement, args := c.insert(c.asSealed, ada)
		c.must(c.db.Exec(statement, args...).Error)
		expect(c, ada)
	}},
	{path: "`Exec(\"INSERT ...\")` with `NULL`, nil and a nil pointer", happens: "NULL", run: func(c *check) {
		c.must(c.db.Exec("INSERT INTO customers (name, email, phone, api_key) VALUES (?, NULL, ?, ?)", "ada", nil, (*encryptedString)(nil)).Error)
		c.must(c.db.Exec("INSERT INTO customers (name, email) VALUES (?, ?)", "bob", (*string)(nil)).Error)
		expect(c, &customer{Name: "ada"}, &customer{Name: "bob"})
		c.requireNull("customers", "email", "phone", "api_key")
	}},
	{path: "`Exec` in a transaction, with prepared statements, `Session{SkipHooks: true}`", happens: sealed, run: func(c *check) {
		ada := c.existing("ada")
		for _, db := range []*gorm.DB{c.db.Session(&gorm.Session{PrepareStmt: true}), c.db.Session(&gorm.Session{SkipHooks: true}), c.db.Debug()} {
			ada.Email = c.text()
			c.must(db.Transaction(func(tx *gorm.DB) error {
				return tx.Exec("UPDATE customers SET email = ? WHERE name = ?", ada.Email, "ada").Error
			}))
			expect(c, ada)
		}
	}},
	{path: "`Session{DryRun: true}`, `ToSQL`: `Exec`", happens: "shows ciphertext", run: func(c *check) {
		const statement = "UPDATE customers SET email = ? WHERE name = ?"
		stmt := c.db.Session(&gorm.Session{DryRun: true}).Exec(statement, c.text(), "ada").Statement
		text := c.db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Exec(statement, c.text(), "ada") })
		for _, shown := range []string{fmt.Sprintf("%s %v", stmt.SQL.String(), stmt.Vars), text} {
			c.said = append(c.said, shown)
			if !strings.Contains(shown, "gc1:") {
				c.fail("value", "no ciphertext is in %s", shown)
			}
		}
		expect[customer](c)
	}},
	{path: "`Raw(\"UPDATE ... RETURNING *\").Scan(&model)`", happens: "sealed, and opened; or refused, `ErrHandWritten`", needs: Returning, run: func(c *check) {
		ada := c.existing("ada")
		want := *ada
		want.Email = c.text()
		var got customer
		if c.either("customers", "email", c.db.Raw("UPDATE customers SET email = ? WHERE name = ? RETURNING *", want.Email, "ada").Scan(&got).Error) {
			*ada = want
			c.same("what was returned", &got, ada)
		}
		expect(c, ada)
	}},
	{path: "`Raw(\"INSERT ... RETURNING name\").Scan(&s)`", happens: "sealed, or refused, `ErrHandWritten`", needs: Returning, run: func(c *check) {
		email := c.text()
		var want []*customer
		var name string
		if c.either("customers", "email", c.db.Raw("INSERT INTO customers (name, email) VALUES (?, ?) RETURNING name", "ada", email).Scan(&name).Error) {
			want = append(want, &customer{Name: name, Email: email})
		}
		expect(c, want...)
	}},
	{path: "`Raw(\"UPDATE ... RETURNING name\")` with `Row`, `Rows` and `G[T].Raw`", happens: "sealed, or refused, `ErrHandWritten`", needs: Returning, run: func(c *check) {
		ada := c.existing("ada")
		const statement = "UPDATE customers SET email = ? WHERE name = ? RETURNING name"
		for _, run := range []func(email string) error{
			func(email string) error { return c.db.Raw(statement, email, "ada").Row().Scan(new(string)) },
			func(email string) error {
				rows, err := c.db.Raw(statement, email, "ada").Rows()
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
				}
				return rows.Err()
			},
			func(email string) error {
				_, err := gorm.G[customer](c.db).Raw(statement, email, "ada").Find(c.Context())
				return err
			},
		} {
			email := c.text()
			if c.either("customers", "email", run(email)) {
				ada.Email = email
			}
			expect(c, ada)
		}
	}},
	{path: "`Exec(\"INSERT ... ON CONFLICT ... DO UPDATE SET col = ?\")`", happens: "sealed, or refused, `ErrHandWritten`", needs: Upserts, run: func(c *check) {
		ada := c.existing("ada")
		email := c.text()
		err := c.db.Exec("INSERT INTO customers (name, email) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET email = ?", "ada", c.text(), email).Error
		if c.either("customers", "email", err) {
			ada.Email = email
		}
		expect(c, ada)
	}},
	{path: "`G[T].Exec(\"UPDATE ...\")`", happens: sealed, run: func(c *check) {
		c.eachField(func(f field, value any) error {
			return gorm.G[customer](c.db).Exec(c.Context(), "UPDATE customers SET "+f.column+" = ? WHERE name = ?", asPlain(f, value), "ada")
		})
	}},
	{path: "`Exec(\"UPDATE ? SET ...\", clause.Table{...})`, `Exec(\"UPDATE t SET ? = ?\", clause.Column{...})`", happens: "sealed, or refused, `ErrHandWritten`", run: func(c *check) {
		ada := c.existing("ada")
		for statement, name := range map[string]any{
			"UPDATE ? SET email = ? WHERE name = ?":     tableNamed("customers"),
			"UPDATE customers SET ? = ? WHERE name = ?": columnNamed("email"),
		} {
			email := c.text()
			if c.either("customers", "email", c.db.Exec(statement, name, email, "ada").Error) {
				ada.Email = email
			}
		}
		expect(c, ada)
	}},
	{path: "`Exec` of SQL that computes the new value: `SET col = upper(?)`, `? || 'x'`, `CASE`", refused: errExpression, run: func(c *check) {
		c.existing("ada")
		for _, value := range []string{"upper(?)", "? || 'x'", "CASE WHEN 1 = 1 THEN ? END", "COALESCE(?, email)", "(SELECT ?)", "CAST(? AS text)", "-?"} {
			c.refuses("customers", "email", func() error {
				return c.db.Exec("UPDATE customers SET email = "+value+" WHERE name = ?", c.text(), "ada").Error
			})
			c.refuses("customers", "email", func() error {
				return c.db.Exec("INSERT INTO customers (name, email) VALUES (?, "+value+")", "bob", c.text()).Error
			})
		}
	}},
	{path: "`Exec` with the value in the text: `SET col = 'literal'`", refused: errExpression, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "email", func() error {
			return c.db.Exec("UPDATE customers SET email = '" + c.text() + "' WHERE name = 'ada'").Error
		})
		c.refuses("customers", "salary", func() error {
			return c.db.Exec(fmt.Sprintf("UPDATE customers SET salary = %d WHERE name = 'ada'", c.number())).Error
		})
		c.refuses("customers", "email", func() error {
			return c.db.Exec("INSERT INTO customers (name, email) VALUES ('bob', '" + c.text() + "')").Error
		})
	}},
	{path: "`Exec` with another column as the new value", refused: errExpression, run: func(c *check) {
		c.existing("ada")
		for _, column := range []string{"city", "tax_number", "customers.city"} {
			c.refuses("customers", "email", func() error {
				return c.db.Exec("UPDATE customers SET email = "+column+" WHERE name = ?", "ada").Error
			})
		}
	}},
	{path: "`Exec` that copies an encrypted column to a plain one of a listed model's table", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		for _, column := range []string{"email", "upper(email)", "customers.email"} {
			c.refuses("customers", "email", func() error {
				return c.db.Exec("UPDATE customers SET city = "+column+" WHERE name = ?", "ada").Error
			})
		}
	}},
	{path: "`Exec(\"INSERT INTO other (...) SELECT col FROM t\")`, `CREATE TABLE other AS SELECT ...`, where no listed model has the table `other`", happens: "copies ciphertext, which is read there as the text that it is", run: func(c *check) {
		c.existing("ada")
		c.execute("CREATE TABLE leads (name text, email text)")
		defer c.execute("DROP TABLE leads")
		c.must(c.db.Exec("INSERT INTO leads (name, email) SELECT name, email FROM customers").Error)
		c.must(c.db.Exec("CREATE TABLE copies AS SELECT name, email FROM customers").Error)
		defer c.execute("DROP TABLE copies")
		for _, table := range []string{"leads", "copies"} {
			var copied string
			c.must(c.fresh().Raw("SELECT email FROM " + table).Scan(&copied).Error)
			c.ciphertext(copied)
		}
	}},
	{path: "`Exec` of `CREATE VIEW`, `CREATE TABLE AS`, `CREATE INDEX`, `ALTER TABLE` with a condition on an encrypted column, an expression of it, or a value for it", refused: errDefinition, run: func(c *check) {
		c.existing("ada")
		for _, statement := range []string{
			"CREATE VIEW v AS SELECT id FROM customers WHERE email = '" + c.text() + "'",
			"CREATE TABLE v AS SELECT id, '" + c.text() + "' AS email FROM customers",
			"CREATE TABLE v AS SELECT upper(email) FROM customers",
			"CREATE INDEX v ON customers (name) WHERE email = '" + c.text() + "'",
			"CREATE INDEX v ON customers (lower(email))",
			"ALTER TABLE customers ADD CONSTRAINT v CHECK (email <> '" + c.text() + "')",
			"ALTER TABLE customers ALTER COLUMN email SET DEFAULT '" + c.text() + "'",
		} {
			c.refuses("customers", "email", func() error { return c.db.Exec(statement).Error })
		}
	}},
	{path: "`Exec` of the same with plain columns of such a table, and of `CREATE INDEX` on an encrypted column", happens: "passes", run: func(c *check) {
		ada := c.existing("ada")
		for name, statement := range map[string]string{
			"VIEW v1":  "CREATE VIEW v1 AS SELECT name, email FROM customers WHERE city <> 'x'",
			"INDEX v2": "CREATE INDEX v2 ON customers (city) WHERE name <> 'x'", "INDEX v3": "CREATE UNIQUE INDEX v3 ON customers (tax_number)",
		} {
			c.must(c.db.Exec(statement).Error)
			defer c.execute("DROP " + name)
		}
		expect(c, ada)
	}},
	{path: "`Exec(\"INSERT ... SELECT ?\")`", refused: errExpression, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "email", func() error {
			return c.db.Exec("INSERT INTO customers (name, email) SELECT ?, ?", "bob", c.text()).Error
		})
		c.refuses("customers", "email", func() error {
			return c.db.Exec("INSERT INTO customers (name, email) SELECT 'bob', city FROM customers").Error
		})
	}},
	{path: "`Exec(\"INSERT INTO t VALUES (?, ...)\")` without a list of columns", refused: errHandWritten, run: func(c *check) {
		c.existing("ada")
		c.freeze()
		_, args := c.insert(asPlain, c.customer("bob"))
		args = append([]any{4242}, args...)
		c.refusals++
		before := c.wire.Statements()
		err := c.db.Exec("INSERT INTO customers VALUES (?"+strings.Repeat(", ?", len(args)-1)+")", args...).Error
		c.heard(err)
		if !errHandWritten.matches(err) || !strings.Contains(err.Error(), "customers") {
			c.fail("refused", "the error is %v, want %s for customers", err, errHandWritten.name)
		}
		if c.wire.Statements() != before {
			c.fail("refused", "it was sent")
		}
	}},
	{path: "`Exec` of a CTE that writes, of `SET (a, b) = (...)`, of `REPLACE`, of several statements in one", happens: "sealed, or refused, `ErrHandWritten`, or by the database", run: func(c *check) {
		ada := c.existing("ada")
		for _, statement := range []string{
			"WITH x AS (SELECT 1) UPDATE customers SET email = ? WHERE name = 'ada'",
			"WITH x AS (UPDATE customers SET email = ? WHERE name = 'ada' RETURNING id) SELECT 1",
			"UPDATE customers SET (email, city) = (?, 'London') WHERE name = 'ada'",
			"UPDATE customers SET city = 'x' WHERE name = 'eve'; UPDATE customers SET email = ? WHERE name = 'ada'",
		} {
			email := c.text()
			err := c.db.Exec(statement, email).Error
			c.heard(err)
			if err == nil {
				ada.Email = email
			}
			expect(c, ada)
		}
		email := c.text()
		err := c.db.Exec("REPLACE INTO customers (name, email) VALUES ('ada', ?)", email).Error
		c.heard(err)
		if err == nil {
			ada = &customer{Name: "ada", Email: email}
		}
		expect(c, ada)
	}},
	{path: "`Exec` of a CTE, or of `UPDATE ... FROM`, that takes the value from elsewhere", refused: errExpression, run: func(c *check) {
		c.existing("ada")
		for _, statement := range []string{
			"WITH x AS (SELECT ? AS v) UPDATE customers SET email = (SELECT v FROM x) WHERE name = 'ada'",
			"WITH x AS (SELECT ? AS v) INSERT INTO customers (name, email) SELECT 'bob', v FROM x",
			"UPDATE customers SET email = o.v FROM (SELECT ? AS v) o WHERE name = 'ada'",
		} {
			c.refuses("customers", "email", func() error { return c.db.Exec(statement, c.text()).Error })
		}
	}},
	{path: "`Exec(\"MERGE ...\")`", refused: errHandWritten, run: func(c *check) {
		c.existing("ada")
		c.refuses("customers", "email", func() error {
			return c.db.Exec("MERGE INTO customers USING (SELECT ? AS v) o ON 1 = 1 WHEN MATCHED THEN UPDATE SET email = o.v", c.text()).Error
		})
	}},
	{path: "`Exec` with a condition on an encrypted column", refused: errNotQueryable, run: func(c *check) {
		c.existing("ada")
		for _, statement := range []string{
			"DELETE FROM customers WHERE email = ?", "UPDATE customers SET city = 'x' WHERE email = ?", "DELETE FROM customers WHERE name IN (SELECT name FROM customers WHERE email = ?)",
			"DELETE FROM customers WHERE lower(email) = ?", "UPDATE customers SET city = 'x' WHERE 'a' < ? AND email IS NOT NULL OR email = 'x'",
		} {
			c.refuses("customers", "email", func() error { return c.db.Exec(statement, c.text()).Error })
		}
	}},
	{path: "Plain `database/sql`, with values of `encryptedtype`, after `SetDefault`", happens: "sealed; opens in columns of such types", run: func(c *check) {
		db, ada := c.underDefault()
		ada.APIKey, ada.Quota = typed(c.text()).(encryptedString), typed(c.number()).(encryptedInt)
		args := []any{ada.APIKey, ada.Quota}
		const statement = "UPDATE customers SET api_key = ?, quota = ?"
		inDialect := db.Session(&gorm.Session{DryRun: true}).Exec(statement, args...).Statement.SQL.String() // its placeholders
		_, err := c.pool.Exec(inDialect, args...)
		c.must(err)
		expect(c, ada)
	}},
	{path: "`Exec` of SQL that writes no encrypted column", happens: "passes untouched", run: func(c *check) {
		ada := c.existing("ada")
		c.execute("CREATE TABLE leads (name text, email text)")
		defer c.execute("DROP TABLE leads")
		c.must(c.db.Exec("UPDATE customers SET city = ? WHERE name = ? AND email IS NOT NULL", "Paris", "ada").Error)
		c.must(c.db.Exec("INSERT INTO customers (name, city) VALUES (?, ?)", "bob", "Rome").Error)
		c.must(c.db.Exec("INSERT INTO customers (name, city) VALUES (?, ?)", "eve", "Rome").Error)
		c.must(c.db.Exec("DELETE FROM customers WHERE name = ?", "eve").Error)
		c.must(c.db.Exec("INSERT INTO leads (name, email) VALUES (?, ?)", "ada", "plain").Error)
		c.must(c.db.Exec("UPDATE leads SET email = upper(?) WHERE email = ?", "plain", "plain").Error)
		c.must(c.db.Exec("INSERT INTO leads (name, email) SELECT city, name FROM customers WHERE city = ?", "Rome").Error)
		ada.City = "Paris"
		expect(c, ada, &customer{Name: "bob", City: "Rome"})
		c.same("the leads", c.query("SELECT name, email FROM leads ORDER BY name"), [][]any{{"Rome", "bob"}, {"ada", "PLAIN"}})
	}},
}
