package sqlitetable

import (
	"strings"
	"testing"
)

const name = "gormcrypt_encrypted_1f"

// What is added is in front of the last parenthesis of the list, whatever is around
// it; and when it is cut out again, the text is as it was.
func TestEdit(t *testing.T) {
	t.Parallel()
	const added = `, CONSTRAINT "` + name + `" CHECK (a > ')')`
	for _, text := range []string{
		"CREATE TABLE t(a|)",
		"CREATE TABLE t (\n\ta TEXT DEFAULT 'x' -- the last )\n|)",
		"CREATE TABLE \"t \"\"(\" (a, b CHECK (b IN (1, (2))), CHECK ((a)) /* ) */ |) WITHOUT ROWID, STRICT",
		"CREATE TABLE [my.t(](a[varchar(5)], [b)]|)STRICT -- )",
		"CREATE TABLE 'it''s'(\"a)\" e'b\\' REFERENCES t(\"a)\"), \uFEFF`c)``` \"x\"|)",
		"CREATE TABLE t(a /* /* ) */ REAL, b AS (a + ')') STORED -- \r )\n|) /* without end",
		"CREATE TABLE größe(a$b INT DEFAULT(1),CONSTRAINT x CONSTRAINT y UNIQUE(a$b) CHECK(1)|)",
	} {
		before, after, _ := strings.Cut(text, "|")
		d, err := read(before + after)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := d.with(name, "a > ')'")
		if want := before + added + after; err != nil || got != want {
			t.Errorf("got  %s: %v\nwant %s", got, err, want)
			continue
		}
		if has, err := d.has(name); has || err != nil {
			t.Errorf("%s: it was there before: %v", text, err)
		}
		d, err = read(got)
		if err != nil {
			t.Fatal(err)
		}
		if has, err := d.has(name); !has || err != nil {
			t.Errorf("%s: it is not there: %v", got, err)
		}
		if without, err := d.without(name); err != nil || without != before+after {
			t.Errorf("%s: without it %s: %v", got, without, err)
		}
	}
}

// Others may have written it anew, in their way, or put something behind it.
func TestFoundAsOthersWriteIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"CREATE TABLE `t` (`a` text,CONSTRAINT `" + name + "` CHECK (a))":                                            "CREATE TABLE `t` (`a` text)",
		"CREATE TABLE t(a, constraint " + strings.ToUpper(name) + " check(a)\n, b TEXT)":                             "CREATE TABLE t(a\n, b TEXT)",
		"CREATE TABLE t(a , CONSTRAINT '" + name + "' CHECK ( (a) ) , CONSTRAINT " + name + "_2 CHECK (1)) STRICT":   "CREATE TABLE t(a  , CONSTRAINT " + name + "_2 CHECK (1)) STRICT",
		"CREATE TABLE t(a -- , CONSTRAINT " + name + " CHECK (1)\n)":                                                 "CREATE TABLE t(a -- , CONSTRAINT " + name + " CHECK (1)\n)",
		"CREATE TABLE t(a DEFAULT ', CONSTRAINT " + name + " CHECK (1)', \"CONSTRAINT\" " + name + " CHECK (\"a\"))": "CREATE TABLE t(a DEFAULT ', CONSTRAINT " + name + " CHECK (1)', \"CONSTRAINT\" " + name + " CHECK (\"a\"))",
	} {
		d, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := d.without(name); err != nil || got != want {
			t.Errorf("got  %s: %v\nwant %s", got, err, want)
		}
	}
}

func TestRefusedTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "CREATE TABLE t", "CREATE TABLE t(", "CREATE TABLE t(a", "CREATE TABLE t(a))", "CREATE TABLE t(a) AS SELECT 1",
		"CREATE VIRTUAL TABLE t USING fts5(a)", "CREATE VIEW t(a) AS SELECT 1", "CREATE TABLE t AS SELECT (1)",
		"CREATE TABLE t(a DEFAULT $b(c))", "CREATE TABLE t(a, 'b)", "CREATE TABLE t(a, [b)", "CREATE TABLE t(a\x00)", "CREATE TABLE (a)",
		"CREATE TABLE t(a -- )", "CREATE TABLE t(a); DROP TABLE u",
	} {
		if d, err := read(text); err == nil {
			t.Errorf("%q is read as %+v", text, d)
		}
	}
	for _, text := range []string{
		"CREATE TABLE t(a CONSTRAINT " + name + " CHECK (a))",
		"CREATE TABLE t(a, CONSTRAINT " + name + " UNIQUE (a))",
		"CREATE TABLE t(a, CONSTRAINT " + name + ")",
		"CREATE TABLE t(a, CONSTRAINT " + name + " CHECK (a) ON CONFLICT FAIL)",
		"CREATE TABLE t(a, CONSTRAINT " + name + " CHECK (a) UNIQUE (a))",
		"CREATE TABLE t(a, UNIQUE (a) CONSTRAINT " + name + " CHECK (a))",
		"CREATE TABLE t(a, CONSTRAINT " + name + " CHECK (a), CONSTRAINT " + name + " CHECK (a))",
	} {
		d, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := d.has(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
		if got, err := d.without(name); err == nil {
			t.Errorf("%s: without it %s", text, got)
		}
	}
	for _, condition := range []string{"a -- b", "a) /*", "1), CHECK (2", "1)) STRICT --", "'", "a\x00", "?", ")", "("} {
		d, err := read("CREATE TABLE t(a)")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.with(name, condition); err == nil {
			t.Errorf("the condition %q makes it %q", condition, got)
		}
	}
}

// FuzzEdit: reading never panics, and what is added can be cut out again.
func FuzzEdit(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed, name, "a > ')'")
	}
	f.Fuzz(func(t *testing.T, text, constraint, condition string) {
		d, err := read(text)
		if err != nil {
			return
		}
		has, err := d.has(constraint)
		without, err2 := d.without(constraint)
		if (err == nil) != (err2 == nil) || err == nil && has == (without == text) {
			t.Fatalf("%q has it: %t, %v; without it, it is %q: %v", text, has, err, without, err2)
		}
		if err != nil || has {
			return
		}
		edited, err := d.with(constraint, condition)
		if err != nil {
			return
		}
		if d, err = read(edited); err != nil {
			t.Fatalf("%q became %q: %v", text, edited, err)
		}
		if again, err := d.without(constraint); err != nil || again != text {
			t.Fatalf("%q became %q, and then %q: %v", text, edited, again, err)
		}
	})
}

var seeds = []string{
	"CREATE TABLE t(a)",
	"CREATE TABLE t(a TEXT NOT NULL DEFAULT 'x' -- )\n)",
	"CREATE TABLE \"t (\"(a, b CHECK (b IN (1, (2))), CHECK ((a)) /* ) */ ) STRICT",
	"CREATE TABLE [t(](a[varchar(5)], [b)])",
	"CREATE TABLE 't'(\"a)\" e'b\\', `c)` \"x\")",
	"CREATE TABLE t(a /* /* ) */ REAL, b AS (a + ')') STORED)",
	"CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b REFERENCES t(a), UNIQUE (b), CONSTRAINT x CHECK(1) FOREIGN KEY (b) REFERENCES t)",
	"CREATE TABLE t(a PRIMARY KEY, b x'00', c DEFAULT x'00') WITHOUT ROWID",
	"CREATE TABLE t(a\uFEFF, -- \r )\nb)",
	"CREATE TABLE t(a, CONSTRAINT " + name + " CHECK (a))",
}
