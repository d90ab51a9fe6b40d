package fsck

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

const (
	// maxGroups is how many fingerprints that were met twice are looked for at a time.
	maxGroups = 100_000
	// maxOpened is what it may cost at most to open values by the bound values of other
	// rows: each counts one, and one more for each 1,024 bytes.
	maxOpened = 40_000_000
	// maxTuples is how many bound values, of all columns together, are not tried twice.
	maxTuples = 1 << 20
)

// secondLook goes through the tables once more, if there is anything to look for.
func (c *checker) secondLook(ctx context.Context) error {
	look := c.newLook()
	err := c.prints.twice(ctx, func(print uint64) error {
		look.groups[print] = &repeats{}
		if len(look.groups) < maxGroups {
			return nil
		}
		if err := look.walk(ctx); err != nil {
			return err
		}
		look = c.newLook()
		look.hunted = nil
		return nil
	})
	if err == nil {
		err = look.walk(ctx)
	}
	if err == nil {
		err = c.settle(ctx)
	}
	return err
}

// look is one walk through all tables, in order, for values that are known.
type look struct {
	rowChecker
	page   backfill.Page
	groups map[uint64]*repeats
	found  []repeat

	hunted []*stray
	byHash map[uint64][]*stray
	tuples tuples // that were tried
	opened int
}

// newLook hunts for all strays of which it is not sure where they come from.
func (c *checker) newLook() *look {
	l := &look{rowChecker: rowChecker{checker: c}, groups: map[uint64]*repeats{}, byHash: map[uint64][]*stray{}}
	for _, s := range c.strays.all {
		if !s.exact {
			l.hunted = append(l.hunted, s)
			h := maphash.Bytes(c.seed, bytesOf(s.stored))
			l.byHash[h] = append(l.byHash[h], s)
		}
	}
	return l
}

func (l *look) walk(ctx context.Context) error {
	if len(l.groups) == 0 && len(l.hunted) == 0 {
		return nil
	}
	var total int64
	for i := range l.plan {
		rows, err := l.tables.Rows(ctx, i)
		if err != nil {
			return fmt.Errorf("gormcrypt: %w", err)
		}
		total += rows
	}
	l.meter.startAgain(total)
	for i := range l.plan {
		l.meter.enter(l.plan[i].Table.Name)
		if err := l.walkTable(ctx, i); err != nil {
			return err
		}
	}
	return l.confirm(ctx)
}

func (l *look) walkTable(ctx context.Context, table int) error {
	return l.pages(ctx, backfill.Shard{Table: table}, &l.page, func() error { return l.rows(ctx, table) })
}

// rows looks at the rows of a page.
func (l *look) rows(ctx context.Context, table int) error {
	l.measure(table, &l.page)
	for i := range l.page.Count {
		row := l.page.Row(i)
		for j := range l.plan[table].Columns {
			l.cell(table, j, row)
		}
		if l.err != nil {
			return fmt.Errorf("gormcrypt: looking again at what was found in %s: %w", l.plan[table].Table.Name, l.err)
		}
		if len(l.found) >= againRows {
			if err := l.confirm(ctx); err != nil {
				return err
			}
		}
	}
	l.meter.rows.Add(int64(l.page.Count))
	return nil
}

// cell looks at a value.
func (l *look) cell(table, number int, row backfill.Row) {
	column := &l.plan[table].Columns[number]
	stored := row.Sources[column.Source]
	if len(l.hunted) > 0 {
		if stored != nil {
			l.matches(table, number, column, row, stored)
		}
		if len(column.Described().Bind) > 0 {
			l.tryBound(table, number, column, row, stored)
		}
	}
	if stored == nil || len(l.groups) == 0 || column.Deterministic {
		return
	}
	print, err := l.fingerprint(column, stored)
	if err != nil {
		return // it does not open
	}
	group := l.groups[print]
	if group == nil || !l.opens(column, row, stored) {
		return
	}
	at := spot{table, number, slices.Clone(row.Key)}
	if found, ok := group.add(variant{string(l.identity), versionOf(stored), sumOf(stored), at}); ok {
		l.found = append(l.found, found)
	}
}
