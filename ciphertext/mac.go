package ciphertext

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/gormcrypt/gormcrypt/internal/wipe"
)

// newMAC returns HMAC-SHA-256 under a key, which the caller clears after. Its copy
// is overwritten when nobody has the function any more.
func newMAC(key []byte) func([]byte) [sha256.Size]byte {
	owner := own(slices.Clone(key), func(key []byte) { clear(key) })
	// Without a New: a pool lives until the second garbage collection after its
	// last use, and would keep the key with it.
	states := new(sync.Pool)
	return func(message []byte) [sha256.Size]byte {
		s, _ := states.Get().(*macState)
		if s == nil {
			s = newMACState(owner.key)
		}
		s.Write(message)
		s.Sum(s.sum[:0])
		sum := s.sum
		s.Reset()
		states.Put(s)
		runtime.KeepAlive(owner)
		return sum
	}
}

// macState is an HMAC that is used again and again.
type macState struct {
	hash.Hash
	sum [sha256.Size]byte
}

// newMACState returns an HMAC that is overwritten when the pool has dropped it.
func newMACState(key []byte) *macState {
	mac := hmac.New(sha256.New, key)
	ipad, opad := wipe.Bytes(mac, "ipad"), wipe.Bytes(mac, "opad")
	mac.Reset() // which puts the states of the hash in the place of the padded keys
	clearUnless(ipad, wipe.Bytes(mac, "ipad"))
	clearUnless(opad, wipe.Bytes(mac, "opad"))
	s := &macState{Hash: mac}
	runtime.AddCleanup(s, wipeMAC, mac)
	return s
}

// clearUnless clears before unless it is still in use as now.
func clearUnless(before, now []byte) {
	if len(before) > 0 && len(now) > 0 && &before[0] != &now[0] {
		clear(before)
	}
}

// wipeMAC overwrites what an HMAC has of its key: the padded keys, or the states of
// the hash behind them, which are as good.
func wipeMAC(mac hash.Hash) {
	for _, field := range []string{"ipad", "opad", "inner", "outer"} {
		wipe.At(mac, field)
	}
}

// newStretch returns Argon2id with a salt, which the caller clears after.
func newStretch(salt []byte) func([]byte) []byte {
	owner := own(slices.Clone(salt), func(salt []byte) { clear(salt) })
	return func(encoded []byte) []byte {
		stretched := argon2.IDKey(encoded, owner.key, slowTime, slowMemory, slowThreads, sha256.Size)
		runtime.KeepAlive(owner)
		return stretched
	}
}
