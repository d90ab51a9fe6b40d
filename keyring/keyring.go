// Package keyring holds the keys behind encrypted columns: their versions,
// their states, and the sources that they are loaded from.
//
// A [Keyring] is an immutable set of key versions. In each of its two sets,
// data keys and index keys, exactly one is primary and seals; others are
// enabled and open what they sealed earlier; retired ones remain only as a
// name. Changing a keyring, with [Keyring.Add], [Keyring.Promote] and
// [Keyring.Retire], makes a new one, so a keyring may be shared between
// goroutines without locks.
//
// Keyrings come from an environment variable ([Env]), a file of the application's
// own ([File]), a secret that a container or systemd mounts ([Secret],
// [SecretFile], [Credential]), a file whose keys are wrapped by a passphrase or a
// key server's key ([WrappedFile], [NewPassphrase]), or the [First] of several that
// has one. docs/keys.md says which is for whom, and what each leaves behind.
//
// No type of this package shows a key: not to any fmt verb, slog, JSON or gob,
// and not in a panic. Keys leave it by three doors only: [Keyring.Derive],
// [WriteCleartext] and [WriteFile]; and, wrapped by a KEK, by [Key.Wrap],
// [Keyring.Wrap], [WriteWrapped] and [WriteWrappedFile].
//
// A key is overwritten in memory when nobody has a keyring with it any more, at some
// time after the next garbage collection. docs/threat-model.md says what that leaves.
package keyring

import (
	"context"
	"fmt"
	"slices"
)

// Keyring is an immutable set of key versions. It is safe for concurrent use.
// It implements [Source] by returning itself.
type Keyring struct {
	// keys holds the data keys, then the index keys, each by number.
	keys    []Key
	primary [2]Version
}

// New returns a keyring of the given keys, in any order. It needs at least
// one data key; exactly one key of each set that has any must be Primary. It
// returns an error that wraps ErrInvalid or ErrNoPrimary and names the key
// version when that is not so, or when a version occurs twice.
func New(keys ...Key) (*Keyring, error) {
	ring := &Keyring{keys: slices.Clone(keys)}
	slices.SortFunc(ring.keys, func(a, b Key) int {
		if a.version.set != b.version.set {
			return int(a.version.set) - int(b.version.set)
		}
		return int(int64(a.version.number) - int64(b.version.number))
	})
	var has [2]bool
	for i, key := range ring.keys {
		switch {
		case key.err != nil:
			return nil, key.err
		case key.version.IsZero():
			return nil, fmt.Errorf("%w: a zero Key; make keys with DataKey or IndexKey", ErrInvalid)
		case i > 0 && ring.keys[i-1].version == key.version:
			return nil, fmt.Errorf("%w: key %s occurs twice", ErrInvalid, key.version)
		}
		has[key.version.set] = true
		if key.state == Primary {
			primary := &ring.primary[key.version.set]
			if !primary.IsZero() {
				return nil, fmt.Errorf("%w: %s and %s are both primary; exactly one %s key may be",
					ErrInvalid, *primary, key.version, key.version.set)
			}
			*primary = key.version
		}
	}
	if !has[DataKeys] {
		return nil, fmt.Errorf("%w: it holds no data key", ErrInvalid)
	}
	for _, set := range []Set{DataKeys, IndexKeys} {
		if has[set] && ring.primary[set].IsZero() {
			return nil, fmt.Errorf("%w: %w among the %s keys; mark one as primary", ErrInvalid, ErrNoPrimary, set)
		}
	}
	return ring, nil
}

// Generate returns a keyring with one random data key and one random index
// key, both version 1 and primary. What it seals is lost with the process unless
// the keyring is kept, with [WriteFile].
func Generate() (*Keyring, error) {
	return New(
		randomKey(MakeVersion(DataKeys, 1), Primary),
		randomKey(MakeVersion(IndexKeys, 1), Primary),
	)
}

// Load returns the keyring itself, so that it can stand wherever a Source is
// wanted. It fails for a nil keyring and when the context is done.
func (r *Keyring) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("%w: the keyring is nil", ErrNotFound)
	}
	return r, nil
}

// Versions returns the versions of all keys, data keys first, each set by
// number.
func (r *Keyring) Versions() []Version {
	versions := make([]Version, len(r.keys))
	for i, key := range r.keys {
		versions[i] = key.version
	}
	return versions
}

// Primary returns the version that seals in a set. It returns ErrNoPrimary
// when the keyring has no key of that set.
func (r *Keyring) Primary(set Set) (Version, error) {
	if set > IndexKeys || r.primary[set].IsZero() {
		return Version{}, fmt.Errorf("%w: the keyring holds no %s key; add one", ErrNoPrimary, set)
	}
	return r.primary[set], nil
}

// State returns the state of a version, and ErrUnknownVersion when the
// keyring does not hold it.
func (r *Keyring) State(version Version) (State, error) {
	key, ok := r.find(version)
	if !ok {
		return Retired, r.unknown(version)
	}
	return key.state, nil
}

// CheckValue returns the check value of a version: 64 bits derived from the
// key, in base64url. It tells two keys apart and reveals neither, so it may
// be written beside a key, in a ticket or a log. Retired keys have none.
func (r *Keyring) CheckValue(version Version) (string, error) {
	key, err := r.live(version)
	if err != nil {
		return "", err
	}
	return key.check, nil
}

// Derive returns length bytes that are derived from the key of a version for
// one purpose, by HKDF-SHA-256 (RFC 5869) with an empty salt and info as its
// info. Different infos give independent keys. The result is key material:
// build a cipher from it at once and keep that behind a function value.
//
// It returns ErrUnknownVersion, ErrRetired or ErrExpired, naming the version, and
// an error when length is not between 1 and 8160.
func (r *Keyring) Derive(version Version, info string, length int) ([]byte, error) {
	key, err := r.live(version)
	if err != nil {
		return nil, err
	}
	if length < 1 || length > 255*32 {
		return nil, fmt.Errorf("deriving %d bytes from key %s: want 1 to 8160", length, version)
	}
	if info == checkInfo {
		return nil, fmt.Errorf("deriving from key %s: the info %q is reserved", version, checkInfo)
	}
	derived, err := key.derive(info, length)
	if err != nil {
		return nil, fmt.Errorf("deriving from key %s: %w", version, err)
	}
	return derived, nil
}

// Add returns a keyring that also holds a new random key of the set, and the
// key's version. The key is Enabled: distribute the keyring to every process
// first, then [Keyring.Promote] it. The first key of a set is Primary at once.
func (r *Keyring) Add(set Set) (*Keyring, Version, error) {
	next := MakeVersion(set, 1)
	state := Primary
	for _, key := range r.keys {
		if key.version.set == set {
			next.number = key.version.number + 1 // wraps to the invalid 0 after the last
			state = Enabled
		}
	}
	ring, err := New(append(slices.Clone(r.keys), randomKey(next, state))...)
	return ring, next, err
}

// Promote returns a keyring in which version is Primary, and the one that was
// is Enabled. It returns ErrUnknownVersion or ErrRetired.
//
// While two index keys are live, equal values of a deterministic column differ
// by the key that sealed them, and a unique constraint does not see that they
// are equal. Promote an index key only to seal all of the column anew.
func (r *Keyring) Promote(version Version) (*Keyring, error) {
	if _, err := r.live(version); err != nil {
		return nil, err
	}
	keys := slices.Clone(r.keys)
	for i := range keys {
		switch {
		case keys[i].version == version:
			keys[i].state = Primary
		case keys[i].version.set == version.set && keys[i].state == Primary:
			keys[i].state = Enabled
		}
	}
	return New(keys...)
}

// Retire returns a keyring without the key of version, of which only the name
// remains. Values that are still sealed under it can no longer be opened with
// the result, so make sure first that there are none. The primary key cannot
// be retired: promote another before.
func (r *Keyring) Retire(version Version) (*Keyring, error) {
	key, err := r.live(version)
	if err != nil {
		return nil, err
	}
	if key.state == Primary {
		return nil, fmt.Errorf("%w: key %s is primary; promote another before retiring it", ErrInvalid, version)
	}
	keys := slices.Clone(r.keys)
	for i := range keys {
		if keys[i].version == version {
			keys[i] = makeKey(version, Retired, nil)
		}
	}
	return New(keys...)
}

func (r *Keyring) find(version Version) (Key, bool) {
	for _, key := range r.keys {
		if key.version == version {
			return key, true
		}
	}
	return Key{}, false
}

// live returns the key of a version that still opens.
func (r *Keyring) live(version Version) (Key, error) {
	key, ok := r.find(version)
	switch {
	case !ok:
		return Key{}, r.unknown(version)
	case key.state == Retired:
		return Key{}, fmt.Errorf("key version %s: %w", version, ErrRetired)
	}
	return key, key.err
}

func (r *Keyring) unknown(version Version) error {
	return fmt.Errorf("key version %s: %w", version, ErrUnknownVersion)
}
