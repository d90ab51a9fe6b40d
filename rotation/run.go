package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// run is one call of Rotation.Run.
type run struct {
	*Rotation
	ledger   *backfill.Ledger
	database *backfill.Database
	id       string
	pressure *backfill.Pressure
	log      *slog.Logger

	mu      sync.Mutex
	waiting string
	limits  string
}

func newRun(r *Rotation, ledger *backfill.Ledger, database *backfill.Database, id string) *run {
	one := &run{Rotation: r, ledger: ledger, database: database, id: id, log: r.config.Logger.With("job", id)}
	one.pressure = backfill.NewPressure(r.config.Limits, r.config.Throttles, r.config.MaxWait, one.waits)
	return one
}

// waits notes why workers wait.
func (r *run) waits(reason string) {
	r.mu.Lock()
	changed := r.waiting != reason
	r.waiting = reason
	r.mu.Unlock()
	if changed && reason != "" {
		r.log.Info("gormcrypt: rotation waits", "reason", reason)
	}
}

// work runs all workers. The first error stops the others.
func (r *run) work(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	var group, watch sync.WaitGroup
	watch.Go(func() { r.watch(ctx, watched) })
	for i := range r.config.Workers {
		worker := &backfill.Worker{
			Name: workerName(i), Store: r.database, Limit: r.pressure.Limit, Now: time.Now, Every: r.config.Lease / 10,
		}
		for _, codec := range r.codecs {
			worker.Codecs = append(worker.Codecs, codec)
		}
		runner := &backfill.Runner{Worker: worker, Pressure: r.pressure, Lease: r.config.Lease, Transient: r.ledger.Transient, Saved: r.saved}
		group.Go(func() {
			if err := runner.Run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	close(watched)
	watch.Wait()
	return context.Cause(ctx)
}

// saved looks at what a checkpoint has done.
func (r *run) saved(ctx context.Context, counts backfill.Counts) error {
	if counts.Poisoned == 0 {
		return nil
	}
	rows, err := r.ledger.Quarantine(ctx, r.id)
	if err != nil {
		return err
	}
	if int64(len(rows)) <= r.config.MaxPoisoned {
		return nil
	}
	reason := fmt.Sprintf("%d values do not open; the first is %s (%s): %s", len(rows), rows[0].Table, rows[0].Key, rows[0].Reason)
	if err := r.ledger.SetState(ctx, r.id, backfill.Paused, reason); err != nil {
		return err
	}
	return fmt.Errorf("gormcrypt: job %s is paused: %w: %s; find out why, then resume or cancel it", r.id, ErrPoisoned, reason)
}

// watch says once a second how far the job is, and takes new limits.
func (r *run) watch(ctx context.Context, done <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var meter meter
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		status, err := Find(ctx, r.db, r.id)
		if err != nil {
			continue // the workers see it too
		}
		r.adopt(status.limits)
		r.mu.Lock()
		reason := r.waiting
		r.mu.Unlock()
		if status.State == Paused {
			reason = "the job is paused"
			if status.Reason != "" {
				reason += ": " + status.Reason
			}
		}
		r.tell(meter.progress(status, reason, time.Now()))
	}
}

// adopt takes the limits in the ledger, which another process may have changed.
func (r *run) adopt(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == r.limits {
		return
	}
	var limits Limits
	if err := json.Unmarshal([]byte(text), &limits); err == nil && limits.Check() == nil {
		r.limits = text
		r.pressure.SetLimits(limits)
	}
}

func (r *run) tell(p Progress) {
	r.config.Progress(p)
	r.log.Info("gormcrypt: rotation", p.attributes()...)
}

// finish says how the run ended.
func (r *run) finish(status Status, err error) {
	var meter meter
	p := meter.progress(status, "", time.Now())
	r.config.Progress(p)
	switch {
	case err == nil:
		r.log.Info("gormcrypt: rotation finished", p.attributes()...)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		r.log.Info("gormcrypt: rotation stopped", p.attributes()...)
	default:
		r.log.Error("gormcrypt: rotation ended", append(p.attributes(), "error", err)...)
	}
}
