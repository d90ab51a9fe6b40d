package integration_test

import (
	"database/sql"
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
	"github.com/gormcrypt/gormcrypt/keyring"
)

// citizen has columns that can be searched, and one that cannot.
type citizen struct {
	ID     uint
	Name   string
	TaxID  *string        `gorm:"serializer:encrypted;uniqueIndex" encrypt:"deterministic"`
	Year   int            `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
	Nick   sql.NullString `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Other  *string        `gorm:"serializer:encrypted" encrypt:"deterministic,context=citizens.tax_id"`
	Note   string         `gorm:"serializer:encrypted"`
	SpouID *uint
	Spouse *citizen `gorm:"foreignKey:SpouID"`
}

// rotatedIndex returns two keyrings with a second index key, which seals in the
// second one.
func rotatedIndex(t *testing.T) (first, second *keyring.Keyring) {
	t.Helper()
	first, added, err := generate(t).Add(keyring.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	second, err = first.Promote(added)
	if err != nil {
		t.Fatal(err)
	}
	return first, second
}

// Conditions on a deterministic column find what the same conditions on a plain
// one would, under one index key and while two are live.
func TestSearchInDeterministicColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, live := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d keys", live), func(t *testing.T) {
				first, second := rotatedIndex(t)
				keys := generate(t)
				if live == 2 {
					keys = first
				}
				db := open(t, where, keys, &citizen{})
				secret := func(s string) *string { s = "SECRET " + s; return &s }
				if err := db.Exec("DELETE FROM citizens").Error; err != nil {
					t.Fatal(err)
				}
				if err := db.Create([]*citizen{{ID: 1, Name: "ada", TaxID: secret("1"), Year: 1, Other: secret("2")}, {ID: 2, Name: "bob", TaxID: secret("2"), Year: 2}}).Error; err != nil {
					t.Fatal(err)
				}
				if live == 2 {
					if err := db.crypt.SetKeys(t.Context(), second); err != nil {
						t.Fatal(err)
					}
				}
				one, spouse := uint(1), secret("3")
				if err := db.Create([]*citizen{{ID: 3, Name: "cyd", TaxID: spouse, Year: 1, SpouID: &one}, {ID: 4, Name: "dan"}}).Error; err != nil {
					t.Fatal(err)
				}
				for name, find := range map[string]struct {
					query *gorm.DB
					want  []uint
				}{
					"text":                 {db.Where("tax_id = ?", "SECRET 1"), []uint{1}},
					"text, new key":        {db.Where("tax_id = ?", "SECRET 3"), []uint{3}},
					"qualified":            {db.Where("citizens.tax_id = ?", "SECRET 2"), []uint{2}},
					"quoted":               {db.Where(`"citizens"."tax_id" = ?`, "SECRET 2"), []uint{2}},
					"capitals":             {db.Where("TAX_ID = ? AND Citizens.Year IN ?", "SECRET 2", []int{2}), []uint{2}},
					"reversed":             {db.Where("? = tax_id", "SECRET 2"), []uint{2}},
					"not NULL":             {db.Where("tax_id IS NOT NULL AND year = ?", 2), []uint{2}},
					"named":                {db.Where("tax_id = @t AND name = @n", map[string]any{"t": "SECRET 1", "n": "ada"}), []uint{1}},
					"map":                  {db.Where(map[string]any{"tax_id": "SECRET 1"}), []uint{1}},
					"slice in a map":       {db.Where(map[string]any{"tax_id": []string{"SECRET 1", "SECRET 3", "no"}}), []uint{1, 3}},
					"struct":               {db.Where(&citizen{TaxID: secret("1")}), []uint{1}},
					"struct, number":       {db.Where(&citizen{Year: 1}), []uint{1, 3}},
					"column and value":     {db.Where("tax_id", "SECRET 1"), []uint{1}},
					"number as text":       {db.Where("year = ?", "1"), []uint{1, 3}},
					"typed value":          {db.Where("tax_id = ?", encryptedtype.NewEncryptedString("SECRET 1")), []uint{1}},
					"IN":                   {db.Where("tax_id IN ?", []string{"SECRET 1", "SECRET 3"}), []uint{1, 3}},
					"IN, list":             {db.Where("tax_id IN (?, ?)", "SECRET 1", "SECRET 3"), []uint{1, 3}},
					"IN, empty":            {db.Where("tax_id IN ?", []string{}), nil},
					"not equal":            {db.Where("tax_id <> ?", "SECRET 1"), []uint{2, 3}},
					"not equal, C":         {db.Where("tax_id != ?", "SECRET 1"), []uint{2, 3}},
					"NOT IN":               {db.Where("tax_id NOT IN ?", []string{"SECRET 1", "SECRET 3"}), []uint{2}},
					"Not":                  {db.Not("tax_id = ?", "SECRET 1"), []uint{2, 3}},
					"Not map":              {db.Not(map[string]any{"tax_id": []string{"SECRET 1"}}), []uint{2, 3}},
					"Or":                   {db.Where("tax_id = ?", "SECRET 1").Or("year = ?", 2), []uint{1, 2}},
					"group":                {db.Where(db.Where("tax_id = ?", "SECRET 1").Or("name = ?", "dan")).Where("id > ?", 0), []uint{1, 4}},
					"clause Eq":            {db.Where(clause.Eq{Column: "tax_id", Value: "SECRET 1"}), []uint{1}},
					"clause Neq":           {db.Where(clause.Neq{Column: "tax_id", Value: "SECRET 1"}), []uint{2, 3}},
					"clause IN":            {db.Where(clause.IN{Column: "tax_id", Values: []any{"SECRET 1", "SECRET 2"}}), []uint{1, 2}},
					"NULL of a type":       {db.Where("nick = ? OR nick IN ?", sql.NullString{}, []sql.NullString{{}}), nil},
					"NULL of a type, map":  {db.Where(map[string]any{"nick": sql.NullString{}}).Where("id < 3"), []uint{1, 2}},
					"NULL of a type, Not":  {db.Not(map[string]any{"nick": sql.NullString{}}), nil},
					"NULL":                 {db.Where("tax_id IS NULL"), []uint{4}},
					"nil":                  {db.Where("tax_id = ?", nil), nil},
					"nil in a map":         {db.Where(map[string]any{"tax_id": nil}), []uint{4}},
					"subquery":             {db.Where("id IN (?)", db.Model(&citizen{}).Select("id").Where("tax_id = ?", "SECRET 1")), []uint{1}},
					"subquery between":     {db.Where("name <> ? AND id IN (?) AND year = ?", "x", db.Model(&citizen{}).Select("id").Where("tax_id IN ?", []string{"SECRET 1", "SECRET 2"}), 1), []uint{1}},
					"subquery, typed":      {db.Where("tax_id = ?", encryptedtype.NewEncryptedString("SECRET 1")).Where("id IN (?)", db.Model(&citizen{}).Select("id").Where("name <> ?", "x")), []uint{1}},
					"subquery as text":     {db.Where("id IN (SELECT t.id FROM citizens t WHERE t.tax_id = ?)", "SECRET 2"), []uint{2}},
					"subquery, raw":        {db.Where("id IN (?)", db.Raw("SELECT id FROM citizens WHERE tax_id = ?", "SECRET 2")), []uint{2}},
					"derived table":        {db.Table("(?) AS u", db.Model(&citizen{}).Where("tax_id = ?", "SECRET 1")), []uint{1}},
					"derived table outer":  {db.Table("(?) AS u", db.Model(&citizen{})).Where("u.tax_id = ?", "SECRET 1"), []uint{1}},
					"self join":            {db.Joins("JOIN citizens s ON s.id = citizens.spou_id AND s.tax_id = ?", "SECRET 1"), []uint{3}},
					"relation":             {db.Joins("Spouse").Where(`"Spouse".tax_id = ?`, "SECRET 1"), []uint{3}},
					"relation's condition": {db.InnerJoins("Spouse", db.Where(&citizen{TaxID: secret("1")})), []uint{3}},
					"raw":                  {db.Raw("SELECT * FROM citizens WHERE year = ? AND tax_id IN (?, ?)", 1, "SECRET 1", "SECRET 2"), []uint{1}},
					"raw, numbered":        {db.Raw("SELECT * FROM citizens AS t WHERE t.tax_id = @t", map[string]any{"t": "SECRET 1"}), []uint{1}},
					"prepared":             {db.Session(&gorm.Session{PrepareStmt: true}).Where("tax_id = ?", "SECRET 1"), []uint{1}},
				} {
					t.Run(name, func(t *testing.T) {
						var got []citizen
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
				var found citizen
				for name, run := range map[string]func() error{
					"First": func() error { return db.First(&found, "tax_id = ?", "SECRET 1").Error },
					"Count": func() error {
						var n int64
						if err := db.Model(&citizen{}).Where("tax_id = ?", "SECRET 1").Count(&n).Error; err != nil || n != 1 {
							return fmt.Errorf("counted %d, %v", n, err)
						}
						return nil
					},
					"Update": func() error {
						return affected(1, db.Model(&citizen{}).Where("tax_id = ?", "SECRET 1").Update("note", "SECRET note"))
					},
					"UpdateColumn, same column": func() error {
						return affected(1, db.Model(&citizen{}).Where("tax_id = ?", "SECRET 3").UpdateColumn("tax_id", "SECRET 3"))
					},
					"Exec": func() error {
						return affected(1, db.Exec("UPDATE citizens SET note = ? WHERE tax_id = ?", "SECRET note", "SECRET 1"))
					},
					"Delete": func() error { return affected(1, db.Where("tax_id = ?", "SECRET 2").Delete(&citizen{})) },
					"generics": func() error {
						_, err := gorm.G[citizen](db.DB).Where("tax_id = ?", "SECRET 1").First(t.Context())
						return err
					},
					"FirstOrCreate": func() error {
						return affected(0, db.Where(&citizen{TaxID: secret("1")}).FirstOrCreate(&citizen{}))
					},
				} {
					if err := run(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				joined := db.Joins("JOIN citizens o ON o.other = citizens.tax_id").Find(&[]citizen{})
				upserted := db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "tax_id"}}, DoUpdates: clause.AssignmentColumns([]string{"note"})}).Create(&citizen{TaxID: secret("1"), Note: "SECRET note"})
				union := db.Raw("SELECT tax_id FROM citizens WHERE id = 1 UNION SELECT tax_id FROM citizens").Find(&[]citizen{})
				grouped := db.Model(&citizen{}).Select("year, count(*) AS n").Group("year").Find(&[]map[string]any{})
				var n int64
				distinct := db.Model(&citizen{}).Distinct("year").Find(&[]citizen{})
				counted := db.Model(&citizen{}).Distinct("year").Count(&n)
				if counted.Error == nil && n != 2 {
					t.Errorf("there are %d years", n)
				}
				for what, tx := range map[string]*gorm.DB{"join of columns": joined, "GROUP BY": grouped, "UNION": union, "upsert": upserted, "DISTINCT": distinct, "count(DISTINCT)": counted} {
					if refused := errors.Is(tx.Error, gormcrypt.ErrNotQueryable); refused != (live == 2) || !refused && tx.Error != nil {
						t.Errorf("%s: %v", what, tx.Error)
					}
				}
				if sql := db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Where("tax_id = ?", "SECRET 1").Find(&[]citizen{}) }); strings.Contains(sql, "SECRET") || !strings.Contains(sql, "gc1:i") {
					t.Errorf("a dry run gives %s", sql)
				}
				db.requireUnsaid(t, "SECRET")
			})
		}
	})
}

// affected returns an error unless a statement worked on so many rows.
func affected(rows int64, tx *gorm.DB) error {
	if tx.Error == nil && tx.RowsAffected != rows {
		return fmt.Errorf("%d rows were affected", tx.RowsAffected)
	}
	return tx.Error
}
