package keyring

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Event is one use of what holds the keys, by Poll or Resilient, and how it
// ended: what counters are made of. There is one for each call to a key server,
// and none for the values that are sealed and opened.
type Event struct {
	// Op is what was done. Of Poll it is "load" for a load by the source, "use"
	// for a keyring that replaces another, "confirm" for a call of Confirm, and
	// "expire" when MaxAge has passed. Of Resilient it is "wrap", "unwrap",
	// "generate" or "rewrap".
	Op string
	// KEK is the name of the KEK. It is empty for Poll.
	KEK string
	// Try counts the calls of Resilient for one result, from 1. It is zero for Poll.
	Try int
	// Duration is how long it took.
	Duration time.Duration
	// Err is nil, or what failed. It holds no key.
	Err error
}

// outcomes are the names of errors, the first that fits.
var outcomes = []struct {
	err  error
	name string
}{
	{ErrKeyLost, "key lost"},
	{ErrWrongKey, "wrong key"},
	{ErrExpired, "expired"},
	{ErrUnavailable, "unavailable"},
	{ErrInvalid, "invalid"},
	{ErrNotFound, "not found"},
	{ErrExposed, "exposed"},
	{context.Canceled, "cancelled"},
	{context.DeadlineExceeded, "cancelled"},
}

// Outcome returns how it ended, as a label of a metric: "ok"; or the class of the
// error: "unavailable", "wrong key", "invalid", "not found", "key lost", "exposed",
// "expired", "cancelled" by the caller or its deadline; or "failed".
func (e Event) Outcome() string {
	if e.Err == nil {
		return "ok"
	}
	for _, outcome := range outcomes {
		if errors.Is(e.Err, outcome.err) {
			return outcome.name
		}
	}
	return "failed"
}

// observer is told of events.
type observer struct {
	log  *slog.Logger
	tell func(Event)
}

func newObserver(log *slog.Logger, tell func(Event)) observer {
	if log == nil {
		log = slog.Default()
	}
	if tell == nil {
		tell = func(Event) {}
	}
	return observer{log, tell}
}

// note tells of an event and logs it, with what else there is to say.
func (o observer) note(level slog.Level, message string, e Event, attributes ...slog.Attr) {
	o.tell(e)
	attributes = append([]slog.Attr{slog.String("outcome", e.Outcome()), slog.Duration("duration", e.Duration)}, attributes...)
	if e.Err != nil {
		attributes = append(attributes, slog.String("error", e.Err.Error()))
	}
	o.log.LogAttrs(context.Background(), level, message, attributes...)
}
