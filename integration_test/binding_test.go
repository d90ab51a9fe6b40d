package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// account has its bound columns in front of those that they are bound to, the
// worst order to read them in.
type account struct {
	Payout string `gorm:"serializer:encrypted" encrypt:"bind=TenantID,Code"`
	Note   string `gorm:"serializer:encrypted"`
	Name   string
	// Code is bound by its Go name, whatever its column is called.
	Code     string `gorm:"column:account_code;unique"`
	TenantID int64
	ID       uint
	ParentID *uint
	Parent   *account
	Lockbox  lockbox `gorm:"embedded;embeddedPrefix:box_"`
}

// lockbox is bound to a field beside it, and by Code to one outside of it.
type lockbox struct {
	Secret string `gorm:"serializer:encrypted" encrypt:"bind=Serial,Code"`
	Serial []byte
}

func newAccount(code string) *account {
	return &account{Payout: "SECRET " + code, TenantID: -7, Code: code, Lockbox: lockbox{Secret: "SECRET in " + code, Serial: []byte{1, 0, 255}}}
}

func createAccounts(t *testing.T, where testdb.Database) *database {
	t.Helper()
	db := open(t, where, generate(t), &account{})
	if err := db.Create([]*account{newAccount("a"), newAccount("b")}).Error; err != nil {
		t.Fatal(err)
	}
	return db
}

// Bound values are read before what is bound to them, whatever the order of
// the columns in the struct, the table or the query.
func TestBoundColumnsAreRead(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := createAccounts(t, where)
		if err := db.Model(&account{}).Where("account_code = ?", "b").Update("parent_id", 1).Error; err != nil {
			t.Fatal(err)
		}
		b := func() *gorm.DB { return db.Where("accounts.account_code = ?", "b") }
		for name, read := range map[string]func(got *account) error{
			"First": func(got *account) error { return b().First(got).Error },
			"Select": func(got *account) error {
				return b().Select("payout", "box_secret", "box_serial", "account_code", "tenant_id").First(got).Error
			},
			"Omit":        func(got *account) error { return b().Omit("name").First(got).Error },
			"QueryFields": func(got *account) error { return b().Session(&gorm.Session{QueryFields: true}).First(got).Error },
			"Scan":        func(got *account) error { return b().Model(&account{}).Scan(got).Error },
			"Joins":       func(got *account) error { return b().Joins("Parent").First(got).Error },
			"Preload":     func(got *account) error { return b().Preload("Parent").First(got).Error },
			"RETURNING": func(got *account) error {
				return db.Clauses(clause.Returning{}).Where("account_code = ?", "b").Delete(got).Error
			},
			"Raw out of order": func(got *account) error {
				return db.Raw("SELECT payout, box_secret, tenant_id, account_code, box_serial FROM accounts WHERE account_code = 'b'").Scan(got).Error
			},
			"Raw in order": func(got *account) error {
				return db.Raw("SELECT tenant_id, account_code, box_serial, payout, box_secret FROM accounts WHERE account_code = 'b'").Scan(got).Error
			},
		} {
			// What RETURNING reads is gone afterwards.
			tx := db.Begin()
			before := db.DB
			db.DB = tx
			var got account
			err := read(&got)
			db.DB = before
			tx.Rollback()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got.Payout != "SECRET b" || got.Lockbox.Secret != "SECRET in b" {
				t.Errorf("%s read %+v", name, got)
			}
			if (name == "Joins" || name == "Preload") && (got.Parent == nil || got.Parent.Payout != "SECRET a") {
				t.Errorf("%s read the parent %+v", name, got.Parent)
			}
		}
		db.execute(t, "INSERT INTO accounts (payout, account_code) SELECT payout, NULL FROM accounts WHERE account_code = 'a'")
		unread := func(query *gorm.DB) error {
			rows, err := query.Model(&account{}).Rows()
			if err != nil {
				return err
			}
			defer rows.Close()
			rows.Next()
			return db.ScanRows(rows, &account{})
		}
		const unselected = "the value is bound to Code, which was not selected; select it too"
		for name, read := range map[string]struct {
			run  func() error
			want string
		}{
			"Select":         {func() error { return db.Select("payout", "tenant_id").Find(&account{}).Error }, "or was not selected in front of payout; select it too"},
			"Omit":           {func() error { return db.Omit("Code").First(&account{}).Error }, "or was not selected in front of payout; select it too"},
			"Select as text": {func() error { return db.Select("payout, tenant_id").Find(&account{}).Error }, unselected},
			"Raw":            {func() error { return db.Raw("SELECT payout, tenant_id FROM accounts").Find(&account{}).Error }, unselected},
			"map": {func() error {
				return db.Model(&account{}).Select("payout", "tenant_id").Take(&map[string]any{}).Error
			}, unselected},
			"Pluck": {func() error { return db.Model(&account{}).Pluck("payout", &[]string{}).Error },
				"which was not selected; select it too, into a model, another struct or a map"},
			"Scan": {func() error { return db.Model(&account{}).Select("payout").Limit(1).Scan(new(string)).Error },
				"which was not selected; select it too, into a model, another struct or a map"},
			"ScanRows":      {func() error { return unread(db.Select("payout", "tenant_id")) }, "or was not selected in front of payout"},
			"NULL":          {func() error { return db.Where("account_code IS NULL").First(&account{}).Error }, "it is zero or NULL in the row"},
			"NULL in a map": {func() error { return db.Model(&account{}).Where("account_code IS NULL").Take(&map[string]any{}).Error }, "it is zero or NULL in the row"},
		} {
			err := read.run()
			if !errors.Is(err, gormcrypt.ErrBinding) || !strings.Contains(err.Error(), read.want) {
				t.Errorf("%s: error %v, want %q", name, err, read.want)
			}
		}
	})
}

// Writes that keep a value and what it is bound to together pass.
func TestBoundColumnsAreWritten(t *testing.T) {
	t.Parallel()
	byCode := []clause.Column{{Name: "account_code"}}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for name, c := range map[string]struct {
			write func(db *database, b *account) error
			want  string
		}{
			"Update": {func(db *database, b *account) error { return db.Model(b).Update("payout", "SECRET 2").Error }, "SECRET 2"},
			"Updates map": {func(db *database, b *account) error {
				return db.Model(b).Updates(map[string]any{"Payout": "SECRET 2", "name": "n"}).Error
			}, "SECRET 2"},
			"Updates struct": {func(db *database, b *account) error { return db.Model(b).Updates(account{Payout: "SECRET 2"}).Error }, "SECRET 2"},
			"Save":           {func(db *database, b *account) error { b.Payout, b.TenantID = "SECRET 2", 9; return db.Save(b).Error }, "SECRET 2"},
			"both in one map": {func(db *database, b *account) error {
				return db.Model(&account{ID: b.ID}).Updates(map[string]any{"payout": "SECRET 2", "tenant_id": "9", "account_code": "b", "box_secret": "x", "box_serial": []byte{2}}).Error
			}, "SECRET 2"},
			"NULL needs no row": {func(db *database, b *account) error {
				return db.Model(&account{}).Where("account_code = ?", "b").Update("payout", nil).Error
			}, ""},
			"other columns": {func(db *database, b *account) error {
				return db.Model(&account{}).Where("account_code = ?", "b").Updates(map[string]any{"note": "SECRET", "name": "n"}).Error
			}, "SECRET b"},
			"Create map": {func(db *database, b *account) error {
				if err := db.Delete(b).Error; err != nil {
					return err
				}
				return db.Model(&account{}).Create(map[string]any{"payout": "SECRET 2", "tenant_id": 1, "Code": "b"}).Error
			}, "SECRET 2"},
			"upsert of everything": {func(db *database, b *account) error {
				n := newAccount("b")
				n.Payout, n.TenantID = "SECRET 2", 12
				return db.Clauses(clause.OnConflict{Columns: byCode, UpdateAll: true}).Create(n).Error
			}, "SECRET 2"},
			"upsert of columns, in what conflicts": {func(db *database, b *account) error {
				n := newAccount("b")
				n.Payout, n.TenantID = "SECRET 2", 12
				return db.Clauses(clause.OnConflict{Columns: byCode, DoUpdates: clause.AssignmentColumns([]string{"payout", "tenant_id"})}).Create(n).Error
			}, "SECRET 2"},
			"upsert of values": {func(db *database, b *account) error {
				return db.Clauses(clause.OnConflict{Columns: byCode, DoUpdates: clause.Assignments(map[string]any{
					"payout": "SECRET 2", "tenant_id": 5, "account_code": "b", "box_secret": nil})}).Create(newAccount("b")).Error
			}, "SECRET 2"},
			// The model says tenant 8, the table -7: sealing for the model's
			// tenant would lose the value, so the row is left alone.
			"a model that is out of date": {func(db *database, b *account) error {
				b.TenantID = 8
				if err := db.Model(b).Update("payout", "SECRET 2").Error; !errors.Is(err, gormcrypt.ErrBinding) {
					return fmt.Errorf("error %v, want ErrBinding", err)
				}
				return nil
			}, "SECRET b"},
			"conditions that match other rows too": {func(db *database, b *account) error {
				tx := db.Model(&account{TenantID: -7, Code: "b"}).Where("tenant_id = ?", -7).Or("tenant_id = ?", -7).Update("payout", "SECRET 2")
				if tx.Error == nil && tx.RowsAffected != 1 {
					return errors.New("other rows were updated")
				}
				return tx.Error
			}, "SECRET 2"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				where := where
				if where.Name == "sqlite" {
					where = testdb.SQLite(t)
				} else {
					where = testdb.Postgres(t)
				}
				db := createAccounts(t, where)
				var b account
				if err := db.First(&b, "account_code = ?", "b").Error; err != nil {
					t.Fatal(err)
				}
				if err := c.write(db, &b); err != nil {
					t.Fatal(err)
				}
				var all []account
				if err := db.Order("account_code").Find(&all).Error; err != nil {
					t.Fatal(err)
				}
				if len(all) != 2 || all[0].Payout != "SECRET a" || all[1].Payout != c.want {
					t.Errorf("the table holds %+v", all)
				}
				db.requireUnsaid(t, "SECRET")
			})
		}
	})
}

// Writes that would leave ciphertext in a row where it never opens are refused.
func TestBoundColumnsAreNotTornApart(t *testing.T) {
	t.Parallel()
	byCode := []clause.Column{{Name: "account_code"}}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := createAccounts(t, where)
		all := func() *gorm.DB { return db.Model(&account{}).Where("tenant_id = ?", -7) }
		loaded := &account{}
		if err := db.First(loaded, "account_code = ?", "a").Error; err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func() error{
			"Create with a zero":        func() error { return db.Create(&account{Payout: "SECRET", Code: "c"}).Error },
			"Create without the column": func() error { return db.Omit("account_code").Create(newAccount("c")).Error },
			"Create map without it": func() error {
				return db.Model(&account{}).Create(map[string]any{"payout": "SECRET", "tenant_id": 1}).Error
			},
			"Create map with NULL": func() error {
				return db.Model(&account{}).Create(map[string]any{"payout": "SECRET", "tenant_id": 1, "account_code": nil}).Error
			},
			"Create map with misfit": func() error {
				return db.Model(&account{}).Create(map[string]any{"payout": "SECRET", "tenant_id": "x", "account_code": "c"}).Error
			},
			"Create map with expression": func() error {
				return db.Model(&account{}).Create(map[string]any{"payout": "SECRET", "tenant_id": 1, "account_code": gorm.Expr("'c'")}).Error
			},
			"Update without a row":   func() error { return all().Update("payout", "SECRET").Error },
			"Update of a slice":      func() error { return db.Model(&[]account{{ID: 1}, {ID: 2}}).Update("payout", "SECRET").Error },
			"Update with half a row": func() error { return db.Model(&account{ID: 1, Code: "a"}).Update("payout", "SECRET").Error },
			"Update of a Table": func() error {
				return db.Table("accounts").Where("id = 1").Updates(map[string]any{"payout": "SECRET"}).Error
			},
			"tenant alone":       func() error { return db.Model(loaded).Update("tenant_id", 8).Error },
			"tenant in a struct": func() error { return db.Model(loaded).Updates(account{TenantID: 8}).Error },
			"tenant of a Table": func() error {
				return db.Table("accounts").Where("id = 1").Updates(map[string]any{"Tenant_ID": 8}).Error
			},
			"half of what is bound": func() error {
				return db.Model(loaded).Updates(map[string]any{"account_code": "z", "payout": "SECRET"}).Error
			},
			"upsert of the value alone": func() error {
				return db.Clauses(clause.OnConflict{Columns: byCode, DoUpdates: clause.AssignmentColumns([]string{"payout"})}).Create(newAccount("a")).Error
			},
			"upsert by a constraint": func() error {
				return db.Clauses(clause.OnConflict{OnConstraint: "x", DoUpdates: clause.AssignmentColumns([]string{"payout", "tenant_id"})}).Create(newAccount("a")).Error
			},
			"upsert of the tenant alone": func() error {
				return db.Clauses(clause.OnConflict{Columns: byCode, DoUpdates: clause.AssignmentColumns([]string{"tenant_id"})}).Create(&account{TenantID: 3, Code: "a", Lockbox: lockbox{Serial: []byte{1}}}).Error
			},
			"upsert of a value alone": func() error {
				return db.Clauses(clause.OnConflict{Columns: byCode, DoUpdates: clause.Assignments(map[string]any{"payout": "SECRET"})}).Create(newAccount("a")).Error
			},
		} {
			err := write()
			var detail *gormcrypt.Error
			if !errors.Is(err, gormcrypt.ErrBinding) || !errors.As(err, &detail) || detail.Table != "accounts" || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v, want ErrBinding", name, err)
			}
		}
		// GORM's own protection stays: our condition is none of the program's.
		if err := db.Model(&account{TenantID: -7, Code: "a"}).Update("payout", "SECRET").Error; !errors.Is(err, gorm.ErrMissingWhereClause) {
			t.Errorf("an update without conditions: %v", err)
		}
		var accounts []account
		if err := db.Find(&accounts).Error; err != nil || len(accounts) != 2 {
			t.Errorf("after all that, %d accounts open, %v", len(accounts), err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// A value may be bound to a foreign key: what GORM does for associations keeps
// the two together.
func TestBoundToAForeignKey(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &holder{}, &card{})
		first := &holder{Cards: []card{{Number: "SECRET 1"}}}
		if err := db.Create(first).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Model(first).Association("Cards").Append(&card{Number: "SECRET 2"}); err != nil {
			t.Fatal(err)
		}
		if err := db.Save(first).Error; err != nil {
			t.Fatal(err)
		}
		second := &holder{}
		if err := db.Create(second).Error; err != nil {
			t.Fatal(err)
		}
		// A card that changes hands takes its number along.
		moved := first.Cards[0]
		if err := db.Model(second).Association("Cards").Append(&moved); err != nil {
			t.Fatal(err)
		}
		// One that is only known by its key would lose it.
		if err := db.Model(second).Association("Cards").Append(&card{ID: first.Cards[1].ID}); !errors.Is(err, gormcrypt.ErrBinding) {
			t.Errorf("error %v, want ErrBinding", err)
		}
		var cards []card
		if err := db.Order("id").Find(&cards).Error; err != nil {
			t.Fatal(err)
		}
		if len(cards) != 2 || cards[0].Number != "SECRET 1" || cards[0].HolderID != second.ID || cards[1].Number != "SECRET 2" || cards[1].HolderID != first.ID {
			t.Errorf("the cards are %+v", cards)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

type holder struct {
	ID    uint
	Cards []card
}

type card struct {
	ID       uint
	HolderID uint
	Number   string `gorm:"serializer:encrypted" encrypt:"bind=HolderID"`
}

// A computed field has no column to ask for, and a bound column is read after
// the others for * too.
func TestBoundColumnsOfAllColumns(t *testing.T) {
	t.Parallel()
	type computed struct {
		Number string `gorm:"serializer:encrypted" encrypt:"bind=Owner"`
		ID     uint
		Owner  string
		Total  int `gorm:"->;-:migration"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &computed{})
		if err := db.Create(&computed{Owner: "o", Number: "SECRET"}).Error; err != nil {
			t.Fatal(err)
		}
		for name, query := range map[string]*gorm.DB{
			"Find": db.DB, "star": db.Select("*"), "computed": db.Select("owner, number, 7 AS total"),
			"derived": db.Table("(?) AS computeds", db.Model(&computed{}).Select("id", "owner", "number")).Select("owner", "number"),
		} {
			var got []computed
			if err := query.Find(&got).Error; err != nil || len(got) != 1 || got[0].Number != "SECRET" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
}

// What was sealed for one row does not go into another, where it would not open.
func TestSealedForAnotherRow(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := createAccounts(t, where)
		seal := func(code string) gormcrypt.Sealed {
			return must[gormcrypt.Sealed](t)(gormcrypt.Seal(db.DB, newAccount(code), "Payout", "SECRET new"))
		}
		loaded := &account{}
		if err := db.Where("account_code = ?", "a").First(loaded).Error; err != nil {
			t.Fatal(err)
		}
		const exec = "UPDATE accounts SET payout = ?, box_secret = NULL, tenant_id = ?, account_code = ? WHERE account_code = 'a'"
		for name, write := range map[string]func(value any) error{
			"Update":  func(value any) error { return db.Model(loaded).Update("payout", value).Error },
			"Updates": func(value any) error { return db.Model(loaded).Updates(map[string]any{"payout": value}).Error },
			"Updates of both": func(value any) error {
				return db.Model(&account{}).Where("account_code = ?", "a").Updates(map[string]any{"payout": value, "box_secret": nil, "tenant_id": -7, "account_code": "a"}).Error
			},
			"Exec": func(value any) error { return db.Exec(exec, value, -7, "a").Error },
			"Create": func(value any) error {
				if err := db.Where("account_code = ?", "a").Delete(&account{}).Error; err != nil {
					return err
				}
				return db.Model(&account{}).Create(map[string]any{"payout": value, "tenant_id": int8(-7), "account_code": "a"}).Error
			},
		} {
			tx, before := db.Begin(), db.DB
			db.DB = tx
			var got account
			wrong, right := write(seal("b")), error(nil)
			if right = write(seal("a")); right == nil {
				right = tx.Where("account_code = ?", "a").First(&got).Error
			}
			db.DB = before
			tx.Rollback()
			if !errors.Is(wrong, gormcrypt.ErrBinding) || !strings.Contains(wrong.Error(), "to Code, and was sealed for another one than the row has") {
				t.Errorf("%s, for another row: error %v", name, wrong)
			}
			if right != nil || got.Payout != "SECRET new" {
				t.Errorf("%s: read %q, %v", name, got.Payout, right)
			}
		}
		// What does not say which row it writes is the program's own business.
		if err := db.Exec("UPDATE accounts SET payout = ? WHERE account_code = ?", seal("a"), "a").Error; err != nil {
			t.Error(err)
		}
		if err := db.Exec("UPDATE accounts SET payout = ? WHERE id = 1", "SECRET").Error; !errors.Is(err, gormcrypt.ErrBinding) || !strings.Contains(err.Error(), "gormcrypt.Seal") {
			t.Errorf("error %v does not name the way out", err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// NULL is bound to nothing, so that a row without a value needs nothing to bind it
// to.
func TestNullIsNotBound(t *testing.T) {
	t.Parallel()
	type loan struct {
		ID     uint
		Owner  *string
		Number *string                       `gorm:"serializer:encrypted" encrypt:"bind=Owner"`
		Typed  encryptedtype.EncryptedString `encrypt:"bind=Owner"`
		Labels map[string]string             `gorm:"serializer:encrypted" encrypt:"bind=Owner"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &loan{})
		var none *string
		for name, write := range map[string]func() error{
			"struct":      func() error { return db.Create(&loan{}).Error },
			"Save":        func() error { return db.Save(&loan{ID: 7}).Error },
			"map":         func() error { return db.Model(&loan{}).Create(map[string]any{"number": nil}).Error },
			"nil pointer": func() error { return db.Model(&loan{}).Create(map[string]any{"number": none}).Error },
			"Update":      func() error { return db.Model(&loan{}).Where("1 = 1").Update("number", none).Error },
			"Exec":        func() error { return db.Exec("UPDATE loans SET number = ?", none).Error },
		} {
			if err := write(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		var loans []loan
		if err := db.Find(&loans).Error; err != nil || len(loans) != 4 {
			t.Errorf("read %+v, %v", loans, err)
		}
		empty := ""
		if err := db.Create(&loan{Number: &empty}).Error; !errors.Is(err, gormcrypt.ErrBinding) {
			t.Errorf("an empty text: %v", err)
		}
	})
}
