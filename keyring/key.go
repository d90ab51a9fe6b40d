package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
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
	// reveal returns the key. Its result is never stored outside a closure.
	reveal func() []byte
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
		secret := slices.Clone(material)
		k.reveal = func() []byte { return secret }
		k.check, k.err = checkValue(secret)
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

// derive expands the key into length bytes for one purpose: HKDF-SHA-256
// (RFC 5869) without salt, since the key is uniformly random.
func (k Key) derive(info string, length int) ([]byte, error) {
	return hkdf.Key(sha256.New, k.reveal(), nil, info, length)
}

func checkValue(secret []byte) (string, error) {
	check, err := hkdf.Key(sha256.New, secret, nil, checkInfo, checkSize)
	if err != nil {
		return "", fmt.Errorf("deriving the check value: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(check), nil
}
