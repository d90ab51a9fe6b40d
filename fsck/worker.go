package fsck

import (
	"context"
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// worker checks rows, and counts on its own.
type worker struct {
	rowChecker
	page, again backfill.Page
	tallies     []ColumnReport
	pending     []uint64
	wrong       []backfill.Key
}

// maxPending is how many fingerprints a worker keeps for itself.
const maxPending = 4096

func newWorker(c *checker) *worker {
	return &worker{rowChecker: rowChecker{checker: c}, tallies: make([]ColumnReport, len(c.columns)), pending: make([]uint64, 0, maxPending)}
}

// shard goes through a shard.
func (w *worker) shard(ctx context.Context, shard backfill.Shard) error {
	return w.pages(ctx, shard, &w.page, func() error { return w.check(ctx, shard.Table, &w.page) })
}

// check checks the rows of a page, and looks again at those that are wrong.
func (w *worker) check(ctx context.Context, table int, page *backfill.Page) error {
	if err := w.checkOnce(ctx, table, page); err != nil {
		return err
	}
	return w.lookAgainAtWrong(ctx, table)
}

// checkOnce checks the rows of a page, and leaves the keys of those that are wrong in
// w.wrong.
func (w *worker) checkOnce(ctx context.Context, table int, page *backfill.Page) error {
	w.measure(table, page)
	for i := range page.Count {
		if ctx.Err() != nil { // slow terms take long
			return context.Cause(ctx)
		}
		row := page.Row(i)
		if err := w.row(table, row); err != nil {
			return err
		}
		if len(w.problems) > 0 {
			w.wrong = append(w.wrong, slices.Clone(row.Key))
		} else if err := w.count(table); err != nil {
			return err
		}
	}
	w.meter.rows.Add(int64(page.Count))
	return nil
}

// lookAgainAtWrong looks again at all rows in which something was wrong.
func (w *worker) lookAgainAtWrong(ctx context.Context, table int) error {
	for some := range slices.Chunk(w.wrong, w.atOnce(table)) {
		if err := w.lookAgain(ctx, table, some); err != nil {
			return err
		}
	}
	w.wrong = w.wrong[:0]
	return nil
}

// lookAgain reads rows again in which something was wrong, with the keys of now.
func (w *worker) lookAgain(ctx context.Context, table int, some []backfill.Key) error {
	if err := w.readAgain(ctx, table, some); err != nil {
		return err
	}
	for i := range w.again.Count {
		row := w.again.Row(i)
		if err := w.row(table, row); err != nil {
			return err
		}
		for _, p := range w.problems {
			w.note(table, row, p)
		}
		if err := w.count(table); err != nil {
			return err
		}
		if w.err != nil {
			return fmt.Errorf("gormcrypt: looking where values of %s come from: %w", w.plan[table].Table.Name, w.err)
		}
	}
	return nil
}

// readAgain reads rows again, and once more while a version was asked for meanwhile.
func (w *worker) readAgain(ctx context.Context, table int, some []backfill.Key) error {
	for {
		if err := w.tables.ReadKeys(ctx, table, some, &w.again); err != nil {
			return fmt.Errorf("gormcrypt: %w", err)
		}
		asked := false
		for i := range w.again.Count {
			if err := w.row(table, w.again.Row(i)); err != nil {
				return err
			}
			for _, p := range w.problems {
				if p.kind != UnknownKey {
					continue
				}
				loaded, err := w.keys.ask(ctx, p.version)
				if err != nil {
					return err
				}
				asked = asked || loaded
			}
		}
		if !asked {
			return nil
		}
	}
}

// note reports a problem, or keeps the value to see where it comes from.
func (w *worker) note(table int, row backfill.Row, p problem) {
	column := w.plan[table].first + p.column
	f := Finding{Place: w.place(column, row.Key), Kind: p.kind, Version: p.version, Reason: p.reason}
	if p.kind == Damaged {
		s := w.trace(table, row, p)
		if w.strays.keep(s) {
			return
		}
		if f = s.finding(f.Place); f.Kind == Damaged {
			f.Reason += reasonNotTraced
		}
	}
	w.add(column, f)
}

// count counts the row that was checked last.
func (w *worker) count(table int) error {
	first := w.plan[table].first
	for i, o := range w.outcomes {
		tally := &w.tallies[first+i]
		tally.Rows++
		tally.count(o)
	}
	w.meter.values.Add(int64(len(w.outcomes)))
	w.pending = append(w.pending, w.prints...)
	if len(w.pending) >= maxPending {
		return w.flush()
	}
	return nil
}

func (w *worker) flush() error {
	err := w.checker.prints.add(w.pending)
	w.pending = w.pending[:0]
	return err
}

// report adds the counts to those of the others.
func (w *worker) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.tallies {
		w.columns[i].merge(w.tallies[i])
	}
}
