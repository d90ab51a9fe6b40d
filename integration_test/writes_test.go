package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

type customer struct {
	ID     uint
	Name   string  `gorm:"unique"`
	Email  string  `gorm:"serializer:encrypted"`
	Phone  *string `gorm:"serializer:encrypted"`
	Salary int64   `gorm:"serializer:encrypted;type:text"`
	APIKey encryptedtype.EncryptedString
	Orders []order
}

type order struct {
	ID         uint
	CustomerID uint
	Address    string `gorm:"serializer:encrypted"`
}

// lite is another struct for the same table, without a mark.
type lite struct {
	ID    uint
	Name  string
	Email string
}

func (lite) TableName() string { return "customers" }

func ada() *customer {
	phone := "+44 20 SECRET"
	return &customer{Name: "ada", Email: "ada@SECRET", Phone: &phone, Salary: 424242, APIKey: encryptedtype.NewEncryptedString("sk_SECRET")}
}

// Every way of writing a value seals it: what is stored is ciphertext, what is
// read is what was written, nothing of it is logged, and the caller's maps and
// structs keep their plaintext.
func TestWritesAreSealed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	changed := func(db *database) *gorm.DB { return db.Model(&customer{}).Where("name = ?", "ada") }
	byName := []clause.Column{{Name: "name"}}
	for name, write := range map[string]func(db *database) error{
		"Create struct":   func(db *database) error { return db.Create(&customer{Name: "new", Email: "new@SECRET"}).Error },
		"Create slice":    func(db *database) error { return db.Create([]customer{{Name: "new", Email: "new@SECRET"}}).Error },
		"Create pointers": func(db *database) error { return db.Create([]*customer{{Name: "new", Email: "new@SECRET"}}).Error },
		"Create array":    func(db *database) error { return db.Create(&[1]customer{{Name: "new", Email: "new@SECRET"}}).Error },
		"CreateInBatches": func(db *database) error {
			return db.CreateInBatches([]customer{{Name: "b"}, {Name: "new", Email: "new@SECRET"}}, 1).Error
		},
		"Create map": func(db *database) error {
			return db.Model(&customer{}).Create(map[string]any{"Name": "new", "email": "new@SECRET"}).Error
		},
		"Create map pointer": func(db *database) error {
			return db.Model(&customer{}).Create(&map[string]any{"name": "new", "Email": "new@SECRET"}).Error
		},
		"Create maps": func(db *database) error {
			return db.Model(&customer{}).Create(&[]map[string]any{{"name": "new", "Email": "new@SECRET"}}).Error
		},
		"Create map into Table": func(db *database) error {
			return db.Table("customers").Create(map[string]any{"name": "new", "email": "new@SECRET"}).Error
		},
		"Create unmarked struct": func(db *database) error { return db.Create(&lite{Name: "new", Email: "new@SECRET"}).Error },
		"Save new":               func(db *database) error { return db.Save(&customer{Name: "new", Email: "new@SECRET"}).Error },
		"Unscoped Create": func(db *database) error {
			return db.Unscoped().Create(&customer{Name: "new", Email: "new@SECRET"}).Error
		},
		"Select Create": func(db *database) error {
			return db.Select("name", "email").Create(&customer{Name: "new", Email: "new@SECRET"}).Error
		},
		"generic Create": func(db *database) error {
			return gorm.G[customer](db.DB).Create(ctx, &customer{Name: "new", Email: "new@SECRET"})
		},
		"nested Create": func(db *database) error {
			return db.Create(&customer{Name: "new", Email: "new@SECRET", Orders: []order{{Address: "SECRET street"}}}).Error
		},
		"FirstOrCreate with Attrs": func(db *database) error {
			return db.Where("name = ?", "new").Attrs(map[string]any{"Name": "new", "email": "new@SECRET"}).FirstOrCreate(&customer{}).Error
		},
		"prepared Create": func(db *database) error {
			return db.Session(&gorm.Session{PrepareStmt: true}).Create(&customer{Name: "new", Email: "new@SECRET"}).Error
		},
		"Create in a transaction": func(db *database) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Create(&customer{Name: "new", Email: "new@SECRET"}).Error })
		},

		"Update":               func(db *database) error { return changed(db).Update("email", "new@SECRET").Error },
		"Update by field name": func(db *database) error { return changed(db).Update("Email", "new@SECRET").Error },
		"Update typed": func(db *database) error {
			return changed(db).Update("email", encryptedtype.NewEncryptedString("new@SECRET")).Error
		},
		"Update pointer": func(db *database) error { s := "new@SECRET"; return changed(db).Update("email", &s).Error },
		"Update bytes":   func(db *database) error { return changed(db).Update("email", []byte("new@SECRET")).Error },
		"UpdateColumn":   func(db *database) error { return changed(db).UpdateColumn("email", "new@SECRET").Error },
		"UpdateColumns map": func(db *database) error {
			return changed(db).UpdateColumns(map[string]any{"EMAIL": "new@SECRET"}).Error
		},
		"Updates map": func(db *database) error { return changed(db).Updates(map[string]any{"email": "new@SECRET"}).Error },
		"Updates map, qualified": func(db *database) error {
			return changed(db).Updates(map[string]any{"Email": "new@SECRET", "salary": "1"}).Error
		},
		"Updates struct":          func(db *database) error { return changed(db).Updates(customer{Email: "new@SECRET"}).Error },
		"Updates unmarked struct": func(db *database) error { return changed(db).Updates(lite{Email: "new@SECRET"}).Error },
		"Updates of a Table": func(db *database) error {
			return db.Table("customers").Where("name = ?", "ada").Updates(map[string]any{"email": "new@SECRET"}).Error
		},
		"Updates of an aliased Table": func(db *database) error {
			return db.Table("customers AS customers").Where("name = ?", "ada").Updates(map[string]any{"email": "new@SECRET"}).Error
		},
		"Save old": func(db *database) error {
			var c customer
			db.First(&c, "name = ?", "ada")
			c.Email = "new@SECRET"
			return db.Save(&c).Error
		},
		"Save of a slice": func(db *database) error {
			var c []customer
			db.Find(&c)
			c[0].Email = "new@SECRET"
			return db.Save(&c).Error
		},
		"generic Update": func(db *database) error {
			_, err := gorm.G[customer](db.DB).Where("name = ?", "ada").Update(ctx, "email", "new@SECRET")
			return err
		},
		"generic Updates": func(db *database) error {
			_, err := gorm.G[customer](db.DB).Where("name = ?", "ada").Updates(ctx, customer{Email: "new@SECRET"})
			return err
		},
		"generic Set Update": func(db *database) error {
			_, err := gorm.G[customer](db.DB).Where("name = ?", "ada").Set(clause.Assignment{Column: clause.Column{Name: "email"}, Value: "new@SECRET"}).Update(ctx)
			return err
		},
		"generic Set Create": func(db *database) error {
			return gorm.G[customer](db.DB).Set(clause.Assignment{Column: clause.Column{Name: "email"}, Value: "new@SECRET"}, clause.Assignment{Column: clause.Column{Name: "name"}, Value: "new"}).Create(ctx)
		},
		"FirstOrCreate with Assign": func(db *database) error {
			return db.Where("name = ?", "ada").Assign(map[string]any{"email": "new@SECRET"}).FirstOrCreate(&customer{}).Error
		},

		"upsert UpdateAll": func(db *database) error {
			return db.Clauses(clause.OnConflict{Columns: byName, UpdateAll: true}).Create(&customer{Name: "ada", Email: "new@SECRET"}).Error
		},
		"upsert AssignmentColumns": func(db *database) error {
			return db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.AssignmentColumns([]string{"email"})}).Create(&customer{Name: "ada", Email: "new@SECRET"}).Error
		},
		"upsert Assignments": func(db *database) error {
			return db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.Assignments(map[string]any{"email": "new@SECRET"})}).Create(&customer{Name: "ada", Email: "not@SECRET"}).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				keys := generate(t)
				db := open(t, where, keys, &customer{}, &order{})
				if err := db.Create(ada()).Error; err != nil {
					t.Fatal(err)
				}
				if err := write(db); err != nil {
					t.Fatal(err)
				}
				db.requireSealed(t, "customers", "email", "phone", "salary", "api_key")
				db.requireUnsaid(t, "SECRET", "424242")

				fresh := reopen(t, where, keys, &customer{}, &order{})
				var written customer
				if err := fresh.Order("id DESC").First(&written).Error; err != nil {
					t.Fatal(err)
				}
				if written.Email != "new@SECRET" {
					t.Errorf("what was written is read as %q", written.Email)
				}
			})
		})
	}
}

// The caller's maps and structs are the caller's.
func TestWritesLeaveTheirArguments(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		row := ada()
		if err := db.Create(row).Error; err != nil {
			t.Fatal(err)
		}
		want := ada()
		want.ID = row.ID
		if row.Email != want.Email || *row.Phone != *want.Phone || row.Salary != want.Salary || !row.APIKey.Equal(want.APIKey) {
			t.Errorf("Create changed its argument to %+v", row)
		}
		values := map[string]any{"email": "new@SECRET", "Salary": "7"}
		before := maps.Clone(values)
		if err := db.Model(row).Updates(values).Error; err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(values, before) {
			t.Errorf("Updates changed its map to %v", values)
		}
		if row.Email != "new@SECRET" || row.Salary != 7 {
			t.Errorf("Updates did not set the model: %+v", row)
		}
		assignments := clause.Assignments(map[string]any{"email": "third@SECRET"})
		upsert := clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: assignments}
		if err := db.Clauses(upsert).Create(&customer{Name: "ada"}).Error; err != nil {
			t.Fatal(err)
		}
		if assignments[0].Value != "third@SECRET" {
			t.Errorf("the upsert changed its assignments to %v", assignments)
		}
	})
}

// A value becomes what the field would hold, or is refused; a number is never
// rounded or wrapped on its way.
func TestValuesOfOtherTypes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		type record struct {
			ID     uint
			Int8   int8     `gorm:"serializer:encrypted;type:text"`
			Uint   uint16   `gorm:"serializer:encrypted;type:text"`
			Float  float32  `gorm:"serializer:encrypted;type:text"`
			Bool   bool     `gorm:"serializer:encrypted;type:text"`
			Text   string   `gorm:"serializer:encrypted"`
			Bytes  []byte   `gorm:"serializer:encrypted"`
			Labels []string `gorm:"serializer:encrypted"`
			Number encryptedtype.Encrypted[int8]
		}
		db := open(t, where, generate(t), &record{})
		row := &record{}
		if err := db.Create(row).Error; err != nil {
			t.Fatal(err)
		}
		fits := []struct {
			column string
			value  any
			want   any
		}{
			{"int8", "42", int8(42)}, {"int8", int64(42), int8(42)}, {"int8", uint(42), int8(42)}, {"int8", 42.0, int8(42)}, {"int8", []byte("-1"), int8(-1)},
			{"uint", "42", uint16(42)}, {"uint", 42, uint16(42)}, {"uint", uint8(42), uint16(42)}, {"uint", float32(42), uint16(42)},
			{"float", "1.5", float32(1.5)}, {"float", 1.5, float32(1.5)}, {"float", 2, float32(2)}, {"float", uint(3), float32(3)},
			{"bool", "true", true}, {"bool", 1, true}, {"bool", status("false"), false}, {"bool", true, true},
			{"text", []byte("b"), "b"}, {"text", 42, "42"}, {"text", uint8(42), "42"}, {"text", status("s"), "s"},
			{"bytes", "s", []byte("s")}, {"labels", []string{"a"}, []string{"a"}},
			{"number", 7, int8(7)}, {"number", encryptedtype.NewEncrypted(int8(8)), int8(8)}, {"number", "9", int8(9)},
		}
		for _, c := range fits {
			if err := db.Model(row).Update(c.column, c.value).Error; err != nil {
				t.Errorf("%s = %T: %v", c.column, c.value, err)
				continue
			}
			var read record
			if err := db.First(&read, row.ID).Error; err != nil {
				t.Fatal(err)
			}
			got := reflect.ValueOf(read).FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, c.column) }).Interface()
			if plaintext, ok := encryptedtype.Plaintext(got); ok {
				got = plaintext
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s = %T %v was read as %v", c.column, c.value, c.value, got)
			}
		}
		misfits := []struct {
			column string
			value  any
		}{
			{"int8", 300}, {"int8", "SECRET"}, {"int8", 1.5}, {"int8", true}, {"int8", "128"},
			{"uint", -1}, {"uint", 1 << 16}, {"uint", "-1"}, {"uint", -0.5},
			{"float", 0.1}, {"float", "SECRET"}, {"float", int64(1<<53 + 1)}, {"float", true},
			{"bool", "SECRET"}, {"bool", 2}, {"bool", 1.0}, {"text", 1.5}, {"text", true}, {"text", []string{"SECRET"}},
			{"bytes", 1}, {"labels", "SECRET"}, {"labels", map[string]string{"SECRET": ""}}, {"number", 300}, {"text", make(chan int)},
			{"text", refusingValuer{}}, {"labels", [1]int{}},
		}
		for _, c := range misfits {
			err := db.Model(row).Update(c.column, c.value).Error
			if !errors.Is(err, gormcrypt.ErrType) {
				t.Errorf("%s = %T: error %v, want ErrType", c.column, c.value, err)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%+v", err), "SECRET") {
				t.Errorf("the error holds the value: %v", err)
			}
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// SQL cannot make ciphertext, so an expression as the new value is refused and
// nothing is written.
func TestExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		if err := db.Create(ada()).Error; err != nil {
			t.Fatal(err)
		}
		stored := db.column(t, "customers", "email")
		subquery := db.Model(&customer{}).Select("name").Limit(1)
		ada := func() *gorm.DB { return db.Model(&customer{}).Where("name = ?", "ada") }
		byName := []clause.Column{{Name: "name"}}
		for name, write := range map[string]func() error{
			"Expr":              func() error { return ada().Update("email", gorm.Expr("upper(name)")).Error },
			"Expr with value":   func() error { return ada().Update("email", gorm.Expr("?", "SECRET")).Error },
			"another column":    func() error { return ada().Update("email", gorm.Expr("name")).Error },
			"clause column":     func() error { return ada().Update("email", clause.Column{Name: "name"}).Error },
			"subquery":          func() error { return ada().Update("email", subquery).Error },
			"subquery in a map": func() error { return ada().Updates(map[string]any{"email": subquery}).Error },
			"Expr in Create": func() error {
				return db.Model(&customer{}).Create(map[string]any{"name": "x", "email": gorm.Expr("?", "SECRET")}).Error
			},
			"second row of Create": func() error {
				return db.Model(&customer{}).Create(&[]map[string]any{{"name": "x", "email": gorm.Expr("name")}, {"name": "y", "email": "SECRET"}}).Error
			},
			"excluded other column": func() error {
				return db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.Set{{Column: clause.Column{Name: "email"}, Value: clause.Column{Table: "excluded", Name: "name"}}}}).
					Create(&customer{Name: "ada", Email: "SECRET"}).Error
			},
			"Expr in an upsert": func() error {
				return db.Clauses(clause.OnConflict{Columns: byName, DoUpdates: clause.Assignments(map[string]any{"email": gorm.Expr("?", "SECRET"), "phone": "SECRET"})}).
					Create(&customer{Name: "ada"}).Error
			},
		} {
			before := db.wire.Statements()
			err := write()
			if sent := db.wire.Statements() - before; sent != 0 {
				t.Errorf("%s: %d statements were sent", name, sent)
			}
			var detail *gormcrypt.Error
			if !errors.Is(err, gormcrypt.ErrExpression) || !errors.As(err, &detail) || detail.Table != "customers" || detail.Column != "email" {
				t.Errorf("%s: error %v, want ErrExpression for customers.email", name, err)
			}
		}
		if now := db.column(t, "customers", "email"); !reflect.DeepEqual(now, stored) {
			t.Error("a refused statement changed the table")
		}
		db.requireUnsaid(t, "SECRET")

		if err := ada().Updates(map[string]any{"email": gorm.Expr("NULL"), "phone": nil, "api_key": encryptedtype.EncryptedString{}}).Error; err != nil {
			t.Errorf("NULL was refused: %v", err)
		}
		for _, column := range []string{"email", "phone", "api_key"} {
			if db.column(t, "customers", column)[0].Valid {
				t.Errorf("%s is not NULL", column)
			}
		}
	})
}

// DryRun and ToSQL show what would be sent, which is ciphertext.
func TestDryRunShowsCiphertext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		sql := db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Create(ada()) }) +
			db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Model(&customer{ID: 1}).Update("email", "SECRET") })
		if strings.Contains(sql, "SECRET") || !strings.Contains(sql, "gc1:1:") {
			t.Errorf("ToSQL shows %s", sql)
		}
	})
}

// What hooks leave is what is stored, and hooks see plaintext.
func TestHooksSeePlaintext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &hooked{})
		row := &hooked{Email: " Ada@SECRET "}
		if err := db.Create(row).Error; err != nil {
			t.Fatal(err)
		}
		if row.seen != "ada@secret" {
			t.Errorf("AfterCreate saw %q", row.seen)
		}
		if err := db.Model(row).Updates(&hooked{Email: "unchanged"}).Error; err != nil {
			t.Fatal(err)
		}
		var read hooked
		if err := db.First(&read, row.ID).Error; err != nil {
			t.Fatal(err)
		}
		if read.Email != "set by hook" {
			t.Errorf("after SetColumn in a hook, %q is stored", read.Email)
		}
		if read.seen != read.Email {
			t.Errorf("AfterFind saw %q", read.seen)
		}
		db.requireSealed(t, "hookeds", "email")
	})
}

type hooked struct {
	ID    uint
	Email string `gorm:"serializer:encrypted"`
	seen  string
}

func (h *hooked) BeforeCreate(*gorm.DB) error {
	h.Email = strings.ToLower(strings.TrimSpace(h.Email))
	return nil
}

func (h *hooked) AfterCreate(*gorm.DB) error { h.seen = h.Email; return nil }
func (h *hooked) AfterFind(*gorm.DB) error   { h.seen = h.Email; return nil }

func (h *hooked) BeforeUpdate(tx *gorm.DB) error {
	tx.Statement.SetColumn("Email", "set by hook")
	return nil
}
