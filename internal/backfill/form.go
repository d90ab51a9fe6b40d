package backfill

import (
	"fmt"
	"strings"
)

// What SQL tells of a value by its form. A value that has all of the form of
// ciphertext is ciphertext, or is nothing that we touch; every other value is
// plaintext, also if it begins as ours do. Package ciphertext decides the same when
// it parses a value, and knows a little more, such as that base64 has no odd bits at
// its end.

// The body of a value begins with its algorithm: 1 and 2 are under data keys, 3 is
// under index keys, and the highest bit says that names follow. In base64 that is the
// first character and a part of the second. What follows are as many bytes as the
// shortest value of the algorithm has: nonce, tag, and the kind of an empty plaintext.
const (
	dataVersion  = "[1-9][0-9]{0,9}"
	binaryForm   = "^6763313a(3[1-9](3[0-9]){0,9}3a(01|02|81|82)|693[1-9](3[0-9]){0,9}3a(03|83))" // in hexadecimal digits
	binaryPrefix = 17                                                                             // bytes up to the algorithm, of the longest version
	binaryLength = len("gc1:1:") + 1 + 16 + 1                                                     // of the shortest value
	valuePrefix  = "^gc1:i?" + dataVersion + ":"
	termPrefix   = "^i" + dataVersion + ":"
)

// textForms are the algorithms of values in text: what is in front of the version, what
// the first characters of the body are, and how many it has at least.
var textForms = []struct {
	mark, begins string
	length       int
}{{"", "[Ag][Q-Za-f]", 56}, {"", "[Ag][g-v]", 40}, {"i", "[Ag][w-z0-9_-]", 24}}

// Admits returns a condition for a column whose value is NULL or starts as ciphertext
// does, or as the term of an index, for a constraint.
func Admits(dialectName, column string, binary, index bool) (string, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return "", err
	}
	return d.admits(quote(column), binary, index), nil
}

func (postgres) sealed(column string, binary bool) string {
	if !binary {
		return postgresTextForm(column)
	}
	return fmt.Sprintf("CASE WHEN substr(%[1]s, 1, 4) = 'gc1:' THEN octet_length(%[1]s) >= %[2]d AND encode(substr(%[1]s, 1, %[3]d), 'hex') ~ '%[4]s' OR %[5]s ELSE false END",
		column, binaryLength, binaryPrefix, binaryForm, postgresTextForm("encode("+column+", 'escape')"))
}

// postgresTextForm has the lengths outside of the regular expressions, in which a number
// of repetitions takes thirty times as long.
func postgresTextForm(text string) string {
	text = "(" + text + ` COLLATE "C")`
	var all []string
	for _, form := range textForms {
		colon := fmt.Sprintf("strpos(substr(%s, 5, %d), ':')", text, len(form.mark)+11)
		all = append(all, fmt.Sprintf("%[1]s > 0 AND octet_length(%[2]s) - 4 - %[1]s >= %[3]d AND %[2]s ~ '^gc1:%[4]s[1-9][0-9]*:%[5]s[A-Za-z0-9_-]*$'", colon, text, form.length, form.mark, form.begins))
	}
	return "CASE WHEN substr(" + text + ", 1, 4) = 'gc1:' THEN " + strings.Join(all, " OR ") + " ELSE false END"
}

func (postgres) admits(column string, binary, index bool) string {
	prefix := valuePrefix
	if index {
		prefix = termPrefix
	}
	if binary {
		return fmt.Sprintf("%[1]s IS NULL OR encode(substr(%[1]s, 1, %[2]d), 'escape') ~ '%[3]s'", column, binaryPrefix, prefix)
	}
	return fmt.Sprintf(`%[1]s IS NULL OR %[1]s COLLATE "C" ~ '%[2]s'`, column, prefix)
}

// sqliteText are expressions of a text: what is between the magic and the colon, and
// what is behind it.
func sqliteText(text, magic string) (version, body string) {
	begin := len(magic) + 1
	colon := fmt.Sprintf("instr(substr(%s, %d, 12), ':')", text, begin)
	return fmt.Sprintf("substr(%s, %d, %s - 1)", text, begin, colon), fmt.Sprintf("substr(%s, %d + %s)", text, begin, colon)
}

// sqliteVersion returns a condition for a version of data keys, or of index keys if
// there is a mark in front.
func sqliteVersion(version, mark string) string {
	return fmt.Sprintf("%[1]s GLOB '%[2]s[1-9]*' AND rtrim(%[1]s, '0123456789') = '%[2]s' AND length(%[1]s) <= %[3]d", version, mark, len(mark)+10)
}

func sqliteTextForm(text string) string {
	version, body := sqliteText(text, "gc1:")
	var all []string
	for _, form := range textForms {
		all = append(all, fmt.Sprintf("%[1]s AND %[2]s GLOB '%[3]s*' AND length(%[2]s) >= %[4]d", sqliteVersion(version, form.mark), body, form.begins, form.length))
	}
	return fmt.Sprintf("substr(%[1]s, 1, 4) = 'gc1:' AND (%[2]s) AND %[3]s NOT GLOB '*[^A-Za-z0-9_-]*'", text, strings.Join(all, " OR "), body)
}

// sealed looks at text and at bytes, whatever the column is declared to hold. SQLite
// reads a text up to a NUL, and so it is to have none.
func (sqlite) sealed(column string, _ bool) string {
	asText := "CAST(" + column + " AS TEXT)"
	colon := fmt.Sprintf("instr(substr(%s, 5, 12), x'3a')", column)
	version := fmt.Sprintf("CAST(substr(%s, 5, %s - 1) AS TEXT)", column, colon)
	algorithm := fmt.Sprintf("substr(%s, 5 + %s, 1)", column, colon)
	inBytes := fmt.Sprintf("substr(%[1]s, 1, 4) = x'6763313a' AND length(%[1]s) >= %[2]d AND (%[3]s AND %[5]s IN (x'01', x'02', x'81', x'82') OR %[4]s AND %[5]s IN (x'03', x'83'))",
		column, binaryLength, sqliteVersion(version, ""), sqliteVersion(version, "i"), algorithm)
	return fmt.Sprintf("CASE typeof(%[1]s) WHEN 'text' THEN %[2]s AND instr(%[1]s, char(0)) = 0 WHEN 'blob' THEN (%[3]s) OR (%[4]s) AND instr(%[1]s, x'00') = 0 ELSE 0 END", column, sqliteTextForm(column), inBytes, sqliteTextForm(asText))
}

func (sqlite) admits(column string, _, index bool) string {
	magic := "gc1:"
	if index {
		magic = ""
	}
	begins := func(value, colon, literal string) string {
		end := fmt.Sprintf("instr(substr(%s, %d, 12), %s)", value, len(magic)+1, colon)
		version := fmt.Sprintf("CAST(substr(%s, %d, %s - 1) AS TEXT)", value, len(magic)+1, end)
		var all []string
		if !index {
			all = append(all, sqliteVersion(version, ""))
		}
		all = append(all, sqliteVersion(version, "i"))
		// In what is no UTF-8, instr and substr count characters differently. Of no bytes,
		// substr makes NULL, which a constraint admits.
		condition := fmt.Sprintf("(%s) AND coalesce(substr(%s, %d + %s, 1), '') = %s", strings.Join(all, " OR "), value, len(magic), end, colon)
		if magic != "" {
			condition = fmt.Sprintf("coalesce(substr(%s, 1, 4), '') = %s AND %s", value, literal, condition)
		}
		return condition
	}
	return fmt.Sprintf("%[1]s IS NULL OR CASE typeof(%[1]s) WHEN 'text' THEN %[2]s WHEN 'blob' THEN %[3]s ELSE 0 END", column, begins(column, "':'", "'gc1:'"), begins(column, "x'3a'", "x'6763313a'"))
}
