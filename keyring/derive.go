package keyring

import (
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha256"
	"hash"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
	"github.com/gormcrypt/gormcrypt/internal/wipe"
)

// expand derives length bytes from a secret for one purpose: HKDF-SHA-256
// (RFC 5869) without salt, since the secret is uniformly random. The caller
// clears the result.
func expand(secret []byte, info string, length int) (derived []byte, err error) {
	secretly.Do(func() {
		var traces traces
		defer traces.clear()
		pseudorandom, failed := hkdf.Extract(traces.hash, secret, nil)
		if err = failed; err != nil {
			return
		}
		expanded, failed := hkdf.Expand(traces.hash, pseudorandom, info, length)
		if err = failed; err != nil {
			return
		}
		derived = slices.Clone(expanded) // the traces may be the same memory
		clear(expanded)
	})
	return derived, err
}

// traces are the copies of keys that HKDF leaves in memory. It has nothing to
// clear them with, but asks its caller for hashes.
type traces struct {
	digests []hash.Hash
	blocks  [][]byte
}

func (t *traces) hash() hash.Hash {
	digest := sha256.New()
	t.digests = append(t.digests, digest)
	if fips140.Enabled() {
		return digest // any other type is not approved
	}
	return traced{digest, t}
}

// traced is a hash that remembers what goes in and out of it: of HMAC (RFC 2104)
// first a block with the key and a constant, from which everyone can tell the key,
// and then the sums, which are keys as well.
type traced struct {
	hash.Hash
	traces *traces
}

func (h traced) Write(data []byte) (int, error) {
	if len(data) == sha256.BlockSize {
		h.traces.blocks = append(h.traces.blocks, data)
	}
	return h.Hash.Write(data)
}

func (h traced) Sum(dst []byte) []byte {
	sum := h.Hash.Sum(dst)
	h.traces.blocks = append(h.traces.blocks, sum)
	return sum
}

func (t *traces) clear() {
	for _, digest := range t.digests {
		wipe.At(digest)
	}
	for _, block := range t.blocks {
		clear(block)
	}
}
