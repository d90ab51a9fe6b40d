package keyring

import (
	"context"
	"sync"
)

// flights lets callers that want the same at the same time share one call. There
// is never more than one for a key, not even beside a call that nobody waits for
// any more and that does not end.
type flights[K comparable, T any] struct {
	// share returns what one more caller gets of a result. drop is called with the
	// result when no caller is left.
	share func(T) T
	drop  func(T)

	mu  sync.Mutex
	all map[K]*flight[T]
}

// flight is one call. It is in flights.all until it is over.
type flight[T any] struct {
	cancel  context.CancelFunc
	waiting int
	over    bool
	done    chan struct{}
	value   T
	err     error
}

// do returns the result of call, or of the one for the same key that is under way,
// and the error of ctx as soon as that is done. The call has a context of its own,
// which is done when nobody waits for it any more.
func (f *flights[K, T]) do(ctx context.Context, key K, call func(context.Context) (T, error)) (value T, err error) {
	for ctx.Err() == nil {
		shared, joined := f.join(ctx, key, call)
		select {
		case <-shared.done:
			if joined {
				defer f.leave(shared)
				return f.share(shared.value), shared.err
			}
		case <-ctx.Done():
			if joined {
				f.leave(shared)
			}
		}
	}
	return value, ctx.Err()
}

// join returns the flight for a key, which it starts if there is none, and whether
// the caller takes part: it cannot when all others have left, because the call was
// cancelled then.
func (f *flights[K, T]) join(ctx context.Context, key K, call func(context.Context) (T, error)) (shared *flight[T], joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if shared = f.all[key]; shared != nil {
		if shared.waiting > 0 {
			shared.waiting++
		}
		return shared, shared.waiting > 0
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	shared = &flight[T]{cancel: cancel, waiting: 1, done: make(chan struct{})}
	if f.all == nil {
		f.all = map[K]*flight[T]{}
	}
	f.all[key] = shared
	go func() {
		defer f.land(key, shared)
		shared.value, shared.err = call(ctx)
	}()
	return shared, true
}

// land ends a flight.
func (f *flights[K, T]) land(key K, shared *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, key)
	shared.over = true
	shared.cancel()
	close(shared.done)
	if shared.waiting == 0 {
		f.drop(shared.value)
	}
}

func (f *flights[K, T]) leave(shared *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shared.waiting--
	switch {
	case shared.waiting > 0:
	case shared.over:
		f.drop(shared.value)
	default:
		shared.cancel()
	}
}
