package dbkeys

import (
	"context"
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// snapshot is the keys at one time.
type snapshot struct {
	rows []row
	// ring is nil if there are no rows.
	ring *keyring.Keyring
	// keys are those that this process has: the live ones of ring, and new ones.
	keys map[keyring.Version]keyring.Key
}

// read returns what the database has now: the same snapshot as before if it is the
// same. The caller holds s.reading.
func (s *Store) read(ctx context.Context) (*snapshot, error) {
	rows, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	if s.last != nil && slices.Equal(s.last.rows, rows) {
		return s.last, nil
	}
	now, err := s.unwrap(ctx, rows)
	if err != nil {
		return nil, err
	}
	s.last = now
	return now, nil
}

// unwrap makes a keyring of rows. It asks the KEK for keys that it does not have.
func (s *Store) unwrap(ctx context.Context, rows []row) (*snapshot, error) {
	now := &snapshot{rows: rows, keys: map[keyring.Version]keyring.Key{}}
	if len(rows) == 0 {
		return now, nil
	}
	var keys []keyring.Key
	for _, r := range rows {
		key, err := s.key(ctx, r)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
		if key.State() != keyring.Retired {
			now.keys[r.version] = key
		}
	}
	ring, err := keyring.New(keys...)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: the keys in gormcrypt_keys: %w", err)
	}
	for version := range now.keys {
		if err := authenticate(ring, s.config.Name, now.row(version)); err != nil {
			return nil, err
		}
	}
	now.ring = ring
	return now, nil
}

// key returns the key of a row: the one that this process has, or one from the KEK.
func (s *Store) key(ctx context.Context, r row) (keyring.Key, error) {
	if s.last != nil && r.inKeyring() != keyring.Retired {
		if key, ok := s.last.keys[r.version]; ok && key.CheckValue() == r.check {
			return key.WithState(r.inKeyring()), nil
		}
	}
	return s.unwrapped(ctx, r, r.inKeyring())
}

// checkKEK refuses rows that another KEK has wrapped.
func (s *Store) checkKEK(rows []row) error {
	for _, r := range rows {
		if r.wrapped == "" {
			continue
		}
		if err := s.checkWrapping(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkWrapping(r row) error {
	if r.kek == s.config.KEK.Name() {
		return nil
	}
	return fmt.Errorf("gormcrypt: key %s: %w: it is wrapped by %s, and dbkeys.Config.KEK is %s; configure the former, or move the keys by Store.MoveTo", r.version, keyring.ErrInvalid, r.kek, s.config.KEK.Name())
}

// unwrapped returns the key of a row from the KEK, in a state.
func (s *Store) unwrapped(ctx context.Context, r row, state keyring.State) (keyring.Key, error) {
	if state != keyring.Retired {
		if err := s.checkWrapping(r); err != nil {
			return keyring.Key{}, err
		}
	}
	wrapped, err := r.wrappedBytes()
	if err != nil {
		return keyring.Key{}, err
	}
	key, err := keyring.UnwrapKey(ctx, s.config.KEK, r.version, state, r.check, wrapped)
	if err != nil {
		return keyring.Key{}, fmt.Errorf("gormcrypt: %w", err)
	}
	return key, nil
}

// row returns the row of a version, and a zero one if there is none.
func (n *snapshot) row(version keyring.Version) row {
	for _, r := range n.rows {
		if r.version == version {
			return r
		}
	}
	return row{}
}
