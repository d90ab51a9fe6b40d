package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Page is some rows of a table, with all sources. It is used again for the next ones,
// to read many rows without making them anew.
type Page struct {
	// Count is the number of rows, and Bytes that of the bytes in their sources.
	Count int
	Bytes int64

	width, keys int
	values      []any // of one row after the other
}

// Row returns a row, whose slices are those of the page.
func (p *Page) Row(i int) Row {
	at := i * p.width
	return Row{Key: p.values[at : at+p.keys : at+p.keys], Sources: p.values[at+p.keys : at+p.width : at+p.width]}
}

// Width returns how many bytes its rows have, each on average, and one at least.
func (p *Page) Width() int64 { return max(p.Bytes/int64(max(p.Count, 1)), 1) }

// clear forgets the rows, for a table with so many columns.
func (p *Page) clear(keys, width int) {
	clear(p.values)
	p.Count, p.Bytes, p.keys, p.width, p.values = 0, 0, keys, width, p.values[:0]
}

// add reads a row into the page. into is used for it.
func (p *Page) add(rows *sql.Rows, into []any) error {
	at := len(p.values)
	p.values = slices.Grow(p.values, p.width)[:at+p.width]
	for i := range into {
		into[i] = &p.values[at+i]
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	row := Row{Sources: p.values[at+p.keys:]}
	p.Bytes += row.size()
	p.Count++
	return nil
}

// paged is what is selected of a table for a page: the key, and the sources as
// expressions, of which a driver knows no declared type to convert them by.
func (t *Tables) paged(table int) (columns string, width int) {
	all := t.described[table].keys()
	for _, source := range t.plan[table].Sources {
		all = append(all, t.stored("t."+quote(source.Column), source.Native))
	}
	return strings.Join(all, ", "), len(all)
}

// read sends a SELECT of what paged says, has see look at the page after each row, and
// goes on with the page that it returns.
func (t *Tables) read(ctx context.Context, on querier, table, width int, query string, args []any, page *Page, see func(*Page) (*Page, error)) error {
	page.clear(len(t.plan[table].Key), width)
	rows, err := on.QueryContext(ctx, t.rebind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	into := make([]any, width)
	for rows.Next() {
		if err := page.add(rows, into); err != nil {
			return err
		}
		next, err := see(page)
		if err != nil {
			return err
		}
		if next != page {
			page = next
			page.clear(len(t.plan[table].Key), width)
		}
	}
	return rows.Err()
}

// errNoKey: a walk by the primary key would not come past such rows.
var errNoKey = errors.New("a row has a primary key that is NULL, so it cannot be found again; give it one")

// ReadPage reads up to so many of the next rows of a shard, and no more than a row beyond
// so many bytes. It reports whether these are the last. What fails in a way that may
// pass is tried again for about a minute.
func (t *Tables) ReadPage(ctx context.Context, shard Shard, rows int, bytes int64, page *Page) (end bool, err error) {
	columns, width := t.paged(shard.Table)
	query, args := t.next(shard, columns, rows)
	err = t.patiently(ctx, shard.Table, func() error {
		ctx, cancel := t.reading(ctx)
		defer cancel()
		err := t.read(ctx, t.pool, shard.Table, width, query, args, page, func(page *Page) (*Page, error) {
			if slices.Contains(page.Row(page.Count-1).Key, nil) {
				return nil, errNoKey
			}
			if page.Bytes >= bytes && page.Count < rows {
				cancel()
				return nil, errFull
			}
			return page, nil
		})
		if errors.Is(err, errFull) {
			end = false
			return nil
		}
		end = page.Count < rows
		return err
	})
	return end, err
}

// ReadKeys reads the rows of some keys that are still there, in any order.
func (t *Tables) ReadKeys(ctx context.Context, table int, keys []Key, page *Page) error {
	columns, width := t.paged(table)
	condition, args := t.described[table].look(keys)
	query := "SELECT " + columns + " FROM " + quoteTable(t.plan[table].Name) + " AS t WHERE " + condition
	return t.patiently(ctx, table, func() error {
		ctx, cancel := t.reading(ctx)
		defer cancel()
		return t.read(ctx, t.pool, table, width, query, args, page, func(page *Page) (*Page, error) { return page, nil })
	})
}

// ReadSample reads about a share of the rows of a table by one statement, as Tally does,
// into pages from next of up to so many rows and so many bytes, which see is given.
func (t *Tables) ReadSample(ctx context.Context, table int, share float64, rows int, bytes int64, next func() *Page, see func(*Page) error) error {
	columns, width := t.paged(table)
	query := "SELECT " + columns + " FROM " + quoteTable(t.plan[table].Name) + " AS t" + t.sample(share)
	err := unlessStale(func() error {
		return t.whole(ctx, t.pool, func(on querier) error {
			ctx, cancel := t.reading(ctx)
			defer cancel()
			page := next()
			err := t.read(ctx, on, table, width, query, nil, page, func(full *Page) (*Page, error) {
				if full.Count < rows && full.Bytes < bytes {
					return full, nil
				}
				if err := see(full); err != nil {
					cancel()
					return nil, err
				}
				page = next()
				return page, nil
			})
			if err == nil {
				err = see(page)
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("reading a sample of %s: %w", t.plan[table].Name, err)
	}
	return nil
}

// OneConnection reports whether no more than one statement can be under way at a time.
func (t *Tables) OneConnection() bool { return t.pool.Stats().MaxOpenConnections == 1 }

// patiently reads again while that fails in a way that may pass.
func (t *Tables) patiently(ctx context.Context, table int, read func() error) error {
	err := tryAgain(ctx, t.dialect, maxAttempts, backoff, func() error { return unlessStale(read) })
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.plan[table].Name, err)
	}
	return nil
}

// Rows returns the number of rows of a table. It returns an error if a policy hides rows,
// or if there are some that could not be found again by their key.
func (t *Tables) Rows(ctx context.Context, table int) (int64, error) {
	query := fmt.Sprintf("SELECT count(*), count(CASE WHEN %s THEN 1 END) FROM %s AS t", t.described[table].unfit(), quoteTable(t.plan[table].Name))
	var rows, unfit int64
	err := t.all(ctx, table, query, 2, func(values []any) error {
		rows, unfit = values[0].(int64), values[1].(int64)
		return nil
	})
	if err == nil && unfit > 0 {
		err = t.unfitRows(table, unfit)
	}
	return rows, err
}

// unfitRows is the error of rows that cannot be found again by their key.
func (t *Tables) unfitRows(table int, n int64) error {
	return fmt.Errorf("%d rows of %s cannot be found again by their primary key: it is NULL, or its text does not come back as the same value, by DateStyle, TimeZone or extra_float_digits of this role", n, t.plan[table].Name)
}
