package gormcrypt

import (
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/utils/tests"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// sought has a column of each kind that is searched, or is not.
type sought struct {
	ID         uint
	Name       string
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `encrypt:"of=Email,normalize=email"`
	TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Phone      string                   `gorm:"serializer:encrypted"`
	PhoneIndex encryptedtype.BlindIndex `encrypt:"of=Phone,bits=16"`
	Note       string                   `gorm:"serializer:encrypted"`
}

func (sought) TableName() string { return "people" }

// dialect is a dialector without a database.
type dialect struct {
	tests.DummyDialector
	name string
}

func (d dialect) Name() string { return d.name }

// openDialect opens a *gorm.DB without a database, with the plugin, under a keyring
// of two live index keys.
func openDialect(t testing.TB, name string) (*gorm.DB, *Plugin) {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if keys, _, err = keys.Add(keyring.IndexKeys); err != nil {
		t.Fatal(err)
	}
	db, err := gorm.Open(dialect{name: name}, &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	plugin := New(Config{Keys: keys, Models: []any{&sought{}}})
	if err := db.Use(plugin); err != nil {
		t.Fatal(err)
	}
	return db, plugin
}

// fragments are conditions as programs write them, quoted and commented in every
// way that the dialects have.
var fragments = []string{
	"SELECT * FROM people WHERE email = ?",
	"SELECT * FROM people WHERE email = ? AND name <> ? OR tax_id IN (?, ?, NULL)",
	`SELECT "p"."email" FROM "people" AS "p" WHERE "p"."email" IN (?) AND ("p".tax_id != ? OR NOT p.email = ?) ORDER BY p.id LIMIT ?`,
	"SELECT * FROM people WHERE ? = email AND name = 'email = ?' -- email = ?",
	"SELECT `people`.`id` FROM `people` /* email = ? */ WHERE `people`.`tax_id` NOT IN (?,?) GROUP BY name HAVING count(*) > ?",
	"SELECT 1 FROM orders o JOIN people p ON p.id = o.person_id AND p.tax_id = ? LEFT JOIN people q ON q.tax_id = p.tax_id WHERE EXISTS (SELECT 1 FROM people WHERE email = o.email)",
	"WITH q AS (SELECT id, email FROM people WHERE email = ?) SELECT * FROM q WHERE id IN (SELECT person_id FROM orders WHERE note = ?)",
	"UPDATE people SET name = ? WHERE tax_id = ? AND email IS NOT NULL RETURNING id",
	"DELETE FROM people WHERE email = ? AND id = ?",
	"INSERT INTO people (name, email, email_index) VALUES (?, ?, ?) ON CONFLICT (tax_id) DO UPDATE SET email = excluded.email, email_index = excluded.email_index WHERE people.tax_id <> ?",
	"SELECT * FROM people WHERE phone = ? AND name LIKE ? LIMIT 5 OFFSET ?",
	"SELECT * FROM people WHERE phone_index = ? LIMIT 1",
	"SELECT * FROM people WHERE email_index IN (?, ?)",
	"SELECT * FROM people WHERE email = ?::text AND name = $$email = ?$$ AND note IS NULL",
	"SELECT CASE WHEN email = ? THEN 'a' ELSE E'\\' email = ?' END FROM people",
	"SELECT * FROM orders WHERE email = ? AND tax_id = ?",
	"SELECT lower(email) = ? FROM people", "SELECT * FROM people WHERE email || ? = ?", "SELECT * FROM people WHERE x BETWEEN ? AND email = ?",
	"SELECT * FROM people WHERE email = (?) AND (tax_id) = ?", "SELECT * FROM people WHERE email = ?2 OR name = ?1", "SELECT email FROM people UNION SELECT ?",
	"CREATE VIEW v AS SELECT id FROM people WHERE email_index = ?", "CREATE INDEX i ON people (name) WHERE email_index IN (?, ?)",
	"(SELECT * FROM people WHERE email=?) ; SELECT 1", "SELECT * FROM people WHERE email = @name", "EXPLAIN SELECT * FROM people WHERE email == ?",
}

// FuzzRewrite: whatever a statement says, what is made of it compares encrypted
// columns with nothing but what may be stored there, and is not changed when it
// is read again. A statement without an encrypted table stays as it is.
func FuzzRewrite(f *testing.F) {
	for _, fragment := range fragments {
		f.Add(fragment, true)
		f.Add(fragment, false)
	}
	type side struct {
		db     *gorm.DB
		plugin *Plugin
	}
	sides := map[bool]side{}
	for dollars, name := range map[bool]string{true: "postgres", false: "sqlite"} {
		db, plugin := openDialect(f, name)
		sides[dollars] = side{db, plugin}
	}
	f.Fuzz(func(t *testing.T, query string, dollars bool) {
		db, plugin := sides[dollars].db, sides[dollars].plugin
		if dollars {
			query = numbered(query)
		}
		stmt := db.Session(&gorm.Session{NewDB: true}).Statement
		read := plugin.read(stmt, query)
		var args []any
		for _, place := range read.places {
			for len(args) <= place.arg && len(args) < 1000 {
				args = append(args, fmt.Sprint("SECRET ", len(args)))
			}
		}
		for i, places := range read.placements { // which are sealed before
			if i < len(args) && places != nil {
				args[i] = "sealed"
			}
		}
		if !read.touches {
			if again, vars, err := plugin.handWritten(stmt, query, args); again != query || len(vars) != len(args) || err != nil {
				t.Fatalf("%q became %q, %v", query, again, err)
			}
			return
		}
		if read.err != nil || read.unread != nil || len(args) == 1000 {
			return
		}
		first, vars, rows, err := plugin.rewriteFiltered(stmt, read, query, args)
		if err != nil {
			if strings.Contains(err.Error(), "SECRET") {
				t.Fatalf("%q fails with %v", query, err)
			}
			return
		}
		again := plugin.read(stmt, first)
		if again.err != nil || again.unread != nil || len(again.comparisons) < len(read.comparisons)-len(read.window.cuts) {
			t.Fatalf("%q became %q, which is not understood: %v, %v", query, first, again.err, again.unread)
		}
		if again.arguments != len(vars) && len(read.comparisons) > 0 {
			t.Fatalf("%q became %q, with %d arguments", query, first, len(vars))
		}
		for _, c := range again.comparisons {
			for _, operand := range c.operands {
				if operand < 0 || vars[operand] == nil {
					continue
				}
				term, ok := vars[operand].(searchTerm)
				if !ok {
					t.Fatalf("%q became %q, where argument %d is %v", query, first, operand, vars[operand])
				}
				if text, ok := term.stored.(string); !ok || strings.Contains(text, "SECRET") {
					t.Fatalf("%q became %q, where argument %d is stored as %v", query, first, operand, term)
				}
			}
		}
		if rows != nil || len(again.filters) > 0 { // whose values are gone
			return
		}
		second, varsAgain, err := plugin.rewrite(stmt, again, first, vars)
		if err != nil || second != first || len(varsAgain) != len(vars) {
			t.Fatalf("%q became %q, and that %q, %v", query, first, second, err)
		}
	})
}

// numbered writes the placeholders of a statement as PostgreSQL does.
func numbered(query string) string {
	var text strings.Builder
	done, n := 0, 0
	for token := range sqltext.Tokens(query) {
		if token.Kind == sqltext.Placeholder && token.Text == "?" {
			n++
			fmt.Fprintf(&text, "%s$%d", query[done:token.Start], n)
			done = token.End
		}
	}
	return text.String() + query[done:]
}

// What stands behind a statement's text is written anew with it.
func TestRewrite(t *testing.T) {
	t.Parallel()
	db, plugin := openDialect(t, "postgres")
	stmt := db.Session(&gorm.Session{NewDB: true}).Statement
	for query, want := range map[string]string{
		"SELECT * FROM people WHERE email = $1":                                       "SELECT * FROM people WHERE email_index IN ($1,$2)",
		`SELECT * FROM "people" AS p WHERE p."email" = $1 AND name = $2`:              `SELECT * FROM "people" AS p WHERE p."email_index" IN ($1,$2) AND name = $3`,
		"SELECT * FROM people WHERE name = $2 AND $1 <> people . email -- email = $3": "SELECT * FROM people WHERE name = $1 AND people.email_index NOT IN ($2,$3) -- email = $3",
		"SELECT * FROM people WHERE tax_id IN ($1, NULL) OR name = 'tax_id = $1'":     "SELECT * FROM people WHERE tax_id IN ($1,$2,$3) OR name = 'tax_id = $1'",
		"SELECT * FROM people WHERE phone = $1 ORDER BY id LIMIT $2 OFFSET 3":         "SELECT * FROM people WHERE phone_index IN ($1,$2) ORDER BY id  ",
		"SELECT * FROM orders WHERE email = $1":                                       "SELECT * FROM orders WHERE email = $1",
	} {
		read := plugin.read(stmt, query)
		args := []any{"one", 2}
		if read.touches {
			args = args[:read.arguments]
		}
		got, vars, _, err := plugin.rewriteFiltered(stmt, read, query, args)
		if err != nil || got != want {
			t.Errorf("%s\nbecame %s\nwant   %s, %v", query, got, want, err)
		}
		for _, v := range vars {
			if v == "one" && read.touches {
				t.Errorf("%s has the argument %v", query, v)
			}
		}
	}
}
