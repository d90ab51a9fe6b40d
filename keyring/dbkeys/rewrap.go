package dbkeys

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Rewrap wraps all keys anew under the latest version of the KEK, so that the key
// server can give its older versions up. No row of the data is touched, and no process
// has to know. A KEK that is a keyring.Rewrapper does it without showing the keys;
// others unwrap and wrap them. It returns the number of keys, and keyring.ErrNotFound
// if there are none, and the errors of the KEK, ctx and the database: then nothing has
// changed.
func (s *Store) Rewrap(ctx context.Context) (int, error) {
	return s.wrapAnew(ctx, s.config.KEK, func(before *snapshot, r row) ([]byte, error) {
		if err := s.checkKEK([]row{r}); err != nil {
			return nil, err
		}
		rewrapper, ok := s.config.KEK.(keyring.Rewrapper)
		if !ok {
			return s.wrapBy(ctx, s.config.KEK, before, r)
		}
		wrapped, err := r.wrappedBytes()
		if err != nil {
			return nil, err
		}
		return rewrapper.Rewrap(ctx, wrapped)
	})
}

// MoveTo wraps all keys by another KEK: how keys move from one key server to another.
// Processes that run go on, but one that starts needs the other KEK from then on, and
// this Store is of no more use for changes. It returns the number of keys, and errors
// as Rewrap does.
func (s *Store) MoveTo(ctx context.Context, kek keyring.KEK) (int, error) {
	return s.wrapAnew(ctx, kek, func(before *snapshot, r row) ([]byte, error) {
		return s.wrapBy(ctx, kek, before, r)
	})
}

// wrapBy wraps the key of a row by a KEK. A retired one is unwrapped for that.
func (s *Store) wrapBy(ctx context.Context, kek keyring.KEK, before *snapshot, r row) ([]byte, error) {
	key, ok := before.keys[r.version]
	if !ok {
		var err error
		if key, err = s.unwrapped(ctx, r, keyring.Enabled); err != nil {
			return nil, err
		}
	}
	return key.Wrap(ctx, kek)
}

// wrapAnew replaces what is wrapped in all rows.
func (s *Store) wrapAnew(ctx context.Context, kek keyring.KEK, wrap func(before *snapshot, r row) ([]byte, error)) (n int, err error) {
	err = s.change(ctx, func(before *snapshot) (change, error) {
		n = 0
		var to change
		if before.ring == nil {
			return to, fmt.Errorf("gormcrypt: wrapping the keys anew: %w", keyring.ErrNotFound)
		}
		for _, r := range before.rows {
			if r.wrapped == "" {
				continue // imported as retired, without a key
			}
			wrapped, err := wrap(before, r)
			if err == nil {
				err = unwraps(ctx, kek, r.version, r.check, wrapped)
			}
			if err != nil {
				return to, fmt.Errorf("gormcrypt: wrapping key %s anew: %w", r.version, err)
			}
			r.wrapped, r.kek = base64.StdEncoding.EncodeToString(wrapped), kek.Name()
			to.rewrapped = append(to.rewrapped, r)
			n++
		}
		return to, nil
	})
	return n, err
}

// unwraps makes sure that a KEK unwraps what it has wrapped, before anything depends
// on it: the program may be allowed only one of the two.
func unwraps(ctx context.Context, kek keyring.KEK, version keyring.Version, check string, wrapped []byte) error {
	_, err := keyring.UnwrapKey(ctx, kek, version, keyring.Enabled, check, wrapped)
	return err
}
