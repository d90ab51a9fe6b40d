package dbkeys

import (
	"context"
	"fmt"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// source is what a Store polls.
type source struct{ *Store }

// Load returns the keyring, and makes this process known when it does so first.
func (s source) Load(ctx context.Context) (*keyring.Keyring, error) {
	unlock, err := s.reading.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for {
		now, err := s.readKeys(ctx)
		if err != nil {
			return nil, err
		}
		if s.registered {
			if s.watching.Load() == 0 { // nobody else lets others know that it lives
				err = s.reportUse(ctx)
			}
			return now.ring, err
		}
		if s.registered, err = s.register(ctx, now); err != nil {
			return nil, err
		}
	}
}

// readOnly is a source that nobody hears of. It is nothing but that: with the methods of
// a Store it would be watched, and heard of.
type readOnly struct{ store *Store }

// Format writes what the store is.
func (r readOnly) Format(f fmt.State, verb rune) { r.store.Format(f, verb) }

func (r readOnly) Load(ctx context.Context) (*keyring.Keyring, error) {
	s := r.store
	unlock, err := s.reading.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	now, err := s.readKeys(ctx)
	if err != nil {
		return nil, err
	}
	return now.ring, nil
}

// readKeys is read where there have to be keys.
func (s *Store) readKeys(ctx context.Context) (*snapshot, error) {
	now, err := s.read(ctx)
	if err == nil && now.ring == nil {
		err = fmt.Errorf("gormcrypt: the table gormcrypt_keys is empty: %w; call Store.Init once for new keys, or Store.Import for those of another keyring", keyring.ErrNotFound)
	}
	return now, err
}

// Changed tells of changes by this process.
func (s source) Changed() <-chan struct{} { return s.changed }

// Confirm lets others know that a keyring which Load returned is in use.
func (s source) Confirm(ctx context.Context, ring *keyring.Keyring) error {
	unlock, err := s.reading.lock(ctx)
	if err != nil {
		return err
	}
	now := s.last
	unlock()
	if now == nil || now.ring != ring {
		return nil // there is a newer one, which will be confirmed
	}
	if unlock, err = s.reporting.lock(ctx); err != nil {
		return err
	}
	defer unlock()
	if used := s.using(); used == nil || used == now { // closed, or known already
		return nil
	}
	if err := s.reportTo(ctx, now); err != nil {
		return fmt.Errorf("gormcrypt: letting others know which keys this process has: %w", err)
	}
	s.use(now)
	return nil
}
