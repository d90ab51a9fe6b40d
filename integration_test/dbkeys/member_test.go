package dbkeys_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// memberVariable has the instructions for this program when it is one of the
// processes of TestManyProcesses.
const memberVariable = "GORMCRYPT_TEST_MEMBER"

// membership is what a member is told.
type membership struct {
	Where testdb.Database
	// Secrets are those of the key server.
	Secrets [][]byte
	Number  int
	Seed    uint64
}

// order is what a member is to do with the keys, and answer what came of it.
type order struct {
	Do      string
	Version keyring.Version `json:",omitzero"`
	Set     keyring.Set
}

type answer struct {
	// Refused says why the order was refused, as it may be.
	Refused string
	// Failed is an error that there must not be.
	Failed string
	Writes int64
	Reads  int64
	// Guarded is how many writes the database refused because their key was retired
	// meanwhile.
	Guarded int64
}

// The timings of a member. A process that is killed holds others up for a lease.
const (
	memberEvery = 60 * time.Millisecond
	memberLease = 2 * time.Second
	memberGrace = 3 * time.Second
)

// member is a process that reads and writes notes all the time, and does with the
// keys what it is ordered to.
type member struct {
	membership
	application
	random  *rand.Rand
	writes  atomic.Int64
	reads   atomic.Int64
	guarded atomic.Int64
	failed  atomic.Pointer[string]
}

func runMember(text string) {
	m := &member{}
	if err := m.run(text); err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (m *member) run(text string) error {
	if err := json.Unmarshal([]byte(text), &m.membership); err != nil {
		return err
	}
	m.random = rand.New(rand.NewPCG(m.Seed, uint64(m.Number)))
	if err := m.open(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		for ctx.Err() == nil {
			if err := m.work(ctx); err != nil && ctx.Err() == nil {
				text := err.Error()
				m.failed.CompareAndSwap(nil, &text)
			}
		}
	}()
	orders := make(chan order)
	go func() {
		defer close(orders)
		defer stop() // also what is being done, when nobody waits for it any more
		for from := json.NewDecoder(os.Stdin); ; {
			var next order
			if from.Decode(&next) != nil {
				return
			}
			orders <- next
		}
	}()
	answers := json.NewEncoder(os.Stdout)
	for next := range orders {
		if err := answers.Encode(m.answer(next, m.obey(ctx, next))); err != nil {
			return err
		}
	}
	<-worked
	err := errors.Join(m.crypt.Close(), m.store.Close())
	if err != nil { // on a busy machine; it can be called again
		err = m.store.Close()
	}
	return err
}

// answer says what came of an order, and of the work meanwhile.
func (m *member) answer(to order, err error) answer {
	got := answer{Writes: m.writes.Load(), Reads: m.reads.Load(), Guarded: m.guarded.Load()}
	if isRefusal(err) {
		got.Refused = err.Error()
	} else if err != nil {
		got.Failed = fmt.Sprintf("%s %s: %v", to.Do, to.Version, err)
	}
	if failed := m.failed.Load(); failed != nil {
		got.Failed = strings.TrimPrefix(got.Failed+"; "+*failed, "; ")
	}
	return got
}

func (m *member) open() error {
	pool, err := sql.Open(m.Where.Driver(), m.Where.DSN)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(3)
	if m.db, err = gorm.Open(m.Where.Dialector(pool), &gorm.Config{Logger: logger.Discard}); err != nil {
		return err
	}
	m.store, err = dbkeys.Open(context.Background(), dbkeys.Config{
		DB: m.db, KEK: &keyServer{name: "test", secrets: m.Secrets, calls: map[string]int{}}, Lease: memberLease, Grace: memberGrace,
		Poll: keyring.PollConfig{Every: memberEvery, Logger: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		return err
	}
	m.crypt = gormcrypt.New(gormcrypt.Config{Keys: m.store, Models: []any{&Note{}}})
	return m.db.Use(m.crypt)
}

// slots is how many rows a member owns. It writes these, and reads those of all.
const slots = 10

// bodyOf is what a row has to hold: its own number, and the number of the write.
func bodyOf(id uint, n int64) string { return fmt.Sprintf("note %d, write %d", id, n) }

// work writes a row of its own, finds it, and reads some of others.
func (m *member) work(ctx context.Context) error {
	id := uint(m.Number*slots + m.random.IntN(slots) + 1)
	n := m.writes.Load() + 1
	email := fmt.Sprintf("%d@%d.example.org", n, m.Seed) // of this process only
	err := m.db.WithContext(ctx).Save(&Note{ID: id, Body: bodyOf(id, n), Email: email}).Error
	switch {
	case isGuard(err):
		m.guarded.Add(1)
		return nil
	case err != nil:
		return fmt.Errorf("writing: %w", err)
	}
	m.writes.Store(n)
	var found []Note
	if err := m.db.WithContext(ctx).Where("email = ?", email).Find(&found).Error; err != nil {
		return fmt.Errorf("searching: %w", err)
	}
	if len(found) != 1 || found[0].ID != id || found[0].Body != bodyOf(id, n) {
		return fmt.Errorf("searched for note %d and found %d rows", id, len(found))
	}
	var notes []Note
	if err := m.db.WithContext(ctx).Where("id % 7 = ?", m.random.IntN(7)).Find(&notes).Error; err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	for _, note := range notes {
		if want := fmt.Sprintf("note %d, ", note.ID); !strings.HasPrefix(note.Body, want) {
			return fmt.Errorf("note %d is %q", note.ID, note.Body)
		}
	}
	m.reads.Add(int64(len(notes)))
	return nil
}

// obey does something with the keys.
func (m *member) obey(ctx context.Context, do order) error {
	switch do.Do {
	case "nothing":
		return nil
	case "create":
		_, err := m.store.Create(ctx, do.Set)
		return err
	case "promote":
		return m.store.Promote(ctx, do.Version)
	case "restore":
		return m.store.Restore(ctx, do.Version)
	case "rewrap":
		_, err := m.store.Rewrap(ctx)
		return err
	case "retire":
		job, err := rotation.New(m.db, rotation.Config{Set: do.Set, Lease: memberLease, Limits: rotation.Limits{Duty: 1}})
		if err != nil {
			return err
		}
		if err := m.rotate(ctx, job); err != nil {
			return err
		}
		_, err = m.store.Retire(ctx, m.db, rotation.RetireConfig{}, do.Version)
		return err
	}
	return fmt.Errorf("what is %q", do.Do)
}

// rotate runs a job. One that does not end, because another key is primary than when
// it began, is cancelled, by whoever waits for it.
func (m *member) rotate(ctx context.Context, job *rotation.Rotation) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	report, err := job.Run(limited)
	switch {
	case errors.Is(err, rotation.ErrOtherJob), errors.Is(err, rotation.ErrStale), errors.Is(err, context.DeadlineExceeded):
		return errors.Join(rotation.ErrStale, m.cancelJobs(ctx))
	case errors.Is(err, rotation.ErrQuarantined):
		rows, failed := rotation.Quarantine(ctx, m.db, report.Job)
		return fmt.Errorf("%w: %v: %w", err, rows, failed)
	}
	return err
}

func (m *member) cancelJobs(ctx context.Context) error {
	jobs, err := rotation.Jobs(ctx, m.db)
	for _, job := range jobs {
		if job.State == rotation.Running || job.State == rotation.Paused {
			err = errors.Join(err, rotation.Cancel(ctx, m.db, job.ID, "another key is primary now"))
		}
	}
	return err
}

// isRefusal reports whether an order may fail so: others are in its way, or were
// faster.
func isRefusal(err error) bool {
	for _, may := range []error{dbkeys.ErrBehind, dbkeys.ErrState, rotation.ErrInUse, rotation.ErrOtherJob, rotation.ErrCancelled, rotation.ErrOlderKeyring, rotation.ErrStale} {
		if errors.Is(err, may) {
			return true
		}
	}
	return false
}

// isGuard reports whether the database refused a value under a version that is
// retired: one that was sealed before, and sent after.
func isGuard(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "gormcrypt_retired") || strings.Contains(err.Error(), "is retired, and"))
}

// process is a member, for the test.
type process struct {
	*exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	errors  *strings.Builder
}

func startMember(t *testing.T, m membership) *process {
	t.Helper()
	text, err := json.Marshal(m)
	must(t, err)
	p := &process{Cmd: exec.Command(os.Args[0]), errors: &strings.Builder{}}
	p.Env = append(os.Environ(), memberVariable+"="+string(text))
	p.Stderr = p.errors
	p.in, err = p.StdinPipe()
	must(t, err)
	out, err := p.StdoutPipe()
	must(t, err)
	p.answers = json.NewDecoder(bufio.NewReader(out))
	must(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// patience is how long a member may take to do something.
const patience = 2 * time.Minute

// order has a member do something, and returns what it answers. The error of a member
// that does not answer has its stacks.
func (p *process) order(do order) (answer, error) {
	stuck := time.AfterFunc(patience, func() { _ = p.Process.Signal(syscall.SIGQUIT) })
	defer stuck.Stop()
	var got answer
	err := json.NewEncoder(p.in).Encode(do)
	if err == nil {
		err = p.answers.Decode(&got)
	}
	if err != nil {
		_ = p.Wait()
		err = fmt.Errorf("%w: %s", err, p.errors)
	}
	return got, err
}
