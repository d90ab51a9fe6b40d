package ciphertext

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Config configures a Cipher. The zero value is the right one for most.
type Config struct {
	// Algorithm seals the columns that are not deterministic. Zero means
	// XChaCha20Poly1305, or AES256GCM when Go runs in FIPS 140-3 mode. Values
	// sealed earlier under another algorithm are opened all the same.
	Algorithm Algorithm
	// MaxSeals is how many values of one column a cipher seals under one key
	// version with AES256GCM; the next is refused with ErrExhausted. Zero means
	// 2^32, which is the most: NIST SP 800-38D, section 8.3, admits so many with
	// random nonces. Other algorithms have no limit.
	//
	// Each cipher counts what it seals itself, from when it is made. The limit
	// holds for all of them together: set it to 2^32 divided by how many processes
	// write, now and after restarts, while a key version is primary.
	MaxSeals uint64
}

// maxSeals is the largest value of Config.MaxSeals.
const maxSeals = 1 << 32

// Cipher seals and opens values under a keyring, which may be replaced while
// it is in use. It is safe for concurrent use.
type Cipher struct {
	algorithm Algorithm
	maxSeals  uint64
	ring      atomic.Pointer[keyring.Keyring]
	keepers   *keepers
	// seals counts, in an *atomic.Uint64 for each countedKey, what was sealed.
	seals sync.Map
	// named holds a *Column for each name that a value has been opened by.
	named sync.Map
	// names counts named, to bound it.
	names atomic.Int32
}

// maxNamed bounds the columns whose keys are kept for OpenNamed. Names come
// from the database; only those under which a value has opened are kept.
const maxNamed = 1024

// New returns a cipher under the keyring. It returns an error that wraps
// ErrUnsupported for an algorithm that does not exist, is deterministic, or
// is not admitted in FIPS 140-3 mode, and an error for a MaxSeals out of range.
func New(keys *keyring.Keyring, config Config) (*Cipher, error) {
	algorithm := config.Algorithm
	if algorithm == 0 {
		algorithm = XChaCha20Poly1305
		if fips140.Enabled() {
			algorithm = AES256GCM
		}
	}
	if err := algorithm.permitted(); err != nil {
		return nil, err
	}
	if algorithm == AESSIV {
		return nil, fmt.Errorf("%w: AES-SIV is for deterministic columns only; choose XChaCha20Poly1305 or AES256GCM", ErrUnsupported)
	}
	if algorithm != AES256GCM && fips140.Enabled() {
		return nil, fmt.Errorf("%w: %s is not approved, and the program runs in FIPS 140-3 mode; choose AES256GCM", ErrUnsupported, algorithm)
	}
	if config.MaxSeals > maxSeals {
		return nil, fmt.Errorf("gormcrypt: MaxSeals is %d; a key of AES-256-GCM is good for 2^32 values at most", config.MaxSeals)
	}
	c := &Cipher{algorithm: algorithm, maxSeals: config.MaxSeals, keepers: new(keepers)}
	if c.maxSeals == 0 {
		c.maxSeals = maxSeals
	}
	if err := c.SetKeys(keys); err != nil {
		return nil, err
	}
	return c, nil
}

// SetKeys replaces the keyring. Calls that are under way finish under the one
// before; later ones, on every Column of the cipher, use the new one. Nothing of
// the cipher keeps the keyring before, or a key that was derived from it.
func (c *Cipher) SetKeys(keys *keyring.Keyring) error {
	if keys == nil {
		return errors.New("gormcrypt: the keyring is nil")
	}
	c.ring.Store(keys)
	c.keepers.forget()
	return nil
}

// Keys returns the keyring in use.
func (c *Cipher) Keys() *keyring.Keyring { return c.ring.Load() }

// ColumnConfig describes one column of a database to [Cipher.Column].
type ColumnConfig struct {
	// Table and Column are the logical names that values are bound to. They
	// must stay what they are when the real ones are renamed. Both may be
	// empty, for values that are bound to no column.
	Table, Column string
	// Deterministic seals with AES-SIV under the primary index key, so that
	// equal values give equal ciphertexts.
	Deterministic bool
	// Binary seals into the form for binary columns, which is a quarter
	// shorter. Values of either form are opened.
	Binary bool
	// Named puts Table and Column into each value, so that [Cipher.OpenNamed]
	// opens it. Values with and without are opened; a Named column also opens
	// values that were sealed for no column.
	Named bool
	// Pad, if it is not zero, pads plaintexts to a multiple of so many bytes,
	// from 2 to 65536, to hide their length. Values are opened whatever
	// padding they have.
	Pad int
}

// MaxPad is the largest value of ColumnConfig.Pad, in bytes.
const MaxPad = 65536

// Column returns the column that config describes. Keep it: the keys that it
// derives are kept with it. It returns an error for names longer than 65535
// bytes, for one empty name of the two, for a Pad out of range, and for a
// deterministic column in FIPS 140-3 mode.
func (c *Cipher) Column(config ColumnConfig) (*Column, error) {
	switch {
	case len(config.Table) > maxName || len(config.Column) > maxName:
		return nil, fmt.Errorf("gormcrypt: the names of a table and a column may have %d bytes at most", maxName)
	case (config.Table == "") != (config.Column == ""):
		return nil, errors.New("gormcrypt: a column needs the names of both its table and itself")
	case config.Pad < 0 || config.Pad == 1 || config.Pad > MaxPad:
		return nil, fmt.Errorf("gormcrypt: cannot pad to a multiple of %d bytes; want 2 to %d", config.Pad, MaxPad)
	case config.Deterministic && fips140.Enabled():
		return nil, fmt.Errorf("gormcrypt: %s.%s: %w: deterministic columns use AES-SIV, which FIPS 140-3 mode does not admit",
			config.Table, config.Column, ErrUnsupported)
	}
	column := &Column{ColumnConfig: config, cipher: c, algorithm: c.algorithm}
	if config.Deterministic {
		column.algorithm = AESSIV
	}
	keeps(c.keepers, column)
	if config.Named && config.Table != "" {
		var err error
		if column.unscoped, err = c.Column(ColumnConfig{Named: true}); err != nil {
			return nil, err
		}
	}
	return column, nil
}

// OpenNamed opens a value that names its own column, as Named columns seal
// them, and stores it in dst as [Column.Open] does. It returns an error that
// wraps ErrAuthentication for a value without a name, or one that is bound to
// other fields of its row.
func (c *Cipher) OpenNamed(dst any, stored []byte) error {
	header, err := Parse(stored)
	if err != nil {
		return &Error{Op: "open", Err: err}
	}
	if !header.Named {
		return &Error{Op: "open", Version: header.Version,
			Err: fmt.Errorf("%w: it does not say which column it belongs to; read it through its model", ErrAuthentication)}
	}
	name := [2]string{header.Table, header.Column}
	if column, ok := c.named.Load(name); ok {
		return column.(*Column).Open(dst, stored)
	}
	column, err := c.Column(ColumnConfig{Table: header.Table, Column: header.Column, Named: true})
	if err != nil {
		return err
	}
	if err := column.Open(dst, stored); err != nil {
		return err
	}
	if c.names.Load() < maxNamed {
		if _, loaded := c.named.LoadOrStore(name, column); !loaded {
			c.names.Add(1)
		}
	}
	return nil
}
