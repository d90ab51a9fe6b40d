package integration_test

import (
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// What a CREATE or an ALTER has the database evaluate or store is refused where it
// has to do with an encrypted column: no gate would read it later.
func TestDefinitionsWithEncryptedColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &taxpayer{})
		for _, statement := range []string{
			"CREATE VIEW v AS SELECT id FROM patients WHERE note = 'SECRET'",
			"CREATE OR REPLACE TEMP VIEW v (i) AS (SELECT id FROM patients WHERE ward = 'x' OR note LIKE 'SECRET%')",
			"CREATE VIEW v AS SELECT upper(note) FROM patients",
			"CREATE VIEW v AS SELECT id, 'SECRET' AS note FROM patients",
			"CREATE VIEW v (id, note) AS SELECT id, 'SECRET' FROM patients",
			"CREATE VIEW v AS SELECT count(*) FROM taxpayers GROUP BY tax_id",
			"CREATE VIEW v AS SELECT name FROM taxpayers WHERE tax_id = 'SECRET'",
			"CREATE VIEW patients AS SELECT * FROM things",
			"CREATE MATERIALIZED VIEW v AS SELECT id FROM patients WHERE note = 'SECRET' WITH NO DATA",
			"CREATE INDEX i ON patients (name) WHERE note = 'SECRET'",
			"CREATE UNIQUE INDEX IF NOT EXISTS i ON 'patients' USING btree (name DESC, lower(note))",
			"CREATE INDEX i ON patients ((note || 'x'))",
			"CREATE INDEX i ON taxpayers (name) WHERE tax_id = 'SECRET'",
			"CREATE TABLE o AS SELECT id FROM patients WHERE note = ?",
			"CREATE TABLE o AS SELECT id, 'SECRET' AS note FROM patients",
			"CREATE TABLE o AS SELECT * FROM (SELECT id, 'SECRET' AS note FROM patients) q",
			"CREATE TABLE o (note) AS SELECT name FROM patients",
			"CREATE TABLE patients (id, note) AS VALUES (1, 'SECRET')",
			"CREATE TEMP TABLE o AS SELECT upper(note) FROM patients",
			"CREATE TABLE o AS WITH q AS (SELECT note FROM patients WHERE note = 'SECRET') SELECT * FROM q",
			"CREATE TABLE o AS SELECT note INTO x FROM patients",
			"CREATE TABLE patients (id integer, note text DEFAULT 'SECRET')",
			"CREATE TABLE patients (id integer, note text, CHECK (note <> 'SECRET'))",
			"CREATE TABLE patients (id integer, note text GENERATED ALWAYS AS ('SECRET') STORED)",
			"CREATE TABLE patients (id integer, note text, name text AS (lower(note)))",
			"CREATE TABLE o PARTITION OF patients (note DEFAULT 'SECRET') FOR VALUES IN ('x')",
			"CREATE RULE r AS ON INSERT TO visits DO INSTEAD INSERT INTO patients (note) VALUES ('SECRET')",
			"CREATE POLICY p ON patients USING (note = 'SECRET')",
			"CREATE OR REPLACE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM patients WHERE note = 'SECRET' $$",
			"ALTER TABLE patients ADD CONSTRAINT c CHECK (note <> 'SECRET')",
			"ALTER TABLE ONLY patients ADD COLUMN x text, ALTER COLUMN weight SET DEFAULT 424242",
			"ALTER TABLE patients ALTER COLUMN note TYPE text USING upper(note)",
			"ALTER TABLE patients ALTER COLUMN note TYPE text USING name",
			"ALTER TABLE patients ALTER COLUMN name TYPE text USING coalesce(note, 'SECRET')",
			"ALTER TABLE patients ALTER COLUMN ward TYPE text USING upper(ward)",
			"ALTER POLICY p ON patients USING (note = 'SECRET')",
		} {
			var args []any
			if strings.Contains(statement, "?") {
				args = append(args, "SECRET x")
			}
			before := db.wire.Statements()
			if err := db.Exec(statement, args...).Error; !errors.Is(err, gormcrypt.ErrNotQueryable) && !errors.Is(err, gormcrypt.ErrHandWritten) {
				t.Errorf("%s: error %v", statement, err)
			}
			if sent := db.wire.Statements() - before; sent > 0 {
				t.Errorf("%s: %d statements were sent", statement, sent)
			}
		}
		view := gorm.ViewOption{Query: db.Model(&taxpayer{}).Select("name").Where("tax_id = ?", "SECRET")}
		if err := db.Migrator().CreateView("v", view); !errors.Is(err, gormcrypt.ErrNotQueryable) {
			t.Errorf("CreateView: error %v", err)
		}
		db.requireUnsaid(t, "SECRET", "424242")
	})
}

// What a CREATE or an ALTER has to do with the plain columns of such a table, and
// what copies ciphertext as it is, passes.
func TestDefinitionsThatPass(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &taxpayer{})
		statements := []string{
			"CREATE VIEW v AS SELECT id, name, note FROM patients WHERE name <> 'x' AND note IS NOT NULL",
			"DROP VIEW v",
			"CREATE VIEW v (i, secret) AS SELECT v.id, p.note FROM patients p JOIN visits v ON v.patient_id = p.id",
			"CREATE TABLE o AS SELECT * FROM patients",
			"CREATE TEMP TABLE o2 AS SELECT id, upper(name) AS n, tax_id FROM taxpayers WHERE tax_id = ?",
			"CREATE TABLE o3 (id integer, note text DEFAULT 'patients', CHECK (note <> 'patients'))",
			"CREATE INDEX i1 ON patients (name, note) WHERE name <> 'x'",
			"CREATE INDEX i2 ON patients (lower(name) DESC, ward COLLATE \"C\")",
			"CREATE UNIQUE INDEX i3 ON taxpayers (tax_id) WHERE tax_id IS NOT NULL",
			"ALTER TABLE patients ADD COLUMN extra text DEFAULT 'x' CHECK (extra <> 'y')",
		}
		if where.Name == "postgres" {
			statements = append(statements,
				"CREATE MATERIALIZED VIEW m AS SELECT count(note) FROM patients WITH NO DATA",
				"CREATE OR REPLACE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM patients $$",
				"ALTER TABLE patients ADD CONSTRAINT c CHECK (name <> 'x'), ALTER COLUMN note DROP DEFAULT",
				`ALTER TABLE visits ALTER COLUMN "note" TYPE varchar(2000) USING "note"::varchar(2000)`,
				`ALTER TABLE taxpayers ALTER COLUMN name TYPE varchar(100) USING upper(name)`,
				"CREATE SEQUENCE s OWNED BY patients.id", "CREATE POLICY p ON patients USING (name = current_user)")
		} else {
			statements[7] = strings.ReplaceAll(statements[7], ` COLLATE "C"`, " COLLATE NOCASE")
		}
		for _, statement := range statements {
			var args []any
			if strings.Contains(statement, "?") {
				args = append(args, "SECRET")
			}
			if err := db.Exec(statement, args...).Error; err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
		view := gorm.ViewOption{Query: db.Model(&patient{}).Select("id", "note").Where("name <> ?", "x")}
		if err := db.Migrator().CreateView("v2", view); err != nil {
			t.Errorf("CreateView: %v", err)
		}
	})
}

// GORM's migrations pass, with constraints and indexes on the columns beside an
// encrypted one, and with a table that SQLite has to copy.
func TestMigrationsBesideEncryptedColumns(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := open(t, where, generate(t), &leaseBefore{})
		if err := db.Create(&leaseBefore{Name: "ada", Note: "SECRET"}).Error; err != nil {
			t.Fatal(err)
		}
		db = open(t, where, generate(t), &lease{})
		migrator := db.Migrator()
		for i, err := range []error{
			migrator.AlterColumn(&lease{}, "Note"),
			migrator.DropConstraint(&lease{}, "named"), migrator.CreateConstraint(&lease{}, "named"),
			db.AutoMigrate(&lease{}), // which makes the indexes again that SQLite lost
			migrator.DropIndex(&lease{}, "TaxID"), migrator.CreateIndex(&lease{}, "TaxID"),
		} {
			if err != nil {
				t.Errorf("step %d: %v", i, err)
			}
		}
		db.requireSealed(t, "leases", "note")
	})
}

type leaseBefore struct {
	ID   uint
	Name string
	Note string `gorm:"serializer:encrypted;size:500"`
}

func (leaseBefore) TableName() string { return "leases" }

type lease struct {
	ID    uint
	Name  string  `gorm:"check:named,name <> '';index:active,where:name <> 'x';default:bob"`
	Note  string  `gorm:"serializer:encrypted;type:text"`
	TaxID *string `gorm:"serializer:encrypted;uniqueIndex" encrypt:"deterministic"`
}
