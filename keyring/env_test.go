package keyring_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// setEnv sets a variable of the test process, of a name of its own.
func setEnv(t *testing.T, value string) (name string) {
	t.Helper()
	name = "KEYRING_TEST_" + strings.ToUpper(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
	if err := os.Setenv(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Unsetenv(name) })
	return name
}

// A keyring is read from a variable once. Whoever asks again is told why it is gone.
func TestFromEnvRemovesTheVariable(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	name := setEnv(t, document(t, ring))
	if got, err := keyring.FromEnv(name); err != nil || got.String() != ring.String() {
		t.Fatalf("loaded %v, %v", got, err)
	}
	if value, set := os.LookupEnv(name); set {
		t.Errorf("the variable is still set, to %d bytes", len(value))
	}
	_, err := keyring.FromEnv(name)
	if !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "removed") {
		t.Errorf("the second time: %v", err)
	}

	other := generate(t)
	if err := os.Setenv(name, document(t, other)); err != nil {
		t.Fatal(err)
	}
	if got, err := keyring.FromEnv(name); err != nil || got.String() != other.String() {
		t.Errorf("set again, it is read as %v, %v", got, err)
	}
}

// What is refused is removed too: a key that was pasted without its document is
// still a key. The source does not forget why it was refused.
func TestEnvRemovesWhatItRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"only a key": strings.Repeat("QUJD", 11), "cut off": document(t, generate(t))[:90],
		"a byte order mark": "\ufeff" + document(t, generate(t)), "a path": "/etc/keys.json",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := setEnv(t, text)
			source := keyring.Env(name)
			for range 2 {
				if ring, err := source.Load(context.Background()); ring != nil || !errors.Is(err, keyring.ErrInvalid) {
					t.Errorf("loaded %v, %v", ring, err)
				}
			}
			if _, set := os.LookupEnv(name); set {
				t.Error("the variable is still set")
			}
		})
	}
}

// A variable that is empty was not read: it can still be set.
func TestEnvThatIsSetLater(t *testing.T) {
	t.Parallel()
	name := setEnv(t, " \r\n")
	source := keyring.Env(name)
	if _, err := source.Load(context.Background()); !errors.Is(err, keyring.ErrNotFound) || strings.Contains(err.Error(), "removed") {
		t.Errorf("empty: %v", err)
	}
	ring := generate(t)
	if err := os.Setenv(name, strings.ReplaceAll(document(t, ring), "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := source.Load(context.Background()); err != nil || got.String() != ring.String() {
		t.Errorf("loaded %v, %v", got, err)
	}
}

// Of several that take a secret, one gets it.
func TestTakeEnv(t *testing.T) {
	t.Parallel()
	const secret = "hvs.CAESIJ\xff=a=b\n"
	name := setEnv(t, secret)
	var got atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			value, found := keyring.TakeEnv(name)
			if found != (value == secret) || !found && value != "" {
				t.Errorf("took %q, %t", value, found)
			}
			if found {
				got.Add(1)
			}
		})
	}
	group.Wait()
	if got.Load() != 1 {
		t.Errorf("%d of 8 got it", got.Load())
	}
	if _, found := keyring.TakeEnv(name + "_UNSET"); found {
		t.Error("a variable that was never set was found")
	}
}
