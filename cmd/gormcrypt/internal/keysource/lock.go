package keysource

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockFile waits until no other process changes a file, which is replaced and so
// cannot be locked itself. The lock is that of a file beside it, which the system gives
// up when its process dies.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	path += ".lock"
	for {
		lock := flock.New(path, flock.SetPermissions(0o600))
		if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("locking the keyring: %w", err)
		}
		if isAt(lock, path) {
			return func() {
				_ = os.Remove(path) // before others can have it; not every system can, and none needs it
				_ = lock.Unlock()
			}, nil
		}
		_ = lock.Unlock()
	}
}

// isAt says whether a lock is that of the file that others will find, and not of one
// that was removed meanwhile.
func isAt(lock *flock.Flock, path string) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(locked, there)
}
