package backfill

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
)

type postgres struct{}

func (postgres) rebind(query string) string { return numbered(query) }

func (postgres) now() string { return "(extract(epoch from clock_timestamp()) * 1000)::bigint" }

func (postgres) lockJobs() string {
	return "LOCK TABLE gormcrypt_jobs IN SHARE ROW EXCLUSIVE MODE"
}

func (postgres) skipLocked() string { return " FOR UPDATE SKIP LOCKED" }

func (postgres) oneWriter() bool { return false }

// reading: what is left of a result when it is closed is sent for nothing, and may
// be wide. So the statement is cancelled then, at the price of its connection.
func (postgres) reading(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// whole turns an error of policies for rows on, which would hide some of them. In
// READ COMMITTED, whatever the default is, every statement sees what was
// committed before it. All rows of a table take longer than a limit for statements
// may allow; ctx ends it.
func (postgres) whole(ctx context.Context, pool *sql.DB, f func(on querier) error) error {
	tx, err := pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, setting := range []string{"row_security = off", "statement_timeout = 0"} {
		if _, err := tx.ExecContext(ctx, "SET LOCAL "+setting); err != nil {
			return err
		}
	}
	return f(tx)
}

// collated are all columns of text. In a collation that takes different characters
// for equal, PostgreSQL does not look for a character.
func (postgres) collated(ctx context.Context, on querier, table string) (map[string]bool, error) {
	columns := map[string]bool{}
	err := scan(ctx, on, "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND attcollation <> 0",
		[]any{quoteTable(table)}, 1, func(values []any) error {
			columns[text(values[0])] = true
			return nil
		})
	return columns, err
}

// version has literals without a type, which are text or bytea as the column is.
func (postgres) version(column, magic string) string {
	begin := len(magic) + 1
	found := fmt.Sprintf("substr(%s, %d, position(':' in substr(%s, %d, %d)))", column, begin, column, begin, versionWidth)
	if magic == "" {
		return found
	}
	return fmt.Sprintf("CASE WHEN substr(%s, 1, %d) <> '%s' THEN '%s' ELSE %s END", column, len(magic), magic, noMagic, found)
}

func (postgres) sample(share float64) string {
	return fmt.Sprintf(" TABLESAMPLE SYSTEM (%f)", 100*share)
}

// isStalePlan reports whether the type of a column was altered since a connection has
// prepared the statement, which fails once then, before it gives a row.
func isStalePlan(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "0A000" && strings.Contains(err.Error(), "cached plan")
}

// unlessStale runs f again, which reads, while the connections that it gets have stale
// plans.
func unlessStale(f func() error) (err error) {
	for range 20 {
		if err = f(); !isStalePlan(err) {
			return err
		}
	}
	return err
}

// transient looks at the class of the error, of whichever driver.
func (postgres) transient(err error) (again, smaller bool) {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch code := state.SQLState(); {
		case code == "40001", code == "40P01", code == "55P03": // serialization, deadlock, lock timeout
			return true, true
		case code == "57014": // statement timeout
			return true, true
		case strings.HasPrefix(code, "08"), code == "57P01", code == "57P02", code == "57P03", code == "57P05", code == "25P03", code == "53300": // connection, shutdown, idle for too long, too many
			return true, false
		case isStalePlan(err):
			return true, false
		}
		return false, false
	}
	text := err.Error()
	return errors.Is(err, driver.ErrBadConn) || strings.Contains(text, "connection re") || strings.Contains(text, "broken pipe") ||
		strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") || strings.Contains(text, "failed to connect"), false
}

// refusal looks at the class: data, constraints, views with a check, RAISE, and limits,
// such as that of the size of what is in an index.
func (postgres) refusal(err error) string {
	var state interface{ SQLState() string }
	if !errors.As(err, &state) {
		return ""
	}
	switch code := state.SQLState(); {
	case code == "23505":
		return duplicate
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"), strings.HasPrefix(code, "44"), strings.HasPrefix(code, "54"), code == "P0001":
		return "SQLSTATE " + code
	}
	return ""
}

func (postgres) constraintsNow() string { return "SET CONSTRAINTS ALL IMMEDIATE" }

func (postgres) describe(ctx context.Context, pool *sql.DB, t Table) (described, error) {
	// With a modifier of -1 a type is named without its length, as char is by bpchar:
	// alone, char would be one of one character.
	types, unique := map[string]string{}, map[string]bool{}
	err := scan(ctx, pool, `SELECT attname::text, format_type(atttypid, -1), EXISTS (SELECT 1 FROM pg_index
	WHERE indrelid = attrelid AND indisunique AND indpred IS NULL AND indexprs IS NULL AND attnum = ANY (indkey))
FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, []any{quoteTable(t.Name)}, 3, func(values []any) error {
		name := text(values[0])
		types[name] = text(values[1])
		unique[name], _ = values[2].(bool)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = checkColumns(t, func(column string) bool { _, ok := types[column]; return ok }, len(types) > 0)
	if err != nil {
		return nil, err
	}
	d := &postgresTable{Table: t, types: types}
	for _, name := range t.Key {
		d.keyTypes = append(d.keyTypes, types[name])
	}
	lock := "NO KEY UPDATE"
	if slices.ContainsFunc(t.Cells, func(c Cell) bool { return unique[c.Column] }) {
		lock = "UPDATE"
	}
	d.update = d.makeUpdate(lock)
	return d, nil
}

// postgresTable has keys as text, which PostgreSQL casts from and to their types.
type postgresTable struct {
	Table
	keyTypes []string
	types    map[string]string
	update   string
}

func (t *postgresTable) keys() []string {
	columns := make([]string, len(t.Key))
	for i, name := range t.Key {
		columns[i] = quote(name) + "::text"
	}
	return columns
}

// unfit: text depends on settings of the session, and may not come back as the same.
func (t *postgresTable) unfit() string {
	conditions := make([]string, len(t.Key))
	for i, name := range t.Key {
		conditions[i] = fmt.Sprintf("t.%s IS NULL OR t.%s::text::%s IS DISTINCT FROM t.%s", quote(name), quote(name), t.keyTypes[i], quote(name))
	}
	return strings.Join(conditions, " OR ")
}

func (t *postgresTable) bound(i int) string { return "?::text::" + t.keyTypes[i] }

func columnType(binary bool) string {
	if binary {
		return "bytea"
	}
	return "text"
}

func (postgres) bytes(column string) string { return column }

// native is the text that the type writes. That of char is without the spaces that it
// is padded with, when it is cast.
func (postgres) native(column string) string {
	return "CASE WHEN " + column + " IS NOT NULL THEN concat(" + column + ") END"
}

func (p postgres) stored(column string, native bool) string {
	if native {
		return p.native(column)
	}
	return column
}

// exactly returns a column as it is compared: plaintext may be in a type or collation
// that takes different texts for equal.
func exactly(column string, binary bool) string {
	if binary {
		return column
	}
	return "(" + column + `)::text COLLATE "C"`
}

// makeUpdate returns the UPDATE: compare and swap of as many rows as the arrays
// have. Rows that someone has locked are left alone, so this never waits for an
// application, and is in no deadlock with one. The lock is the one that the UPDATE
// takes: the stronger one where a column is unique, for which also those wait who
// insert rows that refer to these.
func (t *postgresTable) makeUpdate(lock string) string {
	var arrays, names []string
	add := func(name, cast string) {
		arrays, names = append(arrays, fmt.Sprintf("$%d::%s", len(arrays)+1, cast)), append(names, name)
	}
	for i, kind := range t.keyTypes {
		add(fmt.Sprintf("k%d", i), "text[]::"+kind+"[]")
	}
	fresh := make([]string, len(t.Cells))
	for i, cell := range t.Cells {
		fresh[i] = fmt.Sprintf("v.n%d", i)
		add(fmt.Sprintf("o%d", i), columnType(cell.Binary)+"[]")
		add(fmt.Sprintf("n%d", i), columnType(cell.Binary)+"[]")
		if cell.Native {
			fresh[i] += "::" + t.types[cell.Column]
		}
	}
	for i, source := range t.Sources {
		if source.Made {
			add(fmt.Sprintf("m%d", i), columnType(source.Binary)+"[]")
		}
	}
	same := t.compare("t.", "=", func(i int) string { return fmt.Sprintf("v.k%d", i) })
	for i, cell := range t.Cells {
		same += fmt.Sprintf(" AND (v.o%d IS NULL OR %s = v.o%d)", i, exactly(held(postgres{}, cell), cell.Binary), i)
	}
	for i, source := range t.Sources {
		if source.Made {
			value := "t." + quote(source.Column)
			if source.Native {
				value = postgres{}.native(value)
			}
			same += fmt.Sprintf(" AND %s IS NOT DISTINCT FROM v.m%d", exactly(value, source.Binary), i)
		}
	}
	table := quoteTable(t.Name)
	set := list(t.Cells, func(i int, cell Cell) string {
		name := quote(cell.Column)
		return fmt.Sprintf("%s = CASE WHEN v.o%d IS NULL THEN t.%s ELSE %s END", name, i, name, fresh[i])
	})
	return fmt.Sprintf(`WITH given AS MATERIALIZED (SELECT * FROM unnest(%s) AS v(%s)),
held AS MATERIALIZED (SELECT v.* FROM given AS v JOIN %s AS t ON %s FOR %s OF t SKIP LOCKED)
UPDATE %s AS t SET %s FROM held AS v WHERE %s`,
		strings.Join(arrays, ", "), strings.Join(names, ", "), table, same, lock, table, set, same)
}

func (t *postgresTable) swap(ctx context.Context, tx *sql.Tx, swaps []Swap) (int64, error) {
	if len(swaps) == 0 {
		return 0, nil
	}
	var args []any
	for i := range t.Key {
		args = append(args, textArray(swaps, func(s Swap) any { return s.Key[i] }))
	}
	for i, cell := range t.Cells {
		args = append(args,
			array(swaps, cell.Binary, func(s Swap) any { return s.Old[i] }),
			array(swaps, cell.Binary, func(s Swap) any { return s.New[i] }))
	}
	for i, source := range t.Sources {
		if source.Made {
			args = append(args, array(swaps, source.Binary, func(s Swap) any { return s.Sources[i] }))
		}
	}
	result, err := tx.ExecContext(ctx, t.update, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// array returns a column of the rows as an array, nil for NULL.
func array(swaps []Swap, binary bool, value func(Swap) any) any {
	if !binary {
		return textArray(swaps, value)
	}
	all := make([][]byte, len(swaps))
	for i, swap := range swaps {
		switch value := value(swap).(type) {
		case []byte:
			all[i] = value
		case string:
			all[i] = []byte(value)
		}
	}
	return all
}

func textArray(swaps []Swap, value func(Swap) any) []*string {
	all := make([]*string, len(swaps))
	for i, swap := range swaps {
		if v := value(swap); v != nil && v != (Null{}) {
			s := text(v)
			all[i] = &s
		}
	}
	return all
}

func (t *postgresTable) look(keys []Key) (string, []any) {
	var args []any
	var arrays []string
	for i, kind := range t.keyTypes {
		column := make([]*string, len(keys))
		for j, key := range keys {
			s := text(key[i])
			column[j] = &s
		}
		args, arrays = append(args, column), append(arrays, fmt.Sprintf("?::text[]::%s[]", kind))
	}
	return "(" + t.order() + ") IN (SELECT * FROM unnest(" + strings.Join(arrays, ", ") + "))", args
}
