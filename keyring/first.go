package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// First returns a source that loads the keyring from the first of several that has
// one: a credential in production, a file on a developer's machine. It goes on to
// the next source only when one returns ErrNotFound. Every other error stops it and
// names the source: an exposed file, an outage or a wrong passphrase is never
// answered by another keyring. Nor is an environment variable that the process has
// read and removed before.
//
// The source that gave the first keyring gives all later ones: if it is gone then,
// that is an error. If that one is a Watcher or a [Confirmer], so is First. It
// returns ErrNotFound when no source has a keyring.
func First(sources ...Source) Watcher {
	f := &first{}
	for i, source := range sources {
		f.places = append(f.places, &place{source, fmt.Sprintf("keyring source %d of %d", i+1, len(sources))})
	}
	return f
}

type first struct {
	places []*place
	chosen atomic.Pointer[place]
}

type place struct {
	source Source
	name   string
}

func (p *place) load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p.source == nil {
		return nil, fmt.Errorf("%s: %w: it is nil", p.name, ErrInvalid)
	}
	ring, err := p.source.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return ring, nil
}

func (f *first) Load(ctx context.Context) (*Keyring, error) {
	if chosen := f.chosen.Load(); chosen != nil {
		return chosen.load(ctx)
	}
	var missing []error
	for _, place := range f.places {
		ring, err := place.load(ctx)
		switch {
		case err == nil && f.chosen.CompareAndSwap(nil, place):
			return ring, nil
		case err == nil: // another goroutine has chosen
			return f.chosen.Load().load(ctx)
		case !errors.Is(err, ErrNotFound), errors.Is(err, errTaken):
			return nil, err
		}
		missing = append(missing, err)
	}
	if missing == nil {
		return nil, fmt.Errorf("%w: First was given no source", ErrNotFound)
	}
	return nil, errors.Join(missing...)
}

// Watch watches the source that the keyring was loaded from, if it is a Watcher. If
// not, it waits for the end of ctx.
func (f *first) Watch(ctx context.Context, use func(*Keyring) error) error {
	if chosen := f.chosen.Load(); chosen != nil {
		if watcher, ok := chosen.source.(Watcher); ok {
			return watcher.Watch(ctx, use)
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// Confirm confirms the keyring to the source that it was loaded from, if that is a
// Confirmer.
func (f *first) Confirm(ctx context.Context, ring *Keyring) error {
	if chosen := f.chosen.Load(); chosen != nil {
		if confirmer, ok := chosen.source.(Confirmer); ok {
			return confirmer.Confirm(ctx, ring)
		}
	}
	return nil
}
