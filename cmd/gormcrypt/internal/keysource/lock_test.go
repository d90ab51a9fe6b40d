package keysource

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gofrs/flock"
)

// The lock of a file that was removed is not the one that others wait for.
func TestLockOfRemovedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json.lock")
	lock := flock.New(path)
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if !isAt(lock, path) {
		t.Error("the lock is not there")
	}
	if err := os.Remove(path); err != nil {
		t.Skip("this system does not remove a file that is open")
	}
	if isAt(lock, path) {
		t.Error("the lock is that of no file")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if isAt(lock, path) {
		t.Error("the lock is that of another file")
	}
}
