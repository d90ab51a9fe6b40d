package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// errNoRow: there is no row with the key.
var errNoRow = errors.New("there is no such row")

// findRow returns the row that a key names.
func findRow(ctx context.Context, db *gorm.DB, table backfill.Table, text string) (*backfill.Current, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	tables, err := backfill.OpenTables(ctx, pool, db.Dialector.Name(), []backfill.Table{table})
	if err != nil {
		return nil, err
	}
	keys, err := readKey(db.Dialector.Name(), text, len(table.Key))
	if err != nil {
		return nil, err
	}
	found := map[string]*backfill.Current{}
	var invalid error
	for _, key := range keys {
		rows, err := tables.Look(ctx, 0, []backfill.Key{key})
		switch {
		case hasState(err, "22"):
			invalid = err
		case hasState(err, "42501"):
			return nil, fmt.Errorf("%w; have the owner of the table run: GRANT SELECT ON %s TO the role of the URL", err, table.Name)
		case err != nil:
			return nil, err
		case rows[0] != nil:
			found[fmt.Sprintf("%q", []any(key))] = rows[0]
		}
	}
	switch {
	case len(found) > 1:
		return nil, fmt.Errorf("%w: KEY %s names %d rows, by its commas or by the type of the column", errUsage, strconv.Quote(text), len(found))
	case len(found) == 1:
		for _, row := range found {
			return row, nil
		}
	case invalid != nil:
		return nil, fmt.Errorf("%w: KEY %s is no value of the primary key (%s) of %s", errUsage, strconv.Quote(text), strings.Join(table.Key, ", "), table.Name)
	}
	return nil, fmt.Errorf("%w: %s has none, or none that this role may see, with the key (%s) = %s", errNoRow, table.Name, strings.Join(table.Key, ", "), strconv.Quote(text))
}

// hasState says whether an error of PostgreSQL has an SQLSTATE that begins so. 22 is the
// class of data that cannot be, such as a key that is not of the type of its column.
func hasState(err error, begin string) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && strings.HasPrefix(state.SQLState(), begin)
}
