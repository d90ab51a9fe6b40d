package integration_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// member has fields with blind indexes: whole, of a part, and of two fields.
type member struct {
	ID          uint
	Name        string
	Email       string                   `gorm:"serializer:encrypted"`
	EmailIndex  encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=email"`
	EmailDomain encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email,normalize=domain"`
	Phone       *string                  `gorm:"serializer:encrypted"`
	PhoneIndex  encryptedtype.BlindIndex `gorm:"column:phone_bidx;uniqueIndex" encrypt:"of=Phone,normalize=digits"`
	PhoneLast4  encryptedtype.BlindIndex `encrypt:"of=Phone,normalize=digits+last4"`
	Age         int                      `gorm:"serializer:encrypted;type:text"`
	AgeIndex    encryptedtype.BlindIndex `encrypt:"of=Age"`
	First, Last string                   `gorm:"serializer:encrypted"`
	NameIndex   encryptedtype.BlindIndex `encrypt:"of=First+Last,normalize=lower"`
	ReferrerID  *uint
	Referrer    *member
}

// terms returns what the table holds for a member in the columns of the indexes.
func (db *database) terms(t *testing.T, id uint) map[string]string {
	t.Helper()
	terms := map[string]string{}
	for _, column := range []string{"email_index", "email_domain", "phone_bidx", "phone_last4", "age_index", "name_index"} {
		var term *string
		row := db.plain.QueryRow(fmt.Sprintf("SELECT %s FROM members WHERE id = %d", column, id))
		if err := row.Scan(&term); err != nil {
			t.Fatal(err)
		}
		if term != nil {
			terms[column] = *term
		}
	}
	return terms
}

// The terms follow their fields on every path that writes those, and stay where
// they are on every other.
func TestBlindIndexesAreWrittenWithTheirFields(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &member{})
		phone := func(s string) *string { s += " SECRET"; return &s }
		full := func(id uint) *member {
			return &member{ID: id, Name: "ada", Email: "SECRET@Example.org", Phone: phone("555-0001"), Age: 36, First: "SECRET Ada", Last: "SECRET King"}
		}
		if err := db.Create(full(1)).Error; err != nil {
			t.Fatal(err)
		}
		want := db.terms(t, 1)
		if len(want) != 6 {
			t.Fatalf("the terms are %v", want)
		}
		for column, term := range want {
			if !strings.HasPrefix(term, "i1:") || len(term) != len("i1:")+22 {
				t.Errorf("%s holds %q", column, term)
			}
		}
		reset := func(id uint) error {
			return db.Exec("DELETE FROM members WHERE id >= ?", id).Error
		}
		values := func() map[string]any { // GORM writes into them
			return map[string]any{"id": 2, "email": "SECRET@Example.org", "phone": "555-0001 SECRET", "age": "36", "first": "SECRET Ada", "last": "SECRET King"}
		}
		onID := []clause.Column{{Name: "id"}}
		other := &member{ID: 2, Name: "bob"}
		for name, write := range map[string]func() error{
			"Create":         func() error { return db.Create(full(2)).Error },
			"Create, slice":  func() error { return db.Create([]*member{full(2)}).Error },
			"Create, map":    func() error { return db.Model(&member{}).Create(values()).Error },
			"Create, table":  func() error { return db.Table("members").Create(values()).Error },
			"Create, Select": func() error { return db.Select("ID", "Email", "Phone", "Age", "First", "Last").Create(full(2)).Error },
			"Create, Omit": func() error {
				return db.Omit("EmailIndex", "EmailDomain", "PhoneIndex", "PhoneLast4", "AgeIndex", "NameIndex").Create(full(2)).Error
			},
			"Save, new": func() error { return db.Save(full(2)).Error },
			"Save": func() error {
				return errors.Join(db.Create(other).Error, db.Save(full(2)).Error)
			},
			"Updates, struct": func() error {
				return errors.Join(db.Create(other).Error, db.Model(&member{ID: 2}).Updates(full(2)).Error)
			},
			"Updates, map": func() error {
				return errors.Join(db.Create(other).Error, db.Model(&member{ID: 2}).Updates(values()).Error)
			},
			"Updates, table": func() error {
				return errors.Join(db.Create(other).Error, db.Table("members").Where("id = ?", 2).Updates(values()).Error)
			},
			"UpdateColumns": func() error {
				return errors.Join(db.Create(other).Error, db.Model(&member{ID: 2}).UpdateColumns(values()).Error)
			},
			"one by one": func() error {
				model := db.Model(&member{ID: 2}).Session(&gorm.Session{})
				return errors.Join(db.Create(other).Error, model.Update("email", "SECRET@Example.org").Error, model.Update("Phone", "555-0001 SECRET").Error,
					model.Update("age", 36).Error, model.Select("First", "Last").Updates(full(2)).Error)
			},
			"Create, Omit field": func() error {
				dry := db.Session(&gorm.Session{DryRun: true}).Omit("Email", "Age").Create(full(2))
				return errors.Join(dry.Error, db.Omit("Email", "Age").Create(full(2)).Error, db.Model(&member{ID: 2}).Select("Email", "Age").Updates(full(2)).Error)
			},
			"upsert, all": func() error {
				return errors.Join(db.Create(other).Error, db.Clauses(clause.OnConflict{UpdateAll: true}).Create(full(2)).Error)
			},
			"upsert, columns": func() error {
				return errors.Join(db.Create(other).Error, db.Clauses(clause.OnConflict{Columns: onID, DoUpdates: clause.AssignmentColumns([]string{"email", "phone", "age", "first", "last"})}).Create(full(2)).Error)
			},
			"upsert, values": func() error {
				return errors.Join(db.Create(other).Error, db.Clauses(clause.OnConflict{Columns: onID, DoUpdates: clause.Assignments(values())}).Create(&member{ID: 2}).Error)
			},
			"generics": func() error { return gorm.G[member](db.DB).Create(t.Context(), full(2)) },
			"Exec": func() error {
				none := encryptedtype.BlindIndex{}
				return db.Exec(`INSERT INTO members (id, email, email_index, email_domain, phone, phone_bidx, phone_last4, age, age_index, "first", "last", name_index) VALUES (2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
					"SECRET@Example.org", none, none, "555-0001 SECRET", none, nil, 36, none, "SECRET Ada", "SECRET King", none).Error
			},
			"Exec, upsert": func() error {
				none := encryptedtype.BlindIndex{}
				columns := []string{"email", "email_index", "email_domain", "phone", "phone_bidx", "phone_last4", "age", "age_index", `"first"`, `"last"`, "name_index"}
				var set []string
				for _, column := range columns {
					set = append(set, column+" = excluded."+column)
				}
				upsert := "INSERT INTO members (" + strings.Join(columns, ", ") + ", id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 2) ON CONFLICT (id) DO UPDATE SET " + strings.Join(set, ", ")
				return errors.Join(db.Create(other).Error, db.Exec(upsert, "SECRET@Example.org", none, none, "555-0001 SECRET", none, none, 36, none, "SECRET Ada", "SECRET King", none).Error)
			},
		} {
			t.Run(name, func(t *testing.T) {
				if err := db.Model(&member{ID: 1}).Update("phone", nil).Error; err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(reset(2), write()); err != nil {
					t.Fatal(err)
				}
				if got := db.terms(t, 2); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("the terms are %v, want %v", got, want)
				}
			})
		}
		if err := reset(2); err != nil {
			t.Fatal(err)
		}
		if where.Name == "sqlite" { // which takes the last of two assignments; PostgreSQL refuses them
			twice := db.Session(&gorm.Session{}).Callback().Update()
			if err := twice.Before("gorm:update").Register("test:twice", func(tx *gorm.DB) { tx.Statement.SetColumn("Age", 36, true) }); err != nil {
				t.Fatal(err)
			}
			if err := db.Model(&member{ID: 1}).Updates(map[string]any{"age": 1}).Error; err != nil {
				t.Fatal(err)
			}
			if err := twice.Remove("test:twice"); err != nil {
				t.Fatal(err)
			}
			var age member
			if err := db.Take(&age, 1).Error; err != nil {
				t.Fatal(err)
			}
			var found member
			if err := db.Take(&found, "age = ?", age.Age).Error; err != nil || found.ID != 1 {
				t.Errorf("the age is %d, and is not found: %v", age.Age, err)
			}
		}
		for name, write := range map[string]func() error{
			"another column":   func() error { return db.Model(&member{ID: 1}).Update("name", "x").Error },
			"the index itself": func() error { return db.Model(&member{ID: 1}).Select("AgeIndex").Updates(&member{Name: "y"}).Error },
			"Save without":     func() error { return db.Omit("Email", "Age", "First", "Last", "Phone").Save(full(1)).Error },
		} {
			before := db.terms(t, 1)
			if err := write(); err != nil && !errors.Is(err, gorm.ErrInvalidData) {
				t.Logf("%s: %v", name, err)
			}
			if got := db.terms(t, 1); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("%s: the terms are %v, want %v", name, got, before)
			}
		}
		if err := db.Model(&member{ID: 1}).Updates(map[string]any{"email": "", "age": 0}).Error; err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func() error{
			"by hand":      func() error { return db.Model(&member{ID: 1}).Update("email_index", "SECRET").Error },
			"by hand, map": func() error { return db.Model(&member{}).Create(map[string]any{"email_index": "SECRET"}).Error },
			"a part":       func() error { return db.Model(&member{ID: 1}).Update("first", "SECRET").Error },
			"upsert, a part": func() error {
				return db.Clauses(clause.OnConflict{Columns: onID, DoUpdates: clause.AssignmentColumns([]string{"first"})}).Create(full(1)).Error
			},
			"Exec without":   func() error { return db.Exec("UPDATE members SET email = ? WHERE id = 1", "SECRET").Error },
			"Exec, by hand":  func() error { return db.Exec("UPDATE members SET email_index = ? WHERE id = 1", "SECRET").Error },
			"INSERT without": func() error { return db.Exec("INSERT INTO members (email) VALUES (?)", "SECRET").Error },
		} {
			if err := write(); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// Conditions on fields with an index find what the same conditions on plain ones
// would, but for what the index makes alike, under one index key and while two are
// live.
func TestSearchByBlindIndexes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, live := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d keys", live), func(t *testing.T) {
				first, second := rotatedIndex(t)
				keys := generate(t)
				if live == 2 {
					keys = first
				}
				db := open(t, where, keys, &member{})
				phone := func(s string) *string { s += " SECRET"; return &s }
				if err := db.Exec("DELETE FROM members").Error; err != nil {
					t.Fatal(err)
				}
				if err := db.Create([]*member{
					{ID: 1, Name: "ada", Email: "SECRET.ada@Example.org", Phone: phone("555-0001"), Age: 36, First: "SECRET Ada", Last: "King"},
					{ID: 2, Name: "bob", Email: "SECRET.bob@example.org", Phone: phone("777-0001"), Age: 36, First: "SECRET", Last: "Ada King"},
				}).Error; err != nil {
					t.Fatal(err)
				}
				if live == 2 {
					if err := db.crypt.SetKeys(t.Context(), second); err != nil {
						t.Fatal(err)
					}
				}
				one := uint(1)
				if err := db.Create([]*member{
					{ID: 3, Name: "cyd", Email: "SECRET.cyd@example.com", Phone: phone("555-0003"), Age: 7, ReferrerID: &one},
					{ID: 4, Name: "dan"},
				}).Error; err != nil {
					t.Fatal(err)
				}
				for name, find := range map[string]struct {
					query *gorm.DB
					want  []uint
				}{
					"text":                 {db.Where("email = ?", "SECRET.ada@Example.org"), []uint{1}},
					"text, other spelling": {db.Where("email = ?", " secret.ADA@example.org "), []uint{1}},
					"new key":              {db.Where("email = ?", "SECRET.cyd@example.com"), []uint{3}},
					"qualified":            {db.Where("members.email = ?", "SECRET.bob@example.org"), []uint{2}},
					"quoted":               {db.Where(`"members"."email" = ?`, "SECRET.bob@example.org"), []uint{2}},
					"reversed":             {db.Where("? = email", "SECRET.bob@example.org"), []uint{2}},
					"renamed column":       {db.Where("phone = ?", "555 0001 SECRET"), []uint{1}},
					"a part":               {db.Where("phone_last4 = ?", "0001"), []uint{1, 2}},
					"domain":               {db.Where("email_domain = ?", "x@EXAMPLE.org"), []uint{1, 2}},
					"number":               {db.Where("age = ?", "36"), []uint{1, 2}},
					"zero":                 {db.Where("age = ?", 0), []uint{4}},
					"two fields":           {db.Where("name_index = (?, ?)", "secret ADA", "king"), []uint{1}},
					"two fields, slice":    {db.Where("name_index = ?", []string{"SECRET", "ada king"}), []uint{2}},
					"named":                {db.Where("email = @e AND name = @n", map[string]any{"e": "SECRET.ada@example.org", "n": "ada"}), []uint{1}},
					"map":                  {db.Where(map[string]any{"email": "SECRET.ada@example.org"}), []uint{1}},
					"struct":               {db.Where(&member{Email: "SECRET.ada@example.org", Age: 36}), []uint{1}},
					"IN":                   {db.Where("email IN ?", []string{"SECRET.ada@example.org", "SECRET.cyd@example.com", "no"}), []uint{1, 3}},
					"IN, empty":            {db.Where("email IN ?", []string{}), nil},
					"not equal":            {db.Where("phone <> ?", "555-0001 SECRET"), []uint{2, 3}},
					"NOT IN":               {db.Where("phone NOT IN ?", []string{"555-0001", "777-0001"}), []uint{3}},
					"Not":                  {db.Not(map[string]any{"phone": "555-0001"}), []uint{2, 3}},
					"Or":                   {db.Where("email = ?", "SECRET.ada@example.org").Or("age = ?", 7), []uint{1, 3}},
					"clause Neq":           {db.Where(clause.Neq{Column: "age", Value: 36}), []uint{3, 4}},
					"NULL":                 {db.Where("phone IS NULL"), []uint{4}},
					"nil":                  {db.Where("phone = ?", nil), nil},
					"nil in a map":         {db.Where(map[string]any{"phone": nil}), []uint{4}},
					"subquery":             {db.Where("name <> ? AND id IN (?) AND age = ?", "x", db.Model(&member{}).Select("id").Where("email IN ?", []string{"SECRET.ada@example.org", "SECRET.cyd@example.com"}), 36), []uint{1}},
					"two fields in one":    {db.Where("id IN (?)", db.Model(&member{}).Select("id").Where("name_index = (?, ?)", "secret ADA", "king")), []uint{1}},
					"subquery as text":     {db.Where("id IN (SELECT t.id FROM members t WHERE t.email = ?)", "SECRET.bob@example.org"), []uint{2}},
					"derived table":        {db.Table("(?) AS u", db.Model(&member{}).Where("email = ?", "SECRET.ada@example.org")), []uint{1}},
					"derived, outside":     {db.Table("(?) AS u", db.Model(&member{})).Where("u.email = ?", "SECRET.bob@example.org"), []uint{2}},
					"derived, both":        {db.Table("(?) AS u", db.Model(&member{}).Where("age = ?", 36)).Where("u.email <> ?", "SECRET.bob@example.org"), []uint{1}},
					"common table":         {db.Raw("WITH u AS (SELECT m.id, m.email AS mail, m.email_index FROM members m) SELECT * FROM members WHERE id IN (SELECT id FROM u WHERE mail = ?)", "SECRET.bob@example.org"), []uint{2}},
					"self join":            {db.Joins("JOIN members s ON s.id = members.referrer_id AND s.email = ?", "SECRET.ada@example.org"), []uint{3}},
					"relation":             {db.Joins("Referrer").Where(`"Referrer".email = ?`, "SECRET.ada@example.org"), []uint{3}},
					"relation's condition": {db.InnerJoins("Referrer", db.Where(&member{Email: "SECRET.ada@example.org"})), []uint{3}},
					"raw":                  {db.Raw("SELECT * FROM members WHERE age = ? AND email IN (?, ?)", 36, "SECRET.ada@example.org", "x"), []uint{1}},
				} {
					t.Run(name, func(t *testing.T) {
						var got []member
						if err := find.query.Find(&got).Error; err != nil {
							t.Fatal(err)
						}
						var ids []uint
						for _, row := range got {
							ids = append(ids, row.ID)
						}
						if slices.Sort(ids); !slices.Equal(ids, find.want) {
							t.Errorf("found %v, want %v", ids, find.want)
						}
					})
				}
				sealed, err := gormcrypt.Seal(db.DB, &member{}, "Email", "SECRET")
				if err != nil {
					t.Fatal(err)
				}
				for name, query := range map[string]*gorm.DB{
					"LIKE":                        db.Where("email LIKE ?", "SECRET%"),
					"less":                        db.Where("age < ?", 40),
					"BETWEEN":                     db.Where("age BETWEEN ? AND ?", 1, 40),
					"function":                    db.Where("lower(email) = ?", "SECRET"),
					"concatenation":               db.Where("email || ? = ?", "SECRET", "SECRET"),
					"literal":                     db.Where("email = 'SECRET'"),
					"order":                       db.Order("email"),
					"order by the index":          db.Order("email_index"),
					"no index":                    db.Where(`"first" = ?`, "SECRET"),
					"half of two":                 db.Where("name_index = ?", "SECRET"),
					"three of two":                db.Where("name_index = (?, ?, ?)", "SECRET", "b", "c"),
					"index, LIKE":                 db.Where("email_index LIKE ?", "SECRET"),
					"derived without":             db.Table("(?) AS u", db.Model(&member{}).Select("id", "email")).Where("u.email = ?", "SECRET"),
					"derived, another index":      db.Table("(?) AS u", db.Raw("SELECT id, email, email_index FROM members UNION ALL SELECT id, email, 'x' FROM members")).Where("u.email = ?", "SECRET"),
					"derived, renamed index":      db.Table("(?) AS u", db.Model(&member{}).Select("id", "email", "email_domain AS email_index")).Where("u.email = ?", "SECRET"),
					"derived, LIKE":               db.Table("(?) AS u", db.Model(&member{})).Where("u.email_index LIKE ?", "SECRET"),
					"a comparison compared":       db.Where("email = ? = ?", "SECRET", true),
					"behind BETWEEN":              db.Where("age BETWEEN 1 AND email = ?", "SECRET"),
					"a sealed value":              db.Where("email = ?", sealed),
					"a value that cannot be":      db.Where("age = ?", "SECRET"),
					"a value that cannot be, map": db.Where(map[string]any{"age": "SECRET"}),
				} {
					before := db.wire.Statements()
					err := query.Find(&[]member{}).Error
					if err == nil || strings.Contains(err.Error(), "SECRET") {
						t.Errorf("%s: error %v", name, err)
					}
					if sent := db.wire.Statements() - before; sent != 0 {
						t.Errorf("%s: %d statements were sent", name, sent)
					}
				}
				db.requireUnsaid(t, "SECRET")
			})
		}
	})
}

// An index that cannot be what its tags say is refused, with the fix.
func TestBlindIndexesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model any
		want  []string // parts of the message
	}{
		"of nothing": {&struct {
			Email string `gorm:"serializer:encrypted"`
			Index encryptedtype.BlindIndex
		}{}, []string{"Index", "does not say of what", `encrypt:"of=Field"`}},
		"of no field": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `encrypt:"of=Mail"`
		}{}, []string{"Ix", "of=Mail", "marked as encrypted"}},
		"of a plain field": {&struct {
			Email string `gorm:"serializer:encrypted"`
			Name  string
			Ix    encryptedtype.BlindIndex `encrypt:"of=Name"`
		}{}, []string{"of=Name", "marked as encrypted"}},
		"of one twice": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `encrypt:"of=Email+Email"`
		}{}, []string{"twice"}},
		"unknown normalization": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `encrypt:"of=Email,normalize=trim+soundex"`
		}{}, []string{"soundex", "Config.Normalizations"}},
		"normalized number": {&struct {
			Age int                      `gorm:"serializer:encrypted;type:text"`
			Ix  encryptedtype.BlindIndex `encrypt:"of=Age,normalize=lower"`
		}{}, []string{"Age is a int", "remove it"}},
		"too few bits": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `encrypt:"of=Email,bits=3"`
		}{}, []string{"bits=3", "from 4 to 127"}},
		"unique by an option, and truncated": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `gorm:"index:,unique" encrypt:"of=Email,bits=64"`
		}{}, []string{"it is unique", "remove the constraint, or bits="}},
		"unique and truncated": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `gorm:"uniqueIndex" encrypt:"of=Email,bits=64"`
		}{}, []string{"it is unique", "remove the constraint, or bits="}},
		"unknown option": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `encrypt:"of=Email,fast"`
		}{}, []string{`"fast"`, "known are of=Field"}},
		"a pointer": {&struct {
			Email string                    `gorm:"serializer:encrypted"`
			Ix    *encryptedtype.BlindIndex `encrypt:"of=Email"`
		}{}, []string{"pointer", "encryptedtype.BlindIndex itself"}},
		"a type of its own": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `gorm:"type:integer" encrypt:"of=Email"`
		}{}, []string{"Ix", "its column is text"}},
		"a word of SQL": {&struct {
			Email string                   `gorm:"serializer:encrypted"`
			Ix    encryptedtype.BlindIndex `gorm:"column:set" encrypt:"of=Email"`
		}{}, []string{"set", "word of SQL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := testdb.SQLite(t).Open(t, withTableNames()).Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{c.model}}))
			if !errors.Is(err, gormcrypt.ErrModel) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// vault has a value that is easy to guess, behind a slow index.
type vault struct {
	ID       uint
	PIN      string                   `gorm:"serializer:encrypted"`
	PINIndex encryptedtype.BlindIndex `encrypt:"of=PIN,normalize=reversed,slow"`
}

// A slow index finds what others find, and names its parameters in every term.
// Normalizations may be the program's own.
func TestSlowIndexes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		reversed := func(s string) string {
			runes := []rune(s)
			slices.Reverse(runes)
			return string(runes)
		}
		db := where.Open(t, nil)
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{&vault{}}, Normalizations: map[string]func(string) string{"reversed": reversed}})); err != nil {
			t.Fatal(err)
		}
		if err := db.AutoMigrate(&vault{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create([]*vault{{PIN: "1234"}, {PIN: "4321"}}).Error; err != nil {
			t.Fatal(err)
		}
		var found []vault
		if err := db.Where("pin = ?", "4321").Find(&found).Error; err != nil || len(found) != 1 || found[0].PIN != "4321" {
			t.Errorf("found %+v, %v", found, err)
		}
		var term string
		if err := where.Plain(t).QueryRow("SELECT pin_index FROM vaults WHERE id = 1").Scan(&term); err != nil || !strings.HasPrefix(term, "i1:a19456.2.1:") {
			t.Errorf("the term is %q, %v", term, err)
		}
	})
}
