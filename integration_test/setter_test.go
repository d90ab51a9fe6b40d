package integration_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// After an update, the model in memory holds what the table does, so that saving
// it changes nothing, whatever type the value was given as.
func TestUpdatesReachTheModel(t *testing.T) {
	t.Parallel()
	phone := "new SECRET"
	for name, change := range map[string]map[string]any{
		"typed for plain":   {"email": encryptedtype.NewEncryptedString("new SECRET")},
		"plain for typed":   {"api_key": "new SECRET"},
		"typed for pointer": {"phone": encryptedtype.NewEncryptedString("new SECRET")},
		"pointer":           {"Phone": &phone, "email": &phone},
		"number as text":    {"salary": "77", "Email": []byte("new SECRET")},
		"typed":             {"APIKey": encryptedtype.NewEncryptedString("new SECRET")},
		"NULL":              {"phone": nil, "api_key": nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				db := open(t, where, generate(t), &customer{}, &order{})
				c := ada()
				if err := db.Create(c).Error; err != nil {
					t.Fatal(err)
				}
				if err := db.Model(c).Updates(change).Error; err != nil {
					t.Fatal(err)
				}
				var updated, saved customer
				if err := db.First(&updated).Error; err != nil {
					t.Fatal(err)
				}
				if err := db.Save(c).Error; err != nil {
					t.Fatal(err)
				}
				if err := db.First(&saved).Error; err != nil {
					t.Fatal(err)
				}
				same := func(a, b customer) bool {
					return a.Email == b.Email && a.Salary == b.Salary && a.APIKey.Equal(b.APIKey) && (a.Phone == nil) == (b.Phone == nil) && (a.Phone == nil || *a.Phone == *b.Phone)
				}
				if !same(updated, *c) || !same(updated, saved) {
					t.Errorf("updated to %+v, in memory %+v, saved %+v", updated, *c, saved)
				}
				db.requireUnsaid(t, "SECRET")
			})
		})
	}
}

// What cannot be set says so, without the value.
func TestAttributesOfFirstOrInit(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		var c customer
		if err := db.Where("name = ?", "x").Attrs(map[string]any{"api_key": "SECRET", "email": encryptedtype.NewEncryptedString("SECRET"), "salary": "5"}).FirstOrInit(&c).Error; err != nil {
			t.Fatal(err)
		}
		if c.APIKey.Reveal() != "SECRET" || c.Email != "SECRET" || c.Salary != 5 {
			t.Errorf("it is %+v", c)
		}
		for column, value := range map[string]any{"salary": "SECRET", "email": struct{ S string }{"SECRET"}, "api_key": 1.5} {
			err := db.Where("name = ?", "x").Attrs(map[string]any{column: value}).FirstOrInit(&customer{}).Error
			if !errors.Is(err, gormcrypt.ErrType) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v, want ErrType", column, err)
			}
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// GORM's question what an update changes is answered by the plaintext.
func TestChanged(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &watched{})
		for want, change := range map[string]watched{"": {Email: "a", Key: encryptedtype.NewEncryptedString("k")}, "Email": {Email: "b"}, "Key": {Key: encryptedtype.NewEncryptedString("l")}} {
			row := &watched{Email: "a", At: time.Unix(1, 0).UTC(), Key: encryptedtype.NewEncryptedString("k")}
			if err := db.Create(row).Error; err != nil {
				t.Fatal(err)
			}
			if err := db.Model(row).Updates(change).Error; err != nil {
				t.Fatal(err)
			}
			if row.changed != want {
				t.Errorf("changed is %q, want %q", row.changed, want)
			}
		}
	})
}

type watched struct {
	ID      uint
	Email   string    `gorm:"serializer:encrypted"`
	At      time.Time `gorm:"serializer:encrypted;type:text"`
	Key     encryptedtype.EncryptedString
	changed string
}

func (w *watched) BeforeUpdate(tx *gorm.DB) error {
	for _, field := range []string{"Email", "Key"} {
		if tx.Statement.Changed(field) {
			w.changed += field
		}
	}
	return nil
}

// Times that GORM tracks in numbers are encrypted numbers.
func TestTrackedTimes(t *testing.T) {
	t.Parallel()
	type tracked struct {
		ID      uint
		Name    string
		Created int64     `gorm:"autoCreateTime:milli;serializer:encrypted;type:text"`
		Updated *uint64   `gorm:"autoUpdateTime:nano;serializer:encrypted;type:text"`
		Seconds int       `gorm:"autoUpdateTime;serializer:encrypted;type:text"`
		At      time.Time `gorm:"autoUpdateTime;serializer:encrypted;type:text"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &tracked{})
		row := &tracked{}
		if err := db.Create(row).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Model(row).Update("name", "n").Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Save(row).Error; err != nil {
			t.Fatal(err)
		}
		var read tracked
		if err := db.First(&read).Error; err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if now.Sub(time.UnixMilli(read.Created)) > time.Minute || read.Updated == nil || now.Sub(time.Unix(0, int64(*read.Updated))) > time.Minute ||
			now.Sub(time.Unix(int64(read.Seconds), 0)) > time.Minute || now.Sub(read.At) > time.Minute {
			t.Errorf("read %+v", read)
		}
		db.requireSealed(t, "trackeds", "created", "updated", "seconds", "at")
	})
}

// FirstOrCreate gives the new row its attributes and loses the errors of that.
// A row without them is not stored.
func TestFirstOrCreateWithValuesThatDoNotFit(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &patient{}, &visit{})
		byName := func() *gorm.DB { return db.Where("name = ?", "ada") }
		for name, create := range map[string]func() error{
			"Attrs": func() error {
				return byName().Attrs(map[string]any{"weight": "SECRET"}).FirstOrCreate(&patient{}).Error
			},
			"Attrs, by field": func() error {
				return byName().Attrs(map[string]any{"Smokes": 7, "note": "x"}).FirstOrCreate(&patient{}).Error
			},
			"Assign": func() error { return byName().Assign(map[string]any{"weight": 1.5}).FirstOrCreate(&patient{}).Error },
			"an expression that fails": func() error {
				return byName().Attrs(map[string]any{"tags": make(chan int)}).FirstOrCreate(&patient{}).Error
			},
		} {
			if err := create(); !errors.Is(err, gormcrypt.ErrType) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if n := len(db.column(t, "patients", "id")); n != 0 {
			t.Errorf("the table has %d rows", n)
		}
		// The same row can be created when it is mended.
		row := &patient{Name: "ada", Ward: "w"}
		if err := db.Where("name = ?", "ada").Attrs(map[string]any{"weight": "SECRET"}).FirstOrInit(row).Error; !errors.Is(err, gormcrypt.ErrType) {
			t.Errorf("FirstOrInit: error %v", err)
		}
		row.Name, row.Ward, row.Weight = "ada", "w", 5
		if err := db.Create(row).Error; err != nil {
			t.Errorf("Create, afterwards: %v", err)
		}
		if err := byName().Assign(map[string]any{"weight": "SECRET"}).FirstOrCreate(&patient{}).Error; !errors.Is(err, gormcrypt.ErrType) {
			t.Errorf("Assign to a row that is there: error %v", err)
		}
	})
}
