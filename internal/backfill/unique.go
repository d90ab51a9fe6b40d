package backfill

import (
	"context"
	"fmt"
	"strings"
)

// CheckKey returns an error for a table of which several rows have one key: a walk by
// the key would not come past all of them. That is counted only where no primary key and
// no unique index of the database rules it out.
func (t *Tables) CheckKey(ctx context.Context, table int) error {
	described := t.plan[table]
	unique, err := t.uniqueKey(ctx, t.pool, described)
	if err != nil {
		return fmt.Errorf("looking for a unique index of %s: %w", described.Name, err)
	}
	if unique {
		return nil
	}
	var twice int64
	query := "SELECT count(*) FROM (SELECT 1 FROM " + quoteTable(described.Name) + " AS t GROUP BY " + described.order() + " HAVING count(*) > 1) AS twice"
	err = t.all(ctx, table, query, 1, func(values []any) error {
		twice, _ = values[0].(int64)
		return nil
	})
	if err == nil && twice > 0 {
		err = fmt.Errorf("the rows of %s cannot be told apart by %s: %d values of that are in several rows; name the columns in the model that make the primary key in the database", described.Name, strings.Join(described.Key, ", "), twice)
	}
	return err
}

// uniqueKey looks for a unique index of columns of the key. Those of a table from which
// others inherit do not hold for their rows.
func (postgres) uniqueKey(ctx context.Context, on querier, t Table) (unique bool, err error) {
	err = scan(ctx, on, `SELECT EXISTS (SELECT 1 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT (c.relkind = 'r' AND c.relhassubclass)
AND NOT EXISTS (SELECT 1 FROM generate_series(0, i.indnkeyatts - 1) AS n JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] WHERE a.attname::text <> ALL ($2::text[])))`,
		[]any{quoteTable(t.Name), t.Key}, 1, func(values []any) error {
			unique, _ = values[0].(bool)
			return nil
		})
	return unique, err
}

// uniqueKey looks for a primary key, which need not be an index, and for unique indexes.
func (sqlite) uniqueKey(ctx context.Context, on querier, t Table) (unique bool, err error) {
	schema, name, found := strings.Cut(t.Name, ".")
	if !found {
		schema, name = "main", t.Name
	}
	isKey := "lower(name) IN (lower(?)" + strings.Repeat(", lower(?)", len(t.Key)-1) + ")"
	var key []any
	for _, column := range t.Key {
		key = append(key, column)
	}
	args := append(append([]any{}, key...), name, schema, name, schema, schema)
	args = append(args, key...)
	err = scan(ctx, on, `SELECT coalesce((SELECT min(`+isKey+`) FROM pragma_table_info(?, ?) WHERE pk > 0), 0)
OR EXISTS (SELECT 1 FROM pragma_index_list(?, ?) AS l WHERE l."unique" AND NOT l.partial
AND NOT EXISTS (SELECT 1 FROM pragma_index_xinfo(l.name, ?) WHERE "key" AND (name IS NULL OR NOT `+isKey+`)))`, args, 1, func(values []any) error {
		unique = values[0] == int64(1)
		return nil
	})
	return unique, err
}
