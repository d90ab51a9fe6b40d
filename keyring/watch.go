package keyring

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// watch is one Watch of a Poll.
type watch struct {
	*polled
	use func(*Keyring) error
	// inUse is the keyring that use took last, expired or not; nil before the first.
	inUse *Keyring
	// mixed is set if several were loaded before, so that any of them may be in use.
	mixed bool
	// confirmed is when the source last gave inUse.
	confirmed time.Time
	expired   bool
	// failures counts the loads that failed since the last that did not.
	failures int
}

// answer is what a load returned.
type answer struct {
	loaded
	err error
}

func (w *watch) run(ctx context.Context) error {
	var first time.Duration
	if w.mixed && w.use(w.inUse) != nil {
		w.inUse = nil // what is, will be known after the next load
	}
	if w.inUse != nil {
		w.confirm(ctx, w.inUse)
		first = w.wait()
	}
	next, expiry := time.After(first), w.expiry()
	answers := make(chan answer, 1)
	var changes <-chan struct{}
	if notifier, ok := w.source.(Notifier); ok {
		changes = notifier.Changed()
	}
	for {
		changed := changes
		if next == nil { // what is being loaded may be from before
			changed = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			next = time.After(0)
		case <-next:
			next = nil // until this load is settled
			go func() {
				l, err := w.load(ctx)
				answers <- answer{l, err}
			}()
		case a := <-answers:
			if ctx.Err() == nil {
				next, expiry = time.After(w.settle(ctx, a)), w.expiry()
			}
		case <-expiry:
			w.expire()
			if next != nil {
				next = time.After(w.wait())
			}
		}
	}
}

// settle has what was loaded used, and returns how long to wait for the next load.
func (w *watch) settle(ctx context.Context, a answer) time.Duration {
	if a.err != nil {
		w.failures++
		wait := w.wait()
		message := "keyring not loaded: the one in use stays in use, and changes wait"
		if w.expired {
			message = "keyring not loaded: it has expired, and nothing is sealed or opened until it is loaded"
		}
		w.log.Warn(message, "failures", w.failures, "age", w.age(), "next", wait.Round(time.Millisecond), "error", a.err.Error())
		return wait
	}
	if w.failures > 0 {
		w.log.Info("keyring loaded again", "failures", w.failures, "age", w.age())
		w.failures = 0
	}
	if w.replace(a.ring) {
		w.confirmed = a.at
		w.confirm(ctx, a.ring)
	}
	return w.wait()
}

// replace has a keyring used, unless it is the same as the one that is, and reports
// whether it is in use now.
func (w *watch) replace(ring *Keyring) bool {
	if w.inUse.same(ring) {
		return true
	}
	began := time.Now()
	err := w.use(ring)
	event := Event{Op: "use", Duration: time.Since(began), Err: err}
	if err != nil {
		w.note(slog.LevelError, "keyring refused: the one in use stays in use; see to what the source holds", event, slog.Any("keyring", ring))
		return false
	}
	w.inUse, w.expired = ring, false
	w.note(slog.LevelInfo, "keyring in use", event, slog.Any("keyring", ring))
	return true
}

// confirm tells the source what is in use.
func (w *watch) confirm(ctx context.Context, ring *Keyring) {
	confirmer, ok := w.source.(Confirmer)
	if !ok {
		return
	}
	timeout := w.config.Timeout
	if w.config.MaxAge > 0 { // it expires in time, whatever the source does
		timeout = min(timeout, w.config.MaxAge-time.Since(w.confirmed))
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	err := confirmer.Confirm(bounded, ring)
	event := Event{Op: "confirm", Duration: time.Since(began), Err: err}
	if err != nil && ctx.Err() == nil {
		w.note(slog.LevelWarn, "keyring not confirmed: it is in use, and others wait for this process to say so; it will after the next load", event)
	} else {
		w.note(slog.LevelDebug, "keyring confirmed", event)
	}
}

// expire takes the keys out of use.
func (w *watch) expire() {
	keyless := w.inUse.expired()
	message, event := "keyring expired: nothing is sealed or opened until its source answers", Event{Op: "expire", Err: ErrExpired}
	if err := w.use(keyless); err != nil {
		message, event.Err = "keyring expired, but could not be taken out of use", fmt.Errorf("%w: %w", ErrExpired, err)
	} else {
		w.inUse, w.expired = keyless, true
	}
	w.note(slog.LevelError, message, event, slog.Duration("age", w.age()))
}

// expiry returns a channel that tells when the keyring in use expires.
func (w *watch) expiry() <-chan time.Time {
	if w.config.MaxAge <= 0 || w.inUse == nil || w.expired {
		return nil
	}
	return time.After(w.config.MaxAge - time.Since(w.confirmed))
}

// wait returns how long to wait for the next load. Nothing works after the keyring
// has expired, so its source is asked as often then as when it answers.
func (w *watch) wait() time.Duration {
	longest := w.config.MaxBackoff
	if w.expired {
		longest = w.config.Every
	}
	return backoff(w.config.Every, longest, w.failures)
}

// age returns the time since the source gave the keyring in use.
func (w *watch) age() time.Duration {
	if w.inUse == nil {
		return 0
	}
	return time.Since(w.confirmed).Round(time.Millisecond)
}
