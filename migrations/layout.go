package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// layout is what a database says of a column and of what depends on it.
type layout struct {
	// columns are those of the table. If the column is not there, nothing else is set.
	columns map[string]bool
	// kind is its type, and wide says that this holds ciphertext of any length.
	kind string
	wide bool
	// notNull says that it is NOT NULL.
	notNull bool
	// widens says that the type becomes one that does without the table being written
	// anew.
	widens bool
	// indexes are those that have the column in them.
	indexes []tableIndex
	// problems are what keeps it from being encrypted, with what to do, and warnings
	// are what is to be known.
	problems, warnings []string
}

// tableIndex is an index of a table.
type tableIndex struct {
	name   string
	unique bool
	// constraint says that it belongs to a constraint.
	constraint bool
	// alone says that it is of the column as it is, of nothing else, and of all rows.
	alone bool
	// definition is the statement that makes it.
	definition string
}

// besides are a column and the one beside it.
type besides struct {
	table          string
	column, beside string
	kind           string // the type of the column
	key            []string
	trigger        string // its name, and that of its function
	// indexes are those on the column.
	indexes []string
}

// database does what the databases do differently. Each method can be called again
// when it has done its work, or a part of it.
type database interface {
	hasTable(ctx context.Context, table string) (bool, error)
	layout(ctx context.Context, table, column string) (layout, error)
	// addColumn adds a column of text that may be NULL.
	addColumn(ctx context.Context, table, column string) error
	dropColumn(ctx context.Context, table, column string) error
	// widen gives a column a type that holds ciphertext.
	widen(ctx context.Context, table, column string, binary bool) error
	hasIndex(ctx context.Context, table, name string) (bool, error)
	createIndex(ctx context.Context, table string, index manifest.DatabaseIndex) error
	// recreateIndex runs the definition of an index that is not there.
	recreateIndex(ctx context.Context, table, name, definition string) error
	dropIndex(ctx context.Context, table, name string) error
	// addCheck has the database refuse values that do not fulfil a condition. It
	// returns errViolated if there are such.
	addCheck(ctx context.Context, table, name, condition string) error
	dropCheck(ctx context.Context, table, name string) error
	// setNotNull has a column admit NULL, or not.
	setNotNull(ctx context.Context, table, column string, notNull bool) error
	// cutOver gives the column beside another, which is NULL in all rows, the name of
	// that, and takes what programs still write to it by its old name. It returns
	// errViolated if the other is not NULL. back does the opposite, with the type that
	// the other had.
	cutOver(ctx context.Context, of besides) error
	back(ctx context.Context, of besides) error
	// isCutOver reports whether that was done. land takes what programs write to the
	// old name, and settle does so no more.
	isCutOver(ctx context.Context, of besides) (bool, error)
	land(ctx context.Context, of besides) error
	settle(ctx context.Context, of besides) error
	// widening, creating, check and dropping are the statements that a plan shows.
	creating(table string, index manifest.DatabaseIndex) string
	dropping(table, name string) string
	widening(table, column string, binary bool) string
	check(table, name, condition string) string
}

func databaseOf(pool *sql.DB, dialect string, wait time.Duration) (database, error) {
	switch dialect {
	case "sqlite":
		return sqliteDatabase{pool}, nil
	case "postgres":
		return postgresDatabase{pool, wait}, nil
	}
	return nil, fmt.Errorf("gormcrypt: migrations work on SQLite and PostgreSQL, not on %s", dialect)
}

// quote returns a name as SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteTable returns the name of a table, which may have a schema in front.
func quoteTable(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = quote(part)
	}
	return strings.Join(parts, ".")
}

// indexing returns the statement that makes an index of a table, with words between
// CREATE INDEX and its name.
func indexing(x manifest.DatabaseIndex, table, words, schema string) string {
	var b strings.Builder
	b.WriteString("CREATE ")
	if x.Unique {
		b.WriteString("UNIQUE ")
	}
	b.WriteString("INDEX " + words + schema + quote(x.Name) + " ON " + table)
	if x.Using != "" {
		b.WriteString(" USING " + quote(x.Using))
	}
	for i, part := range x.Parts {
		b.WriteString([]string{" (", ", "}[min(i, 1)])
		if part.Expression != "" {
			b.WriteString(part.Expression)
		} else {
			b.WriteString(quote(part.Column))
		}
		if part.Collate != "" {
			b.WriteString(" COLLATE " + quote(part.Collate))
		}
		if part.Sort != "" {
			b.WriteString(" " + part.Sort)
		}
	}
	b.WriteString(")")
	if x.Where != "" {
		b.WriteString(" WHERE " + x.Where)
	}
	return b.String()
}

// isOurs reports whether the library has made an object of that name.
func isOurs(name string) bool { return strings.HasPrefix(name, "gormcrypt_") }

// strings of a result with one column.
func texts(ctx context.Context, pool *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
