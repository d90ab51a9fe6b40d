package migrations

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// sqliteDatabase has one writer at a time. Every step is a transaction of its own, for
// which others wait.
type sqliteDatabase struct{ pool *sql.DB }

// exec runs a statement, again while others hold the database.
func (d sqliteDatabase) exec(ctx context.Context, statement string) error {
	return patiently(ctx, func() error {
		_, err := d.pool.ExecContext(ctx, statement)
		return err
	})
}

// split returns the schema of a table, as SQL with a dot behind it, and its name.
func (sqliteDatabase) split(table string) (schema, name string) {
	if before, after, found := strings.Cut(table, "."); found {
		return quote(before) + ".", after
	}
	return quote("main") + ".", table
}

func (d sqliteDatabase) hasTable(ctx context.Context, table string) (bool, error) {
	schema, name := d.split(table)
	found, err := texts(ctx, d.pool, "SELECT name FROM "+schema+"sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(?)", name)
	return len(found) > 0, err
}

func (d sqliteDatabase) layout(ctx context.Context, table, column string) (layout, error) {
	l := layout{columns: map[string]bool{}}
	schema, name := d.split(table)
	rows, err := d.pool.QueryContext(ctx, "SELECT name, type, dflt_value IS NOT NULL AND upper(dflt_value) <> 'NULL', \"notnull\", hidden FROM "+schema+"pragma_table_xinfo(?)", name)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for rows.Next() {
		var one, kind string
		var hasDefault, notNull bool
		var hidden int
		if err := rows.Scan(&one, &kind, &hasDefault, &notNull, &hidden); err != nil {
			return l, err
		}
		l.columns[one] = true
		if one != column {
			continue
		}
		l.kind, l.wide, l.notNull = kind, holdsText(kind), notNull
		switch {
		case hidden > 1:
			l.problems = append(l.problems, "the database computes the column from others; make it a plain column")
		case hasDefault:
			l.problems = append(l.problems, "the column has a default, which would be stored as it is; drop the default, and set the value in the application")
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || !l.columns[column] {
		return l, err
	}
	if err := d.dependents(ctx, schema, name, column, &l); err != nil {
		return l, err
	}
	return l, d.addIndexes(ctx, schema, name, column, &l)
}

// holdsText reports whether a column of a declared type keeps text as it is, and
// drivers give it back as it is: they make times and numbers of others.
func holdsText(kind string) bool {
	kind = strings.ToUpper(kind)
	for _, other := range []string{"INT", "REAL", "FLOA", "DOUB", "NUM", "DEC", "DATE", "TIME", "BOOL"} {
		if strings.Contains(kind, other) {
			return false
		}
	}
	return kind == "" || slices.ContainsFunc([]string{"CHAR", "CLOB", "TEXT", "BLOB", "JSON"}, func(word string) bool { return strings.Contains(kind, word) })
}

// dependents notes what depends on a column.
func (d sqliteDatabase) dependents(ctx context.Context, schema, table, column string, l *layout) error {
	keys, err := texts(ctx, d.pool, `SELECT "from" FROM `+schema+`pragma_foreign_key_list(?) WHERE "from" = ?`, table, column)
	if err != nil {
		return err
	}
	from, err := texts(ctx, d.pool, "SELECT m.name FROM "+schema+"sqlite_master AS m, pragma_foreign_key_list(m.name) AS k WHERE m.type = 'table' AND lower(k.\"table\") = lower(?) AND lower(k.\"to\") = lower(?)", table, column)
	if err != nil {
		return err
	}
	for range keys {
		l.problems = append(l.problems, "a foreign key is on the column, and ciphertext matches nothing; relate the tables by another column")
	}
	for _, other := range from {
		l.problems = append(l.problems, fmt.Sprintf("a foreign key of %s is on the column, and ciphertext matches nothing; relate the tables by another column", other))
	}
	rows, err := d.pool.QueryContext(ctx, "SELECT type, name, tbl_name, coalesce(sql, '') FROM "+schema+"sqlite_master WHERE type IN ('table', 'view', 'trigger') ORDER BY name")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name, of, text string
		if err := rows.Scan(&kind, &name, &of, &text); err != nil {
			return err
		}
		switch own := strings.EqualFold(of, table); {
		case isOurs(name):
		case kind == "table" && own && mentionedIn(text, column, "CHECK"):
			l.problems = append(l.problems, "a CHECK constraint is on the column, and would be made on ciphertext; drop it, and check in the application")
		case kind == "table" && own && mentionedIn(text, column, "AS"):
			l.problems = append(l.problems, "a column is computed from it, in the clear; drop that")
		case kind == "view" && mentions(text, table) && mentions(text, column):
			l.warnings = append(l.warnings, fmt.Sprintf("the view %s has the column in it, and will show ciphertext; list a struct for it in Config.Models, with context=", name))
		case kind == "trigger" && own:
			l.warnings = append(l.warnings, fmt.Sprintf("the trigger %s runs for rows that are rewritten, if it is one of updates, and sees ciphertext", name))
		}
	}
	return rows.Err()
}

// mentions reports whether a name is in a text.
func mentions(text, name string) bool {
	for token := range sqltext.Tokens(text) {
		if strings.EqualFold(token.Text, name) {
			return true
		}
	}
	return false
}

// mentionedIn reports whether a name is in the parentheses behind a word. The
// constraints that are ours have the column in them too.
func mentionedIn(text, name, word string) bool {
	tokens := slices.Collect(sqltext.Tokens(text))
	for i := 0; i+1 < len(tokens); i++ {
		if !tokens[i].Is(word) || !tokens[i+1].Is("(") || i > 0 && isOurs(tokens[i-1].Text) {
			continue
		}
		depth := 0
		for j := i + 1; j < len(tokens); j++ {
			switch token := tokens[j]; {
			case token.Is("("):
				depth++
			case token.Is(")"):
				depth--
			case strings.EqualFold(token.Text, name):
				return true
			}
			if depth == 0 {
				break
			}
		}
	}
	return false
}

func (d sqliteDatabase) addIndexes(ctx context.Context, schema, table, column string, l *layout) error {
	rows, err := d.pool.QueryContext(ctx, "SELECT i.name, i.\"unique\", i.origin, i.partial, coalesce(m.sql, ''), (SELECT group_concat(coalesce(x.name, ''), char(10)) FROM "+schema+"pragma_index_xinfo(i.name) AS x WHERE x.key = 1)"+
		" FROM "+schema+"pragma_index_list(?) AS i JOIN "+schema+"sqlite_master AS m ON m.type = 'index' AND m.name = i.name ORDER BY 1", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x tableIndex
		var origin string
		var partial bool
		var columns sql.NullString
		if err := rows.Scan(&x.name, &x.unique, &origin, &partial, &x.definition, &columns); err != nil {
			return err
		}
		x.constraint = origin != "c"
		x.alone = !partial && strings.EqualFold(columns.String, column)
		of := strings.Split(columns.String, "\n")
		if slices.ContainsFunc(of, func(one string) bool { return strings.EqualFold(one, column) }) || mentions(x.definition, column) {
			l.indexes = append(l.indexes, x)
		}
	}
	return rows.Err()
}

// has reports whether a table has a column.
func (d sqliteDatabase) has(ctx context.Context, table, column string) (bool, error) {
	schema, name := d.split(table)
	found, err := texts(ctx, d.pool, "SELECT name FROM "+schema+"pragma_table_xinfo(?) WHERE lower(name) = lower(?)", name, column)
	return len(found) > 0, err
}

// when runs a statement if a column is there, or is not, and is not that it already
// was meanwhile.
func (d sqliteDatabase) when(ctx context.Context, table, column string, there bool, statement string) error {
	if has, err := d.has(ctx, table, column); err != nil || has != there {
		return err
	}
	err := d.exec(ctx, statement)
	if err != nil {
		if has, again := d.has(ctx, table, column); again == nil && has != there {
			return nil
		}
	}
	return err
}

func (d sqliteDatabase) addColumn(ctx context.Context, table, column string) error {
	return d.when(ctx, table, column, false, "ALTER TABLE "+quoteTable(table)+" ADD COLUMN "+quote(column)+" text")
}

func (d sqliteDatabase) dropColumn(ctx context.Context, table, column string) error {
	return d.when(ctx, table, column, true, "ALTER TABLE "+quoteTable(table)+" DROP COLUMN "+quote(column))
}

// widen has nothing to do: SQLite ignores sizes.
func (sqliteDatabase) widening(string, string, bool) string              { return "" }
func (sqliteDatabase) widen(context.Context, string, string, bool) error { return nil }

func (d sqliteDatabase) creating(table string, index manifest.DatabaseIndex) string {
	schema, name := d.split(table)
	index.Using = "" // which SQLite does not have
	return indexing(index, quote(name), "", schema)
}

func (d sqliteDatabase) createIndex(ctx context.Context, table string, index manifest.DatabaseIndex) error {
	return d.recreateIndex(ctx, table, index.Name, d.creating(table, index))
}

func (d sqliteDatabase) recreateIndex(ctx context.Context, table, name, definition string) error {
	if there, err := d.hasIndex(ctx, table, name); err != nil || there {
		return err
	}
	err := d.exec(ctx, definition)
	if err != nil { // or another process has made it meanwhile
		if there, again := d.hasIndex(ctx, table, name); again == nil && there {
			return nil
		}
	}
	return err
}

func (d sqliteDatabase) hasIndex(ctx context.Context, table, name string) (bool, error) {
	schema, of := d.split(table)
	found, err := texts(ctx, d.pool, "SELECT name FROM "+schema+"sqlite_master WHERE type = 'index' AND name = ? AND lower(tbl_name) = lower(?)", name, of)
	return len(found) > 0, err
}

func (d sqliteDatabase) dropping(table, name string) string {
	schema, _ := d.split(table)
	return "DROP INDEX IF EXISTS " + schema + quote(name)
}

func (d sqliteDatabase) dropIndex(ctx context.Context, table, name string) error {
	return d.exec(ctx, d.dropping(table, name))
}

func (sqliteDatabase) check(table, name, condition string) string {
	return fmt.Sprintf("the definition of %s is given CONSTRAINT %s CHECK (%s)", quoteTable(table), quote(name), condition)
}

func (d sqliteDatabase) addCheck(ctx context.Context, table, name, condition string) error {
	err := sqlitetable.AddCheck(ctx, d.pool, table, name, condition)
	if errors.Is(err, sqlitetable.ErrViolated) {
		return errors.Join(errViolated, err)
	}
	return err
}

func (d sqliteDatabase) dropCheck(ctx context.Context, table, name string) error {
	return sqlitetable.DropCheck(ctx, d.pool, table, name)
}

func (d sqliteDatabase) setNotNull(ctx context.Context, table, column string, notNull bool) error {
	return sqlitetable.SetNotNull(ctx, d.pool, table, column, notNull)
}

// inTx runs statements in one transaction, which has the write lock from its start.
func (d sqliteDatabase) inTx(ctx context.Context, f func(exec func(string) error, count func(string) (int64, error)) error) error {
	return patiently(ctx, func() error { return d.once(ctx, f) })
}

func (d sqliteDatabase) once(ctx context.Context, f func(exec func(string) error, count func(string) (int64, error)) error) (err error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Not by ctx: what stops a driver in the middle differs between drivers.
	steady := context.WithoutCancel(ctx)
	if _, err := conn.ExecContext(steady, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if _, back := conn.ExecContext(steady, "ROLLBACK"); back != nil {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn })
			}
		}
	}()
	err = f(func(statement string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := conn.ExecContext(steady, statement)
		return err
	}, func(query string) (n int64, err error) {
		err = conn.QueryRowContext(steady, query).Scan(&n)
		return n, err
	})
	if err == nil {
		_, err = conn.ExecContext(steady, "COMMIT")
	}
	return err
}

func (d sqliteDatabase) triggers(of besides) []string {
	schema, _ := d.split(of.table)
	return []string{schema + quote(of.trigger+"_insert"), schema + quote(of.trigger+"_update")}
}

func (d sqliteDatabase) landing(of besides) []string {
	_, name := d.split(of.table)
	var same []string
	for _, column := range of.key {
		same = append(same, quote(column)+" = NEW."+quote(column))
	}
	var all []string
	for i, event := range []string{"INSERT", "UPDATE OF " + quote(of.beside)} {
		all = append(all, fmt.Sprintf("CREATE TRIGGER IF NOT EXISTS %s AFTER %s ON %s WHEN NEW.%s IS NOT NULL BEGIN UPDATE %s SET %s = NEW.%s, %s = NULL WHERE %s; END",
			d.triggers(of)[i], event, quote(name), quote(of.beside), quote(name), quote(of.column), quote(of.beside), quote(of.beside), strings.Join(same, " AND ")))
	}
	return all
}

func (d sqliteDatabase) all(exec func(string) error, statements ...string) error {
	for _, statement := range statements {
		if err := exec(statement); err != nil {
			return err
		}
	}
	return nil
}

func (d sqliteDatabase) cutOver(ctx context.Context, of besides) error {
	table := quoteTable(of.table)
	return d.inTx(ctx, func(exec func(string) error, count func(string) (int64, error)) error {
		n, err := count("SELECT count(*) FROM " + table + " WHERE " + quote(of.column) + " IS NOT NULL")
		if err != nil {
			return err
		}
		if n > 0 {
			return errViolated
		}
		schema, _ := d.split(of.table)
		for _, index := range of.indexes {
			if err := exec("DROP INDEX " + schema + quote(index)); err != nil {
				return err
			}
		}
		return d.all(exec, append([]string{
			"ALTER TABLE " + table + " DROP COLUMN " + quote(of.column),
			"ALTER TABLE " + table + " RENAME COLUMN " + quote(of.beside) + " TO " + quote(of.column),
			"ALTER TABLE " + table + " ADD COLUMN " + quote(of.beside) + " text",
		}, d.landing(of)...)...)
	})
}

func (d sqliteDatabase) back(ctx context.Context, of besides) error {
	table := quoteTable(of.table)
	return d.inTx(ctx, func(exec func(string) error, _ func(string) (int64, error)) error {
		return d.all(exec, append(d.settled(of),
			"ALTER TABLE "+table+" RENAME COLUMN "+quote(of.column)+" TO "+quote(of.beside),
			"ALTER TABLE "+table+" ADD COLUMN "+quote(of.column)+" "+of.kind)...)
	})
}

func (d sqliteDatabase) settled(of besides) []string {
	var all []string
	for _, trigger := range d.triggers(of) {
		all = append(all, "DROP TRIGGER IF EXISTS "+trigger)
	}
	return append(all, "ALTER TABLE "+quoteTable(of.table)+" DROP COLUMN "+quote(of.beside))
}

func (d sqliteDatabase) isCutOver(ctx context.Context, of besides) (bool, error) {
	schema, _ := d.split(of.table)
	found, err := texts(ctx, d.pool, "SELECT name FROM "+schema+"sqlite_master WHERE type = 'trigger' AND name = ?", of.trigger+"_insert")
	return len(found) > 0, err
}

func (d sqliteDatabase) land(ctx context.Context, of besides) error {
	has, err := d.has(ctx, of.table, of.beside)
	if err != nil {
		return err
	}
	return d.inTx(ctx, func(exec func(string) error, _ func(string) (int64, error)) error {
		if !has {
			if err := exec("ALTER TABLE " + quoteTable(of.table) + " ADD COLUMN " + quote(of.beside) + " text"); err != nil {
				return err
			}
		}
		return d.all(exec, d.landing(of)...)
	})
}

func (d sqliteDatabase) settle(ctx context.Context, of besides) error {
	has, err := d.has(ctx, of.table, of.beside)
	if err != nil || !has {
		return err
	}
	return d.inTx(ctx, func(exec func(string) error, _ func(string) (int64, error)) error {
		return d.all(exec, d.settled(of)...)
	})
}
