package rotation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// patient has a column of every kind.
type patient struct {
	ID        int64
	AccountID string
	Name      string                        `gorm:"serializer:encrypted"`
	NameIndex encryptedtype.BlindIndex      `gorm:"index" encrypt:"of=Name,normalize=lower"`
	Phone     *string                       `gorm:"serializer:encrypted" encrypt:"pad=32"`
	TaxID     *string                       `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Scan      []byte                        `gorm:"serializer:encrypted;type:bytes"`
	Weight    float64                       `gorm:"serializer:encrypted;type:text"`
	Born      time.Time                     `gorm:"serializer:encrypted;type:text"`
	Labels    map[string]string             `gorm:"serializer:encrypted"`
	Token     encryptedtype.EncryptedString // named
	Payout    string                        `gorm:"serializer:encrypted" encrypt:"bind=AccountID"`
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt
}

// Hooks must not run, and updated_at must not move.
func (*patient) BeforeUpdate(*gorm.DB) error { panic("a hook ran") }

// visit has a composite key of text and a signed number, in a table of a name
// that needs quotes.
type visit struct {
	Clinic string `gorm:"primaryKey"`
	Number int32  `gorm:"primaryKey;autoIncrement:false"`
	Note   string `gorm:"serializer:encrypted"`
	Doctor string `gorm:"serializer:encrypted" encrypt:"bind=Clinic,Number"`
}

func (visit) TableName() string { return `visits of "2026"` }

// device has a key of bytes.
type device struct {
	Serial []byte `gorm:"primaryKey"`
	Secret string `gorm:"serializer:encrypted"`
}

func models() []any { return []any{&patient{}, &visit{}, &device{}} }

// rings returns a keyring, and those after it: with a new version of both sets that
// opens, and with one that seals.
func rings(t testing.TB) (first, added, promoted *keyring.Keyring) {
	t.Helper()
	must := func(ring *keyring.Keyring, err error) *keyring.Keyring {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	first = must(keyring.Generate())
	added, data, err := first.Add(keyring.DataKeys)
	must(added, err)
	added, index, err := added.Add(keyring.IndexKeys)
	must(added, err)
	promoted = must(must(added.Promote(data)).Promote(index))
	return first, added, promoted
}

func use(t testing.TB, where testdb.Database, keys *keyring.Keyring, models ...any) *gorm.DB {
	t.Helper()
	db := where.Open(t, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
		t.Fatal(err)
	}
	return db
}

func pointer(s string) *string { return &s }

// fill writes rows of every kind, ugly ones first.
func fill(t testing.TB, db *gorm.DB, rows int) {
	t.Helper()
	if err := db.AutoMigrate(models()...); err != nil {
		t.Fatal(err)
	}
	texts := []string{"", "gc1:1:AAAA", "\u00e4\U0001f512", strings.Repeat("long ", 2000), "it's; DROP TABLE \"x\" --"}
	var patients []*patient
	var visits []visit
	var devices []device
	for i := range rows {
		text := fmt.Sprintf("SECRET %d", i)
		if i < len(texts) {
			text = texts[i]
		}
		p := &patient{
			ID: int64(i*3 - rows), AccountID: fmt.Sprintf("account-%d", i), Name: text, Scan: []byte(text), Weight: float64(i) / 3,
			Born: time.Unix(int64(i)*1e6, 7).UTC(), Labels: map[string]string{"k": text}, Token: encryptedtype.NewEncryptedString(text), Payout: text,
		}
		if p.ID == 0 {
			p.ID = 1
		}
		if i%3 > 0 {
			p.Phone, p.TaxID = pointer(text), pointer(text)
		}
		if i%7 == 0 {
			p.DeletedAt = gorm.DeletedAt{Time: time.Unix(1e9, 0), Valid: true}
		}
		patients = append(patients, p)
		visits = append(visits, visit{Clinic: []string{"B", "a", "\u00c4", "", "c,d"}[i%5] + "x", Number: int32(2*i - 2*(rows/2) + 1), Note: text, Doctor: text})
		devices = append(devices, device{Serial: []byte(fmt.Sprintf("\x00\xff%d", i)), Secret: text})
	}
	for _, all := range []any{&patients, &visits, &devices} {
		if err := db.CreateInBatches(all, 50).Error; err != nil {
			t.Fatal(err)
		}
	}
}

// contents are all rows as the application sees them.
type contents struct {
	Patients []patient
	Visits   []visit
	Devices  []device
}

func read(t testing.TB, db *gorm.DB) contents {
	t.Helper()
	var c contents
	for _, err := range []error{
		db.Unscoped().Order("id").Find(&c.Patients).Error, db.Order("clinic, number").Find(&c.Visits).Error, db.Order("serial").Find(&c.Devices).Error,
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Patients {
		c.Patients[i].NameIndex = encryptedtype.BlindIndex{} // changes with the key
	}
	return c
}

// versions counts the stored values by what they start with, up to the second
// colon, in all columns.
func versions(t testing.TB, where testdb.Database) map[string]int {
	t.Helper()
	found := map[string]int{}
	pool := where.Plain(t)
	for _, table := range []string{"patients", `"visits of ""2026"""`, "devices"} {
		rows, err := pool.QueryContext(context.Background(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range into {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for i, value := range values {
				text := ""
				switch value := value.(type) {
				case string:
					text = value
				case []byte:
					text = string(value)
				}
				if rest, ok := strings.CutPrefix(text, "gc1:"); ok {
					version, _, _ := strings.Cut(rest, ":")
					found[version]++
				} else if names[i] == "name_index" {
					version, _, _ := strings.Cut(text, ":")
					found["index "+version]++
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return found
}
