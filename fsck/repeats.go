package fsck

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// repeats are the values of one fingerprint, by what they are.
type repeats []variant

// variant is a ciphertext, and where it was first.
type variant struct {
	identity, version string
	sum               [sha256.Size]byte
	at                spot
}

// maxVariants is how many ciphertexts of one fingerprint are told apart. Further ones
// are taken for ones that were not met before.
const maxVariants = 100

// repeat is a value that was met before, in some form.
type repeat struct {
	kind Kind
	at   variant
	from variant
}

// add adds a value, and returns what it repeats, if anything.
func (r *repeats) add(v variant) (repeat, bool) {
	known := -1
	for i, other := range *r {
		if other.identity != v.identity {
			continue
		}
		if other.sum == v.sum {
			return repeat{Copied, v, other}, true
		}
		if known < 0 {
			known = i
		}
	}
	if len(*r) < maxVariants {
		*r = append(*r, v)
	}
	if known < 0 {
		return repeat{}, false
	}
	return repeat{DuplicateNonce, v, (*r)[known]}, true
}

// sumOf is the same for a ciphertext in text and in binary.
func sumOf(stored any) [sha256.Size]byte {
	raw := bytesOf(stored)
	if header, err := ciphertext.Parse(raw); err == nil && !header.Binary {
		prefix := ciphertext.Prefix(header.Version)
		if body, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(string(raw), prefix)); err == nil {
			raw = append([]byte(prefix), body...)
		}
	}
	return sha256.Sum256(raw)
}

// reasons of findings in words.
const (
	reasonCopied    = "the same ciphertext is there too, which sealing never gives twice"
	reasonNonce     = "another value was sealed under the same key with the same nonce"
	reasonMoved     = "it does not open at its place, and does where it comes from"
	reasonSomeRow   = reasonMoved + "; which row that was is not known"
	reasonNotTraced = "; where it may come from was not looked for, since so many do not open"
)
