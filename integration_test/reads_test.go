package integration_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Every way of reading into a model opens its fields.
func TestReadsOpen(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		row := ada()
		row.Orders = []order{{Address: "SECRET street"}}
		if err := db.Create(row).Error; err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]func(c *customer) error{
			"First": func(c *customer) error { return db.First(c).Error },
			"Take":  func(c *customer) error { return db.Take(c, row.ID).Error },
			"Last":  func(c *customer) error { return db.Last(c, "name = ?", "ada").Error },
			"Find": func(c *customer) error {
				var all []customer
				err := db.Find(&all).Error
				*c = all[0]
				return err
			},
			"Find pointers": func(c *customer) error {
				var all []*customer
				err := db.Find(&all).Error
				*c = *all[0]
				return err
			},
			"Select": func(c *customer) error { return db.Select("id", "email", "salary").First(c).Error },
			"Omit":   func(c *customer) error { return db.Omit("phone").First(c).Error },
			"Scan":   func(c *customer) error { return db.Model(&customer{}).Scan(c).Error },
			"Raw":    func(c *customer) error { return db.Raw("SELECT * FROM customers").Scan(c).Error },
			"in a subquery": func(c *customer) error {
				return db.Where("id IN (?)", db.Model(&customer{}).Select("id")).First(c).Error
			},
			"prepared":       func(c *customer) error { return db.Session(&gorm.Session{PrepareStmt: true}).First(c).Error },
			"all the fields": func(c *customer) error { return db.Session(&gorm.Session{QueryFields: true}).First(c).Error },
			"generic": func(c *customer) error {
				read, err := gorm.G[customer](db.DB).First(t.Context())
				*c = read
				return err
			},
			"FindInBatches": func(c *customer) error {
				var all []customer
				return db.FindInBatches(&all, 1, func(*gorm.DB, int) error { *c = all[0]; return nil }).Error
			},
			"ScanRows": func(c *customer) error {
				rows, err := db.Model(&customer{}).Rows()
				if err != nil {
					return err
				}
				defer rows.Close()
				rows.Next()
				return db.ScanRows(rows, c)
			},
			"Preload": func(c *customer) error { return db.Preload("Orders").First(c).Error },
		} {
			var got customer
			if err := read(&got); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got.Email != "ada@SECRET" || got.Salary != 424242 {
				t.Errorf("%s read %+v", name, got)
			}
			if name == "Preload" && (len(got.Orders) != 1 || got.Orders[0].Address != "SECRET street") {
				t.Errorf("%s read the orders %+v", name, got.Orders)
			}
		}
		db.requireUnsaid(t, "SECRET", "424242")
	})
}

// Relations are opened by joins too.
func TestJoinsOpen(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{})
		if err := db.Create(&pet{Name: "SECRET rex", Owner: &person{Email: "SECRET ada"}}).Error; err != nil {
			t.Fatal(err)
		}
		for name, query := range map[string]*gorm.DB{"Joins": db.Joins("Owner"), "InnerJoins": db.InnerJoins("Owner"), "Preload": db.Preload("Owner")} {
			var got pet
			if err := query.First(&got).Error; err != nil {
				t.Errorf("%s: %v", name, err)
			} else if got.Owner == nil || got.Owner.Email != "SECRET ada" || got.Name != "SECRET rex" {
				t.Errorf("%s read %+v", name, got)
			}
		}
	})
}

// A LEFT JOIN without a match makes no relation.
func TestJoinsWithoutAMatch(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{}, &kennel{})
		if err := db.Create([]*kennel{{Pet: &pet{Name: "SECRET"}}, {Pet: &pet{Owner: &person{Email: "SECRET"}}}, {}}).Error; err != nil {
			t.Fatal(err)
		}
		var got []kennel
		if err := db.Joins("Pet").Joins("Pet.Owner").Order("kennels.id").Find(&got).Error; err != nil {
			t.Fatal(err)
		}
		if got[0].Pet == nil || got[0].Pet.Owner != nil || got[1].Pet.Owner == nil || got[1].Pet.Owner.Email != "SECRET" || got[2].Pet != nil {
			t.Errorf("read %+v", got)
		}
		var last kennel
		if err := db.Joins("Pet").Last(&last).Error; err != nil || last.Pet != nil {
			t.Errorf("read %+v, %v", last, err)
		}
	})
}

// A match makes one, even if there is nothing in what was selected of it.
func TestJoinsWithAnEmptyMatch(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{}, &kennel{})
		if err := db.Create([]*kennel{{Pet: &pet{Owner: &person{}}}, {}}).Error; err != nil {
			t.Fatal(err)
		}
		for what, query := range map[string]*gorm.DB{
			"one":    db.Joins("Pet", db.Select("Name")),
			"nested": db.Joins("Pet", db.Select("Name")).Joins("Pet.Owner", db.Select("Email")),
		} {
			var got []*kennel
			if err := query.Order("kennels.id").Find(&got).Error; err != nil || got[0].Pet == nil || got[1].Pet != nil {
				t.Errorf("%s: read %+v, %+v, %v", what, got[0], got[1], err)
			}
		}
		var got kennel
		if err := db.Joins("Pet").Joins("Pet.Owner", db.Select("Email")).First(&got).Error; err != nil || got.Pet == nil || got.Pet.Owner == nil {
			t.Errorf("read %+v, %v", got.Pet, err)
		}
	})
}

// Joins with a selection of columns keep what they match, and * keeps the columns
// of joined tables.
func TestJoinsWithSelectedColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{}, &letter{})
		if err := db.Create(&pet{Name: "rex", Owner: &person{Email: "SECRET"}}).Error; err != nil {
			t.Fatal(err)
		}
		var got pet
		if err := db.Joins("Owner", db.Select("Email")).First(&got).Error; err != nil || got.Owner == nil || got.Owner.Email != "SECRET" {
			t.Errorf("read %+v, %v", got, err)
		}
		createLetters(t, db)
		var rows []struct {
			Account string
			OwnerID int
		}
		if err := db.Model(&letter{}).Select("*").Joins("JOIN pets ON pets.id = letters.id").Scan(&rows).Error; err != nil || len(rows) != 1 || rows[0].OwnerID != 1 {
			t.Errorf("read %+v, %v", rows, err)
		}
	})
}

type kennel struct {
	ID    uint
	PetID *uint
	Pet   *pet
}

type person struct {
	ID    uint
	Email string `gorm:"serializer:encrypted"`
}

type pet struct {
	ID      uint
	Name    string `gorm:"serializer:encrypted"`
	OwnerID *uint
	Owner   *person
}

// letter has fields that can be confused, moved and bound.
type letter struct {
	ID      uint
	Account string
	Email   string `gorm:"serializer:encrypted"`
	Phone   string `gorm:"serializer:encrypted"`
	Binary  []byte `gorm:"serializer:encrypted;type:bytes"`
	Payout  string `gorm:"serializer:encrypted" encrypt:"bind=Account"`
}

// planted is plaintext that somebody has written past the plugin. It comes back
// over the wire, so it is not one of the texts that the wire looks for.
const planted = "plaintext that was planted"

// What does not open is an error that says where, and never a row.
func TestStoredValuesThatDoNotOpen(t *testing.T) {
	t.Parallel()
	first := generate(t)
	second, added, err := first.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted := must[*keyring.Keyring](t)(second.Promote(added))
	retired := must[*keyring.Keyring](t)(promoted.Retire(keyring.MakeVersion(keyring.DataKeys, 1)))
	unchanged := func(s string) string { return s }
	flip := func(i int) func(string) string {
		return func(stored string) string {
			prefix, body := stored[:len("gc1:1:")], stored[len("gc1:1:"):]
			raw, err := base64.RawURLEncoding.DecodeString(body)
			if err != nil {
				t.Fatal(err)
			}
			raw[(i+len(raw))%len(raw)] ^= 1
			return prefix + base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	cases := map[string]struct {
		column  string
		change  func(stored string) string // of the second row
		keys    *keyring.Keyring
		want    error
		version string
	}{
		"one bit of the nonce":      {"email", flip(1), first, gormcrypt.ErrAuthentication, "1"},
		"one bit of the ciphertext": {"email", flip(30), first, gormcrypt.ErrAuthentication, "1"},
		"one bit of the tag":        {"email", flip(-1), first, gormcrypt.ErrAuthentication, "1"},
		"the algorithm":             {"email", flip(0), first, gormcrypt.ErrUnsupported, "1"},
		"cut in the middle":         {"email", func(s string) string { return s[:len(s)/2] }, first, gormcrypt.ErrMalformed, "1"},
		"cut by two bytes":          {"email", func(s string) string { return s[:len(s)-3] }, first, gormcrypt.ErrAuthentication, "1"},
		"cut to its prefix":         {"email", func(s string) string { return s[:6] }, first, gormcrypt.ErrMalformed, "1"},
		"cut to nothing":            {"email", func(string) string { return "" }, first, gormcrypt.ErrNotCiphertext, ""},
		"plaintext":                 {"email", func(string) string { return planted }, first, gormcrypt.ErrNotCiphertext, ""},
		"another format":            {"email", func(s string) string { return "gc2" + s[3:] }, first, gormcrypt.ErrUnsupported, ""},
		"version changed":           {"email", func(s string) string { return "gc1:2" + s[5:] }, promoted, gormcrypt.ErrAuthentication, "2"},
		"unknown version":           {"email", func(s string) string { return "gc1:9" + s[5:] }, first, gormcrypt.ErrUnknownVersion, "9"},
		// Every column fails; GORM's error leads to the last of them.
		"retired key": {"payout", unchanged, retired, gormcrypt.ErrRetired, "1"},
		"wrong key":   {"payout", unchanged, generate(t), gormcrypt.ErrAuthentication, "1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				db := open(t, where, first, &letter{})
				createLetters(t, db)
				stored := db.column(t, "letters", c.column)[1].String
				db.execute(t, "UPDATE letters SET "+c.column+" = ? WHERE id = 2", c.change(stored))
				requireRefused(t, reopen(t, where, c.keys, &letter{}), c.column, c.want, c.version)
			})
		})
	}
	moves := map[string]string{
		"moved from another column":               "UPDATE letters SET email = phone WHERE id = 2",
		"moved from a bound column":               "UPDATE letters SET email = payout WHERE id = 2",
		"moved to a bound column":                 "UPDATE letters SET payout = email WHERE id = 2",
		"moved from another row, bound":           "UPDATE letters SET payout = (SELECT payout FROM letters WHERE id = 1) WHERE id = 2",
		"left behind when its row changes, bound": "UPDATE letters SET account = 'other' WHERE id = 2",
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				db := open(t, where, first, &letter{})
				createLetters(t, db)
				db.execute(t, move)
				column := "email"
				if strings.Contains(name, "bound") && name != "moved from a bound column" {
					column = "payout"
				}
				requireRefused(t, db, column, gormcrypt.ErrAuthentication, "1")
			})
		})
	}
	// Without a binding, rows can be exchanged: that is what bind= is for.
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, first, &letter{})
		createLetters(t, db)
		db.execute(t, "UPDATE letters SET email = (SELECT email FROM letters WHERE id = 1) WHERE id = 2")
		var got letter
		if err := db.First(&got, 2).Error; err != nil || got.Email != "1@SECRET" {
			t.Errorf("read %q, %v", got.Email, err)
		}
	})
}

func createLetters(t *testing.T, db *database) {
	t.Helper()
	var letters []*letter
	for i := range 3 {
		letters = append(letters, &letter{
			Account: fmt.Sprintf("acct-%d", i+1), Email: fmt.Sprintf("%d@SECRET", i+1), Phone: "SECRET phone",
			Binary: []byte("SECRET bytes"), Payout: "SECRET iban",
		})
	}
	if err := db.Create(&letters).Error; err != nil {
		t.Fatal(err)
	}
}

// requireRefused reads the second letter in several ways, each of which must
// give the error, and no row.
func requireRefused(t *testing.T, db *database, column string, want error, version string) {
	t.Helper()
	for name, read := range map[string]func() (any, error){
		"First": func() (any, error) { got := letter{ID: 2}; err := db.First(&got).Error; return got, err },
		"Find":  func() (any, error) { var got []letter; err := db.Order("id").Find(&got).Error; return got, err },
		"Find pointers": func() (any, error) {
			var got []*letter
			tx := db.Order("id").Find(&got)
			if tx.RowsAffected != 0 {
				t.Errorf("%d rows are said to be affected", tx.RowsAffected)
			}
			return got, tx.Error
		},
		"Scan": func() (any, error) {
			var got letter
			err := db.Model(&letter{}).Where("id = 2").Scan(&got).Error
			return got.field(column), err
		},
		"Raw": func() (any, error) {
			var got letter
			err := db.Raw("SELECT * FROM letters WHERE id = 2").Scan(&got).Error
			return got.field(column), err
		},
		"generic": func() (any, error) { return first(gorm.G[letter](db.DB).Where("id = 2").Find(t.Context())) },
	} {
		got, err := read()
		var detail *gormcrypt.Error
		if !errors.Is(err, want) || !errors.As(err, &detail) {
			t.Errorf("%s: error %v, want %v", name, err, want)
			continue
		}
		gotVersion := ""
		if !detail.Version.IsZero() {
			gotVersion = detail.Version.String()
		}
		if detail.Table != "letters" || detail.Column != column || gotVersion != version {
			t.Errorf("%s: the error names %s.%s, version %q; want letters.%s, version %q", name, detail.Table, detail.Column, gotVersion, column, version)
		}
		if text := err.Error(); !strings.Contains(text, "letters."+column) || strings.Contains(text, "SECRET") || strings.Contains(text, planted) || strings.Contains(text, "gc1:") {
			t.Errorf("%s: the error does not name the column, or holds a value: %v", name, err)
		}
		if !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s handed out %+v", name, got)
		}
	}
	db.requireUnsaid(t, "SECRET", planted)
}

// first is what a caller who minds only the rows sees.
func first(rows []letter, err error) (any, error) {
	if len(rows) == 0 {
		return letter{}, err
	}
	return rows, err
}

func (l letter) field(column string) any {
	return reflect.ValueOf(l).FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, column) }).Interface()
}

// Key versions live side by side; each value opens under its own.
func TestTwoKeyVersions(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys := generate(t)
		db := open(t, where, keys, &letter{})
		if err := db.Create(&letter{Account: "a", Email: "old@SECRET", Payout: "x"}).Error; err != nil {
			t.Fatal(err)
		}
		added, version, err := keys.Add(keyring.DataKeys)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.crypt.SetKeys(t.Context(), must[*keyring.Keyring](t)(added.Promote(version))); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&letter{Account: "a", Email: "new@SECRET", Payout: "x"}).Error; err != nil {
			t.Fatal(err)
		}
		stored := db.column(t, "letters", "email")
		if !strings.HasPrefix(stored[0].String, "gc1:1:") || !strings.HasPrefix(stored[1].String, "gc1:2:") {
			t.Errorf("stored are %.8s and %.8s", stored[0].String, stored[1].String)
		}
		var read []letter
		if err := db.Order("id").Find(&read).Error; err != nil {
			t.Fatal(err)
		}
		if read[0].Email != "old@SECRET" || read[1].Email != "new@SECRET" {
			t.Errorf("read %q and %q", read[0].Email, read[1].Email)
		}
		if err := db.crypt.SetKeys(t.Context(), (*keyring.Keyring)(nil)); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("a nil keyring: %v", err)
		}
	})
}
