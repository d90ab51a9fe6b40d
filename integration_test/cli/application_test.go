package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// The deployments of people, of whom Phone is migrated.
type (
	plainPerson struct {
		ID    int64
		Name  string
		Phone *string
	}
	readingPerson struct {
		ID         int64
		Name       string
		Phone      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
	writingPerson struct {
		ID         int64
		Name       string
		Phone      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
	settledPerson struct {
		ID         int64
		Name       string
		Phone      *string                  `gorm:"serializer:encrypted"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
)

func (plainPerson) TableName() string   { return "people" }
func (readingPerson) TableName() string { return "people" }
func (writingPerson) TableName() string { return "people" }
func (settledPerson) TableName() string { return "people" }

// The shop has columns of all kinds, encrypted from the first day.
type (
	Customer struct {
		ID         int64
		Name       string
		Email      string                        `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex      `gorm:"index" encrypt:"of=Email,normalize=email"`
		TaxID      *string                       `gorm:"serializer:encrypted" encrypt:"deterministic"`
		Notes      encryptedtype.EncryptedString `gorm:"type:text"`
		Payout     string                        `gorm:"serializer:encrypted" encrypt:"bind=Name"`
	}
	Order struct {
		Region  string `gorm:"primaryKey"`
		Number  int64  `gorm:"primaryKey;autoIncrement:false"`
		Address string `gorm:"serializer:encrypted"`
	}
)

// deployments are the programs that app can be.
var deployments = map[string][]any{
	"plain": {&plainPerson{}}, "reading": {&readingPerson{}}, "writing": {&writingPerson{}}, "settled": {&settledPerson{}},
	"shop": {&Customer{}, &Order{}},
}

// app DEPLOYMENT [ROWS] is the application: it makes its tables if they are not there,
// writes rows with the keyring in keys.json, and, unless it is plain, the manifest of
// the deployment to manifest.json.
func app(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || deployments[args[0]] == nil {
		ts.Fatalf("usage: app plain|reading|writing|settled|shop [ROWS]")
	}
	w, models := worldOf(ts), deployments[args[0]]
	db := w.where.Open(w, nil)
	if args[0] != "plain" {
		keys, err := keyring.FromFile(filepath.Join(w.dir, "keys.json"))
		ts.Check(err)
		plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})
		ts.Check(db.Use(plugin))
		defer plugin.Close()
	}
	if args[0] == "plain" || args[0] == "shop" {
		ts.Check(db.AutoMigrate(models...))
	}
	if len(args) > 1 {
		rows, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(write(db, args[0], rows))
	}
	if args[0] != "plain" {
		ts.Check(writeManifest(db, filepath.Join(w.dir, "manifest.json")))
	}
}

func writeManifest(db *gorm.DB, path string) error {
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return m.Write(file)
}

// write inserts rows behind those that are there.
func write(db *gorm.DB, deployment string, rows int) error {
	return db.Transaction(func(tx *gorm.DB) error {
		for range rows {
			if err := tx.Create(newRow(tx, deployment)).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

func newRow(tx *gorm.DB, deployment string) any {
	var count int64
	table := map[bool]string{true: "customers", false: "people"}[deployment == "shop"]
	tx.Table(table).Count(&count)
	n := count + 1
	name, phone := fmt.Sprintf("person-%d", n), fmt.Sprintf("+44 20 7946 %04d", n)
	switch deployment {
	case "plain":
		return &plainPerson{Name: name, Phone: &phone}
	case "reading":
		return &readingPerson{Name: name, Phone: &phone}
	case "writing":
		return &writingPerson{Name: name, Phone: &phone}
	case "settled":
		return &settledPerson{Name: name, Phone: &phone}
	}
	tax := fmt.Sprintf("DE%09d", n)
	tx.Create(&Order{Region: "eu", Number: n, Address: fmt.Sprintf("%d Main Street", n)})
	return &Customer{Name: name, Email: fmt.Sprintf("Person%d@example.org", n), TaxID: &tax, Notes: encryptedtype.NewEncryptedString("notes of " + name), Payout: fmt.Sprintf("DE%020d", n)}
}
