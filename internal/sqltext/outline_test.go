package sqltext_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// outline writes a statement's parts in one line.
func outline(s *sqltext.Statement) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	text := func(tokens []sqltext.Token) string {
		var words []string
		for _, token := range tokens {
			words = append(words, token.Text)
		}
		return strings.Join(words, " ")
	}
	source := func(s sqltext.Source) string {
		flags := ""
		if s.Function {
			flags += "()"
		}
		if s.Columns != nil {
			flags += "(" + strings.Join(s.Columns, ",") + ")"
		}
		name := s.Name
		if s.Query != nil {
			name = "{" + outline(s.Query) + "}"
		}
		if s.Alias != "" {
			name += " as " + s.Alias
		}
		return name + flags
	}
	for _, table := range s.With {
		add("with %s {%s}", table.Name, outline(table.Query))
	}
	add("%s", s.Verb)
	if s.Table.Name != "" {
		add("table %s", source(s.Table))
	}
	if s.Columns != nil {
		add("columns %s", strings.Join(s.Columns, ","))
	}
	for _, row := range s.Rows {
		cells := []string{}
		for _, cell := range row {
			cells = append(cells, text(cell))
		}
		add("row [%s]", strings.Join(cells, "|"))
	}
	if s.Query != nil {
		add("query {%s}", outline(s.Query))
	}
	if len(s.Conflict) > 0 {
		add("conflict [%s]", text(s.Conflict))
	}
	for _, assignment := range s.Set {
		add("set %s [%s]", assignment.Column, text(assignment.Value))
	}
	for _, item := range s.Items {
		name := text(item.Tokens)
		if item.Query != nil {
			name = "{" + outline(item.Query) + "}"
		}
		if item.Alias != "" {
			name += " as " + item.Alias
		}
		add("item [%s]", name)
	}
	for _, from := range s.From {
		add("from %s", source(from))
	}
	if s.Natural {
		add("natural")
	}
	for _, other := range s.Union {
		add("union {%s}", outline(other))
	}
	if rest := text(s.Rest); rest != "" {
		add("rest [%s]", rest)
	}
	return strings.Join(parts, " ")
}

// dialect takes a text with $1 for PostgreSQL's.
func dialect(sql string) sqltext.Dialect {
	if strings.Contains(sql, "$") {
		return sqltext.Dollars
	}
	return sqltext.Questions
}

func TestParse(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT * FROM t": "SELECT item [*] from t",
		"select a, t.b as c, d e, \"f\" \"g\" from s.t as t where a = ?":                "SELECT item [a] item [t . b as c] item [d as e] item [f as g] from s.t as t rest [where a = $1]",
		"SELECT count(*), max(a) m, (a + 1) FROM t":                                     "SELECT item [count ( * )] item [max ( a ) as m] item [( a + 1 )] from t",
		"SELECT DISTINCT a FROM t":                                                      "SELECT item [a] from t",
		"SELECT DISTINCT ON (b) a FROM t":                                               "SELECT item [a] from t rest [b]",
		"SELECT a IS DISTINCT FROM b FROM t":                                            "SELECT item [a IS DISTINCT FROM b] from t",
		"SELECT extract(year FROM a) FROM t":                                            "SELECT item [extract ( year FROM a )] from t",
		"SELECT CASE WHEN a THEN b END x FROM t":                                        "SELECT item [CASE WHEN a THEN b END as x] from t",
		"SELECT a::text, $2 FROM t WHERE b ? $1":                                        "SELECT item [a :: text] item [$2] from t rest [WHERE b ? $1]",
		"SELECT (SELECT a FROM u LIMIT 1) FROM t":                                       "SELECT item [{SELECT item [a] from u rest [LIMIT 1]}] from t",
		"SELECT a FROM t JOIN u ON t.i = u.i, v":                                        "SELECT item [a] from t from u from v rest [t . i = u . i ,]",
		"SELECT a FROM t LEFT OUTER JOIN u AS x USING (i) WHERE b":                      "SELECT item [a] from t from u as x rest [( i ) , WHERE b]",
		"SELECT a FROM t NATURAL JOIN u":                                                "SELECT item [a] from t from u natural",
		"SELECT a FROM (SELECT b FROM u) AS q (c), f(a) g":                              "SELECT item [a] from {SELECT item [b] from u} as q(c) from f as g() rest [a ,]",
		"SELECT a FROM t UNION ALL (SELECT b FROM u) ORDER BY 1":                        "SELECT item [a] from t union {SELECT item [b] from u} rest [ORDER BY 1]",
		"WITH q AS (SELECT a FROM t), r AS (DELETE FROM u RETURNING b) SELECT * FROM q": "with q {SELECT item [a] from t} with r {DELETE table u item [b]} SELECT item [*] from q",
		"VALUES (?, 1), (2, 3)":                                                         "SELECT item [$1] item [1] rest [$1 , 1 , 2 , 3 ,]",
		"INSERT INTO t (a, \"b\") VALUES (?, lower(?)), (1, NULL)":                      "INSERT table t columns a,b row [$1|lower ( $2 )] row [1|NULL]",
		"INSERT OR IGNORE INTO t DEFAULT VALUES":                                        "INSERT table t",
		"REPLACE INTO t VALUES (1)":                                                     "INSERT table t row [1]",
		"INSERT INTO t (a) SELECT b FROM u ON CONFLICT (a) DO NOTHING RETURNING a x":    "INSERT table t columns a query {SELECT item [b] from u} conflict [( a )] item [a as x]",
		"INSERT INTO t AS x (a) VALUES (1) ON CONFLICT ON CONSTRAINT c DO UPDATE SET a = excluded.a, b = ? WHERE x.a > 1": "INSERT table t as x columns a row [1] conflict [ON CONSTRAINT c] set a [excluded . a] set b [$1] rest [WHERE x . a > 1]",
		"UPDATE ONLY t AS x SET a = ?, x.b = c + ? FROM u WHERE x.i = u.i RETURNING *":                                    "UPDATE table t as x set a [$1] set b [c + $2] item [*] from u rest [WHERE x . i = u . i]",
		"DELETE FROM t USING u WHERE a = ?1":            "DELETE table t from u rest [WHERE a = $1]",
		"EXPLAIN ANALYZE SELECT a FROM t":               "EXPLAIN query {SELECT item [a] from t}",
		"CREATE TABLE t (a text); ; DROP TABLE t;":      "CREATE rest [CREATE TABLE t ( a text )]; DROP rest [DROP TABLE t]",
		"INSERT INTO t (a) VALUES ('x; DELETE FROM u')": "INSERT table t columns a row ['x; DELETE FROM u']",
		"TABLE t":                             "SELECT item [*] from t",
		"SELECT a @> $1, b @@ $2, @ c FROM t": "SELECT item [a @ > $1] item [b @ @ $2] item [@ c] from t",
		"SELECT ARRAY[a], b[1] FROM t":        "SELECT item [ARRAY [ a ]] item [b [ 1 ]] from t",
		"INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)":   "INSERT table t columns a row [1]",
		"SELECT 1 AS a$$; UPDATE t SET b = 'x'; SELECT 1 AS b$$": "SELECT item [1 as a$$]; UPDATE table t set b ['x']; SELECT item [1 as b$$]",
		"SELECT E'a'\n'\\' x', b FROM t":                         "SELECT item [E'a'\n'\\' x'] item [b] from t",
		// Not understood.
		"SELECT a FROM t /* /* */ */":           "",
		"SELECT a FROM t WHERE b = :name":       "",
		"SELECT a INTO u FROM t":                "",
		"UPDATE t SET (a, b) = (1, 2)":          "",
		"SELECT (a FROM t":                      "",
		"SELECT a FROM (t JOIN u ON true)":      "",
		"INSERT INTO t (a) VALUES (1) nonsense": "",
		"INSERT INTO t (a.b) VALUES (1)":        "",
		"SELECT a FROM t )":                     "",
		"UPDATE t SET":                          "",
	} {
		statements, ok := sqltext.Parse(sql, dialect(sql))
		var parts []string
		for _, s := range statements {
			parts = append(parts, outline(s))
		}
		if got := strings.Join(parts, "; "); got != want || ok != (want != "") {
			t.Errorf("%s is read (%v) as\n     %s\nwant %s", sql, ok, got, want)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string][]int{
		"a = ? AND b = '?' -- ?": {0},
		"$2 = $1 AND x ? 'y'":    {1, 0},
		"?2 = ?1":                {1, 0},
		"?1 = ?":                 nil,
		"? = ?1":                 nil,
		"nothing":                nil,
		"a = @name":              nil,
	} {
		var got []int
		for _, token := range sqltext.Placeholders(sql, dialect(sql)) {
			got = append(got, token.Arg())
			if text := sql[token.Start:token.End]; !strings.HasPrefix(text, "?") && !strings.HasPrefix(text, "$") {
				t.Errorf("%s has a placeholder %s", sql, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has the arguments %v", sql, got)
		}
	}
}

// FuzzParse: reading ends, panics never, and says the same each time.
func FuzzParse(f *testing.F) {
	for _, sql := range []string{
		"SELECT a, (SELECT b) FROM t AS x JOIN u ON a = ? WHERE c IN (SELECT d FROM v) UNION SELECT 1",
		"WITH q AS (SELECT 1) INSERT INTO t (a) VALUES (?), ($1) ON CONFLICT DO UPDATE SET a = excluded.a RETURNING *",
		"UPDATE t SET a = ? FROM u WHERE b", "DELETE FROM t;", "(((SELECT 1)))", "INSERT INTO t SELECT", "VALUES (", ")", "SELECT a.", "WITH",
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		first, ok := sqltext.Parse(sql, dialect(sql))
		second, again := sqltext.Parse(sql, dialect(sql))
		if ok != again || len(first) != len(second) {
			t.Fatalf("%q is read as %d statements, and then as %d", sql, len(first), len(second))
		}
		for i := range first {
			if outline(first[i]) != outline(second[i]) {
				t.Fatalf("%q is read as %s, and then as %s", sql, outline(first[i]), outline(second[i]))
			}
		}
	})
}

// Query reads a query that is a part of another text, and nothing else.
func TestQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SELECT a FROM t WHERE b = 1": true, "(VALUES (1, 2))": true, "WITH q AS (SELECT 1) TABLE q": true,
		"UPDATE t SET a = 1": false, "SELECT 1 INTO t": false, "SELECT 1) x": false, "": false,
	} {
		if _, ok := sqltext.Query(slices.Collect(sqltext.Tokens(text))); ok != want {
			t.Errorf("%s: read %t, want %t", text, ok, want)
		}
	}
}
