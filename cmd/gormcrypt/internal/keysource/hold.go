package keysource

import (
	"context"
	"errors"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// errHeld is what another keyring is refused by.
var errHeld = errors.New("the keyring of the start is in use until the command ends")

// Hold lets the other processes know, until release is called, that this one lives
// and goes on with the keyring that Load has returned. A key version that is made
// meanwhile cannot be promoted before: this process could not open what they write
// under it. Only keys in a database know of processes; for others it does nothing.
func (k *Keys) Hold(ctx context.Context) (release func()) {
	if k.Store == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = k.Store.Watch(ctx, func(*keyring.Keyring) error { return errHeld })
	}()
	return func() { cancel(); <-done }
}
