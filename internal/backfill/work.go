package backfill

import (
	"context"
	"errors"
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
}

// maxAttempts is how often in a row a step is tried that fails in a way that may
// pass. With the waits between them that is about a minute.
const maxAttempts = 10

// minIdle and maxIdle are how long a worker waits before it looks again whether
// there is something to do.
const (
	minIdle = 10 * time.Millisecond
	maxIdle = 500 * time.Millisecond
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
		default:
			again, smaller := r.Transient(err)
			if attempt++; !again || attempt > maxAttempts {
				return err
			}
			if smaller {
				r.Pressure.Failed(r.Rows())
			}
			r.Restart()
			if err := sleep(ctx, min(50*time.Millisecond<<attempt, 10*time.Second)); err != nil {
				return err
			}
			continue
		}
		attempt = 0
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

// one takes a step. If that is to write a batch, it waits until it may, and says
// how long it took.
func (r *Runner) one(ctx context.Context) (State, Counts, error) {
	rows := r.Rows()
	if rows == 0 {
		return r.Step(ctx)
	}
	shard := *r.Shard()
	if err := r.Pressure.Wait(ctx, rows, r.Lease/3, func() error { return r.Store.Renew(ctx, shard) }); err != nil {
		return Busy, Counts{}, err
	}
	start := time.Now()
	state, counts, err := r.Step(ctx)
	if err == nil {
		r.Pressure.Took(rows, counts.Bytes, time.Since(start))
	}
	return state, counts, err
}

// release gives the shard back. Nothing is lost if that fails.
func (r *Runner) release(ctx context.Context) {
	if shard := r.Shard(); shard != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
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
