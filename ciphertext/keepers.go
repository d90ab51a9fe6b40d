package ciphertext

import (
	"runtime"
	"sync"
	"weak"
)

// keeper is a column or an index: it keeps the keys that it has derived.
type keeper interface{ forget() }

// keepers are those of one cipher, as long as somebody has them. When its keyring
// is replaced they forget what they derived, also the one that is never used again,
// so that the keys can be overwritten.
type keepers struct {
	mu  sync.Mutex
	all map[any]func() // by weak.Pointer
}

// keeps adds a keeper.
func keeps[T any, P interface {
	*T
	keeper
}](k *keepers, user P) {
	pointer := weak.Make((*T)(user))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[any]func(){}
	}
	k.all[pointer] = func() {
		if user := pointer.Value(); user != nil {
			P(user).forget()
		}
	}
	runtime.AddCleanup((*T)(user), k.remove, any(pointer))
}

func (k *keepers) remove(pointer any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, pointer)
}

func (k *keepers) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, forget := range k.all {
		forget()
	}
}
