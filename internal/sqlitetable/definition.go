package sqlitetable

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// definition is the CREATE TABLE text of a table, as SQLite keeps it.
type definition struct {
	sql string
	// list are the tokens between the parentheses of the columns and constraints,
	// with the one that closes them.
	list []sqltext.Token
}

// errUnread refuses a text that may mean something else than it seems to.
var errUnread = errors.New("its definition is not understood for certain; make the table anew under a plainer one")

// read reads a definition, or refuses it.
func read(sql string) (definition, error) {
	tokens := slices.Collect(sqltext.SQLiteTokens(sql))
	// SQLite ends a text at a NUL, and keeps none with arguments or an open bracket.
	if strings.ContainsRune(sql, 0) || slices.ContainsFunc(tokens, func(t sqltext.Token) bool { return t.Kind == sqltext.Placeholder || t.Is("[") }) {
		return definition{}, errUnread
	}
	const before = 4 // CREATE TABLE name (
	if len(tokens) < before || !tokens[0].Is("CREATE") || !tokens[1].Is("TABLE") || !tokens[3].Is("(") {
		return definition{}, errUnread
	}
	if _, ok := nameOf(tokens[2]); !ok {
		return definition{}, errUnread
	}
	end := closing(tokens, before)
	if end < 0 || slices.ContainsFunc(tokens[end+1:], func(t sqltext.Token) bool { return !t.Is("WITHOUT", "ROWID", "STRICT", ",") }) {
		return definition{}, errUnread
	}
	return definition{sql, tokens[before : end+1]}, nil
}

// closing returns the index of the parenthesis that closes one in front of start,
// or -1.
func closing(tokens []sqltext.Token, start int) int {
	depth := 1
	for i := start; i < len(tokens); i++ {
		switch {
		case tokens[i].Is("("):
			depth++
		case tokens[i].Is(")"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// nameOf returns the name that a token is. SQLite takes a string for one too, where
// only a name can be.
func nameOf(t sqltext.Token) (string, bool) {
	switch t.Kind {
	case sqltext.Word, sqltext.QuotedName:
		return t.Text, true
	case sqltext.String:
		return strings.ReplaceAll(strings.Trim(t.Text, "'"), "''", "'"), true
	}
	return "", false
}

// has reports whether there is a CHECK constraint of a name.
func (d definition) has(constraint string) (bool, error) {
	start, _, err := d.find(constraint)
	return start >= 0, err
}

// find returns where a CHECK constraint is in the text, from the comma in front of
// it to its end, or -1. It refuses one of the name that is not separate from its
// neighbours, or is something else: cutting it out could change what they mean.
func (d definition) find(constraint string) (start, end int, err error) {
	start = -1
	for i := 0; i < len(d.list); i++ {
		if d.list[i].Is("(") {
			i = closing(d.list, i+1)
			continue
		}
		if !d.list[i].Is("CONSTRAINT") || i+1 == len(d.list) {
			continue
		}
		if name, ok := nameOf(d.list[i+1]); !ok || !strings.EqualFold(name, constraint) {
			continue
		}
		last := -1
		if start < 0 && i > 0 && d.list[i-1].Is(",") && i+3 < len(d.list) && d.list[i+2].Is("CHECK") && d.list[i+3].Is("(") {
			last = closing(d.list, i+4)
		}
		if last < 0 || !(d.list[last+1].Is(",") || last+2 == len(d.list)) {
			return -1, 0, fmt.Errorf("what it names %s is not a CHECK constraint of its own; give that another name", constraint)
		}
		start, end = d.list[i-1].Start, d.list[last].End
		i = last
	}
	return start, end, nil
}

// with returns the text with a CHECK constraint more, behind all others.
func (d definition) with(constraint, condition string) (string, error) {
	// The parenthesis is no part of a comment, so neither is what is put before it.
	end := d.list[len(d.list)-1].Start
	edited := fmt.Sprintf("%s, CONSTRAINT %s CHECK (%s)%s", d.sql[:end], quote(constraint), condition, d.sql[end:])
	again, err := read(edited)
	if err == nil {
		var without string
		if without, err = again.without(constraint); err == nil && without != d.sql {
			err = errUnread
		}
	}
	if err != nil {
		return "", fmt.Errorf("with the constraint added, %w", err)
	}
	return edited, nil
}

// without returns the text without a CHECK constraint.
func (d definition) without(constraint string) (string, error) {
	start, end, err := d.find(constraint)
	if err != nil || start < 0 {
		return d.sql, err
	}
	return d.sql[:start] + d.sql[end:], nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
