package conformance

import (
	"errors"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
)

// Models that cannot be encrypted as they are declared, and databases without
// the plugin.

// declared has a model refused when the plugin is registered.
func declared(path string, model any) row {
	return row{path: path + ", at `db.Use`", refused: errModel, run: func(c *check) {
		db := c.without()
		c.refuses("", "", func() error {
			_, err := register(db, c.keys, model)
			var detail *gormcrypt.ModelError
			if !errors.As(err, &detail) || detail.Model == "" || detail.Field == "" || detail.Fix == "" {
				c.fail("refused", "the error %v names no field, or no fix", err)
			}
			return err
		})
		if db.Migrator().HasTable(model) {
			c.fail("refused", "it has a table")
		}
	}}
}

type (
	withDefault struct {
		ID     uint
		Secret string `gorm:"serializer:encrypted;default:unknown"`
	}
	withNumericDefault struct {
		ID     uint
		Secret int64 `gorm:"serializer:encrypted;type:text;default:0"`
	}
	withSmallSize struct {
		ID     uint
		Secret string `gorm:"serializer:encrypted;size:40"`
	}
	withSmallType struct {
		ID     uint
		Secret encryptedString `gorm:"type:varchar(40)"`
	}
	withInteger struct {
		ID     uint
		Secret int64 `gorm:"serializer:encrypted"`
	}
	withFloat struct {
		ID     uint
		Secret float64 `gorm:"serializer:encrypted"`
	}
	withBool struct {
		ID     uint
		Secret bool `gorm:"serializer:encrypted"`
	}
	withTime struct {
		ID     uint
		Secret time.Time `gorm:"serializer:encrypted"`
	}
	withPrimaryKey struct {
		Secret string `gorm:"serializer:encrypted;primaryKey"`
	}
	withForeignKey struct {
		ID       uint
		OwnerKey string `gorm:"serializer:encrypted"`
		Owner    *keyed `gorm:"foreignKey:OwnerKey;references:Key"`
	}
	keyed struct {
		ID  uint
		Key string `gorm:"size:100;unique"`
	}
	withUnique struct {
		ID     uint
		Secret string `gorm:"serializer:encrypted;unique"`
	}
	withCheck struct {
		ID     uint
		Secret string `gorm:"serializer:encrypted;check:secret <> ''"`
	}
	unlisted struct {
		ID     uint
		Name   string
		Secret string `gorm:"serializer:encrypted"`
	}
)

// TableName is that of customer, where email is what it calls secret.
func (unlisted) TableName() string { return "customers" }

var modelRows = []row{
	declared("An encrypted field with `default:`", &withDefault{}),
	declared("An encrypted number with `default:`", &withNumericDefault{}),
	declared("An encrypted field with a small `size:`", &withSmallSize{}),
	declared("An encrypted field with a small `type:varchar(40)`", &withSmallType{}),
	declared("An encrypted integer without `type:text`", &withInteger{}),
	declared("An encrypted float without `type:text`", &withFloat{}),
	declared("An encrypted bool without `type:text`", &withBool{}),
	declared("An encrypted time without `type:text`", &withTime{}),
	declared("An encrypted primary key", &withPrimaryKey{}),
	declared("An encrypted foreign key", &withForeignKey{}),
	declared("A unique encrypted field that is not deterministic", &withUnique{}),
	declared("An encrypted field with `check:`", &withCheck{}),
	{path: "A model with the mark that is not in `Config.Models`, on every path that names the model", refused: errModel, alone: true, run: func(c *check) {
		c.existing("ada")
		for _, use := range []func() error{
			func() error { return c.db.Create(&unlisted{Secret: c.text()}).Error },
			func() error { return c.db.Create([]unlisted{{Secret: c.text()}}).Error },
			func() error { return c.db.Model(&unlisted{}).Create(map[string]any{"secret": c.text()}).Error },
			func() error { return c.db.Save(&unlisted{ID: 1, Secret: c.text()}).Error },
			func() error { return c.db.Model(&unlisted{ID: 1}).Update("secret", c.text()).Error },
			func() error { return c.db.Model(&customer{ID: 1}).Updates(&unlisted{Secret: c.text()}).Error },
			func() error { return c.db.Where(&unlisted{Secret: c.text()}).Delete(&unlisted{}).Error },
			func() error { return c.db.Find(&[]unlisted{}).Error },
			func() error { return gorm.G[unlisted](c.db).Create(c.Context(), &unlisted{Secret: c.text()}) },
		} {
			c.refuses("", "", use)
		}
	}},
	{path: "`Table(\"t\").Create(map)` and hand-written SQL, where the model of `t` is not in `Config.Models`", happens: "stored as it is: nothing tells the plugin that `t` has an encrypted column", run: func(c *check) {
		c.execute("CREATE TABLE leads (name text, email text)")
		defer c.execute("DROP TABLE leads")
		c.must(c.db.Table("leads").Create(map[string]any{"name": "ada", "email": "plain"}).Error)
		c.must(c.db.Exec("INSERT INTO leads (name, email) VALUES (?, ?)", "bob", "plain").Error)
		c.same("the leads", c.query("SELECT name, email FROM leads ORDER BY name"), [][]any{{"ada", "plain"}, {"bob", "plain"}})
	}},
	{path: "A `*gorm.DB` without the plugin, on every path", refused: errNoPlugin, happens: "before anything is sent", alone: true, run: func(c *check) {
		ada := c.existing("ada")
		db := c.without()
		for _, use := range []func() error{
			func() error { return db.Create(c.customer("bob")).Error },
			func() error { return db.Create([]*customer{c.customer("bob")}).Error },
			func() error { return db.Model(&customer{}).Create(c.customer("bob").columns()).Error },
			func() error { return db.Save(c.changed(ada)).Error },
			func() error { return db.Model(&customer{ID: ada.ID}).Update("email", c.text()).Error },
			func() error { return db.Model(&customer{ID: ada.ID}).Update("api_key", typed(c.text())).Error },
			func() error { return db.Model(&customer{ID: ada.ID}).Updates(c.customer("ada").all()).Error },
			func() error { return db.Model(&customer{ID: ada.ID}).Updates(c.customer("ada")).Error },
			func() error { return db.Where(&customer{Email: c.text()}).Delete(&customer{}).Error },
			func() error { return db.Exec("UPDATE customers SET email = ?", typed(c.text())).Error },
			func() error { return db.First(&customer{}).Error },
			func() error { return db.Model(&customer{}).Find(&[]map[string]any{}).Error },
			func() error { return db.AutoMigrate(&customer{}) },
			func() error { return gorm.G[customer](db).Create(c.Context(), c.customer("bob")) },
		} {
			c.refuses("", "", use)
		}
	}},
}

// noPlugin reports whether an error is GORM's for a model whose serializer it
// does not know. It has none to test for, and another one for a slice.
func noPlugin(err error) bool {
	return strings.Contains(err.Error(), "invalid serializer type encrypted") || strings.Contains(err.Error(), "failed to parse field: Labels")
}
