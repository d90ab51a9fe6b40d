package integration_test

import (
	"database/sql"
	"regexp"
	"slices"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// donor has fields of few possible values, and others.
type donor struct {
	ID        uint
	Name      string       `gorm:"serializer:encrypted"`
	Living    bool         `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	Rhesus    *bool        `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	Consented sql.NullBool `gorm:"serializer:encrypted;type:text"`
	Tested    encryptedtype.Encrypted[bool]
	Sort      int8   `gorm:"serializer:encrypted;type:text"`
	Organs    uint8  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	Agreed    bool   `gorm:"serializer:encrypted;type:text"`                                 // cannot be searched
	Bound     bool   `gorm:"serializer:encrypted;type:text" encrypt:"deterministic,bind=ID"` // nor this
	Age       int16  `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	Status    string `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Next      kin    `gorm:"serializer:encrypted" encrypt:"deterministic"`

	ConsentedIndex encryptedtype.BlindIndex `encrypt:"of=Consented,slow"`
	TestedIndex    encryptedtype.BlindIndex `encrypt:"of=Tested,bits=4"`
	SortIndex      encryptedtype.BlindIndex `encrypt:"of=Sort"`
	FlagsIndex     encryptedtype.BlindIndex `encrypt:"of=Living+Tested"`
	ManyFlagsIndex encryptedtype.BlindIndex `encrypt:"of=Sort+Tested"`
	AgreedIndex    encryptedtype.BlindIndex `encrypt:"of=Name+Agreed"`
}

// kin leads to itself.
type kin struct {
	Living bool
	Next   *kin
}

// Fields whose types have few values are warned of when the plugin is registered,
// once, and work.
func TestFewValuesAreWarnedOf(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		log := &logBuffer{}
		db := where.Open(t, &gorm.Config{Logger: logger.New(log, logger.Config{LogLevel: logger.Warn})})
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{&donor{}}})); err != nil {
			t.Fatal(err)
		}
		if err := db.AutoMigrate(&donor{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&donor{ID: 1, Name: "ada", Living: true}).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.First(&donor{}, "living = ?", true).Error; err != nil {
			t.Error(err)
		}
		var warned []string
		for _, match := range regexp.MustCompile(`integration_test\.donor\.(\w+): there are (\d+) possible values`).FindAllStringSubmatch(log.String(), -1) {
			warned = append(warned, match[1]+" "+match[2])
		}
		slices.Sort(warned)
		if want := []string{"ConsentedIndex 4", "FlagsIndex 4", "Living 2", "Organs 256", "Rhesus 2", "SortIndex 256", "TestedIndex 2"}; !slices.Equal(warned, want) {
			t.Errorf("warned of %q, want %q in\n%s", warned, want, log)
		}
	})
}
