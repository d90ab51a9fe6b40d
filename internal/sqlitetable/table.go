package sqlitetable

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// described is a table as it is in the database.
type described struct {
	definition
	schema, name string
}

func (t *described) quoted() string { return quote(t.schema) + "." + quote(t.name) }

// describe reads a table, or refuses it.
func (c *connection) describe(table string) (*described, error) {
	found, err := c.rows(`SELECT schema, name, type FROM pragma_table_list
		WHERE schema = 'main' AND name = ?1 COLLATE NOCASE OR schema || '.' || name = ?1 COLLATE NOCASE`, table)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there is no such table")
	}
	if len(found) > 1 { // as "a.b" in main, and "b" in "a"
		return nil, errors.New("more than one table has this name")
	}
	t := &described{schema: text(found[0][0]), name: text(found[0][1])}
	if kind := text(found[0][2]); kind != "table" || strings.HasPrefix(strings.ToLower(t.name), "sqlite_") {
		return nil, fmt.Errorf("only ordinary tables can have one, and this is not (%s)", kind)
	}
	definitions, err := c.rows("SELECT sql FROM "+quote(t.schema)+".sqlite_master WHERE type = 'table' AND name = ?", t.name)
	if err != nil {
		return nil, err
	}
	if len(definitions) != 1 {
		return nil, errUnread
	}
	t.definition, err = read(text(definitions[0][0]))
	return t, err
}

// shape returns what SQLite says about a table that an edit does not change: a CHECK
// constraint, or whether a column is NOT NULL, which is left out of it.
func (c *connection) shape(t *described, column string) ([][]any, error) {
	var shape [][]any
	for _, aspect := range []string{"table_list", "table_xinfo", "index_list", "foreign_key_list"} {
		rows, err := c.rows(fmt.Sprintf("PRAGMA %s.%s(%s)", quote(t.schema), aspect, quote(t.name)))
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if aspect == "table_xinfo" && column != "" && strings.EqualFold(text(row[1]), column) {
				row[3] = nil
			}
		}
		shape = append(shape, rows...)
	}
	return shape, nil
}

// redefine changes the definition of a table, of one of its columns or of none. SQLite keeps the text to the letter,
// and reads it anew because the version of the schema changes.
func (c *connection) redefine(t *described, edited, column string) error {
	before, err := c.shape(t, column)
	if err != nil {
		return err
	}
	var version int32
	if err := c.QueryRowContext(c.steady, "PRAGMA "+quote(t.schema)+".schema_version").Scan(&version); err != nil {
		return err
	}
	c.edited = true
	if err := c.exec("PRAGMA writable_schema = ON"); err != nil {
		return err
	}
	result, err := c.ExecContext(c.steady, "UPDATE "+quote(t.schema)+".sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", edited, t.name)
	if err != nil {
		if strings.Contains(err.Error(), "may not be modified") {
			err = fmt.Errorf("the connection is in defensive mode, in which definitions cannot be edited; use a pool that is not: %w", err)
		}
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errUnread, err)
	}
	// It wraps around, as when SQLite counts it up.
	if err := c.exec(fmt.Sprintf("PRAGMA %s.schema_version = %d", quote(t.schema), version+1)); err != nil {
		return err
	}
	// While definitions may be edited, those that are not understood are no error.
	if err := c.exec("PRAGMA writable_schema = RESET"); err != nil {
		return err
	}
	after, err := c.shape(t, column)
	if err != nil {
		return fmt.Errorf("SQLite does not understand the edited definition: %w", err)
	}
	if !reflect.DeepEqual(before, after) {
		return errors.New("the edited definition differs in more than the constraint")
	}
	return nil
}

// rows returns all rows of a short query.
func (c *connection) rows(query string, args ...any) ([][]any, error) {
	rows, err := c.QueryContext(c.steady, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]any
	for rows.Next() {
		row := make([]any, len(columns))
		pointers := make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// text: a driver may have text as bytes.
func text(value any) string {
	if b, ok := value.([]byte); ok {
		return string(b)
	}
	s, _ := value.(string)
	return s
}

func (c *connection) exec(statement string) error {
	_, err := c.ExecContext(c.steady, statement)
	return err
}
