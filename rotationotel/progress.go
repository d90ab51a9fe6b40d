// Package rotationotel makes OpenTelemetry metrics of rotations. It is a module of
// its own, so that those who do without it do not get its dependencies.
package rotationotel

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gormcrypt/gormcrypt/rotation"
)

// scope is the name of the instrumentation.
const scope = "github.com/gormcrypt/gormcrypt/rotationotel"

// Progress returns a function for rotation.Config.Progress that makes metrics of
// what it is given. All have the attribute gormcrypt.rotation.job, the name of the
// job, and are as in the ledger: every process that runs a job reports the same, so
// take their maximum and not their sum. A job that has ended stays as it ended
// while the process lives.
//
//	gormcrypt.rotation.rows        {row}    counter, of all passes, by gormcrypt.rotation.outcome:
//	                                        read, swapped, superseded, deleted, deferred
//	gormcrypt.rotation.quarantine  {value}  values in quarantine
//	gormcrypt.rotation.pass        1        the pass, from 1
//	gormcrypt.rotation.share       1        share of the pass that is done, from 0 to 1
//	gormcrypt.rotation.rows_left   {row}    rest of the pass
//	gormcrypt.rotation.rate        {row}/s  rows of late, of all processes
//	gormcrypt.rotation.time_left   s        rest of the pass at that rate; not there while it is unknown
//	gormcrypt.rotation.waiting     1        1 while this process is held back, by a throttle or a pause
//
// Why it waits is not in the metrics, because it holds numbers; it is in the log of
// rotation.Config. The error is that of the provider. The function is safe for
// concurrent use, and may be given to several rotations; so call Progress once for
// each provider.
func Progress(provider metric.MeterProvider) (func(rotation.Progress), error) {
	j := &jobs{last: map[string]rotation.Progress{}}
	if err := j.register(provider.Meter(scope)); err != nil {
		return nil, fmt.Errorf("gormcrypt: making the metrics of rotations: %w", err)
	}
	return j.note, nil
}

// jobs are the jobs of a process, with the last that is known of each.
type jobs struct {
	mu   sync.Mutex
	last map[string]rotation.Progress
}

func (j *jobs) note(p rotation.Progress) {
	if p.ID == "" { // the ledger could not be read
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last[p.ID] = p
}

func (j *jobs) register(meter metric.Meter) error {
	rows, err := meter.Int64ObservableCounter("gormcrypt.rotation.rows", metric.WithUnit("{row}"),
		metric.WithDescription("Rows that a job has gone through, by what became of them."))
	if err != nil {
		return err
	}
	observed := []metric.Observable{rows}
	var all []metric.Float64ObservableGauge
	for _, gauge := range gauges {
		one, err := meter.Float64ObservableGauge(gauge.name, metric.WithUnit(gauge.unit), metric.WithDescription(gauge.description))
		if err != nil {
			return err
		}
		all, observed = append(all, one), append(observed, one)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		for id, p := range j.last {
			job := attribute.String("gormcrypt.rotation.job", id)
			for outcome, n := range map[string]int64{"read": p.Rows, "swapped": p.Swapped, "superseded": p.Superseded, "deleted": p.Deleted, "deferred": p.Deferred} {
				to.ObserveInt64(rows, n, metric.WithAttributes(job, attribute.String("gormcrypt.rotation.outcome", outcome)))
			}
			for i, gauge := range gauges {
				if value, known := gauge.value(p); known {
					to.ObserveFloat64(all[i], value, metric.WithAttributes(job))
				}
			}
		}
		return nil
	}, observed...)
	return err
}

type gauge struct {
	name, unit, description string
	value                   func(rotation.Progress) (value float64, known bool)
}

var gauges = []gauge{
	{"gormcrypt.rotation.quarantine", "{value}", "Values in quarantine.", func(p rotation.Progress) (float64, bool) { return float64(p.Quarantined), true }},
	{"gormcrypt.rotation.pass", "1", "The pass through all tables that the job is in.", func(p rotation.Progress) (float64, bool) { return float64(p.Pass), true }},
	{"gormcrypt.rotation.share", "1", "Share of this pass that is done.", func(p rotation.Progress) (float64, bool) { return p.Share, true }},
	{"gormcrypt.rotation.rows_left", "{row}", "Rows that this pass has yet to go through.", func(p rotation.Progress) (float64, bool) { return float64(p.RowsLeft), true }},
	{"gormcrypt.rotation.rate", "{row}/s", "Rows that were gone through of late, in all processes.", func(p rotation.Progress) (float64, bool) { return p.Rate, true }},
	{"gormcrypt.rotation.time_left", "s", "Time that this pass still takes at this rate.", func(p rotation.Progress) (float64, bool) { return p.Left.Seconds(), p.Left > 0 }},
	{"gormcrypt.rotation.waiting", "1", "1 while this process is held back.", func(p rotation.Progress) (float64, bool) {
		if p.Waits != "" {
			return 1, true
		}
		return 0, true
	}},
}
