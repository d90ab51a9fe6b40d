package sqltext_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

var kinds = map[sqltext.Kind]string{
	sqltext.Word: "word", sqltext.QuotedName: "name", sqltext.String: "string",
	sqltext.Number: "number", sqltext.Placeholder: "arg", sqltext.Symbol: "sym",
}

func lex(tokens iter.Seq[sqltext.Token]) string {
	var parts []string
	for token := range tokens {
		parts = append(parts, fmt.Sprintf("%s:%s", kinds[token.Kind], token.Text))
	}
	return strings.Join(parts, " ")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"":                            "",
		"email = ?":                   "word:email sym:= arg:?",
		"c.email=$12":                 "word:c sym:. word:email sym:= arg:$12",
		`"c"."e""mail" = :email`:      `name:c sym:. name:e"mail sym:= arg::email`,
		"`email`IS NULL":              "name:email word:IS word:NULL",
		"[e mail] IN (@emails)":       "name:e mail word:IN sym:( arg:@emails sym:)",
		"note = 'email = ''x'''":      "word:note sym:= string:'email = ''x'''",
		`note = E'it\'s email' OR a`:  `word:note sym:= string:E'it\'s email' word:OR word:a`,
		`note = 'a\' OR email`:        `word:note sym:= string:'a\' word:OR word:email`,
		"$$email$$ $t$ $$email$t$ x":  "string:$$email$$ string:$t$ $$email$t$ word:x",
		"a -- email = ?\nb":           "word:a word:b",
		"a /* email */ b":             "word:a word:b",
		"a /* /* email */ email */ b": "word:a sym:/* word:email sym:* sym:/ word:b",
		"a -- b\remail":               "word:a word:email",
		"'unclosed email":             "string:'unclosed email",
		`"unclosed`:                   "name:unclosed",
		"[unclosed":                   "sym:[ word:unclosed",
		"a[email||'x']":               "word:a sym:[ word:email sym:| sym:| string:'x' sym:]",
		"/* unclosed email":           "",
		"-- unclosed email":           "",
		"$$unclosed":                  "string:$$unclosed",
		"größe = 1e5":                 "word:größe sym:= number:1e5",
		"a::text ?1":                  "word:a sym::: word:text arg:?1",
		"E":                           "word:E",
		"E'":                          "string:E'",
		"x'00' e_mail":                "word:x string:'00' word:e_mail",
		"a=b":                         "word:a sym:= word:b",
		"\"a\"\"":                     `name:a"`,
	} {
		if got := lex(sqltext.Tokens(sql)); got != want {
			t.Errorf("%q is read as\n     %s\nwant %s", sql, got, want)
		}
	}
}

// What SQLite reads in its own way.
func TestSQLiteTokens(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"a[b.c(d] x":              "word:a name:b.c(d word:x",
		"[a]]":                    "name:a sym:]",
		"[unclosed":               "sym:[ word:unclosed",
		"[]":                      "name:",
		`e'a\' b`:                 `word:e string:'a\' word:b`,
		"$a$ b $a$":               "arg:$a sym:$ word:b arg:$a sym:$",
		"a$b":                     "word:a$b",
		"a /* /* b */ c":          "word:a word:c",
		"a -- b\rc\nd":            "word:a word:d",
		"\uFEFFa \uFEFF(b\uFEFF)": "word:a sym:( word:b\uFEFF sym:)",
		`"a""b" 'it''s'`:          `name:a"b string:'it''s'`,
		"x'00'":                   "word:x string:'00'",
	} {
		if got := lex(sqltext.SQLiteTokens(sql)); got != want {
			t.Errorf("%q is read as\n     %s\nwant %s", sql, got, want)
		}
	}
}

// FuzzTokens: reading ends, panics never, and loses no letter outside of
// comments.
func FuzzTokens(f *testing.F) {
	for _, sql := range []string{"email = ?", `E'\`, "$a$b$a$", "/*", "[", "''''", "a.\"b\"", "$", ":", "--"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		checkTokens(t, sql, sqltext.Tokens(sql))
		checkTokens(t, strings.ReplaceAll(sql, "\uFEFF", ""), sqltext.SQLiteTokens(strings.ReplaceAll(sql, "\uFEFF", "")))
	})
}

func checkTokens(t *testing.T, sql string, tokens iter.Seq[sqltext.Token]) {
	t.Helper()
	total, end := 0, 0
	for token := range tokens {
		if token.Kind == 0 || token.Text == "" && token.Kind != sqltext.QuotedName {
			t.Fatalf("%q has the token %+v", sql, token)
		}
		if token.Start < end || token.End <= token.Start || token.End > len(sql) ||
			token.Kind != sqltext.QuotedName && token.Text != sqltext.NestedComment && sql[token.Start:token.End] != token.Text {
			t.Fatalf("%q has the token %+v", sql, token)
		}
		end = token.End
		total += len(token.Text)
	}
	if total > len(sql) {
		t.Fatalf("%q has %d bytes of tokens", sql, total)
	}
	if !strings.ContainsAny(sql, "-/'\"`[$ \t\r\n\f\v") && total != len(sql) {
		t.Fatalf("%q has only %d bytes of tokens", sql, total)
	}
}
