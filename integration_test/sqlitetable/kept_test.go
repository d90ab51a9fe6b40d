package sqlitetable_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

// tables are tables of all kinds, each with a column c and some rows.
var tables = map[string][]string{
	"plain": {"CREATE TABLE plain (id INTEGER PRIMARY KEY, c TEXT)", "INSERT INTO plain (c) VALUES ('a'), (NULL)"},
	"counted": {
		"CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, c TEXT NOT NULL DEFAULT 'x' COLLATE NOCASE, n NUMERIC(10,2) DEFAULT (1+1))",
		"INSERT INTO counted (id, c) VALUES (7, 'a'), (1000, 'b')", "DELETE FROM counted WHERE id = 1000",
	},
	"rowids":        {"CREATE TABLE rowids (c, rowid)", "INSERT INTO rowids (_rowid_, c, rowid) VALUES (-5, 'a', 1), (900, 'b', 2), (17, x'00ff', 3)"},
	"without rowid": {"CREATE TABLE \"without rowid\" (a TEXT, c TEXT, b INT, PRIMARY KEY (b DESC, a)) WITHOUT ROWID -- )", "INSERT INTO \"without rowid\" VALUES ('x', 'y', 1), ('w', NULL, 2)"},
	"strict":        {"CREATE TABLE strict (id INTEGER PRIMARY KEY, c ANY, b BLOB) STRICT, WITHOUT ROWID", "INSERT INTO strict VALUES (1, 'a', x'00'), (2, 5, NULL), (3, x'01', NULL)"},
	"generated": {
		"CREATE TABLE generated (a INT, v AS (a * 2), c TEXT, s TEXT GENERATED ALWAYS AS (upper(c) || ')') STORED NOT NULL, CHECK (a < 10), CONSTRAINT other UNIQUE (a, c) ON CONFLICT IGNORE)",
		"INSERT INTO generated (a, c) VALUES (1, 'x'), (2, 'y')",
	},
	"qualified": {"CREATE TABLE qualified (c TEXT, CHECK (qualified.c <> ''))", "INSERT INTO qualified VALUES ('a')"},
	`we"ird (na.me')`: {
		"CREATE TABLE \"we\"\"ird (na.me')\" (c -- the first )\n, \"or\"\"der\" INT /* , CONSTRAINT x CHECK (0) */, [gro up] TEXT, `größe` TEXT DEFAULT '), (' -- the last (\n)",
		"INSERT INTO \"we\"\"ird (na.me')\" VALUES ('a', 1, 'b', 'c')",
	},
	"日本":       {"CREATE TABLE 日本 (c)", "INSERT INTO 日本 VALUES ('a')"},
	"select":   {"CREATE TABLE [select] ([from] INT, c TEXT)", "INSERT INTO [select] VALUES (1, 'a')"},
	"copied":   {"CREATE TABLE copied AS SELECT 1 AS a, 'x' AS c, 2.5 AS \"d e\""},
	"extended": {"CREATE TABLE extended (a)", "ALTER TABLE extended ADD COLUMN c TEXT DEFAULT 'x'", "INSERT INTO extended (a) VALUES (1)", "ALTER TABLE extended ADD COLUMN d"},
	"classes": {
		"CREATE TABLE classes (i INTEGER, r REAL, t TEXT, n NUMERIC, c)",
		"INSERT INTO classes VALUES ('text', 'text', x'00', x'0102', 9e999), (9223372036854775807, -9e999, 'a' || char(0) || 'b', '1e3', NULL), (1.5, 9e999 - 9e999, 12, -0.0, 1e300), (x'31', x'31', CAST(x'ff00fe' AS TEXT), 'x', 'y')",
	},
	"tree": {
		"CREATE TABLE tree (id INTEGER PRIMARY KEY, parent REFERENCES tree (id) ON DELETE CASCADE, c TEXT, plain INT REFERENCES plain (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED)",
		"INSERT INTO tree VALUES (1, NULL, 'a', 1), (2, 1, 'b', 2), (3, 2, 'c', NULL)",
		"CREATE TABLE leaves (tree INT REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE)",
		"INSERT INTO leaves VALUES (1), (3)",
	},
	"searched": {
		"CREATE TABLE searched (a INT UNIQUE, b TEXT COLLATE RTRIM, c TEXT)",
		"CREATE UNIQUE INDEX \"i 1\" ON searched (b DESC, c)", "CREATE INDEX i2 ON searched (lower(c)) WHERE a > 1 AND searched.c NOT NULL", "CREATE INDEX i3 ON searched (a) -- why",
		"INSERT INTO searched VALUES (1, 'x', 'a'), (2, 'y', 'b'), (3, 'z', 'c')",
		"CREATE VIEW sight AS SELECT c, count(*) AS n FROM searched GROUP BY c",
		"CREATE VIEW broken AS SELECT * FROM gone",
		"CREATE TABLE log (what)",
		"CREATE TRIGGER after_searched AFTER UPDATE OF c ON searched BEGIN INSERT INTO log VALUES (new.c); END",
		"CREATE TRIGGER after_log AFTER DELETE ON log BEGIN UPDATE searched SET a = a + 1; END",
		"CREATE TRIGGER instead INSTEAD OF INSERT ON sight BEGIN INSERT INTO searched (c) VALUES (new.c); END",
		"ANALYZE",
		"UPDATE sqlite_stat1 SET stat = '123456 7' WHERE tbl = 'searched' AND idx = 'i3'",
	},
}

// A constraint that is added is the only thing that changes, and when it is removed
// everything is as it was.
func TestKept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		db := where.Plain(t)
		execute(t, db, tables["plain"]...)
		for table, setup := range tables {
			if table != "plain" {
				execute(t, db, setup...)
			}
		}
		if found := texts(t, db, "PRAGMA integrity_check"); !slices.Equal(found, []string{"ok"}) {
			t.Fatal(found)
		}
		for table := range tables {
			t.Run(table, func(t *testing.T) {
				before := snapshot(t, db)
				statement := "UPDATE " + quote(table) + " SET c = 'bad' WHERE c IS NOT NULL"
				for range 2 {
					wantCheck(t, db, table, false)
					for range 2 {
						add(t, db, table)
					}
					wantCheck(t, db, strings.ToUpper(table), true)
					if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "CHECK constraint failed: "+constraint) {
						t.Errorf("a row that violates it: %v", err)
					}
					wantOneDifference(t, before, snapshot(t, db))
					for range 2 {
						drop(t, db, table)
					}
					if d := cmp.Diff(before, snapshot(t, db)); d != "" {
						t.Fatalf("(-before +after)\n%s", d)
					}
				}
				execute(t, db, "BEGIN; "+statement+"; ROLLBACK")
			})
		}
	})
}

// wantOneDifference wants that two snapshots differ in the text of one table, by the
// constraint.
func wantOneDifference(t *testing.T, before, after []string) {
	t.Helper()
	if len(before) != len(after) {
		t.Fatalf("%d became %d", len(before), len(after))
	}
	different := 0
	for i := range before {
		if before[i] == after[i] {
			continue
		}
		different++
		if got := strings.Replace(after[i], `, CONSTRAINT \"`+constraint+`\" CHECK (`+condition+`)`, "", 1); got != before[i] {
			t.Errorf("got  %s\nwant %s", after[i], before[i])
		}
	}
	if different != 1 {
		t.Errorf("%d differences", different)
	}
}

// Text in a column of integers, which no statement can put there, is not converted.
func TestValuesOfAnotherType(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, "CREATE TABLE t (a TEXT, c)", "INSERT INTO t VALUES ('0042', 'x')",
		"PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = 'CREATE TABLE t (a INTEGER, c)'", "PRAGMA schema_version = 77", "PRAGMA writable_schema = RESET")
	add(t, db, "t")
	if got := texts(t, db, "SELECT typeof(a) || quote(a) || typeof(+a) FROM t"); !slices.Equal(got, []string{"text'0042'text"}) {
		t.Error(got)
	}
}

// A table of another database file, and names that have dots or are ambiguous.
func TestSchemas(t *testing.T) {
	t.Parallel()
	where := testdb.SQLite(t)
	db := where.Plain(t)
	db.SetMaxOpenConns(1)
	execute(t, db, "ATTACH '"+where.Path+".other' AS [o th.er]",
		"CREATE TABLE t (c)", "CREATE TABLE [o th.er].t (c)", "CREATE TABLE [o th.er].[a.b] (c)", "CREATE TABLE [a.b] (c)",
		"CREATE TABLE [main.t] (c)", "CREATE TEMP TABLE t (c)")
	for _, table := range []string{"o th.er.t", "o th.er.a.b", "a.b", "main.a.b", "main.main.t"} {
		add(t, db, table)
		wantCheck(t, db, table, true)
	}
	wantCheck(t, db, "t", false)
	if got := texts(t, db, "SELECT name FROM [o th.er].sqlite_master WHERE instr(sql, ?) ORDER BY name", constraint); !slices.Equal(got, []string{"a.b", "t"}) {
		t.Error(got)
	}
	if _, err := db.Exec("INSERT INTO [o th.er].t VALUES ('bad')"); err == nil {
		t.Error("the constraint is not checked")
	}
	if err := sqlitetable.AddCheck(t.Context(), db, "main.t", constraint, condition); err == nil || !strings.Contains(err.Error(), "more than one") {
		t.Error(err)
	}
}

// The engine's own statement, where it has one, knows the constraint.
func TestAsTheEngineDoes(t *testing.T) {
	t.Parallel()
	db := testdb.SQLite(t).Plain(t)
	execute(t, db, "CREATE TABLE t (c)")
	if _, err := db.Exec("ALTER TABLE t ADD CONSTRAINT " + constraint + " CHECK (" + condition + ")"); err != nil {
		t.Skipf("SQLite %s has no such statement", texts(t, db, "SELECT sqlite_version()")[0])
	}
	wantCheck(t, db, "t", true)
	drop(t, db, "t")
	add(t, db, "t")
	execute(t, db, "ALTER TABLE t ADD COLUMN d", "ALTER TABLE t DROP CONSTRAINT "+constraint)
	wantCheck(t, db, "t", false)
}
