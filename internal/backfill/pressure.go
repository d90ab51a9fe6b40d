package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits are what a job may take of a database. They can be changed while it
// runs. The zero value of each field means its default.
type Limits struct {
	// Target is the time that a batch should take to be written. Batches grow and
	// shrink to that. The default is 100 ms.
	Target time.Duration `json:"target,omitempty"`
	// MaxRows and MaxBytes bound a batch, in rows and in bytes of stored values.
	// The defaults are 5,000 and 8 MiB.
	MaxRows  int   `json:"max_rows,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// Rate is the most rows that are written in a second, of all workers of a
	// process. The default is no limit.
	Rate float64 `json:"rate,omitempty"`
	// Duty is the share of its time that a worker writes, above 0 and up to 1; for
	// the rest it lets others. The default is 0.5.
	Duty float64 `json:"duty,omitempty"`
}

// Check returns what is wrong with the limits.
func (l Limits) Check() error {
	switch {
	case l.Target < 0, l.MaxRows < 0, l.MaxBytes < 0, l.Rate < 0, l.Duty < 0:
		return errors.New("gormcrypt: a limit is negative")
	case l.Duty > 1:
		return fmt.Errorf("gormcrypt: the duty cycle is %v; want at most 1, which is all of the time", l.Duty)
	}
	return nil
}

func (l Limits) withDefaults() Limits {
	if l.Target == 0 {
		l.Target = 100 * time.Millisecond
	}
	if l.MaxRows == 0 {
		l.MaxRows = 5000
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 8 << 20
	}
	if l.Duty == 0 {
		l.Duty = 0.5
	}
	return l
}

// Throttle says when a job should wait.
type Throttle interface {
	// Throttled returns why the job should wait, or an empty string. It is asked
	// once in a while, by one goroutine at a time. An error means that it does not
	// know: the job waits then, too.
	Throttled(ctx context.Context) (reason string, err error)
}

const (
	firstRows   = 100 // of the first batch
	minRows     = 10
	memory      = 10  // batches of which the size of the next is computed
	growth      = 1.5 // at most
	panicFactor = 5   // a batch that took so many times the target shrinks the next at once
	// throttleEvery is how often throttles are asked.
	throttleEvery = time.Second
)

// Pressure decides how much the workers of a process do at once, and when. It is
// safe for concurrent use.
type Pressure struct {
	throttles []Throttle
	maxWait   time.Duration
	waiting   func(reason string)

	mu     sync.Mutex
	limits Limits
	rows   float64
	recent []sample
	// next is when the next rows may be written by the rate.
	next time.Time

	asking sync.Mutex
	asked  time.Time
	reason string
}

// sample is a batch that was written.
type sample struct{ perRow, bytesPerRow float64 }

// NewPressure returns the pressure of limits and throttles. Waiting is called with
// the reason when a worker begins to wait, and with none when it goes on. A wait
// of more than maxWait ends the job with ErrWaited; zero is for ever.
func NewPressure(limits Limits, throttles []Throttle, maxWait time.Duration, waiting func(reason string)) *Pressure {
	return &Pressure{throttles: throttles, maxWait: maxWait, waiting: waiting, limits: limits.withDefaults(), rows: firstRows}
}

// SetLimits replaces the limits.
func (p *Pressure) SetLimits(limits Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = limits.withDefaults()
}

// Limit returns the number of rows to read for the next batch.
func (p *Pressure) Limit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := p.rows
	for _, s := range p.recent {
		if s.bytesPerRow > 0 {
			rows = min(rows, float64(p.limits.MaxBytes)/s.bytesPerRow)
		}
	}
	return max(1, min(int(rows), p.limits.MaxRows))
}

// Took says how long a batch was written for. The next batch takes the target if
// its rows take as long as the slowest tenth of late.
func (p *Pressure) Took(rows int, bytes int64, took time.Duration) {
	if rows == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = append(p.recent, sample{float64(took) / float64(rows), float64(bytes) / float64(rows)})
	if len(p.recent) > memory {
		p.recent = p.recent[1:]
	}
	if took > panicFactor*p.limits.Target {
		p.rows = max(minRows, float64(rows)/panicFactor)
		p.recent = nil
		return
	}
	all := make([]float64, len(p.recent))
	for i, s := range p.recent {
		all[i] = s.perRow
	}
	slices.Sort(all)
	fits := float64(p.limits.Target) / all[(len(all)*9-1)/10]
	p.rows = max(minRows, min(fits, p.rows*growth, float64(p.limits.MaxRows)))
}

// Failed says that a batch failed in a way that a smaller one may not.
func (p *Pressure) Failed(rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows = max(1, float64(rows)/2)
}

// ErrWaited is the error of a job that was throttled for longer than it is to
// wait.
var ErrWaited = errors.New("it waited too long")

// Wait waits until the next batch may be written. It calls renew as often as
// every, and returns its error or that of ctx.
func (p *Pressure) Wait(ctx context.Context, rows int, every time.Duration, renew func() error) error {
	renewed := time.Now()
	pause := func(d time.Duration) error {
		for d > 0 {
			part := min(d, every)
			if err := sleep(ctx, part); err != nil {
				return err
			}
			if d -= part; time.Since(renewed) >= every {
				if err := renew(); err != nil {
					return err
				}
				renewed = time.Now()
			}
		}
		return nil
	}
	if err := pause(p.reserve(rows)); err != nil {
		return err
	}
	began := time.Now()
	reason := p.throttled(ctx)
	if reason == "" {
		return nil
	}
	defer p.waiting("")
	for said := ""; reason != ""; reason = p.throttled(ctx) {
		if reason != said {
			p.waiting(reason)
			said = reason
		}
		if p.maxWait > 0 && time.Since(began) > p.maxWait {
			return fmt.Errorf("gormcrypt: %w: for %s, because %s", ErrWaited, p.maxWait, reason)
		}
		if err := pause(throttleEvery / 4); err != nil {
			return err
		}
	}
	return nil
}

// reserve returns how long to wait by the rate and the duty cycle.
func (p *Pressure) reserve(rows int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var wait time.Duration
	if n := len(p.recent); n > 0 && p.limits.Duty < 1 {
		wrote := time.Duration(p.recent[n-1].perRow * float64(rows))
		wait = time.Duration(float64(wrote) * (1 - p.limits.Duty) / p.limits.Duty)
	}
	if p.limits.Rate > 0 {
		now := time.Now()
		if p.next.Before(now) {
			p.next = now
		}
		wait = max(wait, p.next.Sub(now))
		p.next = p.next.Add(time.Duration(float64(rows) / p.limits.Rate * float64(time.Second)))
	}
	return wait
}

// throttled asks the throttles, if that is some time ago.
func (p *Pressure) throttled(ctx context.Context) string {
	if len(p.throttles) == 0 {
		return ""
	}
	p.asking.Lock()
	defer p.asking.Unlock()
	if time.Since(p.asked) < throttleEvery {
		return p.reason
	}
	var reasons []string
	for _, throttle := range p.throttles {
		switch reason, err := throttle.Throttled(ctx); {
		case err != nil:
			reasons = append(reasons, "a throttle failed: "+err.Error())
		case reason != "":
			reasons = append(reasons, reason)
		}
	}
	p.asked, p.reason = time.Now(), strings.Join(reasons, "; ")
	return p.reason
}
