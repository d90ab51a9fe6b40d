package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// PollConfig configures Poll. The zero value is the right one for most.
type PollConfig struct {
	// Every is the longest wait between two loads, and the time after which a new
	// key version is seen while the source answers. Each wait is drawn between
	// half of it and all of it, so that processes that were started together do
	// not load together. The default is 30 s.
	Every time.Duration
	// MaxBackoff is the longest wait while loading fails: the wait doubles with
	// each failure, from Every up to this. The default is 5 min.
	MaxBackoff time.Duration
	// Timeout bounds one load, and one call of Confirm. A load may be several
	// calls to a key server. The default is 30 s.
	Timeout time.Duration
	// MaxAge is how long a keyring goes on being used after its source last gave
	// it. Then it is expired: everything that is sealed or opened fails with
	// ErrExpired until the source answers again. Set it if access to the keys
	// must end when the source takes it away; the price is that an outage of the
	// source longer than this is an outage of the application. The longest waits
	// are then a third of it at most, and Every once it has passed.
	//
	// The default is no limit: loaded keys work until the program ends.
	MaxAge time.Duration
	// Logger gets what happens: a keyring that replaces another as Info, a load
	// that fails as Warn, a keyring that is refused or expires as Error, and every
	// load as Debug. The default is slog.Default, because there is nobody to
	// return an error to. No record holds a key.
	Logger *slog.Logger
	// OnEvent is called with every load, and what came of it. It must be safe for
	// concurrent use, and quick.
	OnEvent func(Event)
}

func (c PollConfig) withDefaults() PollConfig {
	if c.Every <= 0 {
		c.Every = 30 * time.Second
	}
	if c.MaxBackoff <= 0 {
		c.MaxBackoff = 5 * time.Minute
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxAge > 0 {
		often := max(c.MaxAge/3, time.Millisecond)
		c.Every, c.MaxBackoff = min(c.Every, often), min(c.MaxBackoff, often)
	}
	c.MaxBackoff = max(c.MaxBackoff, c.Every)
	return c
}

// Confirmer is a Source that wants to know which of its keyrings is in use, so
// that others can wait until all processes have a key.
type Confirmer interface {
	Source
	// Confirm is called after each load, when the keyring that Load returned, or
	// one with the same keys, is in use. After an error it is called again with
	// the next load.
	Confirm(ctx context.Context, ring *Keyring) error
}

// Notifier is a Source that knows when its keyring has changed.
type Notifier interface {
	Source
	// Changed returns a channel, always the same, on which a value says that the
	// keyring has changed. Poll loads it at once then, and not only with its next
	// round.
	Changed() <-chan struct{}
}

// Poll returns a source that loads a keyring from another again and again while it
// is watched, by one goroutine at a time. A keyring that is the same as the one in
// use does not replace it. When loading fails, the one in use stays in use; see
// PollConfig.MaxAge for how long.
//
// Goroutines that load at the same time share one load. A source that does not mind
// its context holds nobody up; it is not called again before it has returned.
func Poll(source Source, config PollConfig) Watcher {
	return &polled{
		source:   source,
		config:   config.withDefaults(),
		observer: newObserver(config.Logger, config.OnEvent),
		loads:    flights[struct{}, loaded]{share: func(l loaded) loaded { return l }, drop: func(loaded) {}},
	}
}

type polled struct {
	source Source
	config PollConfig
	observer
	loads flights[struct{}, loaded]

	mu      sync.Mutex
	watched bool
	// last is what Load returned last before the watch began. mixed is set if it had
	// returned another keyring before, so that either may be in use.
	last  loaded
	mixed bool
}

// loaded is a keyring with the time at which its load began: at that time at the
// earliest it was what the source holds.
type loaded struct {
	ring *Keyring
	at   time.Time
}

// grace is how much longer a load is waited for than it may take, so that a source
// that minds its context can say itself what it waited for.
const grace = time.Second

func (p *polled) Load(ctx context.Context) (*Keyring, error) {
	l, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.watched {
		p.mixed = p.mixed || p.last.ring != nil && !p.last.ring.same(l.ring)
		p.last = l
	}
	return l.ring, nil
}

func (p *polled) load(ctx context.Context) (loaded, error) {
	patient, cancel := context.WithTimeout(ctx, p.config.Timeout+grace)
	defer cancel()
	l, err := p.loads.do(patient, struct{}{}, p.call)
	if err != nil && patient.Err() != nil && ctx.Err() == nil {
		err = noAnswer(p.config.Timeout, err)
	}
	return l, err
}

// call calls the source.
func (p *polled) call(ctx context.Context) (loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	l := loaded{at: time.Now()}
	var err error
	l.ring, err = p.source.Load(ctx)
	switch {
	case err == nil && l.ring == nil:
		err = fmt.Errorf("%w: the source returned none, and no error; mend the source", ErrInvalid)
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = noAnswer(p.config.Timeout, err)
	}
	p.note(slog.LevelDebug, "keyring load", Event{Op: "load", Duration: time.Since(l.at), Err: err})
	return l, err
}

// noAnswer is the error of a call that was given up, with what the call said. If it
// said what is wrong, that was its answer.
func noAnswer(timeout time.Duration, err error) error {
	if outcome := (Event{Err: err}).Outcome(); outcome != "failed" && outcome != "cancelled" {
		return err
	}
	return fmt.Errorf("%w: no answer within %s: %w", ErrUnavailable, timeout, err)
}

func (p *polled) Watch(ctx context.Context, use func(*Keyring) error) error {
	p.mu.Lock()
	if p.watched {
		p.mu.Unlock()
		return errors.New("this Poll is being watched already; call keyring.Poll once for each plugin")
	}
	p.watched = true
	w := &watch{polled: p, use: use, inUse: p.last.ring, confirmed: p.last.at, mixed: p.mixed}
	p.last, p.mixed = loaded{}, false
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watched = false
	}()
	return w.run(ctx)
}
