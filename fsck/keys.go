package fsck

import (
	"context"
	"fmt"
	"sync"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// keys are the keys that values are opened by.
type keys struct {
	cipher *ciphertext.Cipher
	source keyring.Source // nil with the plugin, which watches its own

	mu    sync.Mutex
	asked map[string]bool
}

// maxAsked is how many versions that the keyring does not have the source is asked for:
// there are no more in a database that anybody has ever used.
const maxAsked = 1000

// ask loads the keyring once more for a version that it does not have. It reports whether
// it has, so that what was read is to be looked at again.
func (k *keys) ask(ctx context.Context, version string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.source == nil || k.asked[version] || len(k.asked) >= maxAsked {
		return false, nil
	}
	ring, err := k.source.Load(ctx)
	if err != nil {
		return false, fmt.Errorf("gormcrypt: loading the keyring again for key version %s: %w", version, err)
	}
	k.asked[version] = true
	return true, k.cipher.SetKeys(ring)
}
