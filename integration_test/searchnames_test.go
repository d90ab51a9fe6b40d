package integration_test

import (
	"slices"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// reach is embedded, and its fields have other names in the table.
type reach struct {
	Mail      string                   `gorm:"serializer:encrypted;column:e_mail"`
	MailIndex encryptedtype.BlindIndex `gorm:"column:e_mail_ix" encrypt:"of=Mail,normalize=email"`
	Badge     string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
}

// employee shares the names of its columns with visitor, where they are plain.
type employee struct {
	ID        uint
	Reach     reach `gorm:"embedded;embeddedPrefix:work_"`
	Email     string
	ManagerID *uint
	Manager   *employee
}

func (employee) TableName() string { return "staff" }

type visitor struct {
	ID         uint
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `encrypt:"of=Email"`
	WorkE_Mail string                   `gorm:"column:work_e_mail"`
	WorkBadge  string
	HostID     uint
	Host       *employee
}

// A condition is one on the column that its name means where it stands, whatever
// other tables call theirs.
func TestSearchBySharedNames(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &employee{}, &visitor{})
		boss := &employee{ID: 1, Reach: reach{Mail: "SECRET.boss@x.org", Badge: "SECRET 1"}, Email: "boss@plain"}
		if err := db.Create([]*employee{boss, {ID: 2, Reach: reach{Mail: "SECRET.ann@x.org", Badge: "SECRET 2"}, Email: "ann@plain", ManagerID: &boss.ID}}).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Create([]*visitor{{ID: 1, Email: "SECRET@v.org", WorkE_Mail: "plain 1", WorkBadge: "plain badge", HostID: 1}, {ID: 2, Email: "SECRET2@v.org", WorkE_Mail: "plain 2", HostID: 2}}).Error; err != nil {
			t.Fatal(err)
		}
		for name, find := range map[string]struct {
			query *gorm.DB
			want  []uint
		}{
			"embedded, renamed":          {db.Model(&employee{}).Where("work_e_mail = ?", "SECRET.ann@x.org"), []uint{2}},
			"embedded, struct":           {db.Model(&employee{}).Where(&employee{Reach: reach{Badge: "SECRET 2"}}), []uint{2}},
			"plain column beside":        {db.Model(&employee{}).Where("email = ?", "ann@plain"), []uint{2}},
			"encrypted elsewhere":        {db.Model(&visitor{}).Where("work_e_mail = ? AND work_badge = ?", "plain 1", "plain badge"), []uint{1}},
			"a table's own":              {db.Model(&visitor{}).Where("visitors.email = ?", "SECRET@v.org"), []uint{1}},
			"both, joined":               {db.Model(&visitor{}).Joins("JOIN staff s ON s.id = visitors.host_id AND s.work_e_mail = ?", "SECRET.boss@x.org").Where("visitors.work_e_mail = ? AND s.email = ?", "plain 1", "boss@plain"), []uint{1}},
			"both, by GORM":              {db.Model(&visitor{}).Joins("Host").Where(`"Host".work_e_mail = ? AND "Host".email = ? AND visitors.email = ?`, "SECRET.ann@x.org", "ann@plain", "SECRET2@v.org"), []uint{2}},
			"self join":                  {db.Model(&employee{}).Joins("JOIN staff m ON m.id = staff.manager_id AND m.work_badge = ?", "SECRET 1").Where("staff.work_e_mail = ?", "SECRET.ann@x.org"), []uint{2}},
			"self join, columns":         {db.Model(&employee{}).Joins("JOIN staff m ON m.work_badge = staff.work_badge").Where("m.work_e_mail = ?", "SECRET.ann@x.org"), []uint{2}},
			"subquery of the other":      {db.Model(&employee{}).Where("email IN (SELECT 'boss@plain' FROM visitors WHERE email = ?)", "SECRET@v.org"), []uint{1}},
			"correlated":                 {db.Model(&visitor{}).Where("EXISTS (SELECT 1 FROM staff WHERE staff.id = visitors.host_id AND work_e_mail = ?)", "SECRET.boss@x.org"), []uint{1}},
			"a table named like another": {db.Table("visitors AS staff").Where("staff.email = ?", "SECRET@v.org"), []uint{1}},
			"upper case":                 {db.Model(&employee{}).Where("STAFF.WORK_E_MAIL = ?", "SECRET.ann@x.org"), []uint{2}},
		} {
			t.Run(name, func(t *testing.T) {
				var ids []uint
				if err := find.query.Order("1").Pluck(firstTable(find.query)+".id", &ids).Error; err != nil || !slices.Equal(ids, find.want) {
					t.Errorf("found %v, want %v, %v", ids, find.want, err)
				}
			})
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// firstTable returns what a query calls its table.
func firstTable(query *gorm.DB) string {
	stmt := query.Statement
	if stmt.Model == nil {
		return stmt.Table
	}
	parsed := &gorm.Statement{DB: query}
	_ = parsed.Parse(stmt.Model)
	return parsed.Schema.Table
}

// Tables may have a prefix, and in PostgreSQL a schema.
func TestSearchInTablesWithPrefixAndSchema(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := where.Open(t, &gorm.Config{NamingStrategy: schema.NamingStrategy{TablePrefix: "app_", SingularTable: true}})
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: generate(t), Models: []any{&visitor{}}})); err != nil {
			t.Fatal(err)
		}
		if err := db.AutoMigrate(&employee{}, &visitor{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&visitor{ID: 7, Email: "SECRET@v.org", Host: &employee{ID: 1}}).Error; err != nil {
			t.Fatal(err)
		}
		queries := []*gorm.DB{db.Model(&visitor{}).Where("app_visitor.email = ?", "SECRET@v.org"), db.Table("app_visitor").Where(map[string]any{"email": "SECRET@v.org"})}
		if where.Name == "postgres" {
			var current string
			if err := db.Raw("SELECT current_schema()").Scan(&current).Error; err != nil {
				t.Fatal(err)
			}
			queries = append(queries, db.Table(current+".app_visitor").Where("email = ?", "SECRET@v.org"),
				db.Raw("SELECT * FROM "+current+`."app_visitor" WHERE email = ?`, "SECRET@v.org"),
				db.Raw(`SELECT v.* FROM "`+current+`".app_visitor AS v WHERE v.email = ?`, "SECRET@v.org"))
		}
		for i, query := range queries {
			var got []visitor
			if err := query.Find(&got).Error; err != nil || len(got) != 1 || got[0].Email != "SECRET@v.org" {
				t.Errorf("query %d: found %d, %v", i, len(got), err)
			}
		}
	})
}
