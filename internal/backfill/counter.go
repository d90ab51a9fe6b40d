package backfill

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Counter counts the values of columns by what they start with. It is safe for
// concurrent use, and needs no ledger.
type Counter struct {
	pool *sql.DB
	dialect
}

// OpenCounter returns a Counter for a database. It sends nothing.
func OpenCounter(pool *sql.DB, dialectName string) (*Counter, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return nil, err
	}
	return &Counter{pool, d}, nil
}

// Counted is a column whose values are counted.
type Counted struct {
	Column string
	// Magic is what values have in front of their key version. It is empty for the
	// terms of an index, which have nothing there.
	Magic string
}

// Tally is how many values of a column start how.
type Tally struct {
	Versions map[keyring.Version]int64
	// Nulls are NULL. Foreign values do not start with a key version; of these,
	// Unreadable ones have the magic and no version behind it.
	Nulls, Foreign, Unreadable int64
}

// versionWidth is the length of the longest version with its colon.
const versionWidth = len("i4294967295:")

// Tally counts the values of columns of a table, all of them or about a share, if
// that is not 0. It reports whether it counted a sample: a table of which the
// sample would be small is counted whole.
func (c *Counter) Tally(ctx context.Context, table string, columns []Counted, share float64) (tallies []Tally, sampled bool, err error) {
	tallies = make([]Tally, len(columns))
	for i := range tallies {
		tallies[i].Versions = map[keyring.Version]int64{}
	}
	collated, err := c.collated(ctx, c.pool, table)
	if err != nil {
		return nil, false, err
	}
	err = c.whole(ctx, c.pool, func(on querier) error {
		from := quoteTable(table) + " AS t"
		if share > 0 {
			small, err := c.isSmall(ctx, on, table, share)
			if err != nil {
				return err
			}
			if sampled = !small; sampled {
				from += c.sample(share)
			}
		}
		// Columns are grouped by at once, so that one scan counts all of them. Rows
		// that are sealed together have the same versions, so there are few groups.
		names := list(columns, func(i int, _ Counted) string { return fmt.Sprintf("v%d", i) })
		versions := list(columns, func(i int, column Counted) string {
			// With the table in front: alone, SQLite takes a name in quotes for a text
			// if there is no such column.
			name := "t." + quote(column.Column)
			if collated[column.Column] {
				name += ` COLLATE "C"`
			}
			return fmt.Sprintf("%s AS v%d", c.version(name, column.Magic), i)
		})
		query := fmt.Sprintf("SELECT %s, count(*) FROM (SELECT %s FROM %s) AS versions GROUP BY %s", names, versions, from, names)
		return scan(ctx, on, query, nil, len(columns)+1, func(values []any) error {
			rows, _ := values[len(columns)].(int64)
			for i, column := range columns {
				tallies[i].add(column, values[i], rows)
			}
			return nil
		})
	})
	return tallies, sampled, err
}

// noMagic is what the database says of a value without the magic. It has no colon.
const noMagic = "-"

// add adds rows whose value starts as the database says: NULL, noMagic, or what is
// behind the magic up to the colon and with it, which is empty if there is none.
func (t *Tally) add(column Counted, start any, rows int64) {
	if start == nil {
		t.Nulls += rows
		return
	}
	name, found := strings.CutSuffix(text(start), ":")
	version, err := keyring.ParseVersion(name)
	switch {
	case found && err == nil && (column.Magic != "" || version.Set() == keyring.IndexKeys):
		t.Versions[version] += rows
		return
	case column.Magic != "" && text(start) != noMagic:
		t.Unreadable += rows
	}
	t.Foreign += rows
}

// smallSample is the number of rows below which a sample says too little.
const smallSample = 1000

// isSmall reports whether a table has so few rows that a share of them is a small
// sample. It counts no more than it must.
func (c *Counter) isSmall(ctx context.Context, on querier, table string, share float64) (bool, error) {
	enough := int64(smallSample / share)
	query := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS beginning", quoteTable(table), enough)
	var rows int64
	err := scan(ctx, on, query, nil, 1, func(values []any) error {
		rows, _ = values[0].(int64)
		return nil
	})
	return rows < enough, err
}

// querier is a pool of connections, or a transaction.
type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// scan sends a SELECT and has see look at each row, whose values are its own
// until the next.
func scan(ctx context.Context, on querier, query string, args []any, columns int, see func(values []any) error) error {
	rows, err := on.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := see(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
