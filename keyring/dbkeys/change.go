package dbkeys

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Init makes the first data key and the first index key, both version 1 and primary,
// if there are no keys yet. Any number of processes may call it at once, as a program
// does when it starts. It returns ErrBehind if the keys are gone and processes still
// have some, and the errors of the KEK, ctx and the database.
func (s *Store) Init(ctx context.Context) error {
	return s.change(ctx, func(before *snapshot) (change, error) {
		var to change
		if before.ring != nil {
			return to, nil
		}
		for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
			if err := s.generate(ctx, before, &to, keyring.MakeVersion(set, 1), Primary); err != nil {
				return to, err
			}
		}
		return to, nil
	})
}

// Import moves the keys of another keyring, such as one from a file, into the
// database, with their versions and states. The KEK wraps each of them. Nothing is
// known here of processes that load their keys from elsewhere: create and promote
// keys only when there are none of them left. Then the other keyring can go to a safe
// place.
//
// It returns ErrNotEmpty if there are keys already, unless they are those that are
// imported, ErrBehind as Init does, and the errors of the KEK, ctx and the database.
func (s *Store) Import(ctx context.Context, ring *keyring.Keyring) error {
	return s.change(ctx, func(before *snapshot) (change, error) {
		var to change
		if before.ring != nil {
			if err := before.ring.Keeps(ring); err != nil {
				return to, fmt.Errorf("gormcrypt: importing a keyring: %w: %w", ErrNotEmpty, err)
			}
			return to, nil
		}
		to.ring = ring
		for _, version := range ring.Versions() {
			state, err := ring.State(version)
			if err != nil {
				return to, err
			}
			r := row{version: version, state: State(state.String()), kek: s.config.KEK.Name()}
			if state != keyring.Retired {
				if r.check, err = ring.CheckValue(version); err != nil {
					return to, err
				}
				wrapped, err := ring.Wrap(ctx, s.config.KEK, version)
				if err == nil {
					err = unwraps(ctx, s.config.KEK, version, r.check, wrapped)
				}
				if err != nil {
					return to, fmt.Errorf("gormcrypt: importing a keyring: %w", err)
				}
				r.wrapped = base64.StdEncoding.EncodeToString(wrapped)
			}
			to.add = append(to.add, r)
		}
		return to, nil
	})
}

// Create makes a new version of a set of keys, which opens but does not seal until it
// is promoted. If it is the first of its set, it is primary at once. It returns
// keyring.ErrNotFound if there are no keys yet, keyring.ErrUnavailable if the key
// server gave no answer, and the errors of ctx and the database.
func (s *Store) Create(ctx context.Context, set keyring.Set) (keyring.Version, error) {
	var version keyring.Version
	err := s.change(ctx, func(before *snapshot) (change, error) {
		var to change
		if before.ring == nil {
			return to, fmt.Errorf("gormcrypt: %w; call Store.Init for the first ones", keyring.ErrNotFound)
		}
		number, state := uint32(1), Primary
		for _, r := range before.rows {
			if r.version.Set() == set {
				number, state = r.version.Number()+1, Enabled // wraps to the invalid 0 after the last
			}
		}
		version = keyring.MakeVersion(set, number)
		return to, s.generate(ctx, before, &to, version, state)
	})
	if err != nil {
		return keyring.Version{}, err
	}
	return version, nil
}

// generate adds a new key to a change.
func (s *Store) generate(ctx context.Context, before *snapshot, to *change, version keyring.Version, state State) error {
	inKeyring, _ := state.inKeyring()
	if err := s.checkKEK(before.rows); err != nil {
		return err
	}
	key, wrapped, err := keyring.GenerateKey(ctx, s.config.KEK, version, inKeyring)
	if err == nil {
		err = unwraps(ctx, s.config.KEK, version, key.CheckValue(), wrapped)
	}
	if err != nil {
		return fmt.Errorf("gormcrypt: %w", err)
	}
	to.keys = append(to.keys, key)
	to.add = append(to.add, row{
		version: version, state: state, check: key.CheckValue(), kek: s.config.KEK.Name(), wrapped: base64.StdEncoding.EncodeToString(wrapped),
	})
	return nil
}

// Promote makes a version the one that seals; the one before stays enabled. It refuses
// with ErrBehind, and a *BehindError, as long as there is a process that does not have
// the version yet and so could not read what others write. It has the KEK unwrap the
// key once more, so that nothing is sealed under one that cannot be loaded any more. It
// returns ErrState for a version that is retiring or retired, keyring.ErrUnknownVersion,
// and the errors of the KEK, ctx and the database. A version that is primary already
// stays so.
//
// While two index keys are live, a unique constraint does not see that values under
// one and the other are equal: see [keyring.Keyring.Promote].
func (s *Store) Promote(ctx context.Context, version keyring.Version) error {
	return s.change(ctx, func(before *snapshot) (change, error) {
		r, err := before.find(version)
		switch {
		case err != nil || r.state == Primary:
			return change{}, err
		case r.state != Enabled:
			return change{}, fmt.Errorf("gormcrypt: key %s: %w: it is %s, and does not seal any more; create another", version, ErrState, r.state)
		}
		// Processes that have the key do not see what is in the table.
		if _, err := s.unwrapped(ctx, r, keyring.Enabled); err != nil {
			return change{}, err
		}
		to := change{known: []row{r}}
		for _, other := range before.rows {
			if other.version.Set() == version.Set() && other.state == Primary {
				other.state = Enabled
				to.set = append(to.set, other)
			}
		}
		r.state = Primary
		to.set = append(to.set, r)
		return to, nil
	})
}

// change is what becomes of the rows.
type change struct {
	// add are new rows, and keys the keys of a change that were not there before. If
	// ring is set, it has all keys.
	add  []row
	keys []keyring.Key
	ring *keyring.Keyring
	// set are rows that come into another state, and rewrapped those in which only
	// what is wrapped is another.
	set, rewrapped []row
	// known are rows of which all processes must know before.
	known []row
	// quiet is set if processes need not tell when they know of it.
	quiet bool
}

// change changes the rows in one transaction, from what decide was shown. When they
// have changed meanwhile, decide is asked again: it may take its time, while nobody
// waits for it. When it returns, this process uses what came of it.
func (s *Store) change(ctx context.Context, decide func(before *snapshot) (change, error)) error {
	generation, err := s.changeRows(ctx, decide)
	if err == nil {
		s.awaitUse(ctx, generation)
	}
	return err
}

// changeRows is change, and returns the generation that there is then.
func (s *Store) changeRows(ctx context.Context, decide func(before *snapshot) (change, error)) (int64, error) {
	unlock, err := s.changing.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	for {
		before, err := s.current(ctx)
		if err != nil {
			return 0, err
		}
		to, err := decide(before)
		if err != nil || len(to.add)+len(to.set)+len(to.rewrapped) == 0 {
			return 0, err
		}
		if err := s.complete(&to, before); err != nil {
			return 0, err
		}
		done, err := s.write(ctx, before, to)
		if err != nil {
			return 0, err
		}
		if !done {
			continue
		}
		if err := s.keep(ctx, to.keys); err != nil || to.quiet {
			return 0, err
		}
		return generationOf(slices.Concat(to.add, to.set)), nil
	}
}

// keep remembers keys that this process has made, so that the KEK is not asked for
// them.
func (s *Store) keep(ctx context.Context, made []keyring.Key) error {
	if len(made) == 0 {
		return nil
	}
	unlock, err := s.reading.lock(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer unlock()
	with := *s.last
	with.keys = maps.Clone(with.keys)
	for _, key := range made {
		with.keys[key.Version()] = key
	}
	s.last = &with
	return nil
}

// write writes a change, unless the rows are others than before.
func (s *Store) write(ctx context.Context, before *snapshot, to change) (done bool, err error) {
	err = owntables.Locked(ctx, s.config.DB, func(tx *sql.Tx) error {
		done = false
		rows, err := s.rows(ctx, tx)
		if err != nil || !slices.EqualFunc(rows, before.rows, row.same) {
			return err
		}
		if len(rows) == 0 {
			if err := s.checkNobody(ctx, tx); err != nil {
				return err
			}
		}
		for _, r := range to.known {
			if err := s.checkKnown(ctx, tx, r); err != nil {
				return err
			}
		}
		done = true
		return s.writeRows(ctx, tx, to)
	})
	return done, err
}

// same compares rows without what time alone changes.
func (r row) same(other row) bool {
	r.lingers, other.lingers = false, false
	return r == other
}

// complete gives the rows of a change their generation and tags.
func (s *Store) complete(to *change, before *snapshot) error {
	// It counts on from the time, so that a table which was put back, or lost its last
	// change, does not come to a generation once more.
	generation := max(generationOf(before.rows)+1, time.Now().UnixMilli())
	ring := to.ring
	if ring == nil {
		keys := slices.Clone(to.keys)
		for version, key := range before.keys {
			if before.row(version).version != version {
				continue // written here once, and lost by the database since
			}
			keys = append(keys, key)
		}
		var err error
		if ring, err = keyring.New(keys...); err != nil {
			return fmt.Errorf("gormcrypt: %w", err)
		}
	}
	for _, rows := range [][]row{to.add, to.set} {
		for i := range rows {
			r := &rows[i]
			if !to.quiet {
				r.changed = generation
			}
			if r.wrapped == "" {
				continue // imported as retired, without a key
			}
			var err error
			if r.tag, err = tagOf(ring, s.config.Name, *r); err != nil {
				return fmt.Errorf("gormcrypt: %w", err)
			}
		}
	}
	return nil
}

func (s *Store) writeRows(ctx context.Context, tx *sql.Tx, to change) error {
	for _, r := range to.add {
		if _, err := tx.ExecContext(ctx, "INSERT INTO gormcrypt_keys (version, state, changed, check_value, kek, wrapped, tag, created_at, retired_at) VALUES ($1, $2, $3, $4, $5, $6, $7, "+s.clock+", 0)",
			r.version.String(), string(r.state), r.changed, r.check, r.kek, r.wrapped, r.tag); err != nil {
			return fmt.Errorf("gormcrypt: storing key %s: %w", r.version, err)
		}
	}
	for _, r := range slices.Concat(to.set, to.rewrapped) {
		retiredAt := "0"
		if r.state == Retired {
			retiredAt = "CASE WHEN retired_at = 0 THEN " + s.clock + " ELSE retired_at END"
		}
		if _, err := tx.ExecContext(ctx, "UPDATE gormcrypt_keys SET state = $1, changed = $2, kek = $3, wrapped = $4, tag = $5, retired_at = "+retiredAt+" WHERE version = $6",
			string(r.state), r.changed, r.kek, r.wrapped, r.tag, r.version.String()); err != nil {
			return fmt.Errorf("gormcrypt: storing key %s: %w", r.version, err)
		}
	}
	return nil
}

// find returns the row of a version, or ErrUnknownVersion.
func (n *snapshot) find(version keyring.Version) (row, error) {
	if r := n.row(version); r.version == version && !version.IsZero() {
		return r, nil
	}
	return row{}, fmt.Errorf("gormcrypt: key version %s: %w", version, keyring.ErrUnknownVersion)
}
