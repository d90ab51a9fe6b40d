package backfill

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

type sqlite struct{}

func (sqlite) rebind(query string) string { return query }

func (sqlite) now() string { return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)" }

func (sqlite) lockJobs() string { return "UPDATE gormcrypt_jobs SET id = id WHERE 0" }

func (sqlite) skipLocked() string { return "" }

func (sqlite) oneWriter() bool { return true }

// reading: a driver may start a goroutine for each row that could be cancelled,
// which takes longer than to read it. A batch is read in milliseconds.
func (sqlite) reading(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithoutCancel(ctx), func() {}
}

func (sqlite) whole(_ context.Context, pool *sql.DB, f func(on querier) error) error { return f(pool) }

// collated are none: what substr returns has no collation.
func (sqlite) collated(context.Context, querier, string) (map[string]bool, error) { return nil, nil }

// version looks at bytes as bytes and at text as text, whichever a value is: a
// column takes both. Of no bytes, substr makes NULL.
func (sqlite) version(column, magic string) string {
	begin, without := len(magic)+1, ""
	found := fmt.Sprintf("substr(%s, %d, instr(substr(%s, %d, %d), CASE typeof(%s) WHEN 'blob' THEN x'3a' ELSE ':' END))",
		column, begin, column, begin, versionWidth, column)
	if magic != "" {
		without = fmt.Sprintf(" WHEN coalesce(substr(%s, 1, %d), '') NOT IN ('%s', x'%x') THEN '%s'", column, len(magic), magic, magic, noMagic)
	}
	return fmt.Sprintf("CASE WHEN %s IS NULL THEN NULL%s ELSE coalesce(%s, '') END", column, without, found)
}

// sample takes each row by lot.
func (sqlite) sample(share float64) string {
	const bits = 40
	return fmt.Sprintf(" WHERE (random() & %d) < %d", int64(1)<<bits-1, int64(share*(1<<bits)))
}

// transient: SQLITE_BUSY and SQLITE_LOCKED, by their messages, which all drivers
// for Go have from SQLite itself.
func (sqlite) transient(err error) (again, smaller bool) {
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked"), false
}

// refusal goes by the messages of SQLite. That of a trigger is not known.
func (sqlite) refusal(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "UNIQUE constraint failed"):
		return duplicate
	case strings.Contains(text, "constraint failed"):
		return "a constraint"
	}
	return ""
}

// bytes gives a text for no bytes: not every driver tells them from NULL.
func (sqlite) bytes(column string) string {
	return "CASE WHEN " + column + " = x'' THEN '' ELSE " + column + " END"
}

// native is an expression, of which the driver knows no declared type to convert it by.
func (sqlite) native(column string) string { return "+" + column }

func (s sqlite) stored(column string, _ bool) string { return s.native(column) }

func (sqlite) constraintsNow() string { return "" }

func (sqlite) describe(ctx context.Context, pool *sql.DB, t Table) (described, error) {
	schema, name, found := strings.Cut(t.Name, ".")
	if !found {
		schema, name = "main", t.Name
	}
	columns := map[string]bool{} // those too that are computed from others
	err := scan(ctx, pool, "SELECT name FROM pragma_table_xinfo(?, ?)", []any{name, schema}, 1, func(values []any) error {
		columns[strings.ToLower(text(values[0]))] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqliteTable{Table: t}, checkColumns(t, func(column string) bool { return columns[strings.ToLower(column)] }, len(columns) > 0)
}

type sqliteTable struct{ Table }

// keys selects expressions, of which the driver does not know a declared type, by
// which it would convert the values.
func (t *sqliteTable) keys() []string {
	columns := make([]string, len(t.Key))
	for i, name := range t.Key {
		columns[i] = "+" + quote(name)
	}
	return columns
}

func (t *sqliteTable) unfit() string {
	conditions := make([]string, len(t.Key))
	for i, name := range t.Key {
		conditions[i] = "t." + quote(name) + " IS NULL"
	}
	return strings.Join(conditions, " OR ")
}

func (t *sqliteTable) bound(int) string { return "?" }

// sqliteRows is how many rows are swapped by one statement. Their text is the
// same each time.
const sqliteRows = 64

func (t *sqliteTable) swap(ctx context.Context, tx *sql.Tx, swaps []Swap) (int64, error) {
	var swapped int64
	for len(swaps) > 0 {
		n := min(len(swaps), sqliteRows)
		query, args := t.update(swaps[:n])
		result, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		affected, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		swapped += affected
		swaps = swaps[n:]
	}
	return swapped, nil
}

// update returns the UPDATE for some rows: compare and swap.
func (t *sqliteTable) update(swaps []Swap) (string, []any) {
	// The columns of VALUES are the key, and for each cell what was read and what
	// takes its place, and the sources.
	key := func(i int) string { return fmt.Sprintf("v.column%d", i+1) }
	old := func(i int) string { return fmt.Sprintf("v.column%d", len(t.Key)+2*i+1) }
	fresh := func(i int) string { return fmt.Sprintf("v.column%d", len(t.Key)+2*i+2) }
	var b strings.Builder
	fmt.Fprintf(&b, "UPDATE %s AS t SET ", quoteTable(t.Name))
	b.WriteString(list(t.Cells, func(i int, cell Cell) string {
		name := quote(cell.Column)
		return fmt.Sprintf("%s = CASE WHEN %s IS NULL THEN t.%s ELSE %s END", name, old(i), name, fresh(i))
	}))
	row := "(" + strings.Repeat("?,", len(t.Key)+2*len(t.Cells)+len(t.Sources)-1) + "?)"
	b.WriteString(" FROM (VALUES " + strings.Repeat(row+",", len(swaps)-1) + row + ") AS v WHERE ")
	b.WriteString(t.compare("t.", "=", key))
	for i, cell := range t.Cells {
		// Plaintext may be in a collation that takes different texts for equal.
		fmt.Fprintf(&b, " AND (%s IS NULL OR %s = %s COLLATE BINARY)", old(i), held(sqlite{}, cell), old(i))
	}
	for i, source := range t.Sources {
		if source.Made {
			value := "t." + quote(source.Column)
			if source.Native {
				value = sqlite{}.native(value)
			}
			fmt.Fprintf(&b, " AND %s IS v.column%d COLLATE BINARY", value, len(t.Key)+2*len(t.Cells)+i+1)
		}
	}
	var args []any
	for _, swap := range swaps {
		args = append(args, swap.Key...)
		for i := range t.Cells {
			fresh := swap.New[i]
			if fresh == (Null{}) {
				fresh = nil
			}
			args = append(args, swap.Old[i], fresh)
		}
		args = append(args, swap.Sources...)
	}
	return b.String(), args
}

func (t *sqliteTable) look(keys []Key) (string, []any) {
	var args []any
	for _, key := range keys {
		args = append(args, key...)
	}
	row := "(" + strings.Repeat("?,", len(t.Key)-1) + "?)"
	wanted := " IN (VALUES " + strings.Repeat(row+",", len(keys)-1) + row + ")"
	if len(t.Key) == 1 {
		return t.order() + wanted, args
	}
	return "(" + t.order() + ")" + wanted, args
}
