package backfill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pressure decides how much the workers of a process do at once, and when. It is
// safe for concurrent use.
type Pressure struct {
	throttles []Throttle
	maxWait   time.Duration

	mu     sync.Mutex
	limits Limits
	// read and write are the sizes of what is read and written at once. They
	// differ where little is stale.
	read, write servo
	shares      []share // of the last reads
	// owed is the number of rows that were written ahead of the rate, at a time.
	owed   float64
	owedAt time.Time
	// reason is what the throttles said, and answered when.
	reason   string
	answered time.Time
}

// share is what there was to a row of a read, on average.
type share struct{ bytes, toWrite float64 }

// NewPressure returns the pressure of limits and throttles. A worker that is
// throttled for longer than maxWait ends the run with ErrWaited; zero is for ever.
func NewPressure(limits Limits, throttles []Throttle, maxWait time.Duration) *Pressure {
	return &Pressure{
		throttles: throttles, maxWait: maxWait, limits: limits.withDefaults(),
		read: servo{size: firstRows}, write: servo{size: firstRows},
	}
}

// SetLimits replaces the limits. Workers that wait go by the new ones.
func (p *Pressure) SetLimits(limits Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pay()
	p.limits = limits.withDefaults()
}

// Room implements Pace. It expects as much to write as the last reads had, and as
// many bytes. Where suddenly more is stale, the read ends at twice the rows.
func (p *Pressure) Room() Room {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.room()
}

func (p *Pressure) room() Room {
	write := p.write.size
	if p.limits.Rate > 0 {
		write = min(write, p.limits.Rate) // a second's worth at most, for it to be even
	}
	write = max(1, write)
	rows := p.read.size
	for _, s := range p.shares {
		if s.bytes > 0 {
			rows = min(rows, float64(p.limits.MaxBytes)/s.bytes)
		}
		if s.toWrite > 0 {
			rows = min(rows, write/s.toWrite)
		}
	}
	return Room{Rows: max(1, int(rows)), Stale: min(int(2*write), p.limits.MaxRows), Bytes: p.limits.MaxBytes}
}

// DidRead implements Pace.
func (p *Pressure) DidRead(part Part, toWrite int, took time.Duration) {
	if part.Count == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := float64(part.Count)
	p.shares = append(p.shares, share{float64(part.Bytes) / n, float64(toWrite) / n})
	if len(p.shares) > memory {
		p.shares = p.shares[1:]
	}
	p.read.took(part.Count, took, p.limits.Target)
	// When MaxRows is raised, batches grow from there.
	most := float64(p.limits.MaxRows)
	p.read.size, p.write.size = min(p.read.size, most), min(p.write.size, most)
}

// DidWrite says how long rows took to be written.
func (p *Pressure) DidWrite(rows int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write.took(rows, took, p.limits.Target)
}

// Failed says that a batch failed in a way that a smaller one may not: to be
// written, or to be read if rows is zero. It returns whether there is a smaller
// one.
func (p *Pressure) Failed(rows int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := &p.write
	if rows == 0 {
		failed, rows = &p.read, p.room().Rows
	}
	failed.failed(rows, p.limits.Target)
	return rows > 1
}

// ErrWaited is the error of a job that was throttled for longer than it is to
// wait.
var ErrWaited = errors.New("it waited too long")

// Turn is what a worker is about to do: to write rows, or to read if that is zero.
// It has worked for a time, until Ended.
type Turn struct {
	Rows   int
	Worked time.Duration
	Ended  time.Time
}

// lookAgain is how soon a worker that waits looks whether it still has to.
const lookAgain = 250 * time.Millisecond

// Wait waits until it is a worker's turn. It calls alive at the beginning and
// every quarter of a second, and returns its error or that of ctx, or ErrWaited.
func (p *Pressure) Wait(ctx context.Context, turn Turn, alive func() error) error {
	var since time.Time // it is throttled
	for {
		if err := alive(); err != nil {
			return err
		}
		d := lookAgain
		reason := p.Waits()
		switch {
		case reason == "":
			since = time.Time{}
			if d = p.delay(turn); d == 0 {
				return nil
			}
		case since.IsZero():
			since = time.Now()
		case p.maxWait > 0 && time.Since(since) >= p.maxWait:
			return fmt.Errorf("gormcrypt: %w: for %s, because %s", ErrWaited, p.maxWait, reason)
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// delay returns how long a turn has to wait by the duty cycle and the rate, or how
// soon to look again. Zero means that it is taken.
func (p *Pressure) delay(turn Turn) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pay()
	// Not a Duration: a small duty or rate makes more of it than that holds.
	// What took much longer than it should was waiting, such as for a lock.
	worked := min(turn.Worked, panicFactor*p.limits.Target)
	wait := float64(worked)*(1/p.limits.Duty-1) - float64(time.Since(turn.Ended))
	if turn.Rows > 0 && p.limits.Rate > 0 {
		wait = max(wait, p.owed/p.limits.Rate*float64(time.Second))
	}
	d := time.Duration(min(wait, float64(lookAgain)))
	if d <= 0 {
		p.owed += float64(turn.Rows)
		return 0
	}
	return d
}

// pay takes off what the rate has allowed since the last time.
func (p *Pressure) pay() {
	now := time.Now()
	if p.limits.Rate > 0 {
		p.owed = max(0, p.owed-p.limits.Rate*now.Sub(p.owedAt).Seconds())
	} else {
		p.owed = 0
	}
	p.owedAt = now
}
