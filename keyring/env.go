package keyring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// FromEnv returns the keyring that the named environment variable holds, as
// the JSON document that [WriteCleartext] writes, and removes the variable as
// [TakeEnv] does, so that it can be read once. It returns ErrNotFound when the
// variable is unset, empty, or was read and removed before, ErrInvalid when its
// content is malformed, and ErrWrongKey when a key does not match its check
// value. Malformed content is removed too: it may be a key.
func FromEnv(name string) (*Keyring, error) {
	return Env(name).Load(context.Background())
}

// Env returns a source that does what FromEnv does at its first Load, and
// returns the same keyring, or the same refusal, at every other.
func Env(name string) Source { return &envSource{name: name} }

type envSource struct {
	name string

	mu   sync.Mutex
	read bool
	ring *Keyring
	err  error
}

func (s *envSource) Load(ctx context.Context) (*Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read {
		return s.ring, s.err
	}
	if strings.TrimSpace(os.Getenv(s.name)) == "" {
		return nil, s.notFound()
	}
	secret, found := TakeEnv(s.name)
	if !found {
		return nil, s.notFound() // another source was faster
	}
	text := []byte(secret)
	defer clear(text)
	s.read = true
	if s.ring, s.err = parseDocument(text); s.err != nil {
		s.err = fmt.Errorf("environment variable %s: %w", s.name, s.err)
	}
	return s.ring, s.err
}

func (s *envSource) notFound() error {
	if wasTaken(s.name) {
		return fmt.Errorf("environment variable %s: %w: %w", s.name, ErrNotFound, errTaken)
	}
	return fmt.Errorf("environment variable %s: %w: set it to a keyring document", s.name, ErrNotFound)
}

// errTaken tells a variable that was removed by this process from one that was
// never set: First does not go on to another keyring then.
var errTaken = errors.New("it was read before in this process, and removed; use the keyring or the source of that time")

// taken holds the names of the variables that TakeEnv has removed.
var taken = struct {
	sync.Mutex
	names map[string]bool
}{names: map[string]bool{}}

func wasTaken(name string) bool {
	taken.Lock()
	defer taken.Unlock()
	return taken.names[name]
}

// TakeEnv returns the value of an environment variable that holds a secret, and
// removes the variable: of several callers one gets it. found is false if it is
// not set.
//
// Processes that are started later do not inherit it. On Linux it is also erased
// from the memory that /proc/PID/environ shows, where it would otherwise stay for
// the life of the process. That takes a /proc file system, and a process that may
// write to its own memory: one that has changed its user, and has not been made
// dumpable again, may not. Where it cannot be done, and on other systems, the
// secret stays visible to those who may read the memory of the process anyhow.
//
// What TakeEnv does not reach: the parents of this process, which had the variable
// too (a shell, a supervisor, a container's configuration); processes that were
// started earlier; strings that the program has read from the environment itself;
// and the Go runtime's own copy of the first environment, which no API returns,
// but a core dump holds. Call it before the program starts other processes.
func TakeEnv(name string) (secret string, found bool) {
	taken.Lock()
	defer taken.Unlock()
	if secret, found = os.LookupEnv(name); !found {
		return "", false
	}
	_ = os.Unsetenv(name) // of a variable that is set, no system refuses it
	eraseEnviron(name)
	taken.names[name] = true
	return secret, true
}
