package ciphertext

import (
	"crypto/fips140"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// IndexConfig describes one blind index to [Cipher.Index].
type IndexConfig struct {
	// Table and Column are the logical names of the table and of the index
	// column itself, not of the columns that it is made of. They must stay what
	// they are when the real ones are renamed: terms made under other names are
	// other terms.
	Table, Column string
	// Bits is the length of a term, from MinBits to 128; zero means 128, at
	// which two values with one term do not occur. A shorter term is shared by
	// the values of one class: it shows less to whoever reads the database, and
	// a search finds rows that it must filter with [Index.Equal].
	Bits int
	// Slow stretches values with Argon2id before the HMAC, for values that are
	// few enough to be tried one by one by someone who has the index key. Each
	// term then takes 19 MiB of memory, and tens of milliseconds.
	Slow bool
	// Normalize is applied to strings, in order, before anything else, so that
	// spellings of one value have one term. Other values are left alone, byte
	// slices too. [Normalization] has the usual ones. The functions must be
	// safe for concurrent use, and always give one result for one text.
	Normalize []func(string) string
}

const (
	// MinBits is the smallest value of IndexConfig.Bits other than zero. With
	// 4 bits every search already opens a sixteenth of the table; with fewer it
	// would be no index, and reading the whole table hides more.
	MinBits = 4
	// maxBits is the length of a whole term. The terms of 2^32 values collide
	// with a probability of about 2^-65.
	maxBits = 128
)

// The Argon2id parameters of slow indexes are the first of the equivalent
// minimum configurations with one lane that OWASP's Password Storage Cheat
// Sheet recommends: 19 MiB of memory, 2 passes, 1 lane.
const (
	slowMemory  = 19456 // KiB
	slowTime    = 2
	slowThreads = 1
	// slowMark stands in the terms that are made so.
	slowMark = "a19456.2.1"
	saltSize = 16
)

// Index makes the terms of one blind index: text by which equal values are
// found without being opened. It is safe for concurrent use.
type Index struct {
	IndexConfig
	cipher *Cipher
	// keys are those derived from the keyring that was last used.
	keys atomic.Pointer[indexKeys]
}

// indexKeys are the keys of one index, derived from one keyring.
type indexKeys struct {
	ring *keyring.Keyring
	// live are the keys that a search looks for, the primary first. There are
	// none when the keyring cannot make terms, and err is the reason.
	live []indexKey
	err  error
}

// indexKey is a derived key. The key itself is reachable only through the
// functions, never as a field of a value that could be printed.
type indexKey struct {
	prefix string
	bits   int
	// stretch is nil unless the index is slow.
	stretch func(encoded []byte) []byte
	mac     func(message []byte) [sha256.Size]byte
}

// Index returns the index that config describes. Keep it: the keys that it
// derives are kept with it. It returns an error for names that are empty or
// longer than 65535 bytes, for Bits out of range, for a nil function, and for a
// slow index in FIPS 140-3 mode.
func (c *Cipher) Index(config IndexConfig) (*Index, error) {
	switch {
	case config.Table == "" || config.Column == "":
		return nil, errors.New("gormcrypt: an index needs the names of both its table and itself")
	case len(config.Table) > maxName || len(config.Column) > maxName:
		return nil, fmt.Errorf("gormcrypt: the names of a table and an index may have %d bytes at most", maxName)
	case config.Bits != 0 && (config.Bits < MinBits || config.Bits > maxBits):
		return nil, fmt.Errorf("gormcrypt: %s.%s: a term cannot have %d bits; want %d to %d, or 0 for %d",
			config.Table, config.Column, config.Bits, MinBits, maxBits, maxBits)
	case slices.ContainsFunc(config.Normalize, func(f func(string) string) bool { return f == nil }):
		return nil, fmt.Errorf("gormcrypt: %s.%s: a normalization is nil", config.Table, config.Column)
	case config.Slow && fips140.Enabled():
		return nil, fmt.Errorf("gormcrypt: %s.%s: %w: slow indexes use Argon2id, which FIPS 140-3 mode does not admit",
			config.Table, config.Column, ErrUnsupported)
	}
	config.Normalize = slices.Clone(config.Normalize)
	index := &Index{IndexConfig: config, cipher: c}
	keeps(c.keepers, index)
	return index, nil
}

// Term returns the term of a value under the primary index key, to be stored
// in the index column. Several values make the term of a compound index, which
// also depends on their order.
//
// Values are encoded as [Column.Seal] encodes those of a deterministic column:
// equal values of every width of a type have one term, and so have the times of
// one instant. Values of different types never have.
//
// It returns an *Error: ErrNull if any of the values is nil, a nil pointer,
// slice or map, for which [IsNull] is true and NULL is to be stored; ErrType
// for what does not encode, and for no value at all; and the keyring's
// ErrNoPrimary when it holds no index key.
func (x *Index) Term(values ...any) (string, error) {
	keys := x.current()
	if keys.err != nil {
		return "", x.fail(keys.err)
	}
	kept := scratch.Get().(*[]byte)
	encoded, err := x.encode((*kept)[:0], values)
	defer release(kept, encoded)
	if err != nil {
		return "", x.fail(err)
	}
	return keys.live[0].term(encoded), nil
}

// Live returns how many key versions make terms that are searched: more than one
// while index keys rotate.
func (x *Index) Live() int { return len(x.current().live) }

// Terms returns the terms of a value under every index key that is primary or
// enabled, the primary's first and the others by version: what a search looks
// for while more than one is in use. It returns the errors that Term does.
func (x *Index) Terms(values ...any) ([]string, error) {
	keys := x.current()
	if keys.err != nil {
		return nil, x.fail(keys.err)
	}
	kept := scratch.Get().(*[]byte)
	encoded, err := x.encode((*kept)[:0], values)
	defer release(kept, encoded)
	if err != nil {
		return nil, x.fail(err)
	}
	terms := make([]string, len(keys.live))
	for i := range keys.live {
		terms[i] = keys.live[i].term(encoded)
	}
	return terms, nil
}

// Equal reports whether two values, each given as it is to Term, are equal for
// this index: whether they are once they are normalized and encoded. That they
// have one term says so only if the index is not truncated. NULL is equal to
// nothing, not to NULL either. It takes the same time wherever two encodings
// of one length differ.
//
// It needs no key. It returns an *Error that wraps ErrType for what does not
// encode, and for no value at all.
func (x *Index) Equal(a, b []any) (bool, error) {
	keptA, keptB := scratch.Get().(*[]byte), scratch.Get().(*[]byte)
	encodedA, errA := x.encode((*keptA)[:0], a)
	defer release(keptA, encodedA)
	encodedB, errB := x.encode((*keptB)[:0], b)
	defer release(keptB, encodedB)
	for _, err := range []error{errA, errB} {
		if err != nil && !IsNull(err) {
			return false, x.fail(err)
		}
	}
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(encodedA, encodedB) == 1, nil
}

// encode appends the canonical encoding of what a term is made of: the number
// of values, and each value's plaintext with its length in front.
func (x *Index) encode(dst []byte, values []any) ([]byte, error) {
	if len(values) == 0 {
		return dst, fmt.Errorf("%w: a term is of one value at least", ErrType)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(values)))
	for _, value := range values {
		start := len(dst) + 4
		var err error
		if dst, err = appendPlaintext(append(dst, 0, 0, 0, 0), value, true); err != nil {
			return dst, err
		}
		if kind(dst[start]) == kindString && len(x.Normalize) > 0 {
			text := string(dst[start+1:])
			for _, normalize := range x.Normalize {
				text = normalize(text)
			}
			clear(dst[start+1:])
			dst = append(dst[:start+1], text...)
		}
		binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	}
	return dst, nil
}

// current returns the keys of the index under the keyring in use.
func (x *Index) current() *indexKeys {
	ring := x.cipher.ring.Load()
	if keys := x.keys.Load(); keys != nil && keys.ring == ring {
		return keys
	}
	keys := &indexKeys{ring: ring}
	keys.live, keys.err = x.derive(ring)
	x.keys.Store(keys)
	if x.cipher.ring.Load() != ring {
		x.keys.CompareAndSwap(keys, nil) // SetKeys may have passed by before
	}
	return keys
}

func (x *Index) forget() { x.keys.Store(nil) }

func (x *Index) derive(ring *keyring.Keyring) ([]indexKey, error) {
	primary, err := ring.Primary(keyring.IndexKeys)
	if err != nil {
		return nil, err
	}
	var live []indexKey
	for _, version := range liveVersions(ring, primary) {
		secret, err := ring.Derive(version, indexInfo(x.Slow, x.Table, x.Column), sha256.Size+saltSize)
		if err != nil {
			return nil, err
		}
		key := indexKey{prefix: TermPrefix(version), bits: x.Bits}
		if key.bits == 0 {
			key.bits = maxBits
		}
		secretly.Do(func() {
			key.mac = newMAC(secret[:sha256.Size])
			if x.Slow {
				key.prefix += slowMark + ":"
				key.stretch = newStretch(secret[sha256.Size:])
			}
		})
		clear(secret)
		live = append(live, key)
	}
	return live, nil
}

// indexInfo returns the HKDF info of the key and the salt of one index. The
// numbers are 1 for HMAC-SHA-256 and 2 for the same after Argon2id.
func indexInfo(slow bool, table, column string) string {
	number := byte(1)
	if slow {
		number = 2
	}
	info := appendField(nil, label+" index")
	info = appendField(info, []byte{number})
	info = appendField(info, table)
	return string(appendField(info, column))
}

// term returns the text of the term of an encoded value.
func (k *indexKey) term(encoded []byte) string {
	if k.stretch != nil {
		encoded = k.stretch(encoded)
	}
	sum := k.mac(encoded)
	size := (k.bits + 7) / 8
	sum[size-1] &= byte(0xff << (8*size - k.bits))
	var text [64]byte
	return string(strict.AppendEncode(append(text[:0], k.prefix...), sum[:size]))
}

func (x *Index) fail(err error) error {
	return &Error{Op: "index", Table: x.Table, Column: x.Column, Err: err}
}

// ErrNotTerm: the stored value is not a term of a blind index.
var ErrNotTerm = errors.New("the stored value is not a term of a blind index: it was written past the plugin, or cut")

// TermPrefix returns what every term under a key version starts with.
func TermPrefix(version keyring.Version) string { return version.String() + ":" }

// Term is what a term says of itself, to anyone, without a key.
type Term struct {
	// Version is the index key version that made it.
	Version keyring.Version
	// Slow says that the value was stretched with Argon2id.
	Slow bool
}

// ParseTerm reads a stored term. It returns ErrNotTerm for what [Index.Term]
// never makes, and an error that wraps ErrUnsupported for a slow term with
// other parameters than it uses. Neither quotes the term.
func ParseTerm(s string) (Term, error) {
	name, body, _ := strings.Cut(s, ":")
	version, err := keyring.ParseVersion(name)
	if err != nil || version.Set() != keyring.IndexKeys {
		return Term{}, ErrNotTerm
	}
	term := Term{Version: version}
	if mark, rest, ok := strings.Cut(body, ":"); ok {
		switch {
		case mark == slowMark:
			term.Slow, body = true, rest
		case slowShaped(mark):
			return Term{}, fmt.Errorf("%w: a slow index with other parameters than %s", ErrUnsupported, slowMark)
		default:
			return Term{}, ErrNotTerm
		}
	}
	// Whole terms are the longest. The decoder would skip line breaks.
	if body == "" || len(body) > strict.EncodedLen(maxBits/8) || strings.ContainsAny(body, "\r\n") {
		return Term{}, ErrNotTerm
	}
	if _, err := strict.DecodeString(body); err != nil {
		return Term{}, ErrNotTerm
	}
	return term, nil
}

// slowShaped reports whether s is a mark as slowMark is: an "a" and three
// positive decimal numbers of 32 bits.
func slowShaped(s string) bool {
	numbers, ok := strings.CutPrefix(s, "a")
	parts := strings.SplitN(numbers, ".", 4)
	for _, part := range parts {
		// A number of a version is written alike.
		if version, err := keyring.ParseVersion(part); err != nil || version.Set() != keyring.DataKeys {
			return false
		}
	}
	return ok && len(parts) == 3
}
