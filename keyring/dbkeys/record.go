package dbkeys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// State is the state of a key version in the database.
type State string

// The states, in order. From Retiring on there is no way back to sealing.
const (
	Enabled  State = "enabled"
	Primary  State = "primary"
	Retiring State = "retiring"
	Retired  State = "retired"
)

// inKeyring returns what the state is in a keyring.
func (s State) inKeyring() (keyring.State, bool) {
	switch s {
	case Primary:
		return keyring.Primary, true
	case Enabled, Retiring:
		return keyring.Enabled, true
	case Retired:
		return keyring.Retired, true
	}
	return 0, false
}

// Record is what the database has of a key version.
type Record struct {
	Version keyring.Version
	State   State
	// CheckValue tells the key from others; see [keyring.Keyring.CheckValue].
	CheckValue string
	// KEK is the name of the key-encryption key that has wrapped the key.
	KEK string
	// CreatedAt and RetiredAt are by the clock of the database. RetiredAt is zero for
	// a version that is not retired.
	CreatedAt, RetiredAt time.Time
}

// List returns what there is of all key versions, data keys first, each set by
// number. It does not need the KEK.
func (s *Store) List(ctx context.Context) ([]Record, error) {
	rows, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, r := range rows {
		record := Record{Version: r.version, State: r.state, CheckValue: r.check, KEK: r.kek, CreatedAt: time.UnixMilli(r.createdAt)}
		if r.retiredAt != 0 {
			record.RetiredAt = time.UnixMilli(r.retiredAt)
		}
		all = append(all, record)
	}
	return all, nil
}

// row is a row of gormcrypt_keys. It is comparable.
type row struct {
	version keyring.Version
	state   State
	// changed is the generation since when the version is in its state. Each change
	// makes a new one, later than all before. Processes tell which they have.
	changed             int64
	check, kek, wrapped string
	tag                 string
	createdAt           int64
	retiredAt           int64
	// lingers is set while processes keep a version that is retired.
	lingers bool
}

// latestGeneration is far from both the last number and any time.
const latestGeneration = 1 << 60

// generationOf returns the generation of a keyring.
func generationOf(rows []row) int64 {
	var latest int64
	for _, r := range rows {
		latest = max(latest, r.changed)
	}
	return latest
}

type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// stored reads all rows, outside of a transaction.
func (s *Store) stored(ctx context.Context) ([]row, error) {
	pool, err := s.config.DB.DB()
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, pool)
}

// rows reads all rows, data keys first, each set by number.
func (s *Store) rows(ctx context.Context, from querier) ([]row, error) {
	fail := func(err error) error { return fmt.Errorf("gormcrypt: reading the keys in the database: %w", err) }
	result, err := from.QueryContext(ctx, "SELECT version, state, changed, check_value, kek, wrapped, tag, created_at, retired_at, "+s.clock+" FROM gormcrypt_keys")
	if err != nil {
		return nil, fail(err)
	}
	defer result.Close()
	var all []row
	for result.Next() {
		var r row
		var version string
		var now int64
		if err := result.Scan(&version, &r.state, &r.changed, &r.check, &r.kek, &r.wrapped, &r.tag, &r.createdAt, &r.retiredAt, &now); err != nil {
			return nil, fail(err)
		}
		if r.version, err = keyring.ParseVersion(version); err != nil {
			return nil, fail(fmt.Errorf("%w: in gormcrypt_keys: %w", keyring.ErrInvalid, err))
		}
		if _, known := r.state.inKeyring(); !known {
			return nil, fail(fmt.Errorf("%w: key %s is in a state that this version of the library does not know", keyring.ErrInvalid, r.version))
		}
		if r.changed < 1 || r.changed > latestGeneration {
			return nil, fail(fmt.Errorf("%w: key %s has a generation that this library does not write", keyring.ErrInvalid, r.version))
		}
		since := now - r.retiredAt
		r.lingers = r.state == Retired && r.wrapped != "" && r.retiredAt > 0 && 0 <= since && since < s.config.Grace.Milliseconds()
		all = append(all, r)
	}
	if err := result.Err(); err != nil {
		return nil, fail(err)
	}
	slices.SortFunc(all, func(a, b row) int {
		if a.version.Set() != b.version.Set() {
			return int(a.version.Set()) - int(b.version.Set())
		}
		return int(int64(a.version.Number()) - int64(b.version.Number()))
	})
	return all, nil
}

// inKeyring returns the state of the row in a keyring.
func (r row) inKeyring() keyring.State {
	if r.lingers {
		return keyring.Enabled
	}
	state, _ := r.state.inKeyring()
	return state
}

func (r row) wrappedBytes() ([]byte, error) {
	wrapped, err := base64.StdEncoding.DecodeString(r.wrapped)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: key %s: %w: in gormcrypt_keys it is not base64", r.version, keyring.ErrInvalid)
	}
	return wrapped, nil
}

// tagSize is the length of a tag in bytes.
const tagSize = 32

// tagOf returns what authenticates a row under its own key, from a keyring that has
// it. HKDF with a fixed key is a pseudorandom function of its info, so only who has
// the key can make a tag; and only who has the KEK can have a key unwrapped.
// The length of each part makes the info of two rows differ.
func tagOf(ring *keyring.Keyring, name string, r row) (string, error) {
	var info strings.Builder
	for _, part := range []string{"gormcrypt/1 key record", name, r.version.String(), string(r.state), strconv.FormatInt(r.changed, 10)} {
		fmt.Fprintf(&info, "%d:%s", len(part), part)
	}
	tag, err := ring.Derive(r.version, info.String(), tagSize)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(tag), nil
}

// authenticate returns ErrInvalid for a row with another tag than it should have.
func authenticate(ring *keyring.Keyring, name string, r row) error {
	want, err := tagOf(ring, name, r)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(r.tag), []byte(want)) != 1 {
		return fmt.Errorf("gormcrypt: key %s: %w: its row in gormcrypt_keys was written for another Config.Name, or changed by something else than this library; give the name that the keys were made with, or restore the table from a copy, and find out who changed it", r.version, keyring.ErrInvalid)
	}
	return nil
}

// authenticateRetired authenticates a row that has no tag for the state that it is in,
// if it was marked as retired past this library.
func (s *Store) authenticateRetired(before *snapshot, key keyring.Key, r row) error {
	keys := []keyring.Key{key}
	for _, other := range before.keys {
		if other.Version() != key.Version() {
			keys = append(keys, other)
		}
	}
	ring, err := keyring.New(keys...)
	if err != nil {
		return err
	}
	for _, r.state = range []State{Retired, Retiring, Enabled, Primary} {
		if err = authenticate(ring, s.config.Name, r); err == nil {
			return nil
		}
	}
	return err
}
