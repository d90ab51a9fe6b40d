package keyring

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Set tells the two kinds of keys of a keyring apart. They have separate
// versions and rotate separately, so that the routine rotation of data keys
// leaves search and uniqueness alone.
type Set uint8

const (
	// DataKeys encrypt the ordinary columns, with a random nonce.
	DataKeys Set = iota
	// IndexKeys stand behind everything that can be searched: deterministic
	// columns and blind indexes.
	IndexKeys
)

// String returns "data" or "index".
func (s Set) String() string {
	if s == IndexKeys {
		return "index"
	}
	return "data"
}

// Version names one key of a keyring the way a ciphertext does: "7" is data
// key 7, "i7" is index key 7. It is comparable and may be a map key. The zero
// Version names no key.
type Version struct {
	set    Set
	number uint32
}

// MakeVersion returns the version of the numbered key of a set. Numbers start
// at 1; zero makes a Version that no keyring holds.
func MakeVersion(set Set, number uint32) Version {
	return Version{set: set, number: number}
}

// errVersion does not quote its input, which may be a key pasted into the
// wrong place.
var errVersion = errors.New(`not a key version: want "7" for a data key or "i7" for an index key, from 1 to 4294967295, without leading zeros`)

// ParseVersion reads a version in the form that String writes, and no other:
// leading zeros, signs and spaces are errors, because a version has one
// spelling in the associated data of a ciphertext.
func ParseVersion(s string) (Version, error) {
	digits, index := strings.CutPrefix(s, "i")
	if digits == "" || digits[0] < '1' || digits[0] > '9' {
		return Version{}, errVersion
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return Version{}, errVersion
	}
	v := Version{number: uint32(n)}
	if index {
		v.set = IndexKeys
	}
	return v, nil
}

// Set returns the set that the version belongs to.
func (v Version) Set() Set { return v.set }

// Number returns the number of the key within its set.
func (v Version) Number() uint32 { return v.number }

// IsZero reports whether v names no key.
func (v Version) IsZero() bool { return v.number == 0 }

// String returns the version as it stands in a ciphertext, "7" or "i7".
func (v Version) String() string {
	digits := strconv.FormatUint(uint64(v.number), 10)
	if v.set == IndexKeys {
		return "i" + digits
	}
	return digits
}

// MarshalText returns what String returns. It fails for a version that names
// no key.
func (v Version) MarshalText() ([]byte, error) {
	if v.IsZero() {
		return nil, errVersion
	}
	return []byte(v.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// State says what a key version may still do.
type State uint8

const (
	// Retired keys do nothing. The keyring keeps their version, without the
	// key, so that a value left behind is reported as such.
	Retired State = iota
	// Enabled keys open values that they sealed earlier.
	Enabled
	// Primary keys seal, and open. Each set has exactly one.
	Primary
)

var stateNames = [...]string{Retired: "retired", Enabled: "enabled", Primary: "primary"}

// String returns "retired", "enabled" or "primary".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns what String returns.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, errors.New("not a key state")
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	for state, name := range stateNames {
		if string(text) == name {
			*s = State(state)
			return nil
		}
	}
	return errors.New(`not a key state: want "primary", "enabled" or "retired"`)
}
