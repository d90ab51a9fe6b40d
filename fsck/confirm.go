package fsck

import (
	"context"
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// confirm reports repeated values that still are what they were.
func (l *look) confirm(ctx context.Context) error {
	var spots []spot
	for _, r := range l.found {
		spots = append(spots, r.at.at, r.from.at)
	}
	now := map[string]variant{}
	err := l.visit(ctx, spots, func(table int, row backfill.Row) error {
		for i := range l.plan[table].Columns {
			column := &l.plan[table].Columns[i]
			if stored := row.Sources[column.Source]; stored != nil && !column.Deterministic && l.opens(column, row, stored) {
				at := spot{table, i, row.Key}
				now[at.id()] = variant{sum: sumOf(stored)}
			}
		}
		return l.err
	})
	if err != nil {
		return err
	}
	for _, r := range l.found {
		at, there := now[r.at.at.id()]
		from, thereToo := now[r.from.at.id()]
		if !there || !thereToo || at.sum != r.at.sum || from.sum != r.from.sum {
			continue
		}
		l.repeated(r)
	}
	l.found = l.found[:0]
	return nil
}

// repeated reports a repeated value.
func (l *look) repeated(r repeat) {
	column := l.plan[r.at.at.table].first + r.at.at.column
	from := l.place(l.plan[r.from.at.table].first+r.from.at.column, r.from.at.key)
	f := Finding{Place: l.place(column, r.at.at.key), Kind: r.kind, Version: r.at.version, From: &from, Reason: reasonCopied}
	if r.kind == DuplicateNonce {
		f.Reason = reasonNonce
	}
	l.add(column, f)
}

// id tells spots apart.
func (s spot) id() string { return fmt.Sprintf("%d %d %#v", s.table, s.column, s.key) }

// visit reads the rows of some spots again.
func (c *checker) visit(ctx context.Context, spots []spot, see func(table int, row backfill.Row) error) error {
	var page backfill.Page
	for table := range c.plan {
		var keys []backfill.Key
		known := map[string]bool{}
		for _, s := range spots {
			if id := fmt.Sprintf("%#v", s.key); s.table == table && !known[id] {
				known[id] = true
				keys = append(keys, s.key)
			}
		}
		for some := range slices.Chunk(keys, c.atOnce(table)) {
			if err := c.tables.ReadKeys(ctx, table, some, &page); err != nil {
				return fmt.Errorf("gormcrypt: %w", err)
			}
			for i := range page.Count {
				if err := see(table, page.Row(i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
