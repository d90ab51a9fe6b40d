package integration_test

import (
	"database/sql"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// patient has a column of every kind that results may hold.
type patient struct {
	ID     uint
	Name   string
	Note   string            `gorm:"serializer:encrypted"`
	Phone  *string           `gorm:"serializer:encrypted"`
	Weight int64             `gorm:"serializer:encrypted;type:text"`
	Born   time.Time         `gorm:"serializer:encrypted;type:text"`
	Smokes bool              `gorm:"serializer:encrypted;type:text"`
	Scan   []byte            `gorm:"serializer:encrypted;type:bytes"`
	Tags   map[string]string `gorm:"serializer:encrypted"`
	Card   encryptedtype.EncryptedString
	Ward   string
	Bed    string `gorm:"serializer:encrypted" encrypt:"bind=Ward"`
}

// visit has a column that patients have too, in the clear, and one that is
// encrypted in both.
type visit struct {
	ID        uint
	PatientID uint
	Patient   *patient
	Name      string `gorm:"serializer:encrypted"`
	Note      string `gorm:"serializer:encrypted"`
}

var born = time.Date(1815, 12, 10, 1, 2, 3, 4, time.FixedZone("", 3600))

func openWard(t *testing.T, where testdb.Database, more ...any) *database {
	t.Helper()
	db := open(t, where, generate(t), append([]any{&patient{}, &visit{}}, more...)...)
	phone := "SECRET phone"
	row := &patient{Name: "ada", Note: "SECRET note", Phone: &phone, Weight: 424242, Born: born, Smokes: true, Scan: []byte("SECRET\x00"),
		Tags: map[string]string{"a": "SECRET tag"}, Card: encryptedtype.NewEncryptedString("SECRET card"), Ward: "w1", Bed: "SECRET bed"}
	if err := db.Create(row).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&visit{PatientID: row.ID, Name: "SECRET name", Note: "SECRET visit"}).Error; err != nil {
		t.Fatal(err)
	}
	return db
}

// Maps get the values of encrypted columns in the types of their fields.
func TestResultsIntoMaps(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		for name, read := range map[string]func(into *[]map[string]any) error{
			"Model, Find": func(into *[]map[string]any) error { return db.Model(&patient{}).Find(into).Error },
			"Table, Find": func(into *[]map[string]any) error { return db.Table("patients").Find(into).Error },
			"Model, Scan": func(into *[]map[string]any) error { return db.Model(&patient{}).Scan(into).Error },
			"Table, Scan": func(into *[]map[string]any) error { return db.Table("patients").Scan(into).Error },
			"Raw, Scan":   func(into *[]map[string]any) error { return db.Raw("SELECT * FROM patients").Scan(into).Error },
			"Raw, Find":   func(into *[]map[string]any) error { return db.Raw("SELECT p.* FROM patients p").Find(into).Error },
			"derived":     func(into *[]map[string]any) error { return db.Table("(?) AS q", db.Model(&patient{})).Find(into).Error },
			"common table": func(into *[]map[string]any) error {
				return db.Raw("WITH q AS (SELECT * FROM patients) SELECT * FROM q").Scan(into).Error
			},
			"Take": func(into *[]map[string]any) error {
				one := map[string]any{}
				*into = append(*into, one)
				return db.Model(&patient{}).Take(&one).Error
			},
			"First into a map": func(into *[]map[string]any) error {
				one := map[string]any{}
				*into = append(*into, one)
				return db.Model(&patient{}).First(one).Error
			},
		} {
			var rows []map[string]any
			if err := read(&rows); err != nil || len(rows) != 1 {
				t.Errorf("%s: read %d rows, error %v", name, len(rows), err)
				continue
			}
			row := rows[0]
			phone, _ := row["phone"].(*string)
			card, _ := row["card"].(encryptedtype.EncryptedString)
			moment, _ := row["born"].(time.Time)
			if phone == nil || *phone != "SECRET phone" || card.Reveal() != "SECRET card" || !moment.Equal(born) {
				t.Errorf("%s read phone %v, card %T, born %v", name, row["phone"], row["card"], row["born"])
			}
			for column, want := range map[string]any{
				"note": "SECRET note", "weight": int64(424242), "smokes": true, "scan": []byte("SECRET\x00"),
				"tags": map[string]string{"a": "SECRET tag"}, "bed": "SECRET bed", "name": "ada",
			} {
				if !reflect.DeepEqual(row[column], want) {
					t.Errorf("%s read %s = %#v", name, column, row[column])
				}
			}
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// Single values go into whatever would hold them in the clear.
func TestResultsIntoSingleValues(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		patients := func() *gorm.DB { return db.Model(&patient{}) }
		for name, read := range map[string]struct {
			do         func(into any) error
			into, want any
		}{
			"Pluck":               {func(into any) error { return patients().Pluck("note", into).Error }, &[]string{}, []string{"SECRET note"}},
			"Pluck by field":      {func(into any) error { return patients().Pluck("Weight", into).Error }, &[]int64{}, []int64{424242}},
			"Pluck of a Table":    {func(into any) error { return db.Table("patients").Pluck("note", into).Error }, &[]string{}, []string{"SECRET note"}},
			"Distinct and Pluck":  {func(into any) error { return patients().Distinct().Pluck("note", into).Error }, &[]string{}, []string{"SECRET note"}},
			"Pluck into pointers": {func(into any) error { return patients().Select("note").Limit(1).Scan(into).Error }, new(*string), pointer("SECRET note")},
			"Pluck NullString":    {func(into any) error { return patients().Pluck("phone", into).Error }, &[]sql.NullString{}, []sql.NullString{{String: "SECRET phone", Valid: true}}},
			"Pluck of time":       {func(into any) error { return patients().Pluck("smokes", into).Error }, &[]bool{}, []bool{true}},
			"Pluck as text":       {func(into any) error { return patients().Pluck("weight", into).Error }, &[]string{}, []string{"424242"}},
			"Scan":                {func(into any) error { return patients().Select("note").Scan(into).Error }, new(string), "SECRET note"},
			"Scan into NullInt64": {func(into any) error { return patients().Select("weight").Scan(into).Error }, &sql.NullInt64{}, sql.NullInt64{Int64: 424242, Valid: true}},
			"Scan an int64":       {func(into any) error { return db.Raw("SELECT weight FROM patients").Scan(into).Error }, new(int64), int64(424242)},
			"Scan a []byte":       {func(into any) error { return db.Raw("SELECT p.scan AS x FROM patients AS p").Scan(into).Error }, &[][]byte{}, [][]byte{[]byte("SECRET\x00")}},
			"Find":                {func(into any) error { return db.Table("patients").Select("note").Find(into).Error }, &[]string{}, []string{"SECRET note"}},
			"Count":               {func(into any) error { return patients().Where("note IS NOT NULL").Count(into.(*int64)).Error }, new(int64), int64(1)},
			"a scalar subquery": {func(into any) error {
				return db.Raw("SELECT (SELECT note FROM visits LIMIT 1) FROM patients").Scan(into).Error
			}, new(string), "SECRET visit"},
			"UNION of one column": {func(into any) error {
				return db.Raw("SELECT note FROM patients UNION ALL SELECT note FROM patients").Scan(into).Error
			}, &[]string{}, []string{"SECRET note", "SECRET note"}},
			"no encrypted column": {func(into any) error { return db.Raw("SELECT max(name) FROM patients").Scan(into).Error }, new(string), "ada"},
		} {
			if err := read.do(read.into); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if got := reflect.ValueOf(read.into).Elem().Interface(); !reflect.DeepEqual(got, read.want) {
				t.Errorf("%s read %#v", name, got)
			}
		}
		var cards []encryptedtype.EncryptedString
		if err := patients().Pluck("card", &cards).Error; err != nil || len(cards) != 1 || cards[0].Reveal() != "SECRET card" {
			t.Errorf("Pluck of an EncryptedString: %d, %v", len(cards), err)
		}
		if err := patients().Pluck("note", &cards).Error; err != nil || len(cards) != 1 || cards[0].Reveal() != "SECRET note" {
			t.Errorf("Pluck of a string into EncryptedString: %d, %v", len(cards), err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

func pointer[T any](v T) *T { return &v }

// Other structs get what the columns hold that they select, whatever the names
// and tags of their fields.
func TestResultsIntoOtherStructs(t *testing.T) {
	t.Parallel()
	type Contact struct {
		Note  string
		Phone *string
		Bed   string
	}
	type renamed struct {
		Contact
		Remark string `gorm:"serializer:encrypted"`
		Weight int
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &renamed{})
		var small []Contact
		if err := db.Model(&patient{}).Select("note", "phone", "bed", "ward").Find(&small).Error; err != nil || len(small) != 1 ||
			small[0].Note != "SECRET note" || *small[0].Phone != "SECRET phone" || small[0].Bed != "SECRET bed" {
			t.Errorf("smaller: %+v, %v", small, err)
		}
		small = nil
		if err := db.Model(&patient{}).Scan(&small).Error; err != nil || len(small) != 1 || small[0].Note != "SECRET note" || small[0].Bed != "SECRET bed" {
			t.Errorf("Scan: %+v, %v", small, err)
		}
		var tagged renamed
		if err := db.Raw("SELECT note AS remark, phone, weight FROM patients").Scan(&tagged).Error; err != nil ||
			tagged.Remark != "SECRET note" || tagged.Weight != 424242 || tagged.Phone == nil {
			t.Errorf("tagged, with other names: %+v, %v", tagged, err)
		}
		var joined []struct {
			PatientName string
			VisitName   string
			Note        string
		}
		if err := db.Model(&visit{}).Select("patients.name AS patient_name, visits.name AS visit_name, patients.note").
			Joins("JOIN patients ON patients.id = visits.patient_id").Scan(&joined).Error; err != nil || len(joined) != 1 ||
			joined[0].PatientName != "ada" || joined[0].VisitName != "SECRET name" || joined[0].Note != "SECRET note" {
			t.Errorf("joined: %+v, %v", joined, err)
		}
		var visits []visit
		if err := db.Joins("Patient").Find(&visits).Error; err != nil || len(visits) != 1 || visits[0].Patient.Note != "SECRET note" || visits[0].Note != "SECRET visit" {
			t.Errorf("Joins: %+v, %v", visits, err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// What cannot be opened is not handed out: not as ciphertext, and not the rows
// before it either.
func TestResultsThatAreRefused(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		for name, query := range map[string]string{
			"function":      "SELECT upper(note) FROM patients",
			"COALESCE":      "SELECT COALESCE(note, '') AS note FROM patients",
			"concatenation": "SELECT note || 'x' FROM patients",
			"aggregate":     "SELECT max(p.note) FROM patients p",
			"in a subquery": "SELECT x FROM (SELECT lower(note) AS x FROM patients) AS q",
			"UNION":         "SELECT note FROM patients UNION ALL SELECT note FROM visits",
			"UNION of text": "SELECT name FROM patients UNION SELECT note FROM patients",
			"CASE":          "SELECT CASE WHEN name = 'ada' THEN note END FROM patients",
		} {
			var got []string
			if err := db.Raw(query).Scan(&got).Error; !errors.Is(err, gormcrypt.ErrNotQueryable) || len(got) > 0 {
				t.Errorf("%s: read %d values, error %v", name, len(got), err)
			}
		}
		// One of the two tables in the star has a name column in the clear.
		if err := db.Raw("SELECT patients.*, visits.* FROM patients JOIN (SELECT name, note FROM visits) AS visits ON true").Scan(&[]map[string]any{}).Error; err != nil {
			t.Errorf("which of two: %v", err)
		}
		db.execute(t, "CREATE TABLE names (name text)")
		db.execute(t, "INSERT INTO names VALUES ('x')")
		if err := db.Raw("SELECT * FROM names, (SELECT name FROM visits) AS v").Scan(&[]map[string]any{}).Error; !errors.Is(err, gormcrypt.ErrUnknownOrigin) {
			t.Errorf("which of two: %v", err)
		}
		for into, query := range map[any]string{
			new(int64): "SELECT note FROM patients", new(bool): "SELECT note FROM patients", new(int8): "SELECT weight FROM patients",
			new(time.Time): "SELECT weight FROM patients", &sql.NullInt64{}: "SELECT note FROM patients", &struct{ Note int }{}: "SELECT note FROM patients",
			&[]int64{}: "SELECT note FROM patients", new(float64): "SELECT tags FROM patients",
		} {
			err := db.Raw(query).Scan(into).Error
			var detail *gormcrypt.Error
			if !errors.Is(err, gormcrypt.ErrType) || !errors.As(err, &detail) || detail.Table != "patients" || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "424242") {
				t.Errorf("%s into a %T: error %v", query, into, err)
			}
		}
		if err := db.Create(&patient{Name: "bob", Note: "SECRET 2", Ward: "w2"}).Error; err != nil {
			t.Fatal(err)
		}
		db.execute(t, "UPDATE patients SET note = 'planted' WHERE name = 'bob'")
		notes, maps, one := []string{"before"}, []map[string]any{{"a": 1}}, map[string]any{"a": 1}
		for name, err := range map[string]error{
			"Pluck":    db.Model(&patient{}).Order("id").Pluck("note", &notes).Error,
			"maps":     db.Model(&patient{}).Order("id").Find(&maps).Error,
			"one map":  db.Model(&patient{}).Order("id DESC").Limit(1).Find(&one).Error,
			"Raw maps": db.Raw("SELECT * FROM patients ORDER BY id").Scan(&maps).Error,
			"Raw one":  db.Raw("SELECT * FROM patients ORDER BY id DESC").Scan(&one).Error,
		} {
			var detail *gormcrypt.Error
			if !errors.Is(err, gormcrypt.ErrNotCiphertext) || !errors.As(err, &detail) || detail.Table != "patients" || detail.Column != "note" {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if len(notes) > 0 || len(maps) > 1 || len(one) > 1 || one["note"] != nil {
			t.Errorf("read %v, %v, %v", notes, maps, one)
		}
		if strings.Contains(db.log.String(), "planted'") && strings.Contains(db.log.String(), "SECRET") {
			t.Error("a secret was logged")
		}
	})
}
