package keyring

import "fmt"

// expired returns a keyring of the same versions, states and check values that
// holds no key: whatever needs one fails with ErrExpired.
func (r *Keyring) expired() *Keyring {
	keys := make([]Key, len(r.keys))
	for i, key := range r.keys {
		keys[i] = Key{version: key.version, state: key.state, check: key.check}
		if key.state != Retired {
			keys[i].err = fmt.Errorf("key version %s: %w", key.version, ErrExpired)
		}
	}
	return &Keyring{keys: keys, primary: r.primary}
}

// same reports whether two keyrings do the same. Their keys are compared by
// their check values.
func (r *Keyring) same(other *Keyring) bool {
	if r == nil || other == nil || len(r.keys) != len(other.keys) {
		return r == other
	}
	for i, a := range r.keys {
		b := other.keys[i]
		if a.version != b.version || a.state != b.state || a.check != b.check || (a.err == nil) != (b.err == nil) {
			return false
		}
	}
	return true
}
