package ciphertext

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Column seals and opens the values of one column of a database. It is safe
// for concurrent use.
type Column struct {
	ColumnConfig
	cipher    *Cipher
	algorithm Algorithm
	// unscoped opens values that a Named column admits without a name.
	unscoped *Column
	// keys are those derived from the keyring that was last used.
	keys atomic.Pointer[columnKeys]
}

// columnKeys are the keys of one column, derived from one keyring.
type columnKeys struct {
	ring *keyring.Keyring
	// primary seals. It is nil when the keyring cannot, with the reason and the
	// version that would.
	primary *columnKey
	err     error
	version keyring.Version
	// live are the versions of the same set that open, the primary first.
	live []keyring.Version
	// derived holds a *columnKey for each keyID that was needed to open a
	// value.
	derived sync.Map
}

// keyID tells the keys of one column apart. The first byte of a body is the
// algorithm with its flag.
type keyID struct {
	version keyring.Version
	first   byte
}

// columnKey is a derived key, and what goes with it into every value.
type columnKey struct {
	primitive
	version keyring.Version
	first   byte
	ad      []byte // without the bound values
	// head is the body up to the nonce: the algorithm byte, and the names.
	head   []byte
	prefix []byte
	// check is the check value of the version.
	check string
	// sealed counts the values that were sealed, if there is a limit.
	sealed atomic.Pointer[atomic.Uint64]
}

// current returns the keys of the column under the keyring in use.
func (c *Column) current() *columnKeys {
	ring := c.cipher.ring.Load()
	if keys := c.keys.Load(); keys != nil && keys.ring == ring {
		return keys
	}
	keys := &columnKeys{ring: ring}
	first := byte(c.algorithm)
	if c.Named {
		first |= namedFlag
	}
	version, err := ring.Primary(c.algorithm.set())
	if err == nil {
		keys.primary, err = c.derive(ring, keyID{version, first})
	}
	keys.err, keys.version = err, version
	keys.live = liveVersions(ring, version)
	c.keys.Store(keys)
	if c.cipher.ring.Load() != ring {
		c.keys.CompareAndSwap(keys, nil) // SetKeys may have passed by before
	}
	return keys
}

func (c *Column) forget() { c.keys.Store(nil) }

// liveVersions returns the versions of a set that open, its primary first.
func liveVersions(ring *keyring.Keyring, primary keyring.Version) []keyring.Version {
	live := []keyring.Version{primary}
	for _, version := range ring.Versions() {
		if state, err := ring.State(version); err == nil && state == keyring.Enabled && version.Set() == primary.Set() {
			live = append(live, version)
		}
	}
	return live
}

// Live returns how many key versions open values of the column: more than one
// while keys rotate.
func (c *Column) Live() int { return len(c.current().live) }

// key returns the key that a parsed value names.
func (c *Column) key(id keyID) (*columnKey, error) {
	keys := c.current()
	if p := keys.primary; p != nil && p.version == id.version && p.first == id.first {
		return p, nil
	}
	if key, ok := keys.derived.Load(id); ok {
		return key.(*columnKey), nil
	}
	key, err := c.derive(keys.ring, id)
	if err != nil {
		return nil, err
	}
	keys.derived.Store(id, key)
	return key, nil
}

func (c *Column) derive(ring *keyring.Keyring, id keyID) (*columnKey, error) {
	algorithm := Algorithm(id.first &^ namedFlag)
	if err := algorithm.permitted(); err != nil {
		return nil, err
	}
	check, err := ring.CheckValue(id.version)
	if err != nil {
		return nil, err
	}
	parameters := algorithms[algorithm]
	secret, err := ring.Derive(id.version, keyInfo(algorithm, c.Table, c.Column), parameters.keySize)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	var primitive primitive
	secretly.Do(func() { primitive, err = parameters.make(secret) })
	if err != nil {
		return nil, fmt.Errorf("making the %s cipher: %w", algorithm, err)
	}
	key := &columnKey{
		primitive: primitive,
		version:   id.version,
		first:     id.first,
		ad:        associatedData(id.first, id.version, c.Table, c.Column),
		head:      []byte{id.first},
		prefix:    []byte(Prefix(id.version)),
		check:     check,
	}
	if id.first&namedFlag != 0 {
		key.head = appendName(appendName(key.head, c.Table), c.Column)
	}
	return key, nil
}

// associated returns the associated data of a value. It does not change ad.
func (k *columnKey) associated(bound []Bound) []byte {
	if len(bound) == 0 {
		return k.ad
	}
	return appendBound(slices.Clone(k.ad), bound)
}

// scratch holds the buffers that plaintext and ciphertext pass through.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the largest buffer that is kept, in bytes.
const maxScratch = 64 << 10

// release clears what was used of a buffer and puts it back.
func release(kept *[]byte, used []byte) {
	clear(used)
	if cap(used) > maxScratch {
		return
	}
	*kept = used[:0]
	scratch.Put(kept)
}

// grow returns buf with room for n more bytes. It leaves no copy of what is in it.
func grow(buf []byte, n int) []byte {
	if cap(buf)-len(buf) >= n {
		return buf
	}
	grown := append(make([]byte, 0, 2*len(buf)+n), buf...)
	clear(buf)
	return grown
}

// Seal encrypts a Go value under the primary key and appends the result to
// dst: base64 text, or bytes if the column is Binary. bound are the values
// that it is bound to; the same are needed, in the same order, to open it.
//
// Strings, byte slices, bools, ints, uints and floats of every width, types
// made from them, and time.Time have encodings of their own; a driver.Valuer
// is sealed as what it gives, and everything else as JSON. A pointer is sealed
// as what it points to. Times keep nanoseconds and their offset from UTC; in a
// deterministic column they become UTC.
//
// It returns an *Error: ErrNull for nil, a nil pointer, slice or map;
// ErrType for what does not encode; ErrExhausted when the key has sealed as many
// values as it may; and the keyring's ErrNoPrimary when there is no key to seal
// with, or ErrExpired when it is out of use.
func (c *Column) Seal(dst []byte, value any, bound ...Bound) ([]byte, error) {
	keys := c.current()
	if keys.err != nil {
		return dst, c.fail("seal", keys.version, keys.err)
	}
	return c.seal(dst, keys.primary, value, bound)
}

// SealEach seals a value of a Deterministic column once under every index key
// that opens, the primary first: as it may be stored. It returns the errors of
// Seal.
func (c *Column) SealEach(value any) ([][]byte, error) {
	keys := c.current()
	if keys.err != nil {
		return nil, c.fail("seal", keys.version, keys.err)
	}
	var all [][]byte
	for _, version := range keys.live {
		key, err := c.key(keyID{version, keys.primary.first})
		if err != nil {
			return nil, c.fail("seal", version, err)
		}
		sealed, err := c.seal(nil, key, value, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, sealed)
	}
	return all, nil
}

func (c *Column) seal(dst []byte, key *columnKey, value any, bound []Bound) ([]byte, error) {
	kept := scratch.Get().(*[]byte)
	buf := append((*kept)[:0], key.head...)
	start := len(buf) + algorithms[c.algorithm].nonceSize
	buf = slices.Grow(buf, start-len(buf))[:start]

	buf, err := appendPlaintext(buf, value, c.Deterministic)
	buf = grow(buf, c.Pad+1+algorithms[c.algorithm].overhead)
	if err == nil && c.Pad > 0 {
		buf = pad(buf, start, c.Pad)
	}
	if err == nil {
		err = c.count(key)
	}
	if err == nil {
		buf, err = key.seal(buf, len(key.head), key.associated(bound))
	}
	if err != nil {
		release(kept, buf)
		return dst, c.fail("seal", key.version, err)
	}
	dst = append(dst, key.prefix...)
	if c.Binary {
		dst = append(dst, buf...)
	} else {
		dst = strict.AppendEncode(dst, buf)
	}
	release(kept, buf)
	return dst, nil
}

// SealedLen returns the length of what Seal appends for a plaintext of so
// many bytes, under a key version of one digit: for a string or a byte slice
// one byte more than its length, for numbers 9, for a time 17, for a bool 2.
func (c *Column) SealedLen(plaintext int) int {
	if c.Pad > 0 {
		plaintext++
		plaintext += (c.Pad - plaintext%c.Pad) % c.Pad
	}
	body := 1 + algorithms[c.algorithm].overhead + plaintext
	if c.Named {
		body += 2 + len(c.Table) + 2 + len(c.Column)
	}
	prefix := len(magic) + len("1:")
	if c.Deterministic {
		prefix++
	}
	if c.Binary {
		return prefix + body
	}
	return prefix + strict.EncodedLen(body)
}

// Open decrypts a stored value, in its text or its binary form, and stores it
// in dst, a non-nil pointer. bound are the values that it was bound to.
//
// The value keeps its type: a string goes into strings and byte slices, an
// integer into integers that can hold it, and so on; a sql.Scanner gets what
// a driver would give it, an *any a string, []byte, int64, uint64, float64,
// bool, time.Time, or what encoding/json makes of the rest, a *[Value]
// whatever it is, and a *[Sealed] strings and byte slices.
//
// It returns an *Error that names table, column and key version and wraps
// ErrNotCiphertext, ErrUnsupported, ErrMalformed, ErrAuthentication or ErrType
// of this package, or ErrUnknownVersion, ErrRetired or ErrExpired of package
// keyring. dst is not changed then.
func (c *Column) Open(dst any, stored []byte, bound ...Bound) error {
	return open(c, dst, stored, bound)
}

// OpenString is Open for a stored value that is a string.
func (c *Column) OpenString(dst any, stored string, bound ...Bound) error {
	return open(c, dst, stored, bound)
}

func open[S string | []byte](c *Column, dst any, stored S, bound []Bound) error {
	kept := scratch.Get().(*[]byte)
	// One buffer holds the stored value and, behind it, its decoded body.
	n := len(stored)
	buf := slices.Grow((*kept)[:0], 2*n)[:2*n]
	copy(buf, stored)
	err := c.openBuffer(dst, buf[:n:n], buf[n:], bound)
	release(kept, buf)
	return err
}

// openBuffer opens stored, which it may change.
func (c *Column) openBuffer(dst any, stored, scratch []byte, bound []Bound) error {
	value, err := decode(scratch, stored)
	if err != nil {
		return c.fail("open", value.Version, err)
	}
	first := byte(value.Algorithm)
	if value.Named {
		first |= namedFlag
		switch {
		case value.Table == c.Table && value.Column == c.Column:
		case value.Table == "" && c.unscoped != nil:
			err := c.unscoped.openBuffer(dst, stored, scratch, bound)
			if detail, ok := err.(*Error); ok {
				detail.Table, detail.Column = c.Table, c.Column
			}
			return err
		case value.Table == "":
			return c.fail("open", value.Version, fmt.Errorf("%w (it was sealed for no column, as a value of package encryptedtype is outside of its model)", ErrAuthentication))
		default:
			return c.fail("open", value.Version, fmt.Errorf("%w (it names another column)", ErrAuthentication))
		}
	}
	key, err := c.key(keyID{value.Version, first})
	if err != nil {
		return c.fail("open", value.Version, err)
	}
	ad := key.associated(bound)
	sealed, keep := dst.(*Sealed)
	var kept []byte
	if keep {
		kept = slices.Clone(value.body) // which is opened in place
	}
	plaintext, err := key.open(value.body, ad)
	if err != nil {
		// What the primitive says is always the same, and says less.
		return c.fail("open", value.Version, ErrAuthentication)
	}
	defer clear(plaintext)
	if keep {
		err = sealed.keep(plaintext, key.open, kept, ad)
	} else {
		err = decodePlaintext(plaintext, dst)
	}
	if err != nil {
		return c.fail("open", value.Version, err)
	}
	return nil
}

func (c *Column) fail(op string, version keyring.Version, err error) error {
	// The keyring names the version, and so does the Error.
	for _, class := range []error{keyring.ErrUnknownVersion, keyring.ErrRetired, keyring.ErrExpired} {
		if errors.Is(err, class) {
			err = class
		}
	}
	return &Error{Op: op, Table: c.Table, Column: c.Column, Version: version, Err: err}
}

// IsNull reports whether err says that a value was nil and is to be stored as
// NULL.
func IsNull(err error) bool { return errors.Is(err, ErrNull) }
