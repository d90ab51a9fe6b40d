package cli_test

import (
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// kind has a column of each type that is sealed, with values that are awkward to print.
type kind struct {
	Code    []byte `gorm:"primaryKey"`
	Text    string `gorm:"serializer:encrypted"`
	Raw     []byte `gorm:"serializer:encrypted"`
	Broken  string `gorm:"serializer:encrypted"`
	Empty   string `gorm:"serializer:encrypted"`
	Absent  *string
	Int     int64             `gorm:"serializer:encrypted;type:text"`
	Uint    uint64            `gorm:"serializer:encrypted;type:text"`
	Float   float64           `gorm:"serializer:encrypted;type:text"`
	Bool    bool              `gorm:"serializer:encrypted;type:text"`
	Time    time.Time         `gorm:"serializer:encrypted;type:text"`
	Object  map[string]string `gorm:"serializer:encrypted"`
	Padded  string            `gorm:"serializer:encrypted" encrypt:"pad=64"`
	Nothing *string           `gorm:"serializer:encrypted"`
}

func (kind) TableName() string { return "kinds" }

// kinds makes a table of all types with one row, whose key is x'0001ff', and writes
// kinds.json, its manifest.
func kinds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: kinds")
	}
	w := worldOf(ts)
	db := w.where.Open(w, nil)
	keys, err := keyring.FromFile(filepath.Join(w.dir, "keys.json"))
	ts.Check(err)
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&kind{}}})
	ts.Check(db.Use(plugin))
	defer plugin.Close()
	ts.Check(db.AutoMigrate(&kind{}))
	ts.Check(db.Create(&kind{
		Code: []byte{0, 1, 0xff}, Text: "red\x1b[31m\u202etxt\u009b", Raw: []byte("raw\x00\xff\n"), Broken: "cut\xff",
		Int: -9007199254740993, Uint: 18446744073709551615, Float: 0.1, Bool: true,
		Time: time.Date(2024, 2, 29, 12, 0, 0, 1, time.FixedZone("", 3600)), Object: map[string]string{"n": "a b"}, Padded: "short",
	}).Error)
	ts.Check(writeManifest(db, filepath.Join(w.dir, "kinds.json")))
}
