package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// CallConfig configures Resilient. The zero value is the right one for most.
type CallConfig struct {
	// Timeout bounds each try. The default is 5 s.
	Timeout time.Duration
	// Tries is how often a call is made that gets no answer, that is
	// ErrUnavailable or none within Timeout. Other errors are final. The waits
	// between tries double from 200 ms on, up to 5 s; half of each is drawn at
	// random. The default is 4.
	Tries int
	// Logger gets every try as Debug, and the last one of a call that fails as
	// Warn. The default is slog.Default. No record holds a key, wrapped or not.
	Logger *slog.Logger
	// OnEvent is called with every try. It must be safe for concurrent use, and
	// quick.
	OnEvent func(Event)
}

const (
	firstRetry   = 200 * time.Millisecond
	longestRetry = 5 * time.Second
)

// Resilient returns a KEK that calls another: with a timeout, again when there was
// no answer, once for goroutines that unwrap the same key at the same time, and
// with an event for each try. It is a Generator and a Rewrapper if the other is.
//
// A key that was generated, but whose answer was lost, is generated anew: nothing
// knows the lost one.
func Resilient(kek KEK, config CallConfig) KEK {
	if config.Timeout <= 0 {
		config.Timeout = 5 * time.Second
	}
	if config.Tries <= 0 {
		config.Tries = 4
	}
	r := &resilient{
		kek: kek, config: config, observer: newObserver(config.Logger, config.OnEvent),
		unwraps: &flights[[sha256.Size]byte, []byte]{share: bytes.Clone, drop: func(key []byte) { clear(key) }},
	}
	generator, generates := kek.(Generator)
	rewrapper, rewraps := kek.(Rewrapper)
	switch g, w := (generating{r, generator}), (rewrapping{r, rewrapper}); {
	case generates && rewraps:
		return struct {
			*resilient
			generating
			rewrapping
		}{r, g, w}
	case generates:
		return struct {
			*resilient
			generating
		}{r, g}
	case rewraps:
		return struct {
			*resilient
			rewrapping
		}{r, w}
	}
	return r
}

type resilient struct {
	kek    KEK
	config CallConfig
	observer
	// unwraps are by the hash of the wrapped key.
	unwraps *flights[[sha256.Size]byte, []byte]
}

func (r *resilient) Name() string { return r.kek.Name() }

func (r *resilient) Wrap(ctx context.Context, key []byte) (wrapped []byte, err error) {
	err = r.call(ctx, "wrap", func(ctx context.Context) (err error) {
		wrapped, err = r.kek.Wrap(ctx, key)
		return err
	})
	return wrapped, err
}

func (r *resilient) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	wrapped = bytes.Clone(wrapped) // a call may go on for a while after its callers have left
	return r.unwraps.do(ctx, sha256.Sum256(wrapped), func(ctx context.Context) (key []byte, err error) {
		err = r.call(ctx, "unwrap", func(ctx context.Context) (err error) {
			key, err = r.kek.Unwrap(ctx, wrapped)
			return err
		})
		return key, err
	})
}

// generating is what a resilient Generator has beside.
type generating struct {
	by        *resilient
	generator Generator
}

func (g generating) GenerateKey(ctx context.Context) (key, wrapped []byte, err error) {
	err = g.by.call(ctx, "generate", func(ctx context.Context) (err error) {
		key, wrapped, err = g.generator.GenerateKey(ctx)
		return err
	})
	return key, wrapped, err
}

// rewrapping is what a resilient Rewrapper has beside.
type rewrapping struct {
	by        *resilient
	rewrapper Rewrapper
}

func (r rewrapping) Rewrap(ctx context.Context, wrapped []byte) (again []byte, err error) {
	err = r.by.call(ctx, "rewrap", func(ctx context.Context) (err error) {
		again, err = r.rewrapper.Rewrap(ctx, wrapped)
		return err
	})
	return again, err
}

// call tries until there is an answer.
func (r *resilient) call(ctx context.Context, op string, once func(context.Context) error) error {
	for try := 1; ; try++ {
		err := r.try(ctx, op, try, once)
		if !errors.Is(err, ErrUnavailable) || try == r.config.Tries {
			return err
		}
		select {
		case <-time.After(backoff(firstRetry, longestRetry, try-1)):
		case <-ctx.Done():
			return fmt.Errorf("%w; before: %w", ctx.Err(), err)
		}
	}
}

func (r *resilient) try(ctx context.Context, op string, try int, once func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	began := time.Now()
	err := once(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = noAnswer(r.config.Timeout, err)
	}
	level, message := slog.LevelDebug, "key server called"
	switch again := errors.Is(err, ErrUnavailable) && try < r.config.Tries; {
	case err == nil || ctx.Err() != nil:
	case again:
		message = "key server called in vain, and is called again"
	default:
		level, message = slog.LevelWarn, "key server call failed"
	}
	r.note(level, message, Event{Op: op, KEK: r.Name(), Try: try, Duration: time.Since(began), Err: err},
		slog.String("op", op), slog.String("kek", r.Name()), slog.Int("try", try), slog.Int("tries", r.config.Tries))
	return err
}
