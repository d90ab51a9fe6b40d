//go:build cgo

package conformance

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
)

// A suite that finds nothing is worth what it would find. Each of its checks
// fails where it should, and no other with it.
func TestChecksFail(t *testing.T) {
	s := newSuite(t, emptySQLite)
	refuse := &refusal{name: "ErrType", is: []error{gormcrypt.ErrType}}
	email := func(c *check, err error) error {
		return &gormcrypt.Error{Op: "seal", Table: "customers", Column: "email", Err: err}
	}
	for name, c := range map[string]struct {
		want string // the checks that fail
		row  row
	}{
		"nothing": {"", row{run: func(c *check) {
			ada := keep(c, c.customer("ada"))
			c.must(c.db.Create(ada).Error)
			expect(c, ada)
		}}},
		"a value that was lost": {"value", row{run: func(c *check) {
			ada := c.customer("ada")
			c.must(c.db.Omit("Email").Create(ada).Error)
			expect(c, ada)
		}}},
		"a row that was lost": {"value", row{run: func(c *check) { expect(c, c.customer("ada")) }}},
		"another type":        {"value", row{run: func(c *check) { c.same("a number", 1, int64(1)) }}},
		"nil for empty": {"value", row{run: func(c *check) {
			ada := c.customer("ada")
			ada.Labels = nil
			c.must(c.db.Create(ada).Error)
			ada.Labels = []string{}
			expect(c, ada)
		}}},
		"what does not open": {"value", row{run: func(c *check) {
			ada := c.existing("ada")
			c.execute("UPDATE customers SET email = phone")
			expect(c, ada)
		}}},
		"plaintext that is stored": {"stored", row{run: func(c *check) {
			c.values++
			c.existing("ada")
			c.execute("UPDATE customers SET email = 'plaintext'")
		}}},
		"a number that is stored": {"stored", row{run: func(c *check) {
			c.values++
			c.existing("ada")
			c.execute("UPDATE customers SET thumbprint = 7")
		}}},
		"a secret in SQL": {"wire", row{run: func(c *check) {
			c.values++
			_, _ = c.pool.Exec("SELECT '" + c.text() + "'")
		}}},
		"a secret number as an argument": {"wire", row{run: func(c *check) {
			c.values++
			_, _ = c.pool.Exec("SELECT ?", c.number())
		}}},
		"a secret time as an argument": {"wire", row{run: func(c *check) {
			c.values++
			_, _ = c.pool.Exec("SELECT ?", c.moment())
		}}},
		"a secret float as an argument": {"wire", row{run: func(c *check) {
			c.values++
			_, _ = c.pool.Exec("SELECT ?", c.float())
		}}},
		"a secret in a result": {"wire", row{run: func(c *check) {
			c.values++
			number := c.number()
			var read string
			_ = c.pool.QueryRow("SELECT ? || ?", fmt.Sprint(number)[:5], fmt.Sprint(number)[5:]).Scan(&read)
		}}},
		"a secret in the log": {"said", row{run: func(c *check) {
			c.values++
			c.db.Logger.Info(c.Context(), "created %v", c.text())
		}}},
		"a secret in an error": {"said", row{run: func(c *check) {
			c.values++
			c.heard(errors.New(c.text()))
		}}},
		"a secret inside of an error": {"said", row{run: func(c *check) {
			c.values++
			c.heard(secretError{c.text()})
		}}},
		"an argument that was changed": {"said", row{run: func(c *check) {
			c.values++
			values := keep(c, map[string]any{"email": c.text()})
			values["email"] = "gc1:1:"
		}}},
		"a model that was changed": {"said", row{run: func(c *check) {
			c.values++
			keep(c, c.customer("ada")).APIKey = encryptedNull
		}}},
		"what was to be refused": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error { return nil })
		}}},
		"another error": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error { return email(c, gormcrypt.ErrUnsealed) })
		}}},
		"an error without the column": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error { return gormcrypt.ErrType })
		}}},
		"an error for another column": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "phone", func() error { return email(c, gormcrypt.ErrType) })
		}}},
		"what was sent all the same": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error {
				_, _ = c.pool.Exec("SELECT 1")
				return email(c, gormcrypt.ErrType)
			})
		}}},
		"what was stored all the same": {"refused", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error {
				c.execute("INSERT INTO customers (name) VALUES ('ada')")
				return email(c, gormcrypt.ErrType)
			})
		}}},
		"what was handed out all the same": {"value", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error { return email(c, gormcrypt.ErrType) })
			c.nothing([]customer{{}})
		}}},
		"a refusal": {"", row{refused: refuse, run: func(c *check) {
			c.refuses("customers", "email", func() error { return email(c, gormcrypt.ErrType) })
		}}},
		"a row that checks nothing":     {"run", row{run: func(c *check) { c.existing("ada") }}},
		"a refusal of nothing":          {"run", row{refused: refuse, run: func(c *check) {}}},
		"a row that ends with an error": {"run", row{run: func(c *check) { c.must(errors.New("no such thing")) }}},
		"a row that panics":             {"run", row{run: func(c *check) { panic("no such thing") }}},
	} {
		t.Run(name, func(t *testing.T) {
			c.row.path, c.row.number = name, 9999
			var result Result
			r := &recorder{TB: t}
			done := make(chan bool)
			go func() { // which FailNow ends
				defer close(done)
				s.run(r, &c.row, &result)
			}()
			<-done
			if want := map[bool]Outcome{true: Passed, false: Failed}[c.want == ""]; result.Outcome != want || result.Reason != c.want {
				t.Errorf("the outcome is %d, %q; want %d, %q:\n%s", result.Outcome, result.Reason, want, c.want, strings.Join(r.messages, "\n"))
			}
		})
	}
}

// secretError shows what it holds only to %#v.
type secretError struct{ secret string }

func (secretError) Error() string { return "an error" }

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	messages []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Failed() bool { return len(r.messages) > 0 }

// FailNow ends the goroutine, which is not the test's.
func (r *recorder) FailNow() { runtime.Goexit() }

// emptySQLite returns an empty SQLite database.
func emptySQLite(t testing.TB) Database {
	return Database{
		Name: "sqlite", Driver: sqlite.DriverName, DSN: "file:" + filepath.Join(t.TempDir(), "test.db") + "?_journal_mode=WAL&_busy_timeout=10000",
		Dialector: func(pool *sql.DB) gorm.Dialector { return sqlite.New(sqlite.Config{Conn: pool}) },
	}
}

// The page says of each row what came of it, and nothing of rows that did not
// run.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	report := func(database string, outcomes ...Outcome) *Report {
		r := &Report{Database: database}
		for i, outcome := range outcomes {
			result := r.add([]string{"Writes", "Writes", "Reads"}[i], &row{path: fmt.Sprintf("`a || %d`", i), happens: sealed})
			result.Outcome, result.Reason = outcome, "it has no | there"
		}
		return r
	}
	got, err := Markdown(report("one", Passed, Failed, Lacking), report("two", Passed, Passed, Passed))
	want := "\n## Writes\n\n| path | what happens | one | two |\n| --- | --- | --- | --- |\n" +
		"| `a \\|\\| 0` | sealed | yes | yes |\n| `a \\|\\| 1` | sealed | **no** | yes |\n" +
		"\n## Reads\n\n| path | what happens | one | two |\n| --- | --- | --- | --- |\n" +
		"| `a \\|\\| 2` | sealed | not there: it has no \\| there | yes |\n"
	if err != nil || got != want {
		t.Errorf("the page is\n%s\n%v, want\n%s", got, err, want)
	}
	for what, reports := range map[string][]*Report{
		"a row that did not run": {report("one", Passed, NotRun)}, "two suites": {report("one", Passed), report("two", Passed, Passed)}, "nothing": {},
	} {
		if page, err := Markdown(reports...); err == nil || page != "" {
			t.Errorf("%s makes the page %q", what, page)
		}
	}
	if !report("one", Passed, Failed).Complete() || report("one", NotRun).Complete() {
		t.Error("what is complete is not told from what is not")
	}
}

// Rows have names of their own, by which they are run, and say what happens.
func TestRows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, section := range sections {
		for _, r := range section.rows {
			name := section.name + "/" + r.name()
			if seen[name] || r.path == "" || r.run == nil || r.number == 0 || r.effect() == "" {
				t.Errorf("row %d, %s, is not whole, or twice there", r.number, name)
			}
			seen[name] = true
		}
	}
}
