package backfill_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// oneShard is a Store of one shard of stale rows with the keys from 1, which takes
// its time, and fails by what failing returns.
type oneShard struct {
	backfill.Store
	rows    int64
	took    time.Duration // by a row
	failing func(rows int) error

	after   int64
	over    bool
	batches []int // rows of each write that was tried
	renewed int
	alive   []time.Time // when it was claimed, written, or renewed
}

func (s *oneShard) Claim(context.Context, string) (backfill.Shard, bool, error) {
	s.alive = append(s.alive, time.Now())
	return backfill.Shard{Pass: backfill.Pass{Phase: backfill.Rewriting, Number: 1}}, !s.over, nil
}

func (s *oneShard) Settle(context.Context, backfill.Pass) (backfill.Pass, error) {
	return backfill.Pass{Phase: backfill.Ended}, nil
}

func (s *oneShard) Read(_ context.Context, _ backfill.Shard, room backfill.Room) (backfill.Part, error) {
	var part backfill.Part
	for key := s.after + 1; key <= s.rows && part.Count < room.Rows; key++ {
		part.Rows = append(part.Rows, backfill.Row{Key: backfill.Key{key}, Old: []any{"old"}})
		part.Last = backfill.Key{key}
		part.Count++
	}
	part.End = part.Count < room.Rows
	return part, nil
}

func (s *oneShard) Write(_ context.Context, _ backfill.Shard, c backfill.Checkpoint) (backfill.Written, error) {
	time.Sleep(time.Duration(len(c.Swaps)) * s.took)
	if n := len(c.Swaps); n > 0 {
		s.batches = append(s.batches, n)
		if err := s.failing(n); err != nil {
			return backfill.Written{}, err
		}
		s.after = c.Cursor[0].(int64)
	}
	s.over = c.Done
	s.alive = append(s.alive, time.Now())
	return backfill.Written{Swapped: len(c.Swaps)}, nil
}

func (s *oneShard) Renew(context.Context, backfill.Shard) error {
	s.renewed++
	s.alive = append(s.alive, time.Now())
	return nil
}

func (s *oneShard) Release(context.Context, backfill.Shard) error { return nil }

// sealer replaces every value.
type sealer struct{ backfill.Codec }

func (sealer) Reseal(row backfill.Row) (backfill.Swap, []backfill.Poison, error) {
	return backfill.Swap{Row: row, New: []any{"new"}}, nil, nil
}

var (
	errTimeout = errors.New("canceling statement due to statement timeout")
	errDown    = errors.New("the server is shutting down")
)

// run runs a worker on the store.
func (s *oneShard) run(ctx context.Context, pressure *backfill.Pressure, lease time.Duration) error {
	if s.failing == nil {
		s.failing = func(int) error { return nil }
	}
	r := &backfill.Runner{
		Worker:   &backfill.Worker{Store: s, Codecs: []backfill.Codec{sealer{}}, Pace: pressure, Now: time.Now, Every: lease / 10},
		Pressure: pressure, Lease: lease,
		Transient: func(err error) (again, smaller bool) {
			text := err.Error()
			timeout := strings.Contains(text, errTimeout.Error())
			return timeout || strings.Contains(text, errDown.Error()), timeout
		},
		Saved: func(context.Context, backfill.Counts) error { return nil },
	}
	return r.Run(ctx)
}

func TestABatchThatTimesOutIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, most := range []int{1, 3, 40} {
			p := newPressure(backfill.Limits{})
			(world{write: time.Nanosecond, stale: 1}).after(p, 20)
			s := &oneShard{rows: 6000, took: time.Microsecond, failing: func(rows int) error {
				if rows > most {
					return errTimeout
				}
				return nil
			}}
			if err := s.run(t.Context(), p, 30*time.Second); err != nil || s.after != 6000 || s.batches[0] != 5000 {
				t.Errorf("%d rows at most: it came to row %d: %v", most, s.after, err)
			}
		}
	})
}

// What fails however small it is ends the run, although each read of it works.
func TestARowThatTimesOutEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oneShard{rows: 1000, failing: func(int) error { return errTimeout }}
		began := time.Now()
		err := s.run(timeout(t, time.Hour), newPressure(backfill.Limits{}), 30*time.Second)
		if took := time.Since(began); !errors.Is(err, errTimeout) || took > 2*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
		if n := len(s.batches); s.batches[0] != 100 || s.batches[n-1] != 1 || n > 30 {
			t.Errorf("it tried batches of %v", s.batches)
		}
	})
}

// An error that has nothing to do with the size leaves it as it is.
func TestABatchIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := &oneShard{rows: 100, failing: func(int) error {
			if tries++; tries < 10 {
				return errDown
			}
			return nil
		}}
		if err := s.run(t.Context(), newPressure(backfill.Limits{}), 30*time.Second); err != nil {
			t.Error(err)
		}
		for i, rows := range s.batches {
			if rows != 100 {
				t.Errorf("batch %d has %d rows", i, rows)
			}
		}
	})
}

// A worker that waits does not lose its shard, whatever it waits for and however
// much of the lease has passed already.
func TestTheLeaseIsRenewedDuringWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range waits() {
			if name == "throttle" {
				keepAsking(t, p)
			}
			s := &oneShard{rows: 1000, took: time.Millisecond}
			if err := s.run(timeout(t, 10*time.Minute), p, time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			for i := range s.alive[1:] {
				if gap := s.alive[i+1].Sub(s.alive[i]); gap > 700*time.Millisecond {
					t.Errorf("%s: a lease of a second was not renewed for %s", name, gap)
				}
			}
			if s.renewed < 10*60 || s.renewed > 10*60*2 {
				t.Errorf("%s: it was renewed %d times in ten minutes", name, s.renewed)
			}
		}
	})
}

// The reason of a throttle may read like an error that passes.
func TestTooLongAWaitEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := backfill.NewPressure(backfill.Limits{}, []backfill.Throttle{until(time.Hour, errDown.Error(), errDown)}, time.Minute)
		keepAsking(t, p)
		s := &oneShard{rows: 1000}
		began := time.Now()
		if err := s.run(t.Context(), p, 30*time.Second); !errors.Is(err, backfill.ErrWaited) || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// The duty cycle is that of the whole run, whatever it does.
func TestDutyOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for duty, want := range map[float64]time.Duration{1: 10 * time.Second, 0.5: 20 * time.Second, 0.1: 100 * time.Second} {
			s := &oneShard{rows: 100_000, took: 100 * time.Microsecond} // of which 1,000 take the target
			began := time.Now()
			if err := s.run(t.Context(), newPressure(backfill.Limits{Duty: duty}), 30*time.Second); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < want*98/100 || took > want {
				t.Errorf("with a duty of %v, ten seconds of work took %s, want %s", duty, took, want)
			}
			if n := slices.Max(s.batches); n < 990 || n > 1000 || s.renewed > 0 {
				t.Errorf("batches of up to %d rows, want 1,000, and %d renewals, want none", n, s.renewed)
			}
		}
	})
}
