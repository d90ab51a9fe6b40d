package ciphertext

import "sync/atomic"

// countedKey names a derived key whose use is limited. The check value tells two
// keys of one version apart.
type countedKey struct{ version, check, table, column string }

// count counts a value that is about to be sealed. It returns ErrExhausted when the
// key has sealed as many as it may.
func (c *Column) count(key *columnKey) error {
	if c.algorithm != AES256GCM {
		return nil
	}
	sealed := key.sealed.Load()
	if sealed == nil {
		// The cipher has it: it goes on when the keyring is replaced by one with
		// the same key. Only keys that seal are there, since what is opened names
		// the column itself, and may name any.
		counter, _ := c.cipher.seals.LoadOrStore(countedKey{key.version.String(), key.check, c.Table, c.Column}, new(atomic.Uint64))
		sealed = counter.(*atomic.Uint64)
		key.sealed.Store(sealed)
	}
	if sealed.Add(1) > c.cipher.maxSeals {
		return ErrExhausted
	}
	return nil
}
