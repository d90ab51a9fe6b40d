package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Tables are the tables of a plan in the database, to read. They are safe for
// concurrent use, and need no ledger.
type Tables struct {
	pool *sql.DB
	dialect
	plan      []Table
	described []described
}

// OpenTables finds tables in the database. It returns an error for one that is not
// there, or lacks a column.
func OpenTables(ctx context.Context, pool *sql.DB, dialectName string, plan []Table) (*Tables, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return nil, err
	}
	all := &Tables{pool: pool, dialect: d, plan: plan}
	for _, table := range plan {
		one, err := d.describe(ctx, pool, table)
		if err != nil {
			return nil, fmt.Errorf("gormcrypt: %w", err)
		}
		all.described = append(all.described, one)
	}
	return all, nil
}

// stale returns a condition for a cell whose value is not current.
func (t *Tables) stale(table int, cell Cell) string {
	column := "t." + quote(cell.Column)
	switch cell.Stale {
	case Plain:
		return column + " IS NOT NULL AND NOT (" + t.sealed(column, cell.Binary) + ")"
	case Sealed:
		return column + " IS NOT NULL AND (" + t.sealed(column, cell.Binary) + ")"
	case Missing:
		var there []string
		stale := []string{column + " IS NULL"}
		for _, i := range cell.Of {
			source := t.plan[table].Sources[i]
			name := "t." + quote(source.Column)
			there = append(there, name+" IS NOT NULL")
			stale = append(stale, "NOT ("+t.sealed(name, source.Binary)+")")
		}
		return strings.Join(there, " AND ") + " AND (" + strings.Join(stale, " OR ") + ")"
	case Present:
		return column + " IS NOT NULL"
	case Moved:
		return "t." + quote(t.plan[table].Sources[cell.Of[0]].Column) + " IS NOT NULL"
	case Lacking:
		sources := t.plan[table].Sources
		return fmt.Sprintf("(t.%s IS NOT NULL OR t.%s IS NOT NULL AND %s IS NULL)", quote(sources[cell.Of[0]].Column), quote(sources[cell.Of[1]].Column), column)
	}
	return column + " IS NOT NULL AND NOT (" + t.startsWith(column, cell.Prefix) + ")"
}

// held returns what a cell holds, and NULL only if that is not to be replaced.
func held(d dialect, c Cell) string {
	value := "t." + quote(c.Column)
	switch {
	case c.Native:
		value = d.native(value)
	case c.Binary && c.Stale == Plain:
		value = d.bytes(value)
	}
	if c.Stale.takesNull() {
		value = "coalesce(" + value + ", '')"
	}
	return value
}

// selected returns what is selected of a table for row: the key, the cells, or
// NULL for those that are current if only stale ones are wanted, and the sources.
func (t *Tables) selected(table int, onlyStale bool) []string {
	columns := t.described[table].keys()
	for _, cell := range t.plan[table].Cells {
		// An expression, of which a driver knows no declared type to convert it by.
		value := held(t.dialect, cell)
		condition := value + " IS NOT NULL"
		if onlyStale {
			condition = t.stale(table, cell)
		}
		columns = append(columns, "CASE WHEN "+condition+" THEN "+value+" END")
	}
	for _, source := range t.plan[table].Sources {
		value := "t." + quote(source.Column)
		if source.Native {
			value = t.native(value)
		}
		columns = append(columns, value)
	}
	return columns
}

// row takes what was selected apart.
func (t *Tables) row(table int, values []any) Row {
	cells := len(t.plan[table].Key)
	sources := cells + len(t.plan[table].Cells)
	own := slices.Clone(values)
	return Row{Key: own[:cells:cells], Old: own[cells:sources:sources], Sources: own[sources:]}
}

// query sends a SELECT and has see look at each row, whose values are its own
// until the next.
func (t *Tables) query(ctx context.Context, table int, query string, args []any, columns int, see func(values []any) error) error {
	if err := unlessStale(func() error { return scan(ctx, t.pool, t.rebind(query), args, columns, see) }); err != nil {
		return fmt.Errorf("reading %s: %w", t.plan[table].Name, err)
	}
	return nil
}

// all sends a SELECT of all rows, and fails if not all can be seen.
func (t *Tables) all(ctx context.Context, table int, query string, columns int, see func(values []any) error) error {
	err := unlessStale(func() error {
		return t.whole(ctx, t.pool, func(on querier) error { return scan(ctx, on, query, nil, columns, see) })
	})
	if err != nil {
		return fmt.Errorf("going through %s: %w", t.plan[table].Name, err)
	}
	return nil
}

// errFull ends a read that has no more room.
var errFull = errors.New("there is no more room")

// next returns a SELECT of the next rows of a shard, up to so many.
func (t *Tables) next(shard Shard, columns string, rows int) (query string, args []any) {
	table, bound := t.plan[shard.Table], t.described[shard.Table].bound
	query = "SELECT " + columns + " FROM " + quoteTable(table.Name) + " AS t"
	between := " WHERE "
	if shard.After != nil {
		query += between + table.compare("t.", ">", bound)
		args, between = append(args, shard.After...), " AND "
	}
	if shard.UpTo != nil {
		query += between + table.compare("t.", "<=", bound)
		args = append(args, shard.UpTo...)
	}
	return query + " ORDER BY " + table.order() + " LIMIT ?", append(args, rows)
}

// Read goes through the next rows of a shard, as Store has it.
func (t *Tables) Read(ctx context.Context, shard Shard, room Room) (Part, error) {
	columns := t.selected(shard.Table, shard.Pass.Phase == Rewriting)
	query, args := t.next(shard, strings.Join(columns, ", "), room.Rows)
	ctx, cancel := t.reading(ctx)
	defer cancel()
	var part Part
	err := t.query(ctx, shard.Table, query, args, len(columns), func(values []any) error {
		row := t.row(shard.Table, values)
		if slices.Contains(row.Key, nil) {
			return errNoKey
		}
		bytes := row.size()
		if part.Count > 0 && part.Bytes+bytes > room.Bytes {
			cancel()
			return errFull
		}
		part.Last = row.Key
		part.Count++
		part.Bytes += bytes
		if !row.IsStale() {
			return nil
		}
		part.Rows = append(part.Rows, row)
		if shard.Pass.Phase == Rewriting && len(part.Rows) == room.Stale {
			return errFull
		}
		return nil
	})
	switch {
	case errors.Is(err, errFull):
		return part, nil
	case err != nil:
		return Part{}, err
	}
	part.End = part.Count < room.Rows
	return part, nil
}

// size returns the number of bytes of what was read of a row.
func (r Row) size() int64 {
	var n int64
	for _, values := range [][]any{r.Old, r.Sources} {
		for _, value := range values {
			switch value := value.(type) {
			case string:
				n += int64(len(value))
			case []byte:
				n += int64(len(value))
			}
		}
	}
	return n
}

// Look reads rows again, as Store has it.
func (t *Tables) Look(ctx context.Context, table int, keys []Key) ([]*Current, error) {
	columns := t.selected(table, false)
	cells := len(t.plan[table].Cells)
	stale := list(t.plan[table].Cells, func(_ int, cell Cell) string { return "CASE WHEN " + t.stale(table, cell) + " THEN 1 END" })
	condition, args := t.described[table].look(keys)
	query := "SELECT " + strings.Join(columns, ", ") + ", " + stale + " FROM " + quoteTable(t.plan[table].Name) + " AS t WHERE " + condition
	found := map[string]*Current{}
	err := t.query(ctx, table, query, args, len(columns)+cells, func(values []any) error {
		row := t.row(table, values[:len(columns)])
		current := &Current{Row: row, Cells: slices.Clone(row.Old)}
		for i, isStale := range values[len(columns):] {
			if isStale == nil {
				row.Old[i] = nil
			}
		}
		found[keyText(row.Key)] = current
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]*Current, len(keys))
	for i, key := range keys {
		all[i] = found[keyText(key)]
	}
	return all, nil
}

// keyText tells keys apart that were read by one statement.
func keyText(key Key) string {
	encoded, _ := encodeKey(key).(string)
	return encoded
}

// Count returns the number of rows of a table, and of the stale values of each of
// its cells.
func (t *Tables) Count(ctx context.Context, table int) (rows int64, stale []int64, err error) {
	sums := list(t.plan[table].Cells, func(_ int, cell Cell) string {
		return "count(CASE WHEN " + t.stale(table, cell) + " THEN 1 END)"
	})
	err = t.all(ctx, table, "SELECT count(*), "+sums+" FROM "+quoteTable(t.plan[table].Name)+" AS t", 1+len(t.plan[table].Cells), func(values []any) error {
		for _, value := range values {
			stale = append(stale, value.(int64))
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return stale[0], stale[1:], nil
}

// StaleRows returns the number of rows with any stale value.
func (t *Tables) StaleRows(ctx context.Context, table int) (rows int64, err error) {
	conditions := make([]string, len(t.plan[table].Cells))
	for i, cell := range t.plan[table].Cells {
		conditions[i] = "(" + t.stale(table, cell) + ")"
	}
	err = t.all(ctx, table, "SELECT count(*) FROM "+quoteTable(t.plan[table].Name)+" AS t WHERE "+strings.Join(conditions, " OR "), 1, func(values []any) error {
		rows = values[0].(int64)
		return nil
	})
	return rows, err
}

// Bounds returns the last keys of all shards of a table but the last, of about so
// many rows each, and the number of all rows, by one scan of its primary key. It
// returns an error if there are rows that could not be found again by their key.
func (t *Tables) Bounds(ctx context.Context, table int, rows int) (bounds []Key, total int64, err error) {
	columns := t.described[table].keys()
	names := list(columns, func(i int, _ string) string { return fmt.Sprintf("k%d", i) })
	named := list(columns, func(i int, column string) string { return fmt.Sprintf("%s AS k%d", column, i) })
	query := fmt.Sprintf(`SELECT n, unfit, %s FROM (SELECT %s, row_number() OVER w AS n, count(CASE WHEN %s THEN 1 END) OVER w AS unfit, lead(1) OVER w AS next FROM %s AS t WINDOW w AS (ORDER BY %s)) AS numbered
WHERE n %% %d = 0 OR next IS NULL ORDER BY n`, names, named, t.described[table].unfit(), quoteTable(t.plan[table].Name), t.plan[table].order(), max(rows, 1))
	var unfit int64
	err = t.all(ctx, table, query, 2+len(columns), func(values []any) error {
		total, unfit = values[0].(int64), values[1].(int64)
		if total%int64(max(rows, 1)) == 0 {
			bounds = append(bounds, slices.Clone(values[2:]))
		}
		return nil
	})
	if err == nil && unfit > 0 {
		err = t.unfitRows(table, unfit)
	}
	return bounds, total, err
}

// Swap swaps values of a table in a transaction of its own, each row all or nothing,
// and returns the number of rows that were. If it is for a try, it takes that back.
func (t *Tables) Swap(ctx context.Context, table int, swaps []Swap, try bool) (int64, error) {
	var n int64
	err := inTx(ctx, t.pool, func(tx *sql.Tx) (err error) {
		n, err = t.described[table].swap(ctx, tx, swaps)
		if err == nil && try {
			err = errTakeBack
		}
		return err
	})
	if errors.Is(err, errTakeBack) {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("writing to %s: %w", t.plan[table].Name, err)
	}
	return n, nil
}
