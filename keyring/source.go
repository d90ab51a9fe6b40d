package keyring

import "context"

// Source loads a keyring. Load is called once when an application starts and
// again whenever it wants to see changes, possibly from several goroutines. It
// returns an error rather than a keyring that is incomplete, and no error may
// hold a part of a key. The harness in keyringtest checks an implementation.
type Source interface {
	Load(ctx context.Context) (*Keyring, error)
}

// Watcher is a Source whose keyring changes while programs run. The plugin watches
// it from db.Use on, until its Close.
type Watcher interface {
	Source
	// Watch calls use with each keyring that follows the one that Load returned
	// last, one after another, until ctx is done, and returns the error of ctx. When
	// use fails, the keyring is not in use, and is given again later. One goroutine
	// watches at a time.
	Watch(ctx context.Context, use func(*Keyring) error) error
}
