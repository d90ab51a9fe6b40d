package integration_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// Nothing can be searched yet. A condition that compares an encrypted column
// is refused, and no statement is sent: it would carry the plaintext, and
// would find nothing.
func TestConditionsAreRefused(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{}, &customer{}, &order{})
		if err := db.Create(&pet{Name: "rex", Owner: &person{Email: "SECRET"}}).Error; err != nil {
			t.Fatal(err)
		}
		secret := encryptedtype.NewEncryptedString("SECRET")
		for name, query := range map[string]*gorm.DB{
			"struct":                      db.Where(&person{Email: "SECRET"}),
			"selected struct":             db.Where(&person{Email: ""}, "Email"),
			"map":                         db.Where(map[string]any{"email": "SECRET"}),
			"map of strings":              db.Where(map[string]string{"Email": "SECRET"}),
			"map with a slice":            db.Where(map[string]any{"people.email": []string{"SECRET"}}),
			"column":                      db.Where("email", "SECRET"),
			"column, typed":               db.Where("email", secret),
			"string":                      db.Where("email = ?", "SECRET"),
			"string, typed":               db.Where("email = ?", secret),
			"typed alone":                 db.Where("? <> ''", secret),
			"qualified":                   db.Where("people.email = ?", "SECRET"),
			"quoted":                      db.Where(`"email" = ?`, "SECRET"),
			"upper case":                  db.Where("EMAIL = ?", "SECRET"),
			"named":                       db.Where("email = @email", map[string]any{"email": "SECRET"}),
			"IN":                          db.Where("email IN ?", []string{"SECRET"}),
			"LIKE":                        db.Where("email LIKE ?", "%SECRET%"),
			"function":                    db.Where("lower(email) = ?", "SECRET"),
			"reversed":                    db.Where("? = email", "SECRET"),
			"IS NOT DISTINCT":             db.Where("email IS NOT DISTINCT FROM ?", "SECRET"),
			"literal":                     db.Where("email = 'SECRET'"),
			"after a comment":             db.Where("/* ' */ email = ? -- '", "SECRET"),
			"Not":                         db.Not(map[string]any{"email": "SECRET"}),
			"Not string":                  db.Not("email = ?", "SECRET"),
			"Or":                          db.Where("id = 1").Or("email = ?", "SECRET"),
			"grouped":                     db.Where(db.Where("id = 1").Or(&person{Email: "SECRET"})),
			"clause Eq":                   db.Clauses(clause.Eq{Column: "email", Value: "SECRET"}),
			"clause Neq":                  db.Where(clause.Neq{Column: "email", Value: "SECRET"}),
			"clause Gt":                   db.Where(clause.Gt{Column: "email", Value: "SECRET"}),
			"clause Gte":                  db.Where(clause.Gte{Column: "email", Value: "SECRET"}),
			"clause Lt":                   db.Where(clause.Lt{Column: "email", Value: "SECRET"}),
			"clause Lte":                  db.Where(clause.Lte{Column: clause.Column{Table: "people", Name: "email"}, Value: "SECRET"}),
			"clause Like":                 db.Where(clause.Like{Column: "email", Value: "SECRET"}),
			"clause IN":                   db.Where(clause.IN{Column: clause.Column{Table: clause.CurrentTable, Name: "email"}, Values: []any{"SECRET"}}),
			"column argument":             db.Where("? = ?", clause.Column{Name: "email"}, "SECRET"),
			"Expr argument":               db.Where("id = (?)", gorm.Expr("CASE WHEN email = ? THEN 1 END", "SECRET")),
			"own expression":              db.Where(ownExpression{"SECRET"}),
			"subquery of values":          db.Where("name IN (?)", db.Model(&person{}).Select("email")),
			"subquery of values, table":   db.Where("name IN (?)", db.Table("people").Select("people.email")),
			"subquery of values, text":    db.Where("name IN (?)", db.Raw("SELECT p.email FROM people p")),
			"subquery of values, map":     db.Where(map[string]any{"name": db.Model(&person{}).Select("Email")}),
			"subquery of values, raw":     db.Where("name IN (?)", db.Raw("SELECT id FROM people WHERE email = ?", "SECRET")),
			"subquery":                    db.Where("id IN (?)", db.Model(&person{}).Select("id").Where("email = ?", "SECRET")),
			"HAVING":                      db.Group("id").Having("max(email) = ?", "SECRET"),
			"relation":                    db.Where("id IN (?)", db.Model(&pet{}).Select("pets.owner_id").Joins("JOIN people AS owner ON owner.id = owner_id").Where("owner.email = ?", "SECRET")),
			"join":                        db.Joins("JOIN pets ON pets.owner_id = people.id AND pets.name = ?", "SECRET"),
			"joined":                      db.Joins("JOIN pets AS p ON p.owner_id = people.id").Where("p.name = ?", "SECRET"),
			"select list":                 db.Select("id, email = ? AS hit", "SECRET"),
			"select function":             db.Select("coalesce(email, ?)", "SECRET"),
			"select named":                db.Select("max(people.email) > @email", map[string]any{"email": "SECRET"}),
			"Eq on a function":            db.Where(clause.Eq{Column: clause.Expr{SQL: "lower(email)"}, Value: "SECRET"}),
			"Eq, raw column":              db.Where(clause.Eq{Column: clause.Column{Name: "lower(email)", Raw: true}, Value: "SECRET"}),
			"IN of columns":               db.Where(clause.IN{Column: []clause.Column{{Name: "id"}, {Name: "email"}}, Values: []any{[]any{1, "SECRET"}}}),
			"named type":                  db.Where(clause.Eq{Column: status("email"), Value: "SECRET"}),
			"Gte expression":              db.Where(clause.Gte{Column: "id", Value: gorm.Expr("(SELECT id FROM people WHERE email = ?)", "SECRET")}),
			"IN expression":               db.Where(map[string]any{"id": []any{gorm.Expr("(SELECT id FROM people p WHERE p.email = ?)", "SECRET")}}),
			"named column":                db.Where("@c = @v", map[string]any{"c": clause.Column{Name: "email"}, "v": "SECRET"}),
			"sql.Named":                   db.Where("@c = @v", sql.Named("c", clause.Column{Name: "email"}), sql.Named("v", "SECRET")),
			"rows of columns":             db.Where("? IN ?", []clause.Column{{Name: "id"}, {Name: "email"}}, [][]any{{1, "SECRET"}}),
			"other's subquery":            db.Where("id IN (SELECT id FROM customers WHERE phone = ?)", "SECRET"),
			"alias of a relation's name":  db.Joins("JOIN pets AS Owner ON Owner.owner_id = people.id AND Owner.name = ?", "SECRET"),
			"string as a name":            db.Where("people.'email' = ?", "SECRET"),
			"DISTINCT FROM":               db.Where("? IS NOT DISTINCT FROM email", "SECRET"),
			"DISTINCT FROM in a subquery": db.Where(`id IN (SELECT id FROM people p WHERE ? IS DISTINCT FROM "email")`, "SECRET"),
			"trim FROM":                   db.Where("trim(both ? from email) = 'x'", "SECRET"),
			"= IS NULL":                   db.Where("? = email IS NULL", "SECRET"),
			"function notation":           db.Where("email(people) = ?", "SECRET"),
			"escaped name":                db.Where(`U&"\0065mail" = ?`, "SECRET"),
			"nested comment":              db.Where("id = 1 /* /* ' */ ' */ OR email = ?", "SECRET"),
			"carriage return":             db.Where("id = 1 -- x\r OR email = ?", "SECRET"),
			"natural join":                db.Joins("NATURAL JOIN (SELECT ? AS email) z", "SECRET"),
			"select DISTINCT FROM":        db.Select("id, CASE WHEN ? IS NOT DISTINCT FROM email THEN 1 END", "SECRET"),
			"select literal":              db.Select("id, email = 'SECRET' AS x"),
			"trim FROM in a subquery":     db.Where("id IN (SELECT id FROM people p WHERE trim(both ? from email) = 'x')", "SECRET"),
			"group expression":            db.Select("count(*)").Group("email = 'SECRET'"),
			"order expression text":       db.Order("email = 'SECRET'"),
			"select sum":                  db.Select("max(email) AS email"),
			"order":                       db.Order("email"),
			"order descending":            db.Order("id, people.email DESC"),
			"order clause":                db.Order(clause.OrderByColumn{Column: clause.Column{Name: "email"}}),
			"order expression":            db.Clauses(clause.OrderBy{Expression: clause.Expr{SQL: "email = ?", Vars: []any{"SECRET"}}}),
			"group":                       db.Select("count(*)").Group("email"),
			"other table":                 db.Joins("JOIN customers c ON c.id = people.id").Where("phone = ?", "SECRET"),
		} {
			for what, run := range map[string]func(tx *gorm.DB) error{
				"Find":   func(tx *gorm.DB) error { return tx.Find(&[]person{}).Error },
				"Count":  func(tx *gorm.DB) error { var n int64; return tx.Model(&person{}).Count(&n).Error },
				"Update": func(tx *gorm.DB) error { return tx.Model(&person{}).Update("email", "x").Error },
				"Delete": func(tx *gorm.DB) error { return tx.Delete(&person{}).Error },
			} {
				only := strings.Contains(name, "join") || strings.Contains(name, "select") || strings.Contains(name, "order") || strings.Contains(name, "alias") || strings.Contains(name, "group e") || name == "group" || name == "HAVING" || name == "other table"
				if only && what != "Find" && (what != "Count" || strings.Contains(name, "order") || strings.Contains(name, "select")) {
					continue // GORM drops these clauses there
				}
				before := db.wire.Statements()
				err := run(query.Session(&gorm.Session{}))
				if !errors.Is(err, gormcrypt.ErrNotQueryable) && !errors.Is(err, gormcrypt.ErrHandWritten) && !errors.Is(err, gormcrypt.ErrUnsealed) || strings.Contains(fmt.Sprintf("%+v", err), "SECRET") {
					t.Errorf("%s, %s: error %v, want ErrNotQueryable", name, what, err)
				}
				if sent := db.wire.Statements() - before; sent != 0 {
					t.Errorf("%s, %s: %d statements were sent", name, what, sent)
				}
			}
		}
		var n int64
		if err := db.Model(&person{}).Count(&n).Error; err != nil || n != 1 {
			t.Errorf("the table has %d rows, %v", n, err)
		}
		db.requireSealed(t, "people", "email")
		db.requireUnsaid(t, "SECRET")
	})
}

// A plain model leads to no leak either: not with values of an encrypted one, not
// with expressions on one, and not with another table in its clauses.
func TestPlainModelsBesideEncryptedOnes(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &person{}, &pet{})
		if err := db.AutoMigrate(&lead{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&person{Email: "kept"}).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&lead{Email: "plain@lead"}).Error; err != nil {
			t.Fatal(err)
		}
		secret := person{Email: "SECRET"}
		for name, run := range map[string]func() error{
			"struct of another":  func() error { return db.Model(&lead{}).Where(&secret).Find(&[]lead{}).Error },
			"Not of another":     func() error { return db.Model(&lead{}).Not(&secret).Find(&[]lead{}).Error },
			"table":              func() error { return db.Table("leads").Where(&secret).Find(&[]lead{}).Error },
			"updates of another": func() error { return db.Model(&lead{ID: 1}).Updates(secret).Error },
			"assigned":           func() error { return db.Where("id = 1").Assign(secret).FirstOrCreate(&lead{}).Error },
			"expression": func() error {
				return db.Model(&lead{ID: 1}).Update("email", gorm.Expr("(SELECT 'x' FROM people WHERE email = ?)", "SECRET")).Error
			},
			"copied": func() error {
				return db.Model(&lead{ID: 1}).Update("email", gorm.Expr("(SELECT people.email FROM people)")).Error
			},
			"created": func() error {
				return db.Model(&lead{}).Create(map[string]any{"email": gorm.Expr("(SELECT 'x' FROM people WHERE email = ?)", "SECRET")}).Error
			},
			"subquery": func() error {
				return db.Where("id IN (SELECT id FROM people WHERE email = ?)", "SECRET").Find(&[]lead{}).Error
			},
			"relation": func() error { return db.Joins("Person", db.Where("email = ?", "SECRET")).Find(&[]lead{}).Error },
			"table argument": func() error {
				return db.Table("(SELECT * FROM people WHERE email = ?) AS t", "SECRET").Find(&[]map[string]any{}).Error
			},
		} {
			if err := run(); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		// These name the encrypted table, so they are sealed.
		for name, run := range map[string]func() error{
			"table as an argument": func() error {
				return db.Table("?", clause.Table{Name: "people"}).Where("id = 1").Updates(map[string]any{"email": "SECRET"}).Error
			},
			"UPDATE clause": func() error {
				return db.Model(&lead{}).Clauses(clause.Update{Table: clause.Table{Name: "people"}}).Where("id = 1").Updates(map[string]any{"email": "SECRET"}).Error
			},
			"INSERT clause": func() error {
				return db.Model(&lead{}).Clauses(clause.Insert{Table: clause.Table{Name: "people"}}).Create(map[string]any{"email": "SECRET"}).Error
			},
		} {
			if err := run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		db.requireSealed(t, "people", "email")
		db.requireUnsaid(t, "SECRET")
		var read lead
		if err := db.First(&read).Error; err != nil || read.Email != "plain@lead" {
			t.Errorf("the lead is %+v, %v", read, err)
		}
	})
}

type lead struct {
	ID       uint
	Email    string
	PersonID *uint
	Person   *person
}

// Columns of plain tables that are called as encrypted ones elsewhere, and words
// that are no columns, are left alone.
func TestNamesThatAreNoEncryptedColumns(t *testing.T) {
	t.Parallel()
	type company struct {
		ID    uint
		Email string
	}
	type memo struct {
		ID        uint
		CompanyID uint
		Date      string            `gorm:"serializer:encrypted"`
		Text      string            `gorm:"serializer:encrypted"`
		Companies map[string]string `gorm:"serializer:encrypted"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &memo{}, &person{})
		if err := db.AutoMigrate(&company{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&company{Email: "acme"}).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&memo{CompanyID: 1}).Error; err != nil {
			t.Fatal(err)
		}
		for name, query := range map[string]*gorm.DB{
			"joined table":   db.Joins("JOIN companies ON companies.id = company_id").Where("companies.email = ?", "acme"),
			"joined alias":   db.Joins("JOIN companies AS c ON c.id = company_id").Where("c.email = ?", "acme").Order("c.email"),
			"cast":           db.Where("CAST(company_id AS text) = ?", "1"),
			"subquery":       db.Where("company_id IN (SELECT id FROM companies WHERE email = ?)", "acme"),
			"exists":         db.Where("EXISTS (SELECT 1 FROM companies WHERE companies.email = ?)", "acme"),
			"NULL otherwise": db.Where("text NOTNULL"),
		} {
			var got []memo
			if err := query.Find(&got).Error; err != nil || len(got) != 1 {
				t.Errorf("%s: %d rows, %v", name, len(got), err)
			}
		}
		var n int64
		if err := db.Table("companies").Where("email = ?", "acme").Count(&n).Error; err != nil || n != 1 {
			t.Errorf("a table without a model: %d, %v", n, err)
		}
		if err := db.Table("companies").Where("email = ?", "acme").Updates(map[string]any{"email": "new"}).Error; err != nil {
			t.Errorf("an update of a table without a model: %v", err)
		}
	})
}

type ownExpression struct{ secret string }

func (e ownExpression) Build(builder clause.Builder) {
	builder.WriteString("people.email = ")
	builder.AddVar(builder, e.secret)
}

// Conditions on NULL, and on everything else, are as ever.
func TestConditionsThatPass(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{}, &person{}, &pet{})
		phone := "SECRET"
		if err := db.Create([]*customer{{Name: "with", Phone: &phone}, {Name: "without"}}).Error; err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			query *gorm.DB
			want  int64
		}{
			"IS NULL":          {db.Where("phone IS NULL"), 1},
			"IS NOT NULL":      {db.Where("customers.phone is not null AND id > ?", 0), 1},
			"quoted IS NULL":   {db.Where(`"phone" IS NULL`), 1},
			"Eq nil":           {db.Where("phone", nil), 1},
			"map nil":          {db.Where(map[string]any{"phone": nil}), 1},
			"nil pointer":      {db.Where(map[string]any{"phone": (*string)(nil)}), 1},
			"zero typed value": {db.Where(clause.Eq{Column: "phone", Value: encryptedtype.EncryptedString{}}), 1},
			"selected nil":     {db.Where(&customer{}, "Phone"), 1},
			"Neq nil":          {db.Where(clause.Neq{Column: "phone", Value: nil}), 1},
			"Not nil":          {db.Not(map[string]any{"phone": nil}), 1},
			"other column":     {db.Where("name = ?", "with"), 1},
			"primary key":      {db.Where([]int{1, 2}), 2},
			"string literal":   {db.Where("name <> 'email = phone'"), 2},
			"comment":          {db.Where("name <> '' /* phone = ? */"), 2},
			"own expression":   {db.Where(namedWith{}), 1},
			"join":             {db.Joins("LEFT JOIN orders ON orders.customer_id = customers.id").Where("orders.id IS NULL"), 2},
			"grouped":          {db.Where(db.Where("name = ?", "with").Or("name = ?", "without")), 2},
			"HAVING":           {db.Group("id").Having("count(*) = ?", 1), 2},
			"subquery":         {db.Where("id IN (?)", db.Model(&customer{}).Select("id").Where("phone IS NULL")), 1},
			"select list":      {db.Select("id, customers.email, phone AS p, ? AS tag", "tag"), 2},
			"select columns":   {db.Select("id", "customers.email", "phone AS p", "upper(name) AS name", "customers.*"), 2},
			"order":            {db.Order("name").Order("phone IS NULL, id DESC"), 2},
		} {
			var got []customer
			if err := c.query.Session(&gorm.Session{}).Find(&got).Error; err != nil || int64(len(got)) != c.want {
				t.Errorf("%s found %d, %v; want %d", name, len(got), err, c.want)
			}
		}
	})
}

// Rows are counted by encrypted columns too.
func TestCounting(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &customer{}, &order{})
		phone := "SECRET"
		if err := db.Create([]*customer{{Name: "with", Phone: &phone}, {Name: "without"}}).Error; err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			query *gorm.DB
			want  int64
		}{
			"all": {db.Model(&customer{}), 2}, "column": {db.Model(&customer{}).Select("phone"), 1},
			"text": {db.Model(&customer{}).Select("count(phone)"), 1}, "condition": {db.Model(&customer{}).Where("phone IS NULL"), 1},
		} {
			var got int64
			if err := c.query.Count(&got).Error; err != nil || got != c.want {
				t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
			}
		}
	})
}

type namedWith struct{}

func (namedWith) Build(builder clause.Builder) {
	builder.WriteString("name = ")
	builder.AddVar(builder, "with")
}
