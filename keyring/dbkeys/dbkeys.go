// Package dbkeys keeps the keys of a keyring in the database, each wrapped by a
// key-encryption key, so that every process shares them and a new one reaches all
// of them by itself.
//
// The database never has a key in the clear, and the key server is asked once for
// each key and process. What [Store.Create], [Store.Promote] and [Store.Retire] do to
// a key version is one transaction each:
//
//	enabled   opens; processes load it when they next look
//	primary   seals; only after every process that lives has loaded it
//	retiring  opens, and is never promoted again
//	retired   opens nothing any more; only after no process seals under it, and
//	          no row has a value under it
//
// A process is alive from its first [Store.Load] until [Store.Close], or until it was
// not heard of for Config.Lease.
//
// Whoever can write to the tables but does not have the key-encryption key can
// delete keys, mark them as retired, and put an older state of the whole table back.
// They can neither read a key nor exchange, promote or add one: each row is
// authenticated under its own key. That holds for a KEK whose wrapping is
// authenticated, as [keyring.KEK] demands.
package dbkeys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Config configures a Store.
type Config struct {
	// DB is the database with the keys, in tables that Open makes: the one with the
	// data, or another. It needs no plugin, and must not be in a transaction.
	DB *gorm.DB
	// KEK wraps the keys.
	KEK keyring.KEK
	// Name is what the keys are for. Keys of one name are refused under another, so
	// that a row of one database cannot be put into another with the same KEK. It
	// cannot be changed later.
	Name string
	// Poll says how often a process looks for new keys, and what it does when it
	// cannot. The default of Every is 10 s here.
	Poll keyring.PollConfig
	// Lease is for how long a process counts as alive after it was last heard of.
	// Other processes wait for it until then, or until it closes its Store. A process
	// that was stopped for longer, and goes on, may meet values under a key that it
	// does not have yet; reading them again after its next look succeeds. It is
	// heard of three times in a lease. The default is 1 minute.
	Lease time.Duration
	// Grace is for how long processes keep a key after it was retired, to open what
	// they have read before. The default is 1 minute, as for queries that take no longer.
	Grace time.Duration
}

// The errors of this package, beside those of package keyring.
var (
	// ErrBehind: there are processes that do not have a key yet, or still seal under
	// one.
	ErrBehind = errors.New("processes have not loaded the latest keys yet")
	// ErrState: the state that a key version is in does not admit what was asked for.
	ErrState = errors.New("not in this state")
	// ErrNotEmpty: there are keys already, other than those to be imported.
	ErrNotEmpty = errors.New("there are keys already")
)

// Store is the keys in a database. It is a keyring.Watcher, for one plugin: two
// plugins of a process need a Store each. It is safe for concurrent use.
type Store struct {
	config Config
	clock  string
	id     string
	// changing is held by who changes the keys, and waits for the KEK meanwhile;
	// reading by who reads them; and reporting by who lets others know that this
	// process lives.
	changing, reading, reporting turn
	// last is what was read last. It is replaced under reading, and never changed.
	last *snapshot
	// registered is set when the database knows of this process.
	registered bool

	// mu is never held for long.
	mu sync.Mutex
	// used is the snapshot that this process uses, nil if it uses none, and usesOther
	// is closed when that becomes another. listed is set while the database may have a
	// row of this process.
	used      *snapshot
	usesOther chan struct{}
	listed    bool

	// changed tells what watches the keys that this process has changed them.
	changed  chan struct{}
	watching atomic.Int32
	watcher  keyring.Watcher
}

// Open returns the keys in a database. It makes the tables if they are not there,
// with the rights that migrations.Upgrade needs, and no keys: see [Store.Init] and
// [Store.Import]. It returns an error for a Config without DB or KEK, with
// durations below zero or a Lease under 100 ms, and those of the database.
func Open(ctx context.Context, config Config) (*Store, error) {
	switch {
	case config.DB == nil:
		return nil, errors.New("gormcrypt: dbkeys.Config.DB is not set")
	case config.KEK == nil:
		return nil, errors.New("gormcrypt: dbkeys.Config.KEK is not set; it wraps the keys, which would be in the clear without it")
	case config.Grace < 0 || config.Poll.Every < 0:
		return nil, errors.New("gormcrypt: a duration in dbkeys.Config is negative")
	case config.Lease != 0 && config.Lease < shortestLease:
		return nil, fmt.Errorf("gormcrypt: dbkeys.Config.Lease is %v, and so short that others would not hear of this process in time; want %v at least", config.Lease, shortestLease)
	}
	setDefault(&config.Lease, time.Minute)
	setDefault(&config.Grace, time.Minute)
	setDefault(&config.Poll.Every, 10*time.Second)
	clock, err := backfill.Clock(config.DB.Dialector.Name())
	if err != nil {
		return nil, err
	}
	if err := owntables.Upgrade(ctx, config.DB); err != nil {
		return nil, err
	}
	s := &Store{config: config, clock: clock, id: rand.Text(), changing: newTurn(), reading: newTurn(), reporting: newTurn(), usesOther: make(chan struct{}), changed: make(chan struct{}, 1)}
	s.watcher = keyring.Poll(source{s}, config.Poll)
	return s, nil
}

// shortestLease is what three messages to a database can be sent in.
const shortestLease = 100 * time.Millisecond

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Format writes what the store is, and nothing of what is in it.
func (s *Store) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "dbkeys.Store(wrapped by %s)", s.config.KEK.Name())
}

// Load returns the keyring, and makes this process known to the others. It asks the
// KEK for keys that it has not seen before only. It returns keyring.ErrNotFound if
// there are no keys; keyring.ErrInvalid if a row is not what this package wrote, or
// is for another Config.Name; keyring.ErrWrongKey, keyring.ErrUnavailable and others
// of the KEK; and those of ctx and the database.
func (s *Store) Load(ctx context.Context) (*keyring.Keyring, error) { return s.watcher.Load(ctx) }

// ReadOnly returns a source of the same keys that tells nobody of this process: its
// Load writes nothing, so a role that may only SELECT is enough, and a replica, once
// the tables are there. Its errors are those of the Store's.
//
// It is for what opens values and seals none, such as fsck. Others do not wait for this
// process when a key version is promoted, so that a value which they have written since
// may name one that it does not have before the next Load. A program that goes on
// running gives it to keyring.Poll, which loads it again and again.
func (s *Store) ReadOnly() keyring.Source { return readOnly{s} }

// Watch gives new keyrings to use, as a keyring.Watcher does, and lets others know
// that this process lives.
func (s *Store) Watch(ctx context.Context, use func(*keyring.Keyring) error) error {
	s.watching.Add(1)
	defer s.watching.Add(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		s.beat(ctx)
	}()
	err := s.watcher.Watch(ctx, use)
	cancel()
	<-beats
	return err
}

// Close lets others know that this process is not there any more. The keyring that
// it has must not be used from then on. The *gorm.DB stays open.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	unlock, err := s.reading.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s.registered = false
	return s.deregister(ctx)
}

// turn is a mutex that minds a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) logger() *slog.Logger {
	if s.config.Poll.Logger != nil {
		return s.config.Poll.Logger
	}
	return slog.Default()
}

// processName says which process this is, for people.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s on %s (pid %d)", filepath.Base(os.Args[0]), host, os.Getpid())
}
