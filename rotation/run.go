package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
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
	defaults Limits
	pressure *backfill.Pressure
	log      *slog.Logger
	limits   string // as the ledger has them
}

func newRun(r *Rotation, ledger *backfill.Ledger, database *backfill.Database, id string, defaults Limits) *run {
	var throttles []backfill.Throttle
	for _, throttle := range r.config.Throttles {
		throttles = append(throttles, throttle)
	}
	return &run{
		Rotation: r, ledger: ledger, database: database, id: id, log: r.config.Logger.With("job", id), defaults: defaults,
		pressure: backfill.NewPressure(backfill.Limits(r.config.Limits.or(defaults)), throttles, r.config.MaxWait),
	}
}

// work runs all workers. The first error stops the others.
func (r *run) work(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Somebody may have changed the limits of a job that is resumed.
	job, err := r.job(ctx)
	if err != nil {
		return err
	}
	r.adopt(job.Limits)
	r.pressure.Ask(ctx)
	watching, stop := context.WithCancel(ctx)
	var group, watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })
	watch.Go(func() { r.pressure.KeepAsking(watching) })
	for i := range r.config.Workers {
		worker := &backfill.Worker{
			Name: workerName(i), Store: r.database, Pace: r.pressure, Now: time.Now, Every: r.config.Lease / 10,
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
	stop()
	watch.Wait()
	return context.Cause(ctx)
}

// process tells this process from others, here and elsewhere.
var process = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", strings.ReplaceAll(host, "/", "_"), os.Getpid())
})

func workerName(i int) string { return fmt.Sprintf("%s/%d", process(), i) }

// isOurs reports whether a worker is one of this process.
func isOurs(worker string) bool { return strings.HasPrefix(worker, process()+"/") }

// job reads the job, patiently.
func (r *run) job(ctx context.Context) (job backfill.Job, err error) {
	err = r.ledger.Patiently(ctx, func() error {
		job, err = r.ledger.Job(ctx, r.id)
		return err
	})
	return job, err
}

// lastLook reads the job at the end of a run. After an error, such as that of a
// database that is gone, it does not try for long, and does so although ctx may be
// over.
func (r *run) lastLook(ctx context.Context, failed error) (backfill.Job, error) {
	if failed == nil {
		return r.job(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.ledger.Job(ctx, r.id)
}

// saved looks at what a checkpoint has done.
func (r *run) saved(ctx context.Context, counts backfill.Counts) error {
	if counts.Poisoned == 0 {
		return nil
	}
	var rows []backfill.QuarantinedValue
	err := r.ledger.Patiently(ctx, func() (err error) {
		rows, err = r.ledger.Quarantine(ctx, r.id)
		return err
	})
	if err != nil {
		return err
	}
	if int64(len(rows)) <= r.config.MaxPoisoned {
		return nil
	}
	reason := fmt.Sprintf("there are %d in quarantine; the first is %s (%s): %s", len(rows), rows[0].Table, rows[0].Key, rows[0].Reason)
	if err := r.ledger.SetState(ctx, r.id, backfill.Paused, reason); err != nil {
		return err
	}
	return fmt.Errorf("gormcrypt: job %s is paused: %w: %s; find out why, then resume or cancel it", r.id, ErrPoisoned, reason)
}

// watch says once a second how far the job is, and takes new limits.
func (r *run) watch(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var meter meter
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		job, err := r.ledger.Job(ctx, r.id)
		if err != nil {
			continue // the workers see it too
		}
		r.adopt(job.Limits)
		r.tell(meter.progress(status(job), r.waits(ctx, job), time.Now()))
	}
}

// waits returns why this process does nothing for a job, empty if it does.
func (r *run) waits(ctx context.Context, job backfill.Job) string {
	if job.State == backfill.Paused {
		if job.Reason == "" {
			return "the job is paused"
		}
		return "the job is paused: " + job.Reason
	}
	if reason := r.pressure.Waits(); reason != "" {
		return reason
	}
	if job.Done == job.Shards { // what is stale is being counted
		return ""
	}
	holders, err := r.ledger.Holders(ctx, r.id, isOurs)
	switch {
	case err != nil || holders.Ours > 0:
		return ""
	case len(holders.Others) > 0:
		return fmt.Sprintf("others have the rest (%s); that of one that is gone is free in %v at most", strings.Join(holders.Others, ", "), holders.Until.Round(time.Second))
	}
	return job.Reason
}

// adopt takes the limits in the ledger, which another process may have changed. As
// long as there are none, those of the configuration are in force.
func (r *run) adopt(text string) {
	if text == r.limits {
		return
	}
	var limits Limits
	if err := json.Unmarshal([]byte(text), &limits); err == nil && limits.check() == nil {
		r.limits = text
		r.pressure.SetLimits(backfill.Limits(limits.or(r.defaults)))
	}
}

func (r *run) tell(p Progress) {
	r.config.Progress(p)
	r.log.Info("gormcrypt: "+r.plan.Title, p.attributes()...)
}

// finish says how the run ended.
func (r *run) finish(status Status, err error) {
	var meter meter // without a rate, which is that of a run that goes on
	p := meter.progress(status, "", time.Now())
	r.config.Progress(p)
	switch {
	case err == nil:
		r.log.Info("gormcrypt: finished: "+r.plan.Title, p.attributes()...)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		r.log.Info("gormcrypt: stopped: "+r.plan.Title, p.attributes()...)
	default:
		r.log.Error("gormcrypt: ended: "+r.plan.Title, append(p.attributes(), "error", err)...)
	}
}
