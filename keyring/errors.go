package keyring

import "errors"

// The errors of this package, to be tested with errors.Is. None of them, and
// nothing that wraps them, holds a byte of a key.
var (
	// ErrUnknownVersion: the keyring has no key of that version.
	ErrUnknownVersion = errors.New("the key version is not in the keyring; load one that has it")
	// ErrRetired: the key version is in the keyring as retired; it opens and
	// seals nothing any more.
	ErrRetired = errors.New("the key version is retired, and opens nothing any more; if it was retired too early, load a keyring that still has its key")
	// ErrNoPrimary: the set has no primary key, so nothing can be sealed under
	// it.
	ErrNoPrimary = errors.New("no primary key")
	// ErrInvalid: a keyring, or the document it was read from, is not well
	// formed. The message says what is wrong with it and where.
	ErrInvalid = errors.New("invalid keyring")
	// ErrWrongKey: a key does not have the check value that stands beside it.
	// It was changed, cut, or pasted over another.
	ErrWrongKey = errors.New("the key is not the one that belongs here: it was changed, or wrapped by another; restore it from a copy")
	// ErrNotFound: the place that a source reads holds no keyring.
	ErrNotFound = errors.New("no keyring found")
	// ErrKeyLost: a keyring was to be replaced by one without a key version that
	// it holds, or with another key under that version. Values would be lost.
	ErrKeyLost = errors.New("a key would be lost")
	// ErrUnavailable: what holds the keys gave no answer, or none that can be
	// understood. Keys that are loaded go on working; the same call may succeed later.
	ErrUnavailable = errors.New("the key server is not available, and new keys wait for it")
	// ErrExpired: the keyring's source has not confirmed it for longer than was
	// allowed, so it seals and opens nothing until the source answers again.
	ErrExpired = errors.New("the keyring was not confirmed by its source for too long; see to the key server, and the keys are used again once it answers")
	// ErrExposed: the place that a source reads is open to other users of the
	// machine.
	ErrExposed = errors.New("the keyring is open to other users of the machine")
)
