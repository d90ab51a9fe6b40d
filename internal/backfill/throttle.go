package backfill

import (
	"context"
	"strings"
	"time"
)

// Throttle says when a job should wait. It is asked about once a second, by one
// goroutine at a time.
type Throttle interface {
	// Throttled returns why the job should wait, or an empty string. An error means
	// that it does not know: the job waits then, too. It has a few seconds, after
	// which ctx is done.
	Throttled(ctx context.Context) (reason string, err error)
}

const (
	throttleEvery = time.Second
	// throttleTimeout is how long the throttles may take to answer. After silence
	// without an answer the last one counts no more.
	throttleTimeout = 5 * time.Second
	silence         = 2 * throttleTimeout
)

// Ask asks the throttles. Until it is called for the first time, workers wait.
func (p *Pressure) Ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, throttleTimeout)
	defer cancel()
	var reasons []string
	for _, throttle := range p.throttles {
		switch reason, err := throttle.Throttled(ctx); {
		case err != nil:
			reasons = append(reasons, "a throttle failed: "+err.Error())
		case reason != "":
			reasons = append(reasons, reason)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered, p.reason = time.Now(), strings.Join(reasons, "; ")
}

// KeepAsking asks the throttles again and again until ctx is done. No worker waits
// for an answer: it goes by the last one, and renews its lease meanwhile.
func (p *Pressure) KeepAsking(ctx context.Context) {
	for len(p.throttles) > 0 && sleep(ctx, throttleEvery) == nil {
		p.Ask(ctx)
	}
}

// Waits returns why workers wait, empty if they do not have to.
func (p *Pressure) Waits() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.throttles) > 0 && time.Since(p.answered) > silence {
		return "a throttle does not answer"
	}
	return p.reason
}
