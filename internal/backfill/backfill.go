// Package backfill walks tables by their primary keys and replaces values that
// are stale, while applications go on writing. A value is replaced only if it
// still is what was read (compare and swap), so no write of an application is
// lost, and none waits for more than one statement.
//
// The tables of a job are cut into shards by key ranges. A worker owns a shard by
// a lease, which it renews with every batch, in the transaction that writes the
// batch: a worker whose lease was lost writes nothing. So several processes share
// a job, and one that dies is replaced by any other.
//
// A job goes through its tables in passes, until a count in SQL finds nothing
// stale. Then it goes through them once more to see that everything opens.
package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Key is the primary key of a row, a value for each of its columns, as the
// database writes it. It is compared by the database only.
type Key []any

// Row is what was read of a row. It has values only for what is to be replaced.
type Row struct {
	Key Key
	// Old are the stored values of the table's cells, nil for those that are NULL
	// or not stale.
	Old []any
	// Sources are the stored values that the cells are made from or bound to.
	Sources []any
}

// IsStale reports whether the row has anything to be replaced.
func (r Row) IsStale() bool { return hasAny(r.Old) }

func hasAny(values []any) bool {
	return slices.ContainsFunc(values, func(value any) bool { return value != nil })
}

// Room is what one read may take: rows that it goes through, stale ones of them,
// and bytes of stored values. One row it may always take.
type Room struct {
	Rows, Stale int
	Bytes       int64
}

// Part is what was read of a shard.
type Part struct {
	Rows []Row
	// Last is the key of the last row that was gone through, nil if there was none.
	// Count is the number of them, and Bytes that of what was read of them.
	Last  Key
	Count int
	Bytes int64
	// End says that the shard has no more.
	End bool
}

// Swap is a row with what takes the place of Row.Old, nil where that is.
type Swap struct {
	Row
	New []any
}

// Poison is a value that does not open, or of which the database refuses the new one.
type Poison struct {
	Key Key
	// Column is the one that failed, and Version the key version that it names,
	// if it names one.
	Column, Version string
	// Stored is the value that failed, by which it is known again.
	Stored any
	// Reason is what is wrong with it. It holds nothing of the value.
	Reason string
	// Refused says that it opens, and that the database refuses the new value.
	Refused bool
}

// Codec seals the rows of one table anew. It is safe for concurrent use, and does
// not talk to the database.
type Codec interface {
	// Reseal returns what takes the place of the stale values, and those that do
	// not open, which are not part of the Swap. It returns an error for what is
	// wrong with more than the row: the job ends with that.
	Reseal(row Row) (Swap, []Poison, error)
	// Check opens all values of a row, and returns those that do not open.
	Check(row Row) ([]Poison, error)
}

// Phase is what a job does with its tables.
type Phase string

// The phases of a job, in order. Rewriting is passed through as often as it takes.
const (
	Rewriting Phase = "rewriting"
	Verifying Phase = "verifying"
	Ended     Phase = "ended"
)

func parsePhase(name string) (Phase, error) {
	switch phase := Phase(name); phase {
	case Rewriting, Verifying, Ended:
		return phase, nil
	}
	return "", fmt.Errorf("the ledger is damaged: there is no phase %q; cancel the job", name)
}

// Pass is one way through all shards.
type Pass struct {
	Phase  Phase
	Number int
}

// Shard is a part of a table, as its owner holds it.
type Shard struct {
	Number int
	Table  int // index of the table in the plan
	Pass   Pass
	// Fence is the number of times the shard was taken. Every write names it.
	Fence int64
	// After is the last key that is done with, nil at the beginning of a table. UpTo
	// is the last of the shard, nil in the last shard of a table.
	After, UpTo Key
}

// Counts are the rows that were gone through, by what became of them.
type Counts struct {
	// Read is the number of all rows, and Bytes that of what was read of them.
	Read, Bytes int64
	// Swapped have new values. Superseded were written by the application before
	// we could, and are not stale any more; Deleted are gone; Deferred were locked,
	// or written over and over, and are left to the next pass. Poisoned is the
	// number of values that were put into quarantine.
	Swapped, Superseded, Deleted, Deferred, Poisoned int64
}

// Add adds other counts.
func (c *Counts) Add(other Counts) {
	c.Read += other.Read
	c.Bytes += other.Bytes
	c.Swapped += other.Swapped
	c.Superseded += other.Superseded
	c.Deleted += other.Deleted
	c.Deferred += other.Deferred
	c.Poisoned += other.Poisoned
}

// Checkpoint is what a worker has done with a shard since the last one.
type Checkpoint struct {
	Swaps  []Swap
	Poison []Poison
	// Cursor is the last key that is done with. Done says that the shard is.
	Cursor Key
	Done   bool
	Counts Counts
}

// Written is what became of a Checkpoint.
type Written struct {
	// Swapped is the number of rows that were swapped. Refused is that of rows with
	// Poisoned values, which the database refuses: these are in quarantine, and what
	// else is stale in the rows was swapped.
	Swapped, Refused int
	Poisoned         int64
}

// ErrLost is the error of a write of a worker that does not own its shard any
// more. It has written nothing.
var ErrLost = errors.New("the lease of the shard was lost")

// Store is the database. Each method is a transaction of its own, and either
// happens or not.
type Store interface {
	// Claim gives a worker a shard that is not done and not owned, or whose lease
	// ran out. It returns false if there is none.
	Claim(ctx context.Context, worker string) (Shard, bool, error)
	// Read goes through the next rows of the shard behind its cursor, and returns
	// those that are stale, or in the phase Verifying those that have a value.
	Read(ctx context.Context, shard Shard, room Room) (Part, error)
	// Write swaps values, each row all or nothing, moves the cursor and renews the
	// lease. Rows that are not what was read, and those that someone has locked, are
	// left as they are.
	Write(ctx context.Context, shard Shard, checkpoint Checkpoint) (Written, error)
	// Look reads rows again, with nil for those that are gone. Current is what the
	// cells hold, stale or not.
	Look(ctx context.Context, shard Shard, keys []Key) (rows []*Current, err error)
	// Renew renews the lease of a shard, and Release gives it back.
	Renew(ctx context.Context, shard Shard) error
	Release(ctx context.Context, shard Shard) error
	// Settle goes to the next pass when all shards of one are done, and does
	// nothing if somebody else has or if not all are. It returns the pass that the
	// job is in.
	Settle(ctx context.Context, from Pass) (Pass, error)
	// Pass returns the one that the job is in.
	Pass(ctx context.Context) (Pass, error)
}

// Current is what a row holds now.
type Current struct {
	Row
	// Cells are the stored values of all cells.
	Cells []any
}
