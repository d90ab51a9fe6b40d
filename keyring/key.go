package keyring

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// KeySize is the length of every key, data or index, in bytes. It is the
// input of a key derivation, never a cipher's key itself.
const KeySize = 32

// checkSize is the length of a check value in bytes: long enough that a
// changed key passes with probability 2^-64, short enough to read aloud.
const checkSize = 8

// checkInfo separates the check value from every key that is derived from the
// same secret.
const checkInfo = "gormcrypt/1 check value"

// Key is one key of a keyring, as New takes it. The key itself lives inside a
// function value, where no formatting verb, encoder or debugger's pretty
// printer finds it.
type Key struct {
	version Version
	state   State
	check   string
	err     error
	// lend calls borrow with the key, which must not keep it, and returns its
	// error. It is nil for a retired key.
	lend func(borrow func(secret []byte) error) error
}

// DataKey returns data key number version. The material, KeySize random
// bytes, is copied; the caller may clear it. For a Retired key it is ignored
// and may be nil. What is wrong with the arguments is reported by New.
func DataKey(version uint32, state State, material []byte) Key {
	return makeKey(MakeVersion(DataKeys, version), state, material)
}

// IndexKey returns index key number version, as DataKey does.
func IndexKey(version uint32, state State, material []byte) Key {
	return makeKey(MakeVersion(IndexKeys, version), state, material)
}

// Version returns the version of the key.
func (k Key) Version() Version { return k.version }

// State returns the state of the key.
func (k Key) State() State { return k.state }

// CheckValue returns the check value of the key, as [Keyring.CheckValue] does, and
// "" if there is none.
func (k Key) CheckValue() string { return k.check }

// WithState returns the key in another state. As Retired it loses the key itself;
// New refuses a Retired key that is made into another.
func (k Key) WithState(state State) Key {
	switch {
	case state == Retired || state > Primary:
		return makeKey(k.version, state, nil)
	case k.lend == nil && k.err == nil:
		k.err = fmt.Errorf("%w: key %s is retired, and its key is gone", ErrInvalid, k.version)
	}
	k.state = state
	return k
}

func makeKey(version Version, state State, material []byte) Key {
	k := Key{version: version, state: state}
	switch {
	case version.IsZero():
		k.err = fmt.Errorf("%w: a key has version 0; versions start at 1", ErrInvalid)
	case state > Primary:
		k.err = fmt.Errorf("%w: key %s has no valid state", ErrInvalid, version)
	case state == Retired:
	case len(material) != KeySize:
		k.err = fmt.Errorf("%w: key %s is %d bytes long; want %d random bytes", ErrInvalid, version, len(material), KeySize)
	case subtle.ConstantTimeCompare(material, make([]byte, KeySize)) == 1:
		k.err = fmt.Errorf("%w: key %s is all zeros; want %d random bytes", ErrInvalid, version, KeySize)
	default:
		k.lend = hold(material)
		k.check, k.err = checkValue(material)
	}
	return k
}

// randomKey returns a new key from the operating system's generator.
func randomKey(version Version, state State) Key {
	material := make([]byte, KeySize)
	rand.Read(material) // never fails; it ends the program instead
	defer clear(material)
	return makeKey(version, state, material)
}

// derive expands the key into length bytes for one purpose. The caller clears
// them.
func (k Key) derive(info string, length int) (derived []byte, err error) {
	err = k.lend(func(secret []byte) error {
		derived, err = expand(secret, info, length)
		return err
	})
	return derived, err
}

func checkValue(secret []byte) (string, error) {
	check, err := expand(secret, checkInfo, checkSize)
	if err != nil {
		return "", fmt.Errorf("deriving the check value: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(check), nil
}
