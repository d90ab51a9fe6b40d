package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Runner runs a worker until its job is over.
type Runner struct {
	*Worker
	Pressure *Pressure
	Lease    time.Duration
	// Transient reports whether an error may be gone when the same is tried again,
	// and whether that is likelier with less.
	Transient func(error) (again, smaller bool)
	// Saved is called after each checkpoint.
	Saved func(ctx context.Context, counts Counts) error

	worked  time.Duration // in the last step, until ended
	ended   time.Time
	renewed time.Time // when the lease last was, but by a checkpoint
}

// maxAttempts is how often something is tried before the next checkpoint that
// fails in a way that may pass, and is not split. With the waits between them that
// is about a minute.
const maxAttempts = 10

// minIdle and maxIdle are how long a worker waits before it looks again whether
// there is something to do.
const (
	minIdle = 10 * time.Millisecond
	maxIdle = 100 * time.Millisecond
)

// Run goes through shards until the job is over. When it returns, the worker holds
// no shard, unless the database cannot be reached; then its lease runs out.
func (r *Runner) Run(ctx context.Context) error {
	defer r.release(context.WithoutCancel(ctx))
	for attempt, idle := 0, minIdle; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		state, counts, err := r.one(ctx)
		switch {
		case err == nil:
		case errors.Is(err, ErrLost): // or the job is paused, and nobody else has the shard
			r.release(ctx)
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrWaited): // whose reason may read like an error that passes
			return err
		default:
			again, smaller := r.Transient(err)
			split := smaller && r.Shard() != nil && r.Pressure.Failed(r.Rows())
			if !split {
				attempt++
			}
			if !again || attempt > maxAttempts {
				return err
			}
			r.Restart()
			if err := sleep(ctx, backoff(attempt)); err != nil {
				return err
			}
			continue
		}
		// A read alone is no progress: what was read may fail to be written for ever.
		if counts != (Counts{}) || state == Idle {
			attempt = 0
		}
		if counts != (Counts{}) {
			if err := r.Saved(ctx, counts); err != nil {
				return err
			}
		}
		switch state {
		case Over:
			return nil
		case Idle:
			// At the end of a pass the others take a moment, or as long as a lease.
			if err := sleep(ctx, idle); err != nil {
				return err
			}
			idle = min(2*idle, r.Lease/10, maxIdle)
		default:
			idle = minIdle
		}
	}
}

// backoff is how long to wait after a number of attempts that failed.
func backoff(attempts int) time.Duration { return min(50*time.Millisecond<<attempts, 10*time.Second) }

// Patiently runs f again while it fails in a way that may pass, for about as long as
// a worker does.
func (l *Ledger) Patiently(ctx context.Context, f func() error) error {
	err := tryAgain(ctx, l, maxAttempts+1, backoff, f)
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err) // a database says only that it was cancelled
	}
	return err
}

// tryAgain runs f up to so many times, while it fails in a way that may pass.
func tryAgain(ctx context.Context, d dialect, tries int, wait func(try int) time.Duration, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || ctx.Err() != nil || try == tries {
			return err
		}
		if again, _ := d.transient(err); !again {
			return err
		}
		if err := sleep(ctx, wait(try)); err != nil {
			return err
		}
	}
}

// one takes a step. If there is a shard, it waits until it may, and learns from
// how long the step took.
func (r *Runner) one(ctx context.Context) (State, Counts, error) {
	if r.Shard() == nil {
		return r.Step(ctx)
	}
	rows := r.Rows()
	if err := r.Pressure.Wait(ctx, Turn{rows, r.worked, r.ended}, func() error { return r.keep(ctx) }); err != nil {
		return Busy, Counts{}, err
	}
	began := time.Now()
	state, counts, err := r.Step(ctx)
	r.ended = time.Now()
	r.worked = r.ended.Sub(began)
	if err == nil && rows > 0 {
		r.Pressure.DidWrite(rows, r.worked)
	}
	return state, counts, err
}

// keep renews the lease when a third of it is over.
func (r *Runner) keep(ctx context.Context) error {
	third := r.Lease / 3
	if time.Since(r.saved) < third || time.Since(r.renewed) < third {
		return nil
	}
	if err := r.Store.Renew(ctx, *r.Shard()); err != nil {
		return err
	}
	r.renewed = time.Now()
	return nil
}

// release gives the shard back, with what was gone through since the last
// checkpoint. If that fails, it is gone through again.
func (r *Runner) release(ctx context.Context) {
	if shard := r.Shard(); shard != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if r.owed != (Counts{}) {
			_, _ = r.Store.Write(ctx, *shard, Checkpoint{Cursor: shard.After, Counts: r.owed})
		}
		_ = r.Store.Release(ctx, *shard)
		r.drop()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
