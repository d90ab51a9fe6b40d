package fsck_test

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

// patient has a column of every kind.
type patient struct {
	ID        int64
	AccountID *string
	Name      *string                       `gorm:"serializer:encrypted"`
	NameIndex encryptedtype.BlindIndex      `gorm:"index" encrypt:"of=Name,normalize=lower"`
	Phone     *string                       `gorm:"serializer:encrypted" encrypt:"pad=32"`
	TaxID     *string                       `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Passport  *string                       `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Scan      []byte                        `gorm:"serializer:encrypted;type:bytes"`
	Weight    float64                       `gorm:"serializer:encrypted;type:text"`
	Born      time.Time                     `gorm:"serializer:encrypted;type:text"`
	Labels    map[string]string             `gorm:"serializer:encrypted"`
	Token     encryptedtype.EncryptedString // named
	Payout    *string                       `gorm:"serializer:encrypted" encrypt:"bind=AccountID"`
	DeletedAt gorm.DeletedAt
}

// visit has a composite key, and a name that needs quotes.
type visit struct {
	Clinic string `gorm:"primaryKey"`
	Number int32  `gorm:"primaryKey;autoIncrement:false"`
	Note   string `gorm:"serializer:encrypted"`
	Doctor string `gorm:"serializer:encrypted" encrypt:"bind=Clinic,Number"`
}

func (visit) TableName() string { return `visits of "2026"` }

const visits = `"visits of ""2026"""`

// nothing is a table without rows.
type nothing struct {
	Serial []byte `gorm:"primaryKey"`
	Secret string `gorm:"serializer:encrypted"`
}

func models() []any { return []any{&patient{}, &visit{}, &nothing{}} }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rings returns a keyring, and the one after it, under which version 3 seals and version
// 2 is retired.
func rings(t testing.TB) (first, second *keyring.Keyring) {
	t.Helper()
	ring := must[*keyring.Keyring](t)
	first = ring(keyring.Generate())
	for range 2 {
		next, _, err := first.Add(keyring.DataKeys)
		first = ring(next, err)
	}
	first = ring(first.Retire(keyring.MakeVersion(keyring.DataKeys, 2)))
	second, index, err := first.Add(keyring.IndexKeys)
	second = ring(ring(ring(second, err).Promote(index)).Promote(keyring.MakeVersion(keyring.DataKeys, 3)))
	return first, second
}

func use(t testing.TB, where testdb.Database, keys keyring.Source, models ...any) *gorm.DB {
	t.Helper()
	db := where.Open(t, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
		t.Fatal(err)
	}
	return db
}

// made is use, with the tables made.
func made(t testing.TB, where testdb.Database, keys keyring.Source, models ...any) *gorm.DB {
	t.Helper()
	db := use(t, where, keys, models...)
	if err := db.AutoMigrate(models...); err != nil {
		t.Fatal(err)
	}
	return db
}

func pointer(s string) *string { return &s }

func accountOf(id int) string { return fmt.Sprintf("account-%d", id) }
func clinicOf(n int) string   { return []string{"B", "a", "\u00c4", "c,d"}[n%4] + "x" }

// fill writes patients and visits 1 to rows: the first half under the first keyring,
// and the others under the second. Each row has values of its own.
func fill(t testing.TB, where testdb.Database, first, second *keyring.Keyring, rows int) *gorm.DB {
	t.Helper()
	db := made(t, where, first, models()...)
	const batch = 200
	for from := 1; from <= rows; from += batch {
		if from > rows/2 {
			if err := db.Plugins["gormcrypt"].(*gormcrypt.Plugin).SetKeys(context.Background(), second); err != nil {
				t.Fatal(err)
			}
		}
		var patients []*patient
		var visits []visit
		for id := from; id < min(from+batch, rows+1); id++ {
			text := fmt.Sprintf("SECRET %d", id)
			if id == 1 {
				text = strings.Repeat("long ", 2000)
			}
			p := &patient{
				ID: int64(id), AccountID: pointer(accountOf(id)), Name: pointer(text), Phone: pointer(text), TaxID: pointer("T" + text), Passport: pointer("P" + text),
				Scan: []byte(text), Weight: float64(id) / 3, Born: time.Unix(int64(id)*1e4, 7).UTC(), Labels: map[string]string{"k": text},
				Token: encryptedtype.NewEncryptedString(text), Payout: pointer(text),
			}
			if id%7 == 0 {
				p.DeletedAt = gorm.DeletedAt{Time: time.Unix(1e9, 0), Valid: true}
			}
			if id%11 == 0 {
				p.Scan = nil
			}
			patients = append(patients, p)
			visits = append(visits, visit{Clinic: clinicOf(id), Number: int32(id), Note: text, Doctor: text})
		}
		if err := db.Create(&patients).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&visits).Error; err != nil {
			t.Fatal(err)
		}
	}
	return db
}
