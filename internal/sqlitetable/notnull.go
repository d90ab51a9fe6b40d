package sqlitetable

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/sqltext"
)

// SetNotNull gives a column of a table the constraint NOT NULL, or takes it away, as
// AddCheck does with one of its own. It returns ErrViolated if the column is to have it
// and rows are NULL.
func SetNotNull(ctx context.Context, pool *sql.DB, table, column string, notNull bool) error {
	return wrap(connect(ctx, pool, func(conn *connection) error {
		return conn.transaction("BEGIN IMMEDIATE", func() error {
			t, err := conn.describe(table)
			if err != nil {
				return err
			}
			edited, err := t.withNotNull(column, notNull)
			if err != nil || edited == t.sql {
				return err
			}
			if notNull {
				var null int64
				err := conn.QueryRowContext(ctx, "SELECT count(*) FROM "+t.quoted()+" WHERE "+quote(column)+" IS NULL").Scan(&null)
				if err == nil && null > 0 {
					err = fmt.Errorf("%w: %d rows are NULL", ErrViolated, null)
				}
				if err != nil {
					return err
				}
			}
			return conn.redefine(t, edited, column)
		})
	}), table, "NOT NULL of "+column)
}

// columnTokens returns the tokens of a column's definition, nil if there is none that
// is found for certain.
func (d definition) columnTokens(column string) []sqltext.Token {
	start := 0
	for i := 0; i < len(d.list); i++ {
		switch token := d.list[i]; {
		case token.Is("("):
			i = closing(d.list, i+1)
			continue
		case !token.Is(",") && i+1 < len(d.list):
			continue
		}
		if name, ok := nameOf(d.list[start]); ok && strings.EqualFold(name, column) {
			return d.list[start:i]
		}
		start = i + 1
	}
	return nil
}

// withNotNull returns the text with NOT NULL in the definition of a column, or
// without.
func (d definition) withNotNull(column string, notNull bool) (string, error) {
	tokens := d.columnTokens(column)
	if len(tokens) == 0 {
		return "", errUnread
	}
	at := -1
	for i := 1; i+1 < len(tokens); i++ {
		if tokens[i].Is("(") {
			i = closing(tokens, i+1)
			if i < 0 {
				return "", errUnread
			}
			continue
		}
		if tokens[i].Is("NOT") && tokens[i+1].Is("NULL") {
			if at >= 0 {
				return "", errUnread
			}
			at = i
		}
	}
	switch {
	case notNull == (at >= 0):
		return d.sql, nil
	case notNull:
		end := tokens[len(tokens)-1].End
		return d.sql[:end] + " NOT NULL" + d.sql[end:], nil
	}
	first, last := at, at+1
	if first >= 2 && tokens[first-2].Is("CONSTRAINT") { // its name
		first -= 2
	}
	if last+2 < len(tokens) && tokens[last+1].Is("ON") && tokens[last+2].Is("CONFLICT") {
		last += min(3, len(tokens)-1-last)
	}
	return strings.TrimRight(d.sql[:tokens[first].Start], " ") + d.sql[tokens[last].End:], nil
}
