package backfill

import (
	"context"
	"fmt"
	"time"
)

// maxTries is how often a row is tried in a pass that is locked, or that the
// application writes each time before we can.
const maxTries = 3

// Pace says how much a worker is to read at once, and learns what came of it: how
// many rows are to be written, and how long it took to read them.
type Pace interface {
	Room() Room
	DidRead(part Part, toWrite int, took time.Duration)
}

// Worker goes through shards, one after the other. It is for one goroutine.
type Worker struct {
	Name   string
	Store  Store
	Codecs []Codec // of the tables of the plan
	Pace   Pace
	// Every is the time within which a checkpoint is written though nothing was
	// stale.
	Every time.Duration
	Now   func() time.Time

	pass  Pass
	shard *Shard
	saved time.Time // when the last checkpoint was written
	// batch is what is to be written next, nil if rows are to be read first.
	batch *Checkpoint
	// tries is how often the rows of the batch were written already.
	tries int
	// unsure are rows that were written, some of them in vain.
	unsure []Swap
	// ending says that the last rows of the shard were read.
	ending bool
	// owed are counts that are to be written with the next checkpoint.
	owed Counts
}

// State is what a step has led to.
type State int

// The states of a worker after a step.
const (
	Busy  State = iota // there is more to do
	Ready              // a batch is ready to be written
	Idle               // all that is left is in the hands of others
	Over               // the job has ended
)

// Rows returns the number of rows that the next step will write, in the table or
// the quarantine.
func (w *Worker) Rows() int {
	if w.batch == nil {
		return 0
	}
	return len(w.batch.Swaps) + len(w.batch.Poison)
}

// Shard returns the shard that the worker holds, nil if it holds none.
func (w *Worker) Shard() *Shard { return w.shard }

// Step does one thing: it sends one transaction. On an error the worker is as it
// was, and the same step can be taken again. ErrLost says that its shard belongs
// to it no more; then it is to be dropped. The counts are those that went into the
// ledger.
func (w *Worker) Step(ctx context.Context) (State, Counts, error) {
	switch {
	case w.shard == nil:
		return w.claim(ctx)
	case len(w.unsure) > 0:
		return w.look(ctx)
	case w.batch == nil:
		return w.read(ctx)
	}
	return w.write(ctx)
}

// Restart forgets a batch that could not be written. It is read again.
func (w *Worker) Restart() {
	w.batch, w.unsure, w.tries, w.ending = nil, nil, 0, false
}

// drop forgets the shard.
func (w *Worker) drop() {
	w.Restart()
	w.shard, w.owed = nil, Counts{}
}

func (w *Worker) claim(ctx context.Context) (State, Counts, error) {
	shard, ok, err := w.Store.Claim(ctx, w.Name)
	switch {
	case err != nil:
		return Busy, Counts{}, err
	case ok:
		w.shard, w.pass, w.saved = &shard, shard.Pass, w.Now()
		return Busy, Counts{}, nil
	}
	if w.pass == (Pass{}) {
		if w.pass, err = w.Store.Pass(ctx); err != nil {
			return Busy, Counts{}, err
		}
	}
	pass, err := w.Store.Settle(ctx, w.pass)
	switch {
	case err != nil:
		return Busy, Counts{}, err
	case pass.Phase == Ended:
		return Over, Counts{}, nil
	case pass == w.pass:
		return Idle, Counts{}, nil
	}
	w.pass = pass
	return Busy, Counts{}, nil
}

// read reads a batch and seals it.
func (w *Worker) read(ctx context.Context) (State, Counts, error) {
	if w.ending {
		w.batch = &Checkpoint{Cursor: w.shard.After, Done: true}
		return Ready, Counts{}, nil
	}
	began := w.Now()
	part, err := w.Store.Read(ctx, *w.shard, w.Pace.Room())
	if err != nil {
		return Busy, Counts{}, err
	}
	took := w.Now().Sub(began)
	batch := &Checkpoint{Cursor: part.Last, Counts: Counts{Read: int64(part.Count), Bytes: part.Bytes}}
	if part.Count == 0 {
		batch.Cursor = w.shard.After
	}
	if err := w.fill(batch, part.Rows); err != nil {
		return Busy, Counts{}, err
	}
	w.Pace.DidRead(part, len(batch.Swaps)+len(batch.Poison), took)
	w.ending = part.End
	if len(batch.Swaps) == 0 && len(batch.Poison) == 0 && !w.ending && w.Now().Sub(w.saved) < w.Every {
		w.shard.After = part.Last
		w.owed.Add(batch.Counts)
		return Busy, Counts{}, nil
	}
	w.batch, w.tries = batch, 0
	return Ready, Counts{}, nil
}

// fill seals the rows of a batch, or opens them when that is all.
func (w *Worker) fill(batch *Checkpoint, rows []Row) error {
	codec := w.Codecs[w.shard.Table]
	for _, row := range rows {
		var poison []Poison
		var swap Swap
		var err error
		if w.shard.Pass.Phase == Verifying {
			poison, err = codec.Check(row)
		} else {
			swap, poison, err = codec.Reseal(row)
		}
		if err != nil {
			return err
		}
		for _, value := range poison {
			value.Key = row.Key
			batch.Poison = append(batch.Poison, value)
			batch.Counts.Poisoned++
		}
		if hasAny(swap.New) {
			batch.Swaps = append(batch.Swaps, swap)
		}
	}
	return nil
}

// write writes the batch.
func (w *Worker) write(ctx context.Context) (State, Counts, error) {
	batch := *w.batch
	batch.Counts.Add(w.owed)
	written, err := w.Store.Write(ctx, *w.shard, batch)
	if err != nil {
		return Busy, Counts{}, err
	}
	w.owed = Counts{}
	counts := batch.Counts
	counts.Swapped = int64(written.Swapped)
	counts.Poisoned += written.Poisoned
	w.tries++
	w.saved = w.Now()
	w.shard.After = w.batch.Cursor
	switch {
	case w.batch.Done:
		w.drop()
		return Busy, counts, nil
	case written.Swapped+written.Refused < len(w.batch.Swaps):
		w.unsure = w.batch.Swaps
	}
	w.batch = nil
	return Busy, counts, nil
}

// look finds out what became of rows that were not all swapped.
func (w *Worker) look(ctx context.Context) (State, Counts, error) {
	keys := make([]Key, len(w.unsure))
	for i, swap := range w.unsure {
		keys[i] = swap.Key
	}
	found, err := w.Store.Look(ctx, *w.shard, keys)
	if err != nil {
		return Busy, Counts{}, err
	}
	var counts Counts
	var again []Row
	for i, current := range found {
		switch {
		case current == nil:
			counts.Deleted++
		case w.unsure[i].isIn(current.Cells):
		case !current.IsStale():
			counts.Superseded++
		case w.tries >= maxTries:
			counts.Deferred++
		default:
			again = append(again, current.Row)
		}
	}
	w.unsure = nil
	w.owed.Add(counts)
	if len(again) == 0 {
		return Busy, Counts{}, nil
	}
	batch := &Checkpoint{Cursor: w.shard.After}
	if err := w.fill(batch, again); err != nil {
		return Busy, Counts{}, err
	}
	w.batch = batch
	return Ready, Counts{}, nil
}

// isIn reports whether a row holds what the swap would have put there.
func (s Swap) isIn(cells []any) bool {
	for i, value := range s.New {
		if value != nil && text(value) != text(cells[i]) {
			return false
		}
	}
	return true
}

// text returns a value as a string: a stored one, text or binary, or one of another
// type, as the database reads it.
func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case []byte:
		return string(value)
	case time.Time:
		return value.Format(time.RFC3339Nano)
	case nil, Null:
		return ""
	}
	return fmt.Sprint(value)
}
