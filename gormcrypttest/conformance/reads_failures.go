package conformance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Stored values that do not open.

// damaged are columns of customers whose values are spoilt, one of each sort.
var damaged = []field{customerFields[1], customerFields[4], customerFields[11], customerFields[14], customerFields[16]}

// spoils is a row that replaces what is stored of ada, in one column after the
// other, and reads it in every way.
func spoils(path string, refused *refusal, version string, spoil func(c *check, f field, stored string) string) row {
	return row{path: path, refused: refused, happens: "no row is handed out as if it were whole", run: func(c *check) {
		c.existing("ada")
		for _, f := range damaged {
			stored := c.query("SELECT " + f.column + " FROM customers WHERE name = 'ada'")[0][0].(string)
			c.execute("UPDATE customers SET " + f.column + " = '" + spoil(c, f, stored) + "' WHERE name = 'ada'")
			c.requireUnreadable(c.fresh(), f, version)
			c.execute("UPDATE customers SET " + f.column + " = '" + stored + "' WHERE name = 'ada'")
		}
	}}
}

// flip changes one bit of ciphertext. Its first byte names the algorithm.
func flip(at int) func(*check, field, string) string {
	return func(c *check, _ field, stored string) string {
		body, err := base64.RawURLEncoding.DecodeString(stored[len("gc1:1:"):])
		c.must(err)
		body[(at+len(body))%len(body)] ^= 1
		return stored[:len("gc1:1:")] + base64.RawURLEncoding.EncodeToString(body)
	}
}

// rekeyed is a row that reads ada under another keyring than she was written
// under.
func rekeyed(path string, refused *refusal, version string, keys func(c *check) keyring.Source) row {
	return row{path: path, refused: refused, happens: "no row is handed out as if it were whole", run: func(c *check) {
		c.existing("ada")
		db := c.handle(keys(c))
		for _, f := range damaged {
			c.requireUnreadable(db, f, version)
		}
	}}
}

// requireUnreadable reads a column of ada in every way. Each must give the row's
// error, which names the column and the key version, and not the value.
func (c *check) requireUnreadable(db *gorm.DB, f field, version string) {
	c.Helper()
	query := func() *gorm.DB { return db.Session(&gorm.Session{NewDB: true}).Select("id", "name", f.column) }
	one := func() *gorm.DB { return query().Where("name = ?", "ada") }
	text := "SELECT id, name, " + f.column + " FROM customers"
	for what, read := range map[string]func() (got any, err error){
		"First":         func() (any, error) { var got customer; err := query().First(&got).Error; return got, err },
		"Take":          func() (any, error) { var got customer; err := one().Take(&got).Error; return got, err },
		"Last":          func() (any, error) { var got customer; err := query().Last(&got).Error; return got, err },
		"Find":          func() (any, error) { var got []customer; err := query().Find(&got).Error; return got, err },
		"Find pointers": func() (any, error) { var got []*customer; err := query().Find(&got).Error; return got, err },
		"Find one":      func() (any, error) { var got customer; err := one().Find(&got).Error; return got, err },
		"Table": func() (any, error) {
			var got []customer
			err := query().Table("customers").Find(&got).Error
			return got, err
		},
		"FindInBatches": func() (any, error) {
			var got, handed []customer
			err := query().FindInBatches(&got, 1, func(*gorm.DB, int) error { handed = got; return nil }).Error
			return handed, err
		},
		"G.First": func() (any, error) {
			got, err := gorm.G[customer](db).Select("id", "name", f.column).First(c.Context())
			return got, err
		},
		"G.Find": func() (any, error) {
			got, err := gorm.G[customer](db).Select("id", "name", f.column).Find(c.Context())
			return got, err
		},
		"map": func() (any, error) {
			got := map[string]any{}
			err := one().Model(&customer{}).Take(&got).Error
			return got, err
		},
		"[]map": func() (any, error) {
			var got []map[string]any
			err := query().Model(&customer{}).Find(&got).Error
			return got, err
		},
		"map of a table": func() (any, error) {
			got := map[string]any{}
			err := one().Table("customers").Take(&got).Error
			return got, err
		},
		"Pluck": func() (any, error) {
			var got []string
			err := db.Model(&customer{}).Pluck(f.column, &got).Error
			return got, err
		},
		"Pluck of a table": func() (any, error) {
			var got []*string
			err := db.Table("customers").Pluck(f.column, &got).Error
			return got, err
		},
		"Scan a value": func() (any, error) {
			var got string
			err := db.Model(&customer{}).Select(f.column).Scan(&got).Error
			return got, err
		},
		"Find another struct": func() (any, error) {
			var got []contact
			err := query().Model(&customer{}).Find(&got).Error
			return got, err
		},
		"Raw.Find": func() (any, error) { var got []customer; err := db.Raw(text).Find(&got).Error; return got, err },
		"Raw.Scan a value": func() (any, error) {
			var got string
			err := db.Raw("SELECT " + f.column + " FROM customers").Scan(&got).Error
			return got, err
		},
	} {
		got, err := read()
		c.unreadable(what, err, f, version)
		c.nothing(got)
	}
	// These hand out what could be read: the field is empty, beside the error.
	for what, read := range map[string]func() (got customer, err error){
		"Scan":     func() (got customer, err error) { return got, one().Model(&customer{}).Scan(&got).Error },
		"Raw.Scan": func() (got customer, err error) { return got, db.Raw(text).Scan(&got).Error },
		"ScanRows": func() (got customer, err error) {
			rows, err := query().Model(&customer{}).Rows()
			if err != nil {
				return got, err
			}
			defer rows.Close()
			for rows.Next() {
				err = errors.Join(err, db.ScanRows(rows, &got))
			}
			return got, err
		},
	} {
		got, err := read()
		c.unreadable(what, err, f, version)
		c.same(what+" of a value that does not open", f.of(&got), f.of(&customer{}))
	}
	if c.place.Lacks[Returning] == "" {
		returning := clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: f.column}}}
		var got customer
		err := db.Model(&got).Clauses(returning).Where("name = ?", "ada").Update("city", "x").Error
		c.unreadable("RETURNING", err, f, version)
		c.same("RETURNING of a value that does not open", f.of(&got), f.of(&customer{}))
	}
}

// unreadable checks the error of a value that does not open.
func (c *check) unreadable(what string, err error, f field, version string) {
	c.Helper()
	c.refused(err, "customers", f.column)
	var detail *gormcrypt.Error
	if !errors.As(err, &detail) {
		return
	}
	if got := detail.Version; version == "" != got.IsZero() || version != "" && got.String() != version {
		c.fail("refused", "%s: the error names key version %q, want %q: %v", what, got, version, err)
	}
	if strings.Contains(err.Error(), "gc1:") {
		c.fail("said", "%s: the error holds ciphertext: %v", what, err)
	}
}

var (
	errMalformed      = &refusal{name: "ErrMalformed", is: []error{gormcrypt.ErrMalformed}}
	errUnsupported    = &refusal{name: "ErrUnsupported", is: []error{gormcrypt.ErrUnsupported}}
	errNotCiphertext  = &refusal{name: "ErrNotCiphertext", is: []error{gormcrypt.ErrNotCiphertext}}
	errUnknownVersion = &refusal{name: "ErrUnknownVersion", is: []error{gormcrypt.ErrUnknownVersion}}
	errRetired        = &refusal{name: "ErrRetired", is: []error{gormcrypt.ErrRetired}}
)

var failureReads = []row{
	spoils("Ciphertext with one bit of its nonce changed", errAuthentication, "1", flip(9)),
	spoils("Ciphertext with its last bit changed", errAuthentication, "1", flip(-1)),
	spoils("Ciphertext with another algorithm", errUnsupported, "1", func(c *check, _ field, stored string) string {
		body, err := base64.RawURLEncoding.DecodeString(stored[len("gc1:1:"):])
		c.must(err)
		body[0] ^= 0x40
		return stored[:len("gc1:1:")] + base64.RawURLEncoding.EncodeToString(body)
	}),
	spoils("Ciphertext that was cut to its prefix", errMalformed, "1", func(_ *check, _ field, stored string) string { return stored[:len("gc1:1:")] }),
	spoils("Ciphertext that was cut in the middle", &refusal{name: "ErrMalformed` or `ErrAuthentication", is: append(errMalformed.is, errAuthentication.is...)}, "1",
		func(_ *check, _ field, stored string) string { return stored[:len(stored)/2/4*4+6] }),
	spoils("Ciphertext of another format", errUnsupported, "", func(_ *check, _ field, stored string) string { return "gc2" + stored[3:] }),
	spoils("Ciphertext that names another key version, which the keyring does not have", errUnknownVersion, "9",
		func(_ *check, _ field, stored string) string { return "gc1:9" + stored[5:] }),
	spoils("Ciphertext that was moved from another column", errAuthentication, "1", func(c *check, f field, _ string) string {
		from := map[string]string{"phone": "email", "salary": "home_door", "home_street": "phone", "api_key": "token", "quota": "salary"}[f.column]
		return c.query("SELECT " + from + " FROM customers WHERE name = 'ada'")[0][0].(string)
	}),
	spoils("Plaintext in the column", errNotCiphertext, "", func(*check, field, string) string { return "plaintext from before" }),
	spoils("An empty text in the column", errNotCiphertext, "", func(*check, field, string) string { return "" }),
	rekeyed("Another keyring", errAuthentication, "1", func(c *check) keyring.Source {
		keys, err := keyring.Generate()
		c.must(err)
		return keys
	}),
	rekeyed("A keyring whose key version is retired", errRetired, "1", func(c *check) keyring.Source {
		return c.rotated(func(keys *keyring.Keyring) (*keyring.Keyring, error) {
			return keys.Retire(keyring.MakeVersion(keyring.DataKeys, 1))
		})
	}),
	{path: "A key version that this process does not have yet", refused: errUnknownVersion, happens: "no row is handed out as if it were whole", run: func(c *check) {
		ada := c.customer("ada")
		c.must(c.handle(c.rotated(func(keys *keyring.Keyring) (*keyring.Keyring, error) { return keys, nil })).Create(ada).Error)
		for _, f := range damaged {
			c.requireUnreadable(c.fresh(), f, "2")
		}
	}},
	{path: "Rows under two key versions", happens: opened, run: func(c *check) {
		ada := c.existing("ada")
		c.keys = c.rotated(func(keys *keyring.Keyring) (*keyring.Keyring, error) { return keys, nil })
		bob := c.customer("bob")
		c.must(c.fresh().Create(bob).Error)
		expect(c, ada, bob)
		for i, row := range c.query("SELECT email FROM customers ORDER BY name") {
			if prefix := fmt.Sprintf("gc1:%d:", i+1); !strings.HasPrefix(row[0].(string), prefix) {
				c.fail("stored", "row %d does not start with %s", i, prefix)
			}
		}
	}},
	{path: "One row of several that does not open", refused: errAuthentication, happens: "no row is handed out", run: func(c *check) {
		c.existing("ada")
		c.existing("bob")
		c.execute("UPDATE customers SET email = tax_number WHERE name = 'bob'")
		c.execute("UPDATE customers SET email = (SELECT phone FROM customers WHERE name = 'ada') WHERE name = 'bob'")
		var models []customer
		c.refused(c.fresh().Order("name").Find(&models).Error, "customers", "email")
		c.nothing(models)
		var maps []map[string]any
		c.refused(c.fresh().Model(&customer{}).Order("name").Find(&maps).Error, "customers", "email")
		c.nothing(maps)
		var texts []string
		c.refused(c.fresh().Model(&customer{}).Order("name").Pluck("email", &texts).Error, "customers", "email")
		c.nothing(texts)
		var contacts []contact
		c.refused(c.fresh().Model(&customer{}).Order("name").Find(&contacts).Error, "customers", "email")
		c.nothing(contacts)
	}},
	{path: "A relation that does not open, by `Preload` and `Joins`", refused: errAuthentication, happens: "no row is handed out as if it were whole", run: func(c *check) {
		c.existingOwner("ada")
		c.execute("UPDATE cards SET number = pin")
		c.execute("UPDATE companies SET account = (SELECT email FROM owners)")
		var preloaded, joined []owner
		c.refused(c.fresh().Preload("Cards").Find(&preloaded).Error, "cards", "number")
		for _, one := range preloaded {
			c.nothing(one.Cards)
		}
		c.refused(c.fresh().Joins("Company").Find(&joined).Error, "companies", "account")
		c.nothing(joined)
	}},
	{path: "`Save` of what could not be read", refused: errAuthentication, happens: "the stored value stays", run: func(c *check) {
		c.existing("ada")
		c.execute("UPDATE customers SET email = phone")
		c.freeze()
		var got customer
		c.refused(c.fresh().First(&got).Error, "customers", "email")
		c.nothing(got)
		err := c.fresh().Where("name = ?", "ada").Assign(map[string]any{"city": "x"}).FirstOrCreate(&got).Error
		c.refused(err, "customers", "email")
	}},
}

// rotated returns the keyring with a second data key, which seals, after a
// change.
func (c *check) rotated(change func(keys *keyring.Keyring) (*keyring.Keyring, error)) *keyring.Keyring {
	c.Helper()
	added, version, err := c.keys.Add(keyring.DataKeys)
	c.must(err)
	promoted, err := added.Promote(version)
	c.must(err)
	changed, err := change(promoted)
	c.must(err)
	return changed
}
