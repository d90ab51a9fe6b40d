package fsck

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

const (
	// pageBytes is how many bytes of values a worker reads at a time, and maxPageRows
	// how many rows.
	pageBytes   = 4 << 20
	firstRows   = 256
	maxPageRows = 2000
	// minShardRows and maxShardRows are how many rows a worker goes through before it
	// looks for others.
	minShardRows = 500
	maxShardRows = 50_000
	// againRows is how many rows are looked at again by one statement.
	againRows = 100
)

// walk goes through all tables.
func (c *checker) walk(ctx context.Context) error {
	type size struct {
		whole bool
		rows  int64
	}
	sizes := make([]size, len(c.plan))
	for i := range c.plan {
		whole, rows, err := c.whole(ctx, i)
		if err != nil {
			return err
		}
		sizes[i] = size{whole, rows}
		if !whole {
			c.report.Sampled = true
			rows = int64(float64(rows) * c.config.Sample)
		}
		c.meter.total.Add(rows)
	}
	for i, size := range sizes {
		c.meter.enter(c.plan[i].Table.Name)
		var err error
		if size.whole {
			err = c.walkWhole(ctx, i, size.rows)
		} else {
			err = c.walkSample(ctx, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walkWhole goes through a table in shards, of which each worker has one at a time.
func (c *checker) walkWhole(ctx context.Context, table int, rows int64) error {
	var bounds []backfill.Key
	if c.config.Workers > 1 && rows > minShardRows {
		shard := int(min(max(rows/int64(4*c.config.Workers), minShardRows), maxShardRows))
		var err error
		if bounds, _, err = c.tables.Bounds(ctx, table, shard); err != nil {
			return fmt.Errorf("gormcrypt: %w", err)
		}
	}
	shards := make(chan backfill.Shard, len(bounds)+1)
	var after backfill.Key
	for _, bound := range append(bounds, nil) {
		shards <- backfill.Shard{Table: table, After: after, UpTo: bound}
		after = bound
	}
	close(shards)
	return c.each(ctx, min(c.config.Workers, len(bounds)+1), func(ctx context.Context, w *worker) error {
		for shard := range shards {
			if err := w.shard(ctx, shard); err != nil {
				return err
			}
		}
		return nil
	})
}

// each runs workers until all have ended or one has failed.
func (c *checker) each(ctx context.Context, workers int, run func(context.Context, *worker) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			w := newWorker(c)
			err := run(ctx, w)
			if err == nil {
				err = w.flush()
			}
			w.report()
			if err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// pages reads a shard, and has see look at each page.
func (c *checker) pages(ctx context.Context, shard backfill.Shard, page *backfill.Page, see func() error) error {
	rows := firstRows
	for end := false; !end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if end, err = c.tables.ReadPage(ctx, shard, rows, pageBytes, page); err != nil {
			return fmt.Errorf("gormcrypt: %w", err)
		}
		if page.Count == 0 {
			return nil
		}
		shard.After = slices.Clone(page.Row(page.Count - 1).Key)
		rows = nextRows(rows, page)
		if err := see(); err != nil {
			return err
		}
	}
	return nil
}

// nextRows is how many rows to read after a page, so that hardly any are read for
// nothing.
func nextRows(rows int, page *backfill.Page) int {
	return int(min(max(pageBytes/page.Width(), 1), int64(2*rows), maxPageRows))
}

// measure notes how wide the rows of a page are.
func (c *checker) measure(table int, page *backfill.Page) {
	width := &c.widths[table]
	for known := width.Load(); page.Width() > known && !width.CompareAndSwap(known, page.Width()); {
		known = width.Load()
	}
}

// atOnce is how many rows, of any page, to read at once by their keys.
func (c *checker) atOnce(table int) int {
	return int(min(max(pageBytes/max(c.widths[table].Load(), 1), 1), againRows))
}
