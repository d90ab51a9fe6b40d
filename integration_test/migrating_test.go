package integration_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// A table on its way from plaintext to ciphertext, as each deployment has it: before
// (legacy), with migrating=read, with migrating=write, and after (settled). Programs of
// two deployments that follow each other run at the same time.

type legacyMember struct {
	ID     int64
	Email  string
	Phone  *string
	Scan   []byte
	Labels map[string]string `gorm:"serializer:json"`
	TaxID  string
	Nick   sql.NullString
	Points string
	Token  string
	Tenant string
	Payout string
	Note   string
}

type readingMember struct {
	ID         int64
	Email      string                        `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	EmailIndex encryptedtype.BlindIndex      `encrypt:"of=Email,normalize=lower"`
	Phone      *string                       `gorm:"serializer:encrypted" encrypt:"migrating=read,pad=32"`
	Scan       []byte                        `gorm:"serializer:encrypted;type:bytes" encrypt:"migrating=read"`
	Labels     map[string]string             `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	TaxID      string                        `gorm:"serializer:encrypted" encrypt:"migrating=read,deterministic"`
	Nick       sql.NullString                `gorm:"serializer:encrypted;type:text" encrypt:"migrating=read"`
	Points     int64                         `gorm:"serializer:encrypted;type:text" encrypt:"migrating=read"`
	Token      encryptedtype.EncryptedString `encrypt:"migrating=read"`
	Tenant     string
	Payout     string `gorm:"serializer:encrypted" encrypt:"migrating=read,bind=Tenant"`
	Note       string
}

type writingMember struct {
	ID         int64
	Email      string                        `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	EmailIndex encryptedtype.BlindIndex      `encrypt:"of=Email,normalize=lower"`
	Phone      *string                       `gorm:"serializer:encrypted" encrypt:"migrating=write,pad=32"`
	Scan       []byte                        `gorm:"serializer:encrypted;type:bytes" encrypt:"migrating=write"`
	Labels     map[string]string             `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	TaxID      string                        `gorm:"serializer:encrypted" encrypt:"migrating=write,deterministic"`
	Nick       sql.NullString                `gorm:"serializer:encrypted;type:text" encrypt:"migrating=write"`
	Points     int64                         `gorm:"serializer:encrypted;type:text" encrypt:"migrating=write"`
	Token      encryptedtype.EncryptedString `encrypt:"migrating=write"`
	Tenant     string
	Payout     string `gorm:"serializer:encrypted" encrypt:"migrating=write,bind=Tenant"`
	Note       string
}

type settledMember struct {
	ID         int64
	Email      string                        `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex      `encrypt:"of=Email,normalize=lower"`
	Phone      *string                       `gorm:"serializer:encrypted" encrypt:"pad=32"`
	Scan       []byte                        `gorm:"serializer:encrypted;type:bytes"`
	Labels     map[string]string             `gorm:"serializer:encrypted"`
	TaxID      string                        `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Nick       sql.NullString                `gorm:"serializer:encrypted;type:text"`
	Points     int64                         `gorm:"serializer:encrypted;type:text"`
	Token      encryptedtype.EncryptedString // named
	Tenant     string
	Payout     string `gorm:"serializer:encrypted" encrypt:"bind=Tenant"`
	Note       string
}

func (legacyMember) TableName() string  { return "members" }
func (readingMember) TableName() string { return "members" }
func (writingMember) TableName() string { return "members" }
func (settledMember) TableName() string { return "members" }

// sealedColumns are the encrypted ones.
var sealedColumns = []string{"email", "phone", "scan", "labels", "tax_id", "nick", "points", "token", "payout"}

// deployments are the four programs on one database.
type deployments struct {
	legacy                    *gorm.DB
	reading, writing, settled *database
}

func deploy(t *testing.T, where testdb.Database) deployments {
	t.Helper()
	keys := generate(t)
	legacy := where.Open(t, nil)
	if err := legacy.AutoMigrate(&legacyMember{}); err != nil {
		t.Fatal(err)
	}
	if err := legacy.Exec("ALTER TABLE members ADD COLUMN email_index text").Error; err != nil {
		t.Fatal(err)
	}
	// Not over a wire, which would say that the columns hold plaintext.
	reopenPlain := func(model any) *database {
		log := &logBuffer{}
		db := &database{Database: where, log: log, plain: where.Plain(t), crypt: gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{model}})}
		db.DB = where.Open(t, &gorm.Config{Logger: talkative(log)})
		if err := db.Use(db.crypt); err != nil {
			t.Fatal(err)
		}
		return db
	}
	return deployments{legacy, reopenPlain(&readingMember{}), reopenPlain(&writingMember{}), reopenPlain(&settledMember{})}
}

// texts are what a column of text may hold. An SQLite engine in Go gives no bytes as nil.
var texts = []string{
	"SECRET", "", " ", "NULL", "gc1:", "gc1:1:", "gc1:1:AAAA", "gc1:1:SECRET with spaces, and long enough to be one of ours, if it had none",
	"gc1:i1:" + strings.Repeat("A", 60), "gc2:1:AbCd", "i1:Zt0", "\u00e4\U0001f512\u0301", "it's \"; DROP TABLE members --", "null", "{}", "[encrypted]", strings.Repeat("SECRET ", 1<<20/7),
}

// legacyRow is a row with one text everywhere.
func legacyRow(id int64, text string, points int64) *legacyMember {
	return &legacyMember{
		ID: id, Email: text, Phone: &text, Scan: []byte(text), Labels: map[string]string{text: text}, TaxID: text, Nick: sql.NullString{String: text, Valid: true},
		Points: fmt.Sprint(points), Token: text, Tenant: fmt.Sprintf("t%d", id), Payout: text, Note: "n",
	}
}

// as returns what the settled program has for such a row.
func as(m *legacyMember) settledMember {
	var points int64
	if _, err := fmt.Sscan(m.Points, &points); err != nil {
		panic(err)
	}
	return settledMember{
		ID: m.ID, Email: m.Email, Phone: m.Phone, Scan: m.Scan, Labels: m.Labels, TaxID: m.TaxID, Nick: m.Nick, Points: points,
		Token: encryptedtype.NewEncryptedString(m.Token), Tenant: m.Tenant, Payout: m.Payout, Note: m.Note,
	}
}

func readingRow(m *legacyMember) *readingMember {
	row := readingMember(as(m))
	return &row
}

func writingRow(m *legacyMember) *writingMember {
	row := writingMember(as(m))
	return &row
}

// Each deployment reads what the ones beside it write, whatever it is.
func TestMigratingProgramsReadEachOther(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		d := deploy(t, where)
		ugly := texts
		if where.Name == "sqlite" {
			ugly = append(slices.Clip(ugly), "\xff\xfe not UTF-8", "a\x00b")
		}
		numbers := []int64{0, 1, -1, math.MaxInt64, math.MinInt64}
		for i, text := range ugly {
			legacy, reading, writing := legacyRow(int64(3*i+1), text, numbers[i%5]), legacyRow(int64(3*i+2), text, numbers[i%5]), legacyRow(int64(3*i+3), text, numbers[i%5])
			if strings.HasPrefix(text, "\xff") { // which JSON cannot hold
				legacy.Labels, reading.Labels, writing.Labels = nil, nil, nil
			}
			for _, err := range []error{
				d.legacy.Create(legacy).Error, d.reading.Create(readingRow(reading)).Error, d.writing.Create(writingRow(writing)).Error,
			} {
				if err != nil {
					t.Fatalf("%.40q: %v", text, err)
				}
			}
			// Who knows nothing of the encryption reads what migrating=read writes.
			var plain legacyMember
			if err := d.legacy.First(&plain, reading.ID).Error; err != nil {
				t.Errorf("%.40q: %v", text, err)
			} else if diff := cmp.Diff(reading, &plain, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("%.40q (-want +got)\n%s", text, diff)
			}
			for _, want := range []*legacyMember{legacy, reading, writing} {
				var byReading readingMember
				var byWriting writingMember
				if err := errors.Join(d.reading.First(&byReading, want.ID).Error, d.writing.First(&byWriting, want.ID).Error); err != nil {
					t.Errorf("%.40q: %v", text, err)
					continue
				}
				for _, got := range []settledMember{settledMember(byReading), settledMember(byWriting)} {
					got.EmailIndex = encryptedtype.BlindIndex{}
					if diff := cmp.Diff(as(want), got, cmp.Comparer(bytes.Equal)); diff != "" {
						t.Errorf("%.40q (-want +got)\n%s", text, diff)
					}
				}
				// Single values, and maps.
				var email string
				found := map[string]any{}
				if err := errors.Join(d.reading.Model(&readingMember{}).Where("id = ?", want.ID).Pluck("email", &email).Error,
					d.writing.Model(&writingMember{}).Where("id = ?", want.ID).Take(&found).Error); err != nil || email != text || found["email"] != text {
					t.Errorf("%.40q: pluck %.40q, map %.40q, %v", text, email, found["email"], err)
				}
			}
			var after settledMember
			if err := d.settled.First(&after, writing.ID).Error; err != nil {
				t.Errorf("%.40q: %v", text, err)
			}
			if err := d.settled.First(&settledMember{}, legacy.ID).Error; !errors.Is(err, gormcrypt.ErrNotCiphertext) && !errors.Is(err, gormcrypt.ErrMalformed) && !errors.Is(err, gormcrypt.ErrUnsupported) {
				t.Errorf("%.40q: the program that knows only ciphertext reads plaintext: %v", text, err)
			}
		}
		for _, column := range sealedColumns {
			for i, value := range d.reading.column(t, "members", column) {
				if sealed := strings.HasPrefix(value.String, "gc1:1:A") || strings.HasPrefix(value.String, "gc1:1:g") || strings.HasPrefix(value.String, "gc1:i1:A") || strings.HasPrefix(value.String, "gc1:1:\x01"); i%3 == 2 && value.Valid && !sealed {
					t.Errorf("row %d: migrating=write has left %s %.40q", i+1, column, value.String)
				}
			}
		}
		for i, term := range d.reading.column(t, "members", "email_index") {
			if term.Valid != (i%3 == 2) {
				t.Errorf("row %d has the term %v", i+1, term)
			}
		}
		d.reading.requireUnsaid(t, "SECRET")
		d.writing.requireUnsaid(t, "SECRET")
	})
}

// A value that opens would be taken for ciphertext, so it is not written as plaintext.
func TestMigratingRefusesPlaintextThatIsCiphertext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		d := deploy(t, where)
		if err := d.writing.Create(writingRow(legacyRow(1, "SECRET", 1))).Error; err != nil {
			t.Fatal(err)
		}
		sealed := d.writing.column(t, "members", "email")[0].String
		for name, write := range map[string]func() error{
			"create": func() error { return d.reading.Create(&readingMember{ID: 2, Email: sealed}).Error },
			"map":    func() error { return d.reading.Model(&readingMember{ID: 1}).Update("email", sealed).Error },
			"SQL":    func() error { return d.reading.Exec("UPDATE members SET phone = ? WHERE id = 1", sealed).Error },
			"Seal": func() error {
				_, err := gormcrypt.Seal(d.reading.DB, &readingMember{}, "Email", sealed)
				return err
			},
		} {
			if err := write(); !errors.Is(err, gormcrypt.ErrLooksSealed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// As ciphertext it is a text like any other.
		if err := d.writing.Create(&writingMember{ID: 3, Email: sealed, Tenant: "t"}).Error; err != nil {
			t.Error(err)
		}
		var back readingMember
		if err := d.reading.First(&back, 3).Error; err != nil || back.Email != sealed {
			t.Errorf("%q came back: %v", back.Email, err)
		}
		// One that does not open is no plaintext: it was changed, or is of elsewhere.
		d.writing.execute(t, "UPDATE members SET phone = email WHERE id = 1")
		if err := d.writing.First(&writingMember{}, 1).Error; !errors.Is(err, gormcrypt.ErrAuthentication) {
			t.Errorf("moved ciphertext: %v", err)
		}
	})
}

// Equality finds rows of both kinds, and inequality leaves out both.
func TestMigratingSearch(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		d := deploy(t, where)
		for i, text := range []string{"SECRET ada", "SECRET bob", "SECRET ada", "SECRET cyd"} {
			if err := errors.Join(d.legacy.Create(legacyRow(int64(10+i), text, 1)).Error, d.writing.Create(writingRow(legacyRow(int64(20+i), text, 1))).Error); err != nil {
				t.Fatal(err)
			}
		}
		ids := func(query *gorm.DB) func() ([]int64, error) {
			return func() (ids []int64, err error) {
				err = query.Order("id").Pluck("id", &ids).Error
				return ids, err
			}
		}
		for _, db := range []*database{d.reading, d.writing} {
			var model any = &readingMember{}
			if db == d.writing {
				model = &writingMember{}
			}
			m := func() *gorm.DB { return db.Model(model) }
			inner := db.Session(&gorm.Session{NewDB: true}).Model(model).Select("id").Where("email = ?", "SECRET bob")
			for name, c := range map[string]struct {
				find func() ([]int64, error)
				want []int64
			}{
				"text":          {ids(m().Where("email = ?", "SECRET ada")), []int64{10, 12, 20, 22}},
				"map":           {ids(m().Where(map[string]any{"email": "SECRET ada"})), []int64{10, 12, 20, 22}},
				"in":            {ids(m().Where("email IN ?", []string{"SECRET ada", "SECRET cyd"})), []int64{10, 12, 13, 20, 22, 23}},
				"not":           {ids(m().Not("email = ?", "SECRET ada")), []int64{11, 13, 21, 23}},
				"differs":       {ids(m().Where("members.email <> ?", "SECRET ada")), []int64{11, 13, 21, 23}},
				"not in":        {ids(m().Where("email NOT IN ?", []string{"SECRET ada", "SECRET bob"})), []int64{13, 23}},
				"or":            {ids(m().Where("email = ? OR id = 11", "SECRET cyd")), []int64{11, 13, 23}},
				"index itself":  {ids(m().Where("email_index = ?", "SECRET ada")), []int64{10, 12, 20, 22}},
				"subquery":      {ids(m().Where("id IN (?)", inner)), []int64{11, 21}},
				"deterministic": {ids(m().Where("tax_id = ?", "SECRET ada")), []int64{10, 12, 20, 22}},
				"and not":       {ids(m().Where("tax_id NOT IN ?", []string{"SECRET ada", "SECRET cyd"})), []int64{11, 21}},
				"lookalike":     {ids(m().Where("email = ?", db.column(t, "members", "email")[4].String)), nil},
			} {
				got, err := c.find()
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s: found %v, want %v: %v", name, got, c.want, err)
				}
			}
			// Ciphertext is found in every spelling, plaintext as it was found before.
			if got, err := ids(m().Where("email = ?", "secret ADA"))(); err != nil || !slices.Equal(got, []int64{20, 22}) {
				t.Errorf("another spelling: %v, %v", got, err)
			}
			for name, query := range map[string]*gorm.DB{
				"group":    m().Select("tax_id").Group("tax_id").Find(&[]string{}),
				"distinct": m().Distinct("tax_id").Find(&[]string{}),
				"upsert": db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "tax_id"}}, DoUpdates: clause.AssignmentColumns([]string{"note"})}).
					Create(map[bool]any{true: &writingMember{TaxID: "x", Tenant: "t"}, false: &readingMember{TaxID: "x", Tenant: "t"}}[db == d.writing]),
				"upsert by a column that is not deterministic": db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "email"}}, DoNothing: true}).
					Create(map[bool]any{true: &writingMember{Email: "x", Tenant: "t"}, false: &readingMember{Email: "x", Tenant: "t"}}[db == d.writing]),
				"upsert by the index in SQL": db.Exec("INSERT INTO members (email, email_index, tenant) VALUES (?, ?, 't') ON CONFLICT (email_index) DO NOTHING", "x", encryptedtype.BlindIndex{}),
				"upsert by the index": db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "email_index"}}, DoNothing: true}).
					Create(map[bool]any{true: &writingMember{Email: "x", Tenant: "t"}, false: &readingMember{Email: "x", Tenant: "t"}}[db == d.writing]),
			} {
				if !errors.Is(query.Error, gormcrypt.ErrNotQueryable) {
					t.Errorf("%s: %v", name, query.Error)
				}
			}
			db.requireUnsaid(t, "SECRET", "ADA")
		}
	})
}

// An update by migrating=read takes the term away that belongs to what was there.
func TestMigratingKeepsTermsInStep(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		d := deploy(t, where)
		if err := d.writing.Create(writingRow(legacyRow(1, "SECRET", 1))).Error; err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func() error{
			"update": func() error { return d.reading.Model(&readingMember{ID: 1}).Update("email", "SECRET new").Error },
			"SQL": func() error {
				return d.reading.Exec("UPDATE members SET email = ?, email_index = ? WHERE id = 1", "SECRET new", encryptedtype.BlindIndex{}).Error
			},
			"upsert": func() error {
				return d.reading.Clauses(clause.OnConflict{UpdateAll: true}).Create(&readingMember{ID: 1, Email: "SECRET new", Tenant: "t1"}).Error
			},
		} {
			if err := d.writing.Model(&writingMember{ID: 1}).Update("email", "SECRET old").Error; err != nil {
				t.Fatal(err)
			}
			if err := write(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if stored, term := d.reading.column(t, "members", "email")[0], d.reading.column(t, "members", "email_index")[0]; stored.String != "SECRET new" || term.Valid {
				t.Errorf("%s: stored %q with the term %v", name, stored.String, term)
			}
		}
		d.reading.requireUnsaid(t, "SECRET")
	})
}

// A new index on encrypted rows is written, and not searched until all rows have it.
func TestMigratingIndex(t *testing.T) {
	t.Parallel()
	type readingOwner struct {
		ID        uint
		Name      string                   `gorm:"serializer:encrypted"`
		NameIndex encryptedtype.BlindIndex `encrypt:"of=Name,migrating=read"`
	}
	type writingOwner struct {
		ID        uint
		Name      string                   `gorm:"serializer:encrypted"`
		NameIndex encryptedtype.BlindIndex `encrypt:"of=Name,migrating=write"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys := generate(t)
		for want, model := range map[bool]any{false: &readingOwner{}, true: &writingOwner{}} {
			db := reopen(t, where, keys, model)
			table := map[bool]string{false: "reading_owners", true: "writing_owners"}[want]
			if err := errors.Join(db.AutoMigrate(model), db.Create(model).Error, db.Model(model).Where("id = 1").Update("name", "SECRET").Error); err != nil {
				t.Fatal(err)
			}
			if term := db.column(t, table, "name_index")[0]; term.Valid != want {
				t.Errorf("%s: the term is %v", table, term)
			}
			for _, condition := range []string{"name = ?", "name_index = ?", "name_index IN (?)"} {
				err := db.Model(model).Where(condition, "SECRET").Pluck("id", &[]uint{}).Error
				if !errors.Is(err, gormcrypt.ErrNotQueryable) || !strings.Contains(err.Error(), "finished") {
					t.Errorf("%s: %s: %v", table, condition, err)
				}
			}
			if err := db.Model(model).Where("name_index IS NULL").Pluck("id", &[]uint{}).Error; err != nil {
				t.Error(err)
			}
		}
	})
}
