package fsck

import (
	"context"
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// walkSample goes through a sample of a table, which one goroutine reads and the workers
// check.
func (c *checker) walkSample(ctx context.Context, table int) error {
	free, full := make(chan *backfill.Page, c.config.Workers+1), make(chan *backfill.Page)
	for range cap(free) {
		free <- new(backfill.Page)
	}
	read := make(chan error, 1)
	return c.each(ctx, c.config.Workers+1, func(ctx context.Context, w *worker) error {
		select {
		case read <- nil: // the first one reads
			defer close(full)
			err := c.tables.ReadSample(ctx, table, c.config.Sample, maxPageRows, pageBytes/2, func() *backfill.Page {
				select {
				case page := <-free:
					return page
				case <-ctx.Done():
					return new(backfill.Page) // and see says so
				}
			}, func(page *backfill.Page) error {
				select {
				case full <- page:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			if err != nil {
				err = fmt.Errorf("gormcrypt: %w", err)
			}
			return err
		default:
		}
		check := w.check
		if c.tables.OneConnection() { // which the sample has until it was read
			check = w.checkOnce
		}
		for page := range full {
			if err := check(ctx, table, page); err != nil {
				return err
			}
			free <- page
		}
		return w.lookAgainAtWrong(ctx, table)
	})
}
