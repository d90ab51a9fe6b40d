package sqltext

import "strings"

// clauseWords end the name of a table or an expression, so that none of them is
// its alias.
var clauseWords = map[string]bool{}

func init() {
	for _, word := range strings.Fields("ON WHERE JOIN LEFT RIGHT INNER OUTER FULL CROSS NATURAL USING GROUP ORDER LIMIT OFFSET SET HAVING UNION EXCEPT INTERSECT RETURNING VALUES AS AND OR NOT IN IS SELECT FROM WHEN THEN ELSE END CASE LIKE ILIKE BETWEEN EXISTS DISTINCT ALL BY UPDATE INTO LATERAL ONLY WINDOW FETCH FOR NULL COLLATE") {
		clauseWords[word] = true
	}
}

// IsName reports whether a token may be a name: it is quoted, or a word that
// starts or joins no clause.
func (t Token) IsName() bool {
	return t.Kind == QuotedName || t.Kind == Word && !clauseWords[strings.ToUpper(t.Text)]
}

// Is reports whether a token is one of some words or symbols, in any letter
// case. A quoted name is none.
func (t Token) Is(words ...string) bool {
	if t.Kind != Word && t.Kind != Symbol {
		return false
	}
	for _, word := range words {
		if strings.EqualFold(t.Text, word) {
			return true
		}
	}
	return false
}
