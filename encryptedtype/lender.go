package encryptedtype

import (
	"crypto/subtle"
	"runtime"
	"slices"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/secretly"
)

// lender calls borrow with a plaintext that is overwritten afterwards. It is nil for
// NULL.
type lender func(borrow func(plaintext []byte))

// hold returns a lender of copies of a plaintext, which it takes over, and which is
// overwritten when nobody has the lender any more.
func hold(plaintext []byte) lender {
	owner := &struct{ plaintext []byte }{plaintext}
	runtime.AddCleanup(owner, func(plaintext []byte) { clear(plaintext) }, plaintext)
	return func(borrow func([]byte)) {
		lent := slices.Clone(owner.plaintext)
		runtime.KeepAlive(owner)
		defer clear(lent)
		borrow(lent)
	}
}

// openStored returns the lender of a value that was stored: of the ciphertext, unless the
// value is one that only becomes text, such as a JSON text, or does not open at all.
func openStored(open func(dst any) error) (lender, bool) {
	var sealed ciphertext.Sealed
	if open(&sealed) != nil {
		return nil, false
	}
	return sealed.Use, true
}

// use is for what the program does with a plaintext.
func (l lender) use(f func(plaintext []byte)) {
	if l != nil {
		secretly.Do(func() { l(f) })
	}
}

// read is for what this package does with it.
func (l lender) read(f func(plaintext []byte)) {
	if l != nil {
		l(f)
	}
}

func (l lender) equal(other lender) (equal bool) {
	if l == nil || other == nil {
		return l == nil && other == nil
	}
	l(func(a []byte) {
		other(func(b []byte) { equal = subtle.ConstantTimeCompare(a, b) == 1 })
	})
	return equal
}
