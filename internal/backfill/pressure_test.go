package backfill_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// world is how a database answers: how long rows take, and what there is to them.
type world struct {
	read, write, fixed time.Duration
	stale              float64 // share of the rows
	bytes              int64   // of a row
}

// batch reads and writes what there is room for, and returns how much that was.
func (w world) batch(p *backfill.Pressure) (read, written int) {
	room := p.Room()
	read = room.Rows
	if w.bytes > 0 {
		read = max(1, min(read, int(room.Bytes/w.bytes)))
	}
	if w.stale > 0 {
		read = min(read, int(float64(room.Stale)/w.stale))
	}
	written = int(float64(read) * w.stale)
	p.DidRead(backfill.Part{Count: read, Bytes: int64(read) * w.bytes}, written, w.fixed+time.Duration(read)*w.read)
	if written > 0 {
		p.DidWrite(written, w.fixed+time.Duration(written)*w.write)
	}
	return read, written
}

// after returns what the last of some batches was.
func (w world) after(p *backfill.Pressure, batches int) (read, written int) {
	for range batches {
		read, written = w.batch(p)
	}
	return read, written
}

// newPressure has room for 5,000 rows, unless the limits say otherwise.
func newPressure(limits backfill.Limits, throttles ...backfill.Throttle) *backfill.Pressure {
	if limits.MaxRows == 0 {
		limits.MaxRows = 5000
	}
	return backfill.NewPressure(limits, throttles, 0)
}

func TestBatchesGrowByHalfAtMost(t *testing.T) {
	p := newPressure(backfill.Limits{})
	fast := world{read: time.Nanosecond, write: time.Microsecond, stale: 1}
	last, _ := fast.batch(p)
	if last != 100 {
		t.Errorf("the first batch has %d rows, want 100", last)
	}
	for range 12 {
		rows, _ := fast.batch(p)
		if float64(rows) > 1.5*float64(last)+1 {
			t.Errorf("%d rows after %d", rows, last)
		}
		last = rows
	}
	if last != 5000 {
		t.Errorf("after 13 batches there are %d rows, want all of 5000", last)
	}
}

func TestBatchesTakeTheTarget(t *testing.T) {
	for perRow, want := range map[time.Duration]int{200 * time.Microsecond: 500, time.Millisecond: 100, 3 * time.Millisecond: 33, time.Second: 10} {
		p := newPressure(backfill.Limits{})
		if _, rows := (world{write: perRow, stale: 1}).after(p, 20); rows < want-1 || rows > want {
			t.Errorf("at %s a row: %d rows, want %d", perRow, rows, want)
		}
	}
	p := newPressure(backfill.Limits{Target: time.Second})
	if _, rows := (world{write: time.Millisecond, stale: 1}).after(p, 20); rows < 999 || rows > 1000 {
		t.Errorf("of a second: %d rows", rows)
	}
}

// Of ten batches the second slowest counts.
func TestOneSlowBatchChangesNothing(t *testing.T) {
	p := newPressure(backfill.Limits{})
	usual, slow := world{write: time.Millisecond, stale: 1}, world{write: 4 * time.Millisecond, stale: 1}
	usual.after(p, 10)
	slow.batch(p)
	if _, rows := usual.batch(p); rows < 99 {
		t.Errorf("%d rows after one", rows)
	}
	slow.batch(p)
	if _, rows := usual.batch(p); rows > 25 {
		t.Errorf("%d rows after two, want those that take the target then", rows)
	}
}

// The last batch of a shard may be short. What its rows take says nothing.
func TestShortBatchesChangeNothing(t *testing.T) {
	p := newPressure(backfill.Limits{})
	w := world{read: 20 * time.Microsecond, write: 50 * time.Microsecond, fixed: 5 * time.Millisecond, stale: 1}
	w.after(p, 20)
	before := p.Room()
	for range 10 {
		p.DidRead(backfill.Part{Count: 1}, 1, w.fixed)
		p.DidWrite(1, w.fixed)
	}
	if after := p.Room(); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestAVerySlowBatchShrinksTheNextAtOnce(t *testing.T) {
	p := newPressure(backfill.Limits{})
	(world{write: 100 * time.Microsecond, stale: 1}).after(p, 20)
	if _, rows := (world{write: 510 * time.Microsecond, stale: 1}).batch(p); rows < 999 {
		t.Fatalf("%d rows", rows)
	}
	// Five times as long: a fifth of the rows.
	if _, rows := (world{write: 5 * time.Millisecond, stale: 1}).batch(p); rows < 195 || rows > 200 {
		t.Errorf("%d rows after a batch of half a second", rows)
	}
	// Ten times as long: a tenth.
	if _, rows := (world{write: 5 * time.Millisecond, stale: 1}).batch(p); rows < 19 || rows > 20 {
		t.Errorf("%d rows after a batch of a second", rows)
	}
}

// A write of few rows takes as long as any statement. That is not to be taken for
// what rows take.
func TestATableThatIsCurrentIsReadInLargeBatches(t *testing.T) {
	for _, stale := range []float64{0, 0.001, 0.01} {
		p := newPressure(backfill.Limits{})
		w := world{read: 2 * time.Microsecond, write: 50 * time.Microsecond, fixed: 5 * time.Millisecond, stale: stale}
		if rows, _ := w.after(p, 20); rows < 4999 {
			t.Errorf("at %v stale: %d rows, want 5000", stale, rows)
		}
	}
	// And not in larger ones than take the target.
	p := newPressure(backfill.Limits{})
	if rows, _ := (world{read: time.Millisecond}).after(p, 20); rows < 99 || rows > 100 {
		t.Errorf("at a millisecond a row: %d rows", rows)
	}
}

// Where everything is stale after a stretch in which nothing was, the first batch
// is not as large as the reads were.
func TestADenseStretchAfterASparseOne(t *testing.T) {
	p := newPressure(backfill.Limits{})
	dense := world{read: 2 * time.Microsecond, write: time.Millisecond, stale: 1}
	dense.after(p, 20)
	(world{read: 2 * time.Microsecond}).after(p, 20)
	if rows := p.Room().Rows; rows != 5000 {
		t.Errorf("%d rows in the sparse one", rows)
	}
	for i := range 3 {
		want := 100
		if i == 0 {
			want = 200
		}
		if rows, _ := dense.batch(p); rows > want {
			t.Errorf("%d rows in batch %d of the dense one, want %d at most", rows, i, want)
		}
	}
}

func TestCaps(t *testing.T) {
	fast := world{write: time.Nanosecond, stale: 1, bytes: 1 << 20}
	for limits, want := range map[backfill.Limits]int{
		{}:               8,
		{MaxRows: 7}:     7,
		{MaxBytes: 1}:    1,
		{MaxRows: 1}:     1,
		{Rate: 3}:        3,
		{Rate: 0.01}:     1,
		{MaxBytes: 1e12}: 5000,
	} {
		p := newPressure(limits)
		for range 30 {
			if rows, written := fast.batch(p); written > limits.MaxRows && limits.MaxRows > 0 || int64(rows)*fast.bytes > max(p.Room().Bytes, fast.bytes) {
				t.Fatalf("%+v: %d rows, %d written", limits, rows, written)
			}
		}
		if rows := p.Room().Rows; rows != want {
			t.Errorf("%+v: %d rows, want %d", limits, rows, want)
		}
	}
}

// A worker that waited for a lock for a minute does not rest for an hour.
func TestWaitingForALockIsNoWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPressure(backfill.Limits{Target: 5 * time.Millisecond, Duty: 0.01})
		p.Ask(t.Context())
		began := time.Now()
		if err := p.Wait(t.Context(), backfill.Turn{Worked: time.Minute, Ended: began}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("it rested for %v", took)
		}
	})
}

// Limits that are lowered hold at once. When they are raised again, batches grow
// from there.
func TestChangedLimits(t *testing.T) {
	p := newPressure(backfill.Limits{})
	fast := world{write: time.Microsecond, stale: 1}
	fast.after(p, 20)
	p.SetLimits(backfill.Limits{MaxRows: 50})
	if rows, _ := fast.batch(p); rows != 50 {
		t.Errorf("%d rows, want 50", rows)
	}
	p.SetLimits(backfill.Limits{})
	if rows, _ := fast.batch(p); rows > 75 {
		t.Errorf("%d rows after 50", rows)
	}
}

func TestFailedBatchesAreHalved(t *testing.T) {
	p := newPressure(backfill.Limits{})
	w := world{write: time.Millisecond, stale: 1}
	_, rows := w.after(p, 20)
	for rows > 1 {
		if !p.Failed(rows) {
			t.Fatalf("%d rows cannot be halved", rows)
		}
		next := p.Room().Rows
		if next > rows/2 {
			t.Fatalf("%d rows after %d", next, rows)
		}
		rows = next
	}
	if p.Failed(1) {
		t.Error("one row can be halved")
	}
	for range 3 {
		before := p.Room().Rows
		w.batch(p)
		if after := p.Room().Rows; float64(after) > 1.5*float64(before)+1 {
			t.Errorf("%d rows after %d", after, before)
		}
	}

	// A read is halved by itself.
	p = newPressure(backfill.Limits{})
	sparse := world{read: time.Nanosecond}
	sparse.after(p, 20)
	if !p.Failed(0) || p.Room().Rows != 2500 || p.Room().Stale != 200 {
		t.Errorf("after a read failed: %+v", p.Room())
	}
	// After it failed twice there, it does not soon grow to that again.
	sparse.after(p, 2)
	p.Failed(0)
	if rows, _ := sparse.after(p, 7); rows > 2500 {
		t.Errorf("%d rows, where 5000 have failed twice", rows)
	}
}

func alive() error { return nil }

func TestRateOfSeveralWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPressure(backfill.Limits{Rate: 250, Duty: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var written, largest atomic.Int64
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for {
					rows := 10 + 7*i
					if p.Wait(ctx, backfill.Turn{Rows: rows}, alive) != nil {
						return
					}
					written.Add(int64(rows))
					largest.Store(max(largest.Load(), int64(rows)))
					time.Sleep(time.Millisecond)
				}
			})
		}
		group.Wait()
		want := int64(250 * 60)
		if n := written.Load(); n > want+largest.Load() || n < want*98/100 {
			t.Errorf("%d rows in a minute, want %d", n, want)
		}
		// What was not used is not saved up.
		time.Sleep(time.Hour)
		began := time.Now()
		for range 3 {
			if err := p.Wait(t.Context(), backfill.Turn{Rows: 250}, alive); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("three batches of a second's worth after an hour took %s, want 2 s", took)
		}
		// Reads do not count.
		began = time.Now()
		if err := p.Wait(t.Context(), backfill.Turn{}, alive); err != nil || time.Since(began) > 0 {
			t.Errorf("a read waited for %s: %v", time.Since(began), err)
		}
	})
}

// Who waits goes by limits that were changed meanwhile.
func TestLimitsChangeDuringAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, slow := range []backfill.Limits{{Rate: 0.01}, {Duty: 1e-9}, {Rate: 1e-300}, {Duty: 1e-300}} {
			p := newPressure(slow)
			if err := p.Wait(t.Context(), backfill.Turn{Rows: 100}, alive); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			time.AfterFunc(10*time.Second, func() { p.SetLimits(backfill.Limits{Rate: 1e6}) })
			if err := p.Wait(t.Context(), backfill.Turn{Rows: 100, Worked: time.Second, Ended: began}, alive); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+500*time.Millisecond {
				t.Errorf("%+v: it took %s, want 10 s", slow, took)
			}
		}
	})
}

// Rows that were written before there was a rate do not count.
func TestARateIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPressure(backfill.Limits{})
		for range 2 {
			began := time.Now()
			if err := p.Wait(t.Context(), backfill.Turn{Rows: 5000}, alive); err != nil || time.Since(began) > 0 {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
			p.SetLimits(backfill.Limits{Rate: 1})
		}
	})
}

func TestDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for duty, want := range map[float64]time.Duration{0: 100 * time.Millisecond, 0.5: 100 * time.Millisecond, 0.25: 300 * time.Millisecond, 0.01: 9900 * time.Millisecond, 1: 0} {
			p := newPressure(backfill.Limits{Duty: duty})
			for _, rows := range []int{0, 10} { // after whatever it was
				turn := backfill.Turn{Rows: rows, Worked: 100 * time.Millisecond, Ended: time.Now()}
				began := time.Now()
				if err := p.Wait(t.Context(), turn, alive); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began).Round(time.Microsecond); took != want {
					t.Errorf("with a duty of %v a worker rests %s, want %s", duty, took, want)
				}
			}
			// Time that passed meanwhile is rest.
			turn := backfill.Turn{Worked: 100 * time.Millisecond, Ended: time.Now()}
			time.Sleep(want)
			began := time.Now()
			if err := p.Wait(t.Context(), turn, alive); err != nil || time.Since(began) > time.Microsecond {
				t.Errorf("it rests %s once more: %v", time.Since(began), err)
			}
		}
	})
}

// throttle is a Throttle of a function.
type throttle func(ctx context.Context) (string, error)

func (t throttle) Throttled(ctx context.Context) (string, error) { return t(ctx) }

// until throttles for a time.
func until(d time.Duration, reason string, err error) backfill.Throttle {
	end := time.Now().Add(d)
	return throttle(func(context.Context) (string, error) {
		if time.Now().Before(end) {
			return reason, err
		}
		return "", nil
	})
}

// keepAsking has the throttles asked until the test ends.
func keepAsking(t *testing.T, p *backfill.Pressure) {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	p.Ask(ctx)
	group.Go(func() { p.KeepAsking(ctx) })
	t.Cleanup(func() { cancel(); group.Wait() })
}

func TestThrottles(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"reason": {reason: "a replica is behind", want: "a replica is behind"},
		"error":  {err: errors.New("no route to host"), want: "a throttle failed: no route to host"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPressure(backfill.Limits{}, until(0, "", nil), until(time.Minute, c.reason, c.err), until(2*time.Second, "it is noon", nil))
				keepAsking(t, p)
				if got := p.Waits(); got != c.want+"; it is noon" {
					t.Errorf("it waits because %q", got)
				}
				began := time.Now()
				for _, rows := range []int{0, 1} { // reads wait too
					if err := p.Wait(t.Context(), backfill.Turn{Rows: rows}, alive); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(began); took < time.Minute || took > time.Minute+1500*time.Millisecond {
						t.Errorf("it waited for %s, want a minute", took)
					}
				}
				if got := p.Waits(); got != "" {
					t.Errorf("afterwards it waits because %q", got)
				}
			})
		})
	}
}

func TestMaxWait(t *testing.T) {
	for name, err := range map[string]error{"reason": nil, "error": errors.New("no route to host")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := backfill.NewPressure(backfill.Limits{}, []backfill.Throttle{until(time.Hour, "it is noon", err)}, 20*time.Second)
				keepAsking(t, p)
				began := time.Now()
				got := p.Wait(t.Context(), backfill.Turn{}, alive)
				if !errors.Is(got, backfill.ErrWaited) || !strings.Contains(got.Error(), p.Waits()) || p.Waits() == "" {
					t.Errorf("%v", got)
				}
				if took := time.Since(began); took != 20*time.Second {
					t.Errorf("after %s, want 20 s", took)
				}
			})
		})
	}
}

// Only a wait without a break is too long, and resting is none.
func TestMaxWaitBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		everyOther := throttle(func(context.Context) (string, error) {
			if asked++; asked%8 == 0 {
				return "", nil
			}
			return "it is noon", nil
		})
		p := backfill.NewPressure(backfill.Limits{Duty: 0.001}, []backfill.Throttle{everyOther}, 10*time.Second)
		keepAsking(t, p)
		began := time.Now()
		err := p.Wait(t.Context(), backfill.Turn{Worked: 100 * time.Millisecond, Ended: began}, alive)
		if took := time.Since(began); err != nil || took < 99*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// An answer does not count for ever. A throttle that hangs holds up no worker in a
// way that its lease runs out.
func TestAThrottleThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		asked := 0
		hangs := throttle(func(context.Context) (string, error) {
			if asked++; asked == 3 {
				<-hung // though ctx is done
			}
			return "", nil
		})
		p := newPressure(backfill.Limits{}, hangs)
		if err := p.Wait(timeout(t, time.Minute), backfill.Turn{}, alive); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before it was asked: %v", err)
		}
		keepAsking(t, p)
		time.Sleep(9 * time.Second)
		if got := p.Waits(); got != "" {
			t.Errorf("soon it waits because %q", got)
		}
		time.Sleep(3 * time.Second)
		if got := p.Waits(); got != "a throttle does not answer" {
			t.Errorf("it waits because %q", got)
		}
		beats := 0
		if err := p.Wait(timeout(t, time.Minute), backfill.Turn{}, func() error { beats++; return nil }); !errors.Is(err, context.DeadlineExceeded) || beats < 200 {
			t.Errorf("%v, after %d", err, beats)
		}
		close(hung)
		if err := p.Wait(timeout(t, time.Minute), backfill.Turn{}, alive); err != nil {
			t.Errorf("when it answered: %v", err)
		}
	})
}

// A throttle that honours its context gets some seconds.
func TestASlowThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPressure(backfill.Limits{}, throttle(func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}))
		began := time.Now()
		p.Ask(t.Context())
		if took, got := time.Since(began), p.Waits(); took != 5*time.Second || got != "a throttle failed: context deadline exceeded" {
			t.Errorf("after %s: %q", took, got)
		}
	})
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// waits are the ways to wait for long.
func waits() map[string]*backfill.Pressure {
	rate := newPressure(backfill.Limits{Rate: 0.001})
	_ = rate.Wait(context.Background(), backfill.Turn{Rows: 100}, alive)
	throttled := newPressure(backfill.Limits{}, until(time.Hour, "it is noon", nil))
	throttled.Ask(context.Background())
	return map[string]*backfill.Pressure{
		"rate":     rate,
		"duty":     newPressure(backfill.Limits{Duty: 1e-6}),
		"throttle": throttled,
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range waits() {
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			time.AfterFunc(1234567*time.Microsecond, cancel)
			err := p.Wait(ctx, backfill.Turn{Rows: 1, Worked: time.Second, Ended: began}, alive)
			if took := time.Since(began); !errors.Is(err, context.Canceled) || took != 1234567*time.Microsecond {
				t.Errorf("%s: after %s: %v", name, took, err)
			}
		}
	})
}

func TestAWaitSaysThatItIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("lost")
		for name, p := range waits() {
			began, last := time.Now(), time.Now()
			err := p.Wait(t.Context(), backfill.Turn{Rows: 1, Worked: time.Second, Ended: began}, func() error {
				if gap := time.Since(last); gap > 250*time.Millisecond {
					t.Errorf("%s: not for %s", name, gap)
				}
				if last = time.Now(); last.Sub(began) >= time.Minute {
					return lost
				}
				return nil
			})
			if took := time.Since(began); !errors.Is(err, lost) || took != time.Minute {
				t.Errorf("%s: after %s: %v", name, took, err)
			}
		}
	})
}

func TestLimitsCheck(t *testing.T) {
	for _, bad := range []backfill.Limits{{Target: -1}, {MaxRows: -1}, {MaxBytes: -1}, {Rate: -1}, {Duty: -1}, {Duty: 1.1}} {
		if bad.Check() == nil {
			t.Errorf("%+v is good", bad)
		}
	}
	if err := (backfill.Limits{Target: 1, MaxRows: 1, MaxBytes: 1, Rate: 1, Duty: 1}).Check(); err != nil {
		t.Error(err)
	}
}
