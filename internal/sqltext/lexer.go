// Package sqltext reads fragments of SQL as SQLite and PostgreSQL write them:
// enough to tell names from strings and comments, and nothing more.
package sqltext

import (
	"iter"
	"strings"
)

// Kind is what a token is.
type Kind uint8

const (
	// Word is a keyword or a name without quotes.
	Word Kind = iota + 1
	// QuotedName is a name in double quotes, backquotes or brackets. SQLite
	// takes one in double quotes for a string if nothing has that name.
	QuotedName
	// String is a string literal, of any form.
	String
	// Number is a numeric literal.
	Number
	// Placeholder stands for an argument: ?, ?1, $1, @name, :name.
	Placeholder
	// Symbol is any other single character, or the two colons of a cast.
	Symbol
)

// Token is a part of an SQL text. White space and comments are none.
type Token struct {
	Kind Kind
	// Text is the token as written; of a QuotedName, the name without its
	// quotes.
	Text string
	// Start and End are where the token is in the text, in bytes.
	Start, End int
}

// NestedComment is the text of the Symbol that stands for a comment in which
// another one starts. PostgreSQL nests them, SQLite does not, so that what
// follows is text to one and a comment to the other.
const NestedComment = "/*"

// Tokens returns the tokens of an SQL fragment. What is not closed extends to
// the end. Where the dialects differ, a text is read in the way that hides
// less: a backslash escapes only in strings that start with E, and nested
// comments end where the first one does, with a token that says so.
func Tokens(sql string) iter.Seq[Token] { return tokens(sql, false) }

// SQLiteTokens returns the tokens of a text as SQLite itself reads them, and no
// other database: a bracket starts a name wherever it is, a backslash and a
// dollar sign quote nothing, comments do not nest.
func SQLiteTokens(sql string) iter.Seq[Token] { return tokens(sql, true) }

func tokens(sql string, sqlite bool) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		l := lexer{rest: sql, last: ' ', sqlite: sqlite}
		for {
			token, ok := l.next()
			token.End = len(sql) - len(l.rest)
			token.Start = token.End - l.length
			if !ok || !yield(token) {
				return
			}
		}
	}
}

func symbol(text string) Token { return Token{Kind: Symbol, Text: text} }

type lexer struct {
	rest string
	// last is the byte in front of rest.
	last byte
	// length is that of the last token in the text, in bytes.
	length int
	// sqlite says that the text is for SQLite and nobody else.
	sqlite bool
}

// cut takes the first n bytes off the text.
func (l *lexer) cut(n int) string {
	head := l.rest[:n]
	l.rest = l.rest[n:]
	if n > 0 {
		l.last = head[n-1]
	}
	return head
}

// cutThrough takes everything up to and with end, or all that is left.
func (l *lexer) cutThrough(from int, end string) string {
	if i := strings.Index(l.rest[from:], end); i >= 0 {
		return l.cut(from + i + len(end))
	}
	return l.cut(len(l.rest))
}

const space = " \t\r\n\f\v"

// byteOrderMark is white space to SQLite between tokens, and a letter in a word.
const byteOrderMark = "\uFEFF"

func (l *lexer) next() (Token, bool) {
	for {
		l.cut(len(l.rest) - len(strings.TrimLeft(l.rest, space)))
		before := len(l.rest)
		switch {
		case l.rest == "":
			return Token{}, false
		case strings.HasPrefix(l.rest, "--"):
			ends := "\r\n" // PostgreSQL ends it at a carriage return too
			if l.sqlite {
				ends = "\n"
			}
			if end := strings.IndexAny(l.rest, ends); end >= 0 {
				l.cut(end)
			} else {
				l.cut(len(l.rest))
			}
		case strings.HasPrefix(l.rest, "/*"):
			if comment := l.cutThrough(2, "*/"); !l.sqlite && strings.Contains(comment[2:], "/*") {
				l.length = before - len(l.rest)
				return symbol(NestedComment), true
			}
		case l.sqlite && strings.HasPrefix(l.rest, byteOrderMark):
			l.cut(len(byteOrderMark))
		default:
			kind, text := l.token()
			l.length = before - len(l.rest)
			return Token{Kind: kind, Text: text}, true
		}
	}
}

func (l *lexer) token() (Kind, string) {
	c := l.rest[0]
	switch {
	case c == '\'':
		return String, l.cut(l.quoted(0, '\'', false))
	case !l.sqlite && (c == 'E' || c == 'e') && strings.HasPrefix(l.rest[1:], "'"):
		text := l.cut(l.quoted(1, '\'', true))
		for { // behind a line break it goes on
			gap := len(l.rest) - len(strings.TrimLeft(l.rest, space))
			if !strings.HasPrefix(l.rest[gap:], "'") || !strings.ContainsAny(l.rest[:gap], "\r\n") {
				return String, text
			}
			text += l.cut(gap) + l.cut(l.quoted(0, '\'', true))
		}
	case c == '"' || c == '`':
		return QuotedName, unquote(l.cut(l.quoted(0, c, false)), c)
	case c == '[' && l.sqlite:
		if end := strings.IndexByte(l.rest, ']'); end > 0 {
			text := l.cut(end + 1)
			return QuotedName, text[1:end]
		}
	case c == '[':
		// A name in SQLite, a subscript in PostgreSQL, which may hold anything and
		// stands right behind what it is one of.
		if isWordStart(l.last) || l.last >= '0' && l.last <= '9' || strings.IndexByte("])\"`'", l.last) >= 0 {
			break
		}
		if end := strings.IndexByte(l.rest, ']'); end > 0 && isPlainName(l.rest[1:end]) {
			text := l.cut(end + 1)
			return QuotedName, text[1:end]
		}
	case c == '$' && !l.sqlite:
		return l.dollar()
	case strings.HasPrefix(l.rest, "::"):
		return Symbol, l.cut(2)
	case c == '?' || (c == '@' || c == ':' || c == '$') && len(l.rest) > 1 && isWordStart(l.rest[1]):
		return Placeholder, l.cut(1 + wordLen(l.rest[1:]))
	case c >= '0' && c <= '9':
		return Number, l.cut(wordLen(l.rest))
	case isWordStart(c):
		n := wordLen(l.rest)
		for n < len(l.rest) && l.rest[n] == '$' { // which a name may have, but not start with
			n += 1 + wordLen(l.rest[n+1:])
		}
		return Word, l.cut(n)
	}
	return Symbol, l.cut(1)
}

// quoted returns the length of a quoted text that starts at byte start. Its
// quote is doubled inside, or escaped by a backslash.
func (l *lexer) quoted(start int, quote byte, backslash bool) int {
	for i := start + 1; i < len(l.rest); i++ {
		switch {
		case backslash && l.rest[i] == '\\':
			i++
		case l.rest[i] != quote:
		case i+1 < len(l.rest) && l.rest[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(l.rest)
}

func unquote(text string, quote byte) string {
	q := string(quote)
	text = strings.TrimSuffix(text[1:], q)
	return strings.ReplaceAll(text, q+q, q)
}

// dollar reads $1, and a string in dollar quotes with or without a tag.
func (l *lexer) dollar() (Kind, string) {
	n := 1 + wordLen(l.rest[1:])
	if n < len(l.rest) && l.rest[n] == '$' && (n == 1 || isWordStart(l.rest[1])) {
		tag := l.rest[:n+1]
		return String, l.cutThrough(len(tag), tag)
	}
	return Placeholder, l.cut(n)
}

// isWordStart reports whether a name may start with c. Everything beyond ASCII
// is part of a name, in both dialects.
func isWordStart(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// isPlainName reports whether s consists of words and spaces.
func isPlainName(s string) bool {
	for _, word := range strings.Split(s, " ") {
		if wordLen(word) != len(word) {
			return false
		}
	}
	return true
}

// wordLen returns how many bytes from the start belong to a word without dollar
// signs, or to a number.
func wordLen(s string) int {
	n := 0
	for n < len(s) && (isWordStart(s[n]) || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}
