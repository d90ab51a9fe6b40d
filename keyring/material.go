package keyring

import (
	"runtime"
	"slices"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
)

// hold returns a function that lends a copy of the material. The copy is
// overwritten once nobody has the function any more: no keyring that holds the key,
// and no call of it.
func hold(material []byte) func(borrow func(secret []byte) error) error {
	var owner *struct{ secret []byte }
	secretly.Do(func() { owner = &struct{ secret []byte }{slices.Clone(material)} })
	runtime.AddCleanup(owner, func(secret []byte) { clear(secret) }, owner.secret)
	return func(borrow func([]byte) error) error {
		err := borrow(owner.secret)
		runtime.KeepAlive(owner)
		return err
	}
}
