package fsck_test

import (
	"fmt"
	"testing"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// person is migrating: its name in place, and its salary to a column beside.
type person struct {
	ID           int64
	Name         *string                  `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	NameIndex    encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Name"`
	Salary       *int64                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	SalarySealed encryptedtype.Beside     `encrypt:"of=Salary"`
}

func (person) TableName() string { return "people" }

// In a column that is migrating, plaintext is counted and is no finding; what is sealed
// is checked as everywhere.
func TestMigratingColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, &person{})
		var rows []person
		for i := range 8 {
			salary := int64(1000 + i)
			rows = append(rows, person{ID: int64(i + 1), Name: pointer("SECRET"), Salary: &salary})
		}
		if err := db.Create(&rows).Error; err != nil {
			t.Fatal(err)
		}
		exec(t, where,
			"INSERT INTO people (id, name, salary) VALUES (9, 'SECRET', 7), (10, NULL, NULL), (11, 'gc1:', 8)",
			"UPDATE people SET name = 'SECRET in place of what it was', salary = 5, salary_sealed = NULL WHERE id = 1", // by an older program
			"UPDATE people SET name = substr(name, 1, 20) WHERE id = 2",                                                // which reads like plaintext
			"UPDATE people SET salary_sealed = 'SECRET' WHERE id = 3",
			"UPDATE people SET salary_sealed = name WHERE id = 4",
			"UPDATE people SET name_index = NULL WHERE id = 5",
			"UPDATE people SET name_index = 'i1:AAAAAAAAAAAAAAAAAAAAAA' WHERE id = 6",
			"UPDATE people SET name = NULL WHERE id = 7",
			"UPDATE people SET salary = 9 WHERE id = 8", // by hand, so that both have a value, of which programs read this
		)
		report := check(t, db, fsck.Config{})
		at := func(key, column string) fsck.Place { return fsck.Place{Table: "people", Key: key, Column: column} }
		from := at("4", "name")
		requireFindings(t, []fsck.Finding{
			{Place: at("3", "salary_sealed"), Kind: fsck.Plaintext},
			{Place: at("4", "salary_sealed"), Kind: fsck.Moved, Version: "1", From: &from},
			{Place: at("6", "name_index"), Kind: fsck.WrongTerm, Version: "i1"},
			{Place: at("7", "name_index"), Kind: fsck.TermWithoutValue, Version: "i1"},
		}, report)
		expected := map[string]int64{}
		for _, c := range report.Columns {
			expected[c.Column] = c.Expected
		}
		if expected["name"] != 4 || expected["salary_sealed"] != 4 || expected["name_index"] != 5 {
			t.Errorf("%v", expected)
		}
	})
}

// guessed has a slow index.
type guessed struct {
	ID       int64
	PIN      string                   `gorm:"serializer:encrypted"`
	PINIndex encryptedtype.BlindIndex `encrypt:"of=PIN,slow"`
}

// The terms of a slow index are made anew if that is asked for.
func TestSlowTerms(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, &guessed{})
		if err := db.Create(&[]guessed{{ID: 1, PIN: "SECRET 1"}, {ID: 2, PIN: "SECRET 2"}, {ID: 3, PIN: "SECRET 3"}, {ID: 4, PIN: "SECRET 4"}}).Error; err != nil {
			t.Fatal(err)
		}
		exec(t, where, "UPDATE guesseds SET pin_index = (SELECT pin_index FROM guesseds WHERE id = 2) WHERE id = 1")
		exec(t, where, "UPDATE guesseds SET pin_index = NULL WHERE id = 3")
		exec(t, where, "UPDATE guesseds SET pin = 'SECRET', pin_index = 'i1:AAAAAAAAAAAAAAAAAAAAAA' WHERE id = 4")
		missing := fsck.Finding{Place: fsck.Place{Table: "guesseds", Key: "3", Column: "pin_index"}, Kind: fsck.NoTerm}
		at4 := func(column string) fsck.Place { return fsck.Place{Table: "guesseds", Key: "4", Column: column} }
		always := []fsck.Finding{missing, {Place: at4("pin"), Kind: fsck.Plaintext}, {Place: at4("pin_index"), Kind: fsck.WrongTerm, Version: "i1"}} // which is not slow
		quick := check(t, db, fsck.Config{})
		requireFindings(t, always, quick)
		if quick.Columns[1].Unchecked != 2 {
			t.Errorf("%+v", quick.Columns[1])
		}
		requireFindings(t, append(always, fsck.Finding{Place: fsck.Place{Table: "guesseds", Key: "1", Column: "pin_index"}, Kind: fsck.WrongTerm, Version: "i1"}), check(t, db, fsck.Config{SlowTerms: true}))
	})
}

// shared is bound to what many rows have in common.
type shared struct {
	ID     int64
	Tenant string
	Secret *string `gorm:"serializer:encrypted" encrypt:"bind=Tenant"`
	Other  *string `gorm:"serializer:encrypted"`
	Note   *string `gorm:"serializer:encrypted"`
}

// Where several rows could be the one that a value comes from, none is named, unless it
// is the only one that has lost its own.
func TestOneOfSeveralRows(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _ := rings(t)
		db := made(t, where, first, &shared{})
		var rows []shared
		for i := range 12 {
			rows = append(rows, shared{ID: int64(i + 1), Tenant: string(rune('a' + i%3)), Secret: pointer("SECRET"), Other: pointer("SECRET"), Note: pointer("SECRET")})
		}
		if err := db.Create(&rows).Error; err != nil {
			t.Fatal(err)
		}
		put := func(id int, column string, fromID int, from string) string {
			return fmt.Sprintf("UPDATE shareds SET %s = (SELECT %s FROM spare WHERE id = %d) WHERE id = %d", column, from, fromID, id)
		}
		exec(t, where, "CREATE TABLE spare AS SELECT * FROM shareds",
			put(1, "secret", 5, "secret"), "UPDATE shareds SET secret = NULL WHERE id = 5", // of tenant b
			put(4, "secret", 6, "secret"), "UPDATE shareds SET secret = NULL WHERE id IN (6, 9)", // of tenant c, of which two rows have lost theirs
			put(2, "other", 3, "note"), put(3, "note", 2, "other"), // and two pairs have changed places
			put(8, "other", 11, "note"), put(11, "note", 8, "other"))
		at := func(key, column string) fsck.Place { return fsck.Place{Table: "shareds", Key: key, Column: column} }
		five, some, other, note := at("5", "secret"), at("", "secret"), at("", "other"), at("", "note")
		requireFindings(t, []fsck.Finding{
			{Place: at("1", "secret"), Kind: fsck.Moved, Version: "1", From: &five},
			{Place: at("4", "secret"), Kind: fsck.Moved, Version: "1", From: &some},
			{Place: at("2", "other"), Kind: fsck.Moved, Version: "1", From: &note},
			{Place: at("8", "other"), Kind: fsck.Moved, Version: "1", From: &note},
			{Place: at("3", "note"), Kind: fsck.Moved, Version: "1", From: &other},
			{Place: at("11", "note"), Kind: fsck.Moved, Version: "1", From: &other},
		}, check(t, db, fsck.Config{}))
	})
}
