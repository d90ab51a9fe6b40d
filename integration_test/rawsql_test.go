package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// What hand-written SQL puts into encrypted columns as an argument is sealed, and
// models read it.
func TestHandWrittenWrites(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		insert := `INSERT INTO patients (name, note, weight, card, ward, bed) VALUES (?, ?, ?, ?, ?, ?)`
		sealed := must[gormcrypt.Sealed](t)(gormcrypt.Seal(db.DB, &patient{}, "Note", "SECRET sealed"))
		for i, write := range []func() *gorm.DB{
			func() *gorm.DB { return db.Exec(insert, "r0", "SECRET 0", 420, "SECRET c", "w", "SECRET b") },
			func() *gorm.DB {
				return db.Exec(`insert into "patients" AS p ("name","note",weight,card,ward,bed) values (?,?,?,?,?,?), (?,NULL,?,NULL,?,?) -- note`,
					"r1", "SECRET 1", int8(42), encryptedtype.NewEncryptedString("SECRET c"), "w", "SECRET b", "r1b", 42, "w", "SECRET b")
			},
			func() *gorm.DB { return db.Exec(insert, "r2", sealed, "420", nil, "w", "SECRET b") },
			func() *gorm.DB {
				return db.Exec("INSERT INTO patients (name, note, weight, card, ward, bed) VALUES (@name, @note, @weight, @card, @ward, @bed)", map[string]any{
					"name": "r3", "note": "SECRET 3", "weight": 4, "card": "SECRET c", "ward": "w", "bed": "SECRET b"})
			},
			func() *gorm.DB {
				tx := db.Session(&gorm.Session{PrepareStmt: true})
				return tx.Exec(insert+" ON CONFLICT (id) DO UPDATE SET note = excluded.note, weight = ?", "r4", "SECRET 4", 7, "SECRET c", "w", "SECRET b", 8)
			},
			func() *gorm.DB {
				db.Exec(insert, "r5", "SECRET old", 1, "SECRET c", "w", "SECRET b")
				return db.Exec("UPDATE patients AS p SET note = ?, /* note */ weight=?, \"card\" = ? WHERE p.name = ? AND p.note IS NOT NULL", "SECRET 5", 5, "SECRET c", "r5")
			},
			func() *gorm.DB {
				var id uint
				return db.Raw(insert+" RETURNING id", "r6", "SECRET 6", 6, "SECRET c", "w", "SECRET b").Scan(&id)
			},
			func() *gorm.DB {
				db.Exec(insert, "r7", "SECRET old", 1, "SECRET c", "w", "SECRET b")
				return db.Exec("UPDATE patients SET note = ?, ward = ?, bed = ? WHERE name = ?", encryptedtype.NewEncryptedString("SECRET 7"), "other", "SECRET b", "r7")
			},
		} {
			if tx := write(); tx.Error != nil || tx.RowsAffected == 0 {
				t.Errorf("write %d: %d rows, error %v", i, tx.RowsAffected, tx.Error)
				continue
			}
			var got patient
			want := fmt.Sprint("SECRET ", i)
			if i == 2 {
				want = "SECRET sealed"
			}
			if err := db.Where("name = ?", fmt.Sprint("r", i)).First(&got).Error; err != nil || got.Note != want || got.Bed != "SECRET b" || i != 2 && got.Card.Reveal() != "SECRET c" || got.Weight == 0 {
				t.Errorf("write %d: read %+v, error %v", i, got, err)
			}
		}
		db.requireSealed(t, "patients", "note", "weight", "card", "bed")
		db.requireUnsaid(t, "SECRET")
	})
}

// What hand-written SQL returns is opened, whatever wrote it.
func TestHandWrittenReturning(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		var got patient
		if err := db.Raw("UPDATE patients SET note = ?, name = ? WHERE id = ? RETURNING *", "SECRET new", "eve", 1).Scan(&got).Error; err != nil || got.Note != "SECRET new" || got.Bed != "SECRET bed" {
			t.Errorf("read %+v, %v", got, err)
		}
		var notes []map[string]any
		db.execute(t, "DELETE FROM visits")
		if err := db.Raw("DELETE FROM patients AS p WHERE id = ? RETURNING note AS n, name", 1).Scan(&notes).Error; err != nil || len(notes) != 1 || notes[0]["n"] != "SECRET new" {
			t.Errorf("read %v, %v", notes, err)
		}
	})
}

// What cannot be read for certain is refused before it is sent, and what was in
// it is not logged.
func TestHandWrittenRefusals(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		secret := "SECRET x"
		for statement, want := range map[string]error{
			"UPDATE patients SET note = upper(?)":                                               gormcrypt.ErrExpression,
			"UPDATE patients SET note = ? || 'x'":                                               gormcrypt.ErrExpression,
			"UPDATE patients SET note = 'SECRET literal' WHERE name = ?":                        gormcrypt.ErrExpression,
			"UPDATE patients SET note = name WHERE name = ?":                                    gormcrypt.ErrExpression,
			"UPDATE patients SET note = (SELECT note FROM visits LIMIT 1) WHERE name = ?":       gormcrypt.ErrExpression,
			"UPDATE patients SET note = CASE WHEN name = 'ada' THEN ? ELSE note END":            gormcrypt.ErrExpression,
			"UPDATE patients SET name = note WHERE name = ?":                                    gormcrypt.ErrNotQueryable,
			"UPDATE patients SET name = 'x' WHERE note = ?":                                     gormcrypt.ErrNotQueryable,
			"UPDATE patients SET (note, name) = (?, 'x')":                                       gormcrypt.ErrHandWritten,
			"UPDATE patients SET ward = ?":                                                      gormcrypt.ErrBinding,
			"UPDATE patients SET bed = ?":                                                       gormcrypt.ErrBinding,
			"INSERT INTO patients (bed) VALUES (?)":                                             gormcrypt.ErrBinding,
			"INSERT INTO patients VALUES (9, 'n', ?)":                                           gormcrypt.ErrHandWritten,
			"INSERT INTO patients (name, note) SELECT name, ? FROM patients":                    gormcrypt.ErrExpression,
			"INSERT INTO visits (patient_id, name) SELECT id, note FROM patients WHERE name=?":  gormcrypt.ErrExpression,
			"INSERT INTO patients (name) SELECT note FROM visits WHERE patient_id = ?":          gormcrypt.ErrNotQueryable,
			"INSERT INTO patients (name, note) VALUES ('x', lower(?))":                          gormcrypt.ErrExpression,
			"INSERT INTO patients (note) VALUES ('SECRET literal'), (?)":                        gormcrypt.ErrExpression,
			"DELETE FROM patients WHERE note = ?":                                               gormcrypt.ErrNotQueryable,
			"DELETE FROM patients WHERE name = ? AND lower(note) = 'x'":                         gormcrypt.ErrNotQueryable,
			"WITH x AS (SELECT id FROM patients WHERE note = ?) DELETE FROM patients":           gormcrypt.ErrNotQueryable,
			"UPDATE patients SET name = ?; UPDATE patients SET note = 'SECRET literal'":         gormcrypt.ErrExpression,
			"UPDATE patients SET name = 'x' /* /* */ , note = ? -- */":                          gormcrypt.ErrHandWritten,
			"MERGE INTO patients USING visits ON false WHEN NOT MATCHED THEN INSERT VALUES (?)": gormcrypt.ErrHandWritten,
			`UPDATE patients SET "note" = upper(?)`:                                             gormcrypt.ErrExpression,
			"UPDATE main.patients SET NOTE = upper(?)":                                          gormcrypt.ErrExpression,
		} {
			for how, run := range map[string]func() error{
				"Exec": func() error { return db.Exec(statement, secret).Error },
				"Scan": func() error { var into []string; return db.Raw(statement, secret).Scan(&into).Error },
				"Find": func() error { var into []patient; return db.Raw(statement, secret).Find(&into).Error },
				"Row":  func() error { var into string; return db.Raw(statement, secret).Row().Scan(&into) },
				"Rows": func() error { _, err := db.Raw(statement, secret).Rows(); return err },
			} {
				if err := run(); !errors.Is(err, want) || strings.Contains(err.Error(), "SECRET") {
					t.Errorf("%s of %s: error %v, want %v", how, statement, err, want)
				}
			}
		}
		for query, want := range map[string]error{
			"SELECT * FROM patients WHERE note = ?":                                         gormcrypt.ErrNotQueryable,
			"SELECT name FROM patients p WHERE p.note LIKE ?":                               gormcrypt.ErrNotQueryable,
			"SELECT name FROM patients ORDER BY note, ?":                                    gormcrypt.ErrNotQueryable,
			"SELECT name FROM visits, patients WHERE visits.note = patients.name || ?":      gormcrypt.ErrNotQueryable,
			"SELECT name FROM patients WHERE id IN (SELECT id FROM visits WHERE note = ?)":  gormcrypt.ErrNotQueryable,
			"SELECT name FROM patients WHERE name IN (SELECT note FROM visits) OR name = ?": gormcrypt.ErrNotQueryable,
			"SELECT count(*) FROM patients HAVING max(note) = ?":                            gormcrypt.ErrNotQueryable,
			"SELECT count(DISTINCT note) FROM patients WHERE name = ?":                      gormcrypt.ErrNotQueryable,
			"SELECT p FROM patients p WHERE name = ?":                                       gormcrypt.ErrNotQueryable,
			"SELECT CAST(p AS text) FROM patients p WHERE name = ?":                         gormcrypt.ErrNotQueryable,
		} {
			var into []string
			if err := db.Raw(query, secret).Scan(&into).Error; !errors.Is(err, want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v, want %v", query, err, want)
			}
		}
		if err := db.Exec("UPDATE patients SET name = ?", encryptedtype.NewEncryptedString(secret)).Error; !errors.Is(err, gormcrypt.ErrUnsealed) {
			t.Errorf("a typed value for a plain column: error %v", err)
		}
		if err := db.Where("id IN (?)", db.Raw("SELECT id FROM patients WHERE note = ?", secret)).Delete(&visit{}).Error; !errors.Is(err, gormcrypt.ErrNotQueryable) {
			t.Errorf("a raw subquery: error %v", err)
		}
		var rows []patient
		if err := db.Find(&rows).Error; err != nil || len(rows) != 1 || rows[0].Note != "SECRET note" || rows[0].Name != "ada" {
			t.Errorf("the table holds %+v now, error %v", rows, err)
		}
		db.requireUnsaid(t, "SECRET")
	})
}

// What has nothing to do with an encrypted column passes as it is.
func TestHandWrittenSQLThatPasses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		for _, statement := range []string{
			"CREATE TABLE plain (id integer, note text, x text DEFAULT 'patients')",
			"INSERT INTO plain VALUES (1, 'gc1:1:x', 'y')",
			"UPDATE plain SET note = upper(note) || 'z' WHERE note LIKE 'gc%'",
			"INSERT INTO plain (id, note) SELECT id, note FROM patients WHERE note IS NOT NULL",
			"UPDATE patients SET name = upper(name) WHERE id > 0 AND (note IS NULL OR patients.note IS NOT NULL)",
			"CREATE INDEX notes ON patients (note)",
			"DROP INDEX notes",
			"DELETE FROM plain", "DELETE FROM visits",
			"ALTER TABLE patients ADD COLUMN extra text; DROP TABLE plain",
		} {
			if err := db.Exec(statement).Error; err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
		var n int64
		for _, query := range []string{
			"SELECT count(*) FROM patients", "SELECT count(note) FROM patients", "SELECT count(p.note) FROM patients p WHERE p.name <> 'x'",
			"SELECT id FROM patients WHERE name LIKE 'A%' ORDER BY name LIMIT 1", "SELECT 1 WHERE EXISTS (SELECT 1 FROM patients WHERE note IS NOT NULL)",
			"SELECT length(name) - 2 FROM patients", "SELECT sum(id) FROM patients GROUP BY name HAVING count(*) = 1",
		} {
			if n = 0; db.Raw(query).Scan(&n).Error != nil || n != 1 {
				t.Errorf("%s: read %d, %v", query, n, db.Raw(query).Scan(&n).Error)
			}
		}
		if err := db.Migrator().DropColumn(&patient{}, "extra"); err != nil {
			t.Errorf("DropColumn, which copies the table in SQLite: %v", err)
		}
		var got patient
		if err := db.First(&got).Error; err != nil || got.Note != "SECRET note" {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
	})
}

// What Seal makes is for one column, and for statements that are not read.
func TestSealIsForOneColumn(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where)
		sealed := must[gormcrypt.Sealed](t)(gormcrypt.Seal(db.DB, &patient{}, "Note", "SECRET"))
		if text := fmt.Sprintf("%v %+v %#v %s", sealed, sealed, sealed, sealed); strings.Contains(text, "SECRET") || !strings.Contains(text, "gc1:1:") {
			t.Errorf("printed as %s", text)
		}
		if err := db.Exec("UPDATE visits SET note = ?", sealed).Error; !errors.Is(err, gormcrypt.ErrUnsealed) {
			t.Errorf("for another column: %v", err)
		}
		if err := db.Exec("UPDATE patients SET name = ?", sealed).Error; !errors.Is(err, gormcrypt.ErrUnsealed) {
			t.Errorf("for a plain column: %v", err)
		}
		if err := db.Where("note = ?", sealed).First(&patient{}).Error; !errors.Is(err, gormcrypt.ErrNotQueryable) {
			t.Errorf("in a condition: %v", err)
		}
		if err := db.Model(&patient{ID: 1}).Update("note", sealed).Error; err != nil {
			t.Errorf("in an update: %v", err)
		}
		var got patient
		if err := db.First(&got).Error; err != nil || got.Note != "SECRET" {
			t.Errorf("read %q, %v", got.Note, err)
		}
		if where.Name == "postgres" { // a statement that is not read
			if err := db.Exec("MERGE INTO patients p USING visits v ON p.id = v.id WHEN MATCHED THEN UPDATE SET note = ?", sealed).Error; err != nil {
				t.Errorf("in a MERGE: %v", err)
			}
		}
		bed := must[gormcrypt.Sealed](t)(gormcrypt.Seal(db.DB, &patient{Ward: "w1"}, "bed", "SECRET 2"))
		if err := db.Exec("UPDATE patients SET ward = 'w1', bed = ? WHERE id = 1", bed).Error; err != nil {
			t.Errorf("bound: %v", err)
		}
		if err := db.First(&got).Error; err != nil || got.Bed != "SECRET 2" {
			t.Errorf("read %q, %v", got.Bed, err)
		}
		for name, seal := range map[string]func() (gormcrypt.Sealed, error){
			"no such field":   func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, &patient{}, "Nothing", "SECRET") },
			"a plain field":   func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, &patient{}, "Name", "SECRET") },
			"without the row": func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, &patient{}, "Bed", "SECRET") },
			"of another type": func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, &patient{}, "Weight", "SECRET") },
			"no plugin": func() (gormcrypt.Sealed, error) {
				return gormcrypt.Seal(where.Open(t, nil), &patient{}, "Note", "SECRET")
			},
			"not a model":       func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, 7, "Note", "SECRET") },
			"an SQL expression": func() (gormcrypt.Sealed, error) { return gormcrypt.Seal(db.DB, &patient{}, "Note", gorm.Expr("x")) },
		} {
			if _, err := seal(); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
		}
	})
}

// Names hide an encrypted column in many ways. None of them lets a value be sent,
// stored or compared in the clear.
func TestHandWrittenSQLThatHidesAColumn(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &taxpayer{})
		db.execute(t, "CREATE TABLE things (id integer, kind text)")
		statements := []string{
			// Under another name.
			"SELECT id FROM (SELECT id, note AS n FROM patients) q WHERE q.n = ?",
			"WITH q AS (SELECT id, note AS n FROM patients) SELECT id FROM q WHERE n = ?",
			"WITH q(i, n) AS (SELECT id, note FROM patients) SELECT i FROM q WHERE n = ?",
			"SELECT id, note AS n FROM patients WHERE n = ?",
			"SELECT id, note AS n FROM patients WHERE ward = ? ORDER BY n",
			"SELECT note, id FROM patients WHERE ward = ? ORDER BY 1",
			"SELECT note, count(*) FROM patients WHERE ward = ? GROUP BY 1",
			"SELECT note FROM patients INTERSECT SELECT ?",
			"UPDATE things SET kind = q.n FROM (SELECT note AS n FROM patients) q WHERE kind = ?",
			// Of a table that is not where one looks first.
			"SELECT patients.id FROM things a JOIN things b ON a.id = b.id, patients WHERE note = ?",
			`SELECT id, name AS "distinct" FROM patients WHERE note = ?`,
			"SELECT id FROM things WHERE kind IN (SELECT note FROM patients) OR kind = ?",
			"SELECT note.id FROM patients AS note WHERE ? = note",
			"SELECT id FROM things WHERE EXISTS (SELECT 1 FROM patients p WHERE p.id = things.id AND p.note = ?)",
			"SELECT id FROM visits v WHERE v.id IN (SELECT w.id FROM visits w WHERE (v.note) = ?)",
			// In more than its name.
			"SELECT count(CASE WHEN note = ? THEN 1 END) FROM patients",
			"SELECT count(*), max(note = ?) FROM patients",
			"SELECT id FROM patients WHERE (CASE WHEN ward = 'x' THEN note END) = ?",
			// Written otherwise.
			"UPDATE patients SET note = excluded.note FROM (SELECT ? AS note) AS excluded",
			"UPDATE 'patients' SET 'note' = ?",
			"INSERT INTO 'patients' (id, 'note') VALUES (7, ?)",
			"UPDATE patients SET (ward, name) = (?, 'x')",
			"REPLACE INTO patients SELECT * FROM patients WHERE note = ?",
			"WITH x AS (UPDATE patients SET note = upper(?) RETURNING id) SELECT 1",
			`SELECT id FROM U&"\\0070atients" WHERE note = ?`,
			"DO $$ BEGIN UPDATE patients SET note = 'SECRET'; END $$",
			"ALTER TABLE patients ALTER note SET DEFAULT 'SECRET'",
			"CREATE TRIGGER t AFTER INSERT ON visits BEGIN UPDATE patients SET note = 'SECRET'; END",
			"COPY patients FROM '/etc/passwd'",
		}
		if where.Name == "postgres" {
			statements = append(statements,
				"SELECT id FROM patients AS p(id, nm, n) WHERE p.n = ?", "SELECT id FROM patients p WHERE p::text = ?", "SELECT id FROM patients p WHERE note(p) = ?",
				"SELECT id FROM patients p WHERE to_jsonb(p.*)->>'note' = ?", "SELECT ARRAY[note] FROM patients WHERE ward = ?", "DELETE FROM things USING patients WHERE card = ?",
				"SELECT patients.id FROM generate_series(1, 1) g, patients WHERE note = ?", "SELECT 1 AS a$$; UPDATE patients SET note = 'SECRET'; SELECT 1 AS b$$",
				"SELECT E'a'\n'\\' x'; UPDATE patients SET note = 'SECRET'; SELECT '' WHERE '' = ?")
		} else {
			statements = append(statements, "UPDATE patients SET name = $2, note = $1", "UPDATE patients SET note = ?1 WHERE id = 9; UPDATE patients SET note = ?1",
				"UPDATE patients SET name = '?', note = ? WHERE id = 1")
		}
		for _, statement := range statements {
			var args []any
			if n := strings.Count(statement, "?"); n > 0 && !strings.Contains(statement, "'?'") {
				args = append(args, "SECRET x")
			} else if strings.ContainsAny(statement, "$?") && !strings.Contains(statement, "$$") {
				args = append(args, "x", "SECRET x")
			}
			before := db.wire.Statements()
			err := db.Exec(statement, args...).Error
			if !errors.Is(err, gormcrypt.ErrNotQueryable) && !errors.Is(err, gormcrypt.ErrHandWritten) && !errors.Is(err, gormcrypt.ErrExpression) {
				t.Errorf("%s: error %v", statement, err)
			}
			if sent := db.wire.Statements() - before; sent > 0 {
				t.Errorf("%s: %d statements were sent", statement, sent)
			}
		}
		for name, use := range map[string]func() error{
			"derived, by GORM": func() error {
				return db.Table("(?) AS q", db.Model(&patient{}).Select("id, note AS n")).Where("n = ?", "SECRET").Find(&[]map[string]any{}).Error
			},
			"Raw, created": func() error { return db.Raw("UPDATE patients SET note = upper(?)", "SECRET").Create(&visit{}).Error },
			"Raw, deleted": func() error { return db.Raw("UPDATE patients SET note = upper(?)", "SECRET").Delete(&visit{}, 1).Error },
			"Raw, updated": func() error {
				return db.Raw("UPDATE patients SET note = upper(?)", "SECRET").Model(&visit{}).Updates(visit{ID: 1}).Error
			},
			"raw subquery": func() error {
				return db.Model(&patient{}).Where("1 = 1").Update("name", db.Raw("SELECT name FROM patients WHERE note = ?", "SECRET")).Error
			},
			"subquery": func() error {
				return db.Model(&patient{}).Where("1 = 1").Update("name", db.Model(&visit{}).Select("note")).Error
			},
			"count in Select": func() error {
				return db.Model(&patient{}).Select("count(CASE WHEN note = ? THEN 1 END)", "SECRET").Row().Scan(new(int))
			},
			"joined list": func() error {
				return db.Table("things").Joins(", patients").Where("note = ?", "SECRET").Find(&[]map[string]any{}).Error
			},
			"in a dry run": func() error {
				return db.Session(&gorm.Session{DryRun: true}).Where("note = ?", "SECRET").Find(&[]patient{}).Error
			},
			"Sealed, nil": func() error { return db.Where("name = ?", gormcrypt.Sealed{}).Find(&[]patient{}).Error },
		} {
			before := db.wire.Statements()
			err := use()
			if !errors.Is(err, gormcrypt.ErrNotQueryable) && !errors.Is(err, gormcrypt.ErrExpression) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: error %v", name, err)
			}
			if sent := db.wire.Statements() - before; sent > 0 {
				t.Errorf("%s: %d statements were sent", name, sent)
			}
		}
		db.requireSealed(t, "patients", "note")
		db.requireUnsaid(t, "SECRET")
	})
}

// taxpayer has a column that can be unique.
type taxpayer struct {
	ID    uint
	TaxID string `gorm:"serializer:encrypted;unique" encrypt:"deterministic"`
	Name  string
}

// A name that is encrypted in one table is a plain one in another, and what
// PostgreSQL's operators and functions look like does not matter.
func TestHandWrittenSQLOfOrdinaryPrograms(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &taxpayer{})
		db.execute(t, "CREATE TABLE things (id integer, name text)")
		if err := db.Create(&taxpayer{TaxID: "SECRET", Name: "ada"}).Error; err != nil {
			t.Fatal(err)
		}
		statements := []string{
			"SELECT upper(t.name) FROM things t WHERE t.id IN (SELECT id FROM visits)",
			"DELETE FROM things WHERE things.name = 'x' AND id NOT IN (SELECT id FROM visits)",
			"SELECT name || 'x' FROM patients WHERE id IN (SELECT patient_id FROM visits)",
			"SELECT name FROM patients WHERE name = 'x' AND EXISTS (SELECT note FROM visits)",
			"INSERT INTO taxpayers (tax_id, name) VALUES (?, 'x') ON CONFLICT (tax_id) DO UPDATE SET name = excluded.name",
			"INSERT INTO taxpayers (tax_id, name) VALUES (?, 'x') ON CONFLICT (tax_id) DO NOTHING",
			"SELECT tax_id FROM taxpayers GROUP BY tax_id", "SELECT count(DISTINCT tax_id) FROM taxpayers",
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i, note FROM n, patients WHERE i > 1",
			"SELECT patients.*, visits.* FROM visits JOIN patients ON patients.id = visits.patient_id",
			"SELECT row_number() OVER (PARTITION BY ward ORDER BY id) AS r, note FROM patients",
		}
		if where.Name == "postgres" {
			statements = append(statements,
				`SELECT note FROM patients WHERE '{"a": 1}'::jsonb @> '{}'::jsonb AND to_tsvector(name) @@ plainto_tsquery('x')`,
				"SELECT id, g FROM patients, generate_series(1, 2) g", "SELECT note FROM patients FOR UPDATE SKIP LOCKED",
				"SELECT pg_advisory_lock(1)", "SELECT note FROM patients WHERE ARRAY[1] && ARRAY[id::int]",
				"SELECT n.note FROM patients p CROSS JOIN LATERAL (SELECT note FROM visits v WHERE v.patient_id = p.id) n")
		}
		for _, statement := range statements {
			var args []any
			if strings.Contains(statement, "?") {
				args = append(args, "SECRET tax")
			}
			var into []map[string]any
			if err := db.Raw(statement, args...).Scan(&into).Error; err != nil {
				t.Errorf("%s: %v", statement, err)
			}
			if text := fmt.Sprint(into); strings.Contains(text, "gc1:") {
				t.Errorf("%s: read %s", statement, text)
			}
		}
		if err := db.Where("name = ? AND id IN (SELECT patient_id FROM visits)", "ada").First(&patient{}).Error; err != nil {
			t.Errorf("a condition by GORM: %v", err)
		}
		db.requireSealed(t, "taxpayers", "tax_id")
	})
}

// Refusals say what to write instead.
func TestRefusalsSayTheWayOut(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		db := openWard(t, where, &taxpayer{}, &small{})
		sealed := must[gormcrypt.Sealed](t)(gormcrypt.Seal(db.DB, &patient{}, "Note", "SECRET"))
		find := func(condition string, value any) error { return db.Where(condition, value).Find(&[]patient{}).Error }
		for name, refused := range map[string]struct {
			err  error
			want string
		}{
			"=":             {find("note = ?", "SECRET"), "cannot query patients.note: an encrypted column cannot be compared by the database: = on it would find nothing; add the field NoteIndex encryptedtype.BlindIndex with the tag encrypt:\"of=Note\", or compare it with NULL"},
			"= in a map":    {db.Where(map[string]any{"note": "SECRET"}).Find(&[]patient{}).Error, "add the field NoteIndex encryptedtype.BlindIndex with the tag encrypt:\"of=Note\", or compare it with NULL"},
			"reversed":      {find("? = note", "SECRET"), ": = on it would find nothing; add the field NoteIndex"},
			"NOT IN":        {find("note NOT IN ?", []string{"SECRET"}), ": NOT IN on it would find nothing; add the field NoteIndex"},
			"LIKE":          {find("note LIKE ?", "SECRET%"), ": LIKE on it would find nothing; compare it with NULL, or select by another column"},
			"NOT LIKE":      {find("note NOT LIKE ?", "SECRET%"), ": LIKE on it would find nothing; "},
			"<":             {find("note < ?", "SECRET"), ": < on it would find nothing; "},
			"function":      {find("upper(note) = ?", "SECRET"), "an expression on it would come to nothing; select it by itself, or compare it with NULL"},
			"copy":          {db.Exec("UPDATE patients SET name = note").Error, "an expression on it would come to nothing"},
			"deterministic": {db.Where("tax_id = 'SECRET'").Find(&[]taxpayer{}).Error, "compare it with values that are arguments, by =, <>, IN or NOT IN"},
			"LIKE on it":    {db.Where("tax_id LIKE ?", "SECRET").Find(&[]taxpayer{}).Error, ": LIKE on it would find nothing; compare it with NULL"},
			"GROUP BY":      {db.Model(&patient{}).Select("count(*)").Group("note").Find(&[]int{}).Error, "; make it deterministic"},
			"literal":       {db.Exec("UPDATE patients SET note = 'SECRET'").Error, "the new value is in the text of the statement, which is sent as it is; pass it as an argument"},
			"number":        {db.Exec("UPDATE patients SET weight = (424242)").Error, "pass it as an argument"},
			"parentheses":   {db.Exec("UPDATE patients SET note = (?)", "SECRET").Error, "write ? without them"},
			"slice":         {db.Exec("UPDATE patients SET tags = ?", []string{"SECRET", "x"}).Error, "pass a slice as one of gormcrypt.Seal"},
			"sealed":        {find("id = ?", sealed), "cannot query an encrypted column: "},
			"out of range":  {db.Model(&small{}).Create(map[string]any{"size": 300}).Error, "an int does not become an int8 without loss: it is out of range, or would be rounded; pass an int8"},
			"another kind":  {db.Model(&small{}).Create(map[string]any{"size": "SECRET"}).Error, "a string does not become an int8 without loss; pass an int8"},
		} {
			if refused.err == nil || !strings.Contains(refused.err.Error(), refused.want) || strings.Contains(refused.err.Error(), "SECRET") {
				t.Errorf("%s: error %v, want %q", name, refused.err, refused.want)
			}
		}
		db.requireUnsaid(t, "SECRET", "424242")
	})
}

// small is a number that does not hold every other.
type small struct {
	ID   uint
	Size int8 `gorm:"serializer:encrypted;type:text"`
}
