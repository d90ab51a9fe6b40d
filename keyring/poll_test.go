package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// source is a key source that does what a test tells it to, and notes when it was
// called. It is a Confirmer.
type source struct {
	mu        sync.Mutex
	load      func(ctx context.Context) (*keyring.Keyring, error)
	confirm   error
	loads     []time.Duration // since it was made
	confirmed []*keyring.Keyring
	made      time.Time
}

func holding(ring *keyring.Keyring) *source {
	s := &source{made: time.Now()}
	s.holds(ring)
	return s
}

func (s *source) does(load func(context.Context) (*keyring.Keyring, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load = load
}

func (s *source) holds(ring *keyring.Keyring) { s.does(ring.Load) }

func (s *source) fails(err error) {
	s.does(func(context.Context) (*keyring.Keyring, error) { return nil, err })
}

func (s *source) confirms(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirm = err
}

func (s *source) Load(ctx context.Context) (*keyring.Keyring, error) {
	s.mu.Lock()
	s.loads = append(s.loads, time.Since(s.made))
	load := s.load
	s.mu.Unlock()
	return load(ctx)
}

func (s *source) Confirm(_ context.Context, ring *keyring.Keyring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = append(s.confirmed, ring)
	return s.confirm
}

// called returns when the source was called since the last time this was asked.
func (s *source) called() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	loads := s.loads
	s.loads = nil
	return loads
}

func (s *source) confirmations() []*keyring.Keyring {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.confirmed)
}

// user is the side of a watch that uses the keyrings.
type user struct {
	mu     sync.Mutex
	refuse error
	given  []*keyring.Keyring
	at     []time.Time
}

func (u *user) use(ring *keyring.Keyring) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.given, u.at = append(u.given, ring), append(u.at, time.Now())
	return u.refuse
}

func (u *user) refuses(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refuse = err
}

func (u *user) all() []*keyring.Keyring {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.given)
}

// watch loads from a Poll and watches it until the test ends, as the plugin does.
func watch(t *testing.T, s keyring.Source, config keyring.PollConfig) *user {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	poll, u := keyring.Poll(s, config), &user{}
	if _, err := poll.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := poll.Watch(t.Context(), u.use); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
	}()
	synctest.Wait()
	return u
}

// added returns a keyring with one data key more.
func added(t *testing.T, ring *keyring.Keyring) *keyring.Keyring {
	t.Helper()
	next, _, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// written is a source of a keyring that is another object with each load, like
// that of a file.
func written(t *testing.T, ring *keyring.Keyring) func(context.Context) (*keyring.Keyring, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.WriteFile(path, ring); err != nil {
		t.Fatal(err)
	}
	return keyring.File(path).Load
}

func quiet() keyring.PollConfig { return keyring.PollConfig{Logger: slog.New(slog.DiscardHandler)} }

func TestPoll(t *testing.T) {
	t.Parallel()
	store := func(t *testing.T, text string) keyring.Source {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return keyring.Poll(keyring.File(path), quiet())
	}
	keyringtest.Run(t, keyringtest.Harness{
		Store: func(t *testing.T, ring *keyring.Keyring) keyring.Source { return store(t, document(t, ring)) },
		Missing: func(t *testing.T) keyring.Source {
			return keyring.Poll(keyring.File(filepath.Join(t.TempDir(), "none")), quiet())
		},
		Malformed: store,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return store(t, damage(document(t, ring)))
		},
	})
}

func TestPollGivesWhatHasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := generate(t)
		s := holding(first)
		s.does(written(t, first))
		u := watch(t, s, keyring.PollConfig{Every: time.Minute})
		time.Sleep(10 * time.Minute)
		if given := u.all(); len(given) != 0 {
			t.Fatalf("a keyring that had not changed was given to use %d times", len(given))
		}
		loads := s.called()
		if n := len(loads); n < 11 || n > 21 { // waits of 30 s to 60 s, after the load at the start
			t.Errorf("%d loads in 10 minutes", n)
		}
		for i, at := range loads[1:] {
			if wait := at - loads[i]; wait < 30*time.Second || wait > time.Minute {
				t.Errorf("load %d was %s after the one before", i+2, wait)
			}
		}

		second := added(t, first)
		promoted, err := second.Promote(keyring.MakeVersion(keyring.DataKeys, 2))
		if err != nil {
			t.Fatal(err)
		}
		for _, next := range []*keyring.Keyring{second, promoted} { // the states count too
			s.does(written(t, next))
			time.Sleep(10 * time.Minute)
			given := u.all()
			if got := given[len(given)-1]; got.String() != next.String() {
				t.Errorf("in use is %v, want %v", got, next)
			}
		}
		if given := u.all(); len(given) != 2 {
			t.Errorf("given to use %d times, want 2", len(given))
		}
	})
}

// What others wait for: that this process says which keys it has.
func TestPollConfirmsWhatIsInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := generate(t)
		s := holding(first)
		u := watch(t, s, keyring.PollConfig{Every: time.Minute})
		if confirmed := s.confirmations(); len(confirmed) != 1 || confirmed[0] != first {
			t.Fatalf("before the first minute was over, confirmed: %v", confirmed)
		}
		time.Sleep(10 * time.Minute)
		if loads, confirmed := s.called(), s.confirmations(); len(loads) != len(confirmed) {
			t.Errorf("%d loads and %d confirmations", len(loads), len(confirmed))
		}

		// What was refused is not in use.
		second := added(t, first)
		u.refuses(errors.New("refused"))
		s.holds(second)
		time.Sleep(10 * time.Minute)
		if slices.Contains(s.confirmations(), second) {
			t.Error("a keyring was confirmed that was refused")
		}

		// A confirmation that fails comes again, and holds up nothing.
		u.refuses(nil)
		s.confirms(keyring.ErrUnavailable)
		time.Sleep(10 * time.Minute)
		before := len(s.confirmations())
		if given := u.all(); given[len(given)-1] != second {
			t.Error("the keyring is not in use")
		}
		s.called()
		time.Sleep(10 * time.Minute)
		if again := len(s.confirmations()) - before; again < 10 || again != len(s.called()) {
			t.Errorf("after one failed, Confirm was called %d times in 10 minutes", again)
		}
	})
}

func TestPollBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := holding(generate(t))
		watch(t, s, keyring.PollConfig{Every: 30 * time.Second, MaxBackoff: 5 * time.Minute})
		s.fails(keyring.ErrUnavailable)
		s.called()
		time.Sleep(time.Hour)
		failed := s.called()
		limits := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
		for i, limit := range limits {
			if wait := failed[i+1] - failed[i]; wait < limit/2 || wait > limit {
				t.Errorf("after %d failures the wait was %s, want %s to %s", i+1, wait, limit/2, limit)
			}
		}
		if n := len(failed); n < 12 || n > 27 {
			t.Errorf("%d calls in an hour", n)
		}

		s.holds(generate(t))
		time.Sleep(5 * time.Minute)
		s.called()
		time.Sleep(10 * time.Minute)
		if n := len(s.called()); n < 19 {
			t.Errorf("%d calls in the 10 minutes after the source had come back, want one in each 30 s or less", n)
		}
	})
}

// Twenty processes that were started together, and see the same outage, do not call
// together.
func TestPollsDoNotCallInStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const processes = 20
		ring := generate(t)
		var sources []*source
		for range processes {
			s := holding(ring)
			watch(t, s, keyring.PollConfig{})
			s.called()
			s.fails(keyring.ErrUnavailable)
			sources = append(sources, s)
		}
		time.Sleep(10 * time.Minute)
		perSecond, total, most := map[time.Duration]int{}, 0, 0
		for i, s := range sources {
			loads := s.called()
			if n := len(loads); n < 4 || n > 6 { // after 15 to 30 s, then waits of up to 1, 2, 4, 5 min
				t.Errorf("process %d called %d times: %v", i, n, loads)
			}
			total += len(loads)
			for _, at := range loads {
				second := at.Truncate(time.Second)
				perSecond[second]++
				most = max(most, perSecond[second])
			}
		}
		t.Logf("%d processes called %d times in 10 minutes, in %d different seconds, and at most %d times in one", processes, total, len(perSecond), most)
		// The first of all fall into 15 s. That 11 of 20 are in one second by chance
		// has a probability below 1e-6.
		if most > processes/2 {
			t.Errorf("%d calls in one second", most)
		}
	})
}

func TestPollGivesUpWaiting(t *testing.T) {
	t.Parallel()
	t.Run("for a source that minds its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := holding(nil)
			s.does(func(ctx context.Context) (*keyring.Keyring, error) {
				<-ctx.Done()
				return nil, fmt.Errorf("Get \"https://keys.internal\": %w", ctx.Err())
			})
			began := time.Now()
			_, err := keyring.Poll(s, quiet()).Load(t.Context())
			if !errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 30s: Get \"https://keys.internal\"") {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took != 30*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("for one that does not", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ring := generate(t)
			s, release := holding(ring), make(chan struct{})
			u := watch(t, s, keyring.PollConfig{})
			s.does(func(context.Context) (*keyring.Keyring, error) { // a file on a dead network disk
				<-release
				return ring, nil
			})
			s.called()
			time.Sleep(time.Hour)
			if n := len(s.called()); n != 1 {
				t.Errorf("it was called %d times before it had returned", n)
			}
			next := added(t, ring)
			s.holds(next)
			close(release)
			time.Sleep(6 * time.Minute)
			if given := u.all(); len(given) != 1 || given[0] != next {
				t.Errorf("after it had returned, in use came %v", given)
			}
		})
	})
	t.Run("but not for one that was cancelled and goes on", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ring := generate(t)
			s := holding(ring)
			s.does(func(ctx context.Context) (*keyring.Keyring, error) {
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil, ctx.Err()
			})
			poll := keyring.Poll(s, quiet())
			ctx, leave := context.WithCancel(t.Context())
			go poll.Load(ctx)
			synctest.Wait()
			leave()
			synctest.Wait()
			s.holds(ring)
			if got, err := poll.Load(t.Context()); got != ring || err != nil {
				t.Errorf("loaded %v, %v", got, err)
			}
			if loads := s.called(); len(loads) != 2 || loads[1]-loads[0] != time.Second {
				t.Errorf("it was called at %v, want a second call when the first had returned", loads)
			}
		})
	})
	t.Run("when the caller does", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := holding(nil)
			var told error
			s.does(func(ctx context.Context) (*keyring.Keyring, error) {
				<-ctx.Done()
				told = ctx.Err()
				return nil, told
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := keyring.Poll(s, quiet()).Load(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, keyring.ErrUnavailable) {
				t.Errorf("error %v, want that of the caller's context", err)
			}
			synctest.Wait()
			if !errors.Is(told, context.Canceled) {
				t.Errorf("the source went on, or was told %v", told)
			}
		})
	})
}

func TestPollSharesALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ring := generate(t)
		s := holding(ring)
		s.does(func(ctx context.Context) (*keyring.Keyring, error) {
			select {
			case <-time.After(5 * time.Second):
				return ring, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		poll := keyring.Poll(s, quiet())
		var group sync.WaitGroup
		first, leave := context.WithCancel(t.Context())
		group.Go(func() { // the one whose call it is
			if _, err := poll.Load(first); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			group.Go(func() {
				if got, err := poll.Load(t.Context()); got != ring || err != nil {
					t.Errorf("loaded %v, %v", got, err)
				}
			})
		}
		time.Sleep(time.Second)
		leave()
		group.Wait()
		if n := len(s.called()); n != 1 {
			t.Errorf("51 goroutines made %d loads", n)
		}
		if _, err := poll.Load(t.Context()); err != nil || len(s.called()) != 1 {
			t.Errorf("a later load was not made, or failed: %v", err)
		}
	})
}

func TestPollGivesARefusedKeyringAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := generate(t)
		s := holding(first)
		var log bytes.Buffer
		u := watch(t, s, keyring.PollConfig{Every: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		u.refuses(keyring.ErrKeyLost)
		s.holds(generate(t))
		time.Sleep(10 * time.Minute)
		if n := len(u.all()); n < 9 {
			t.Errorf("it was given %d times in 10 minutes", n)
		}
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "level=ERROR msg=\"keyring refused: the one in use stays in use") || !strings.Contains(text, "key lost") {
			t.Errorf("the log says %s", text)
		}
		next := added(t, first)
		u.refuses(nil)
		s.holds(next)
		time.Sleep(time.Minute)
		if given := u.all(); given[len(given)-1] != next {
			t.Error("a good one was not given after the one that was refused")
		}
	})
}

func TestPollExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := generate(t)
		s, load := holding(first), written(t, first)
		s.does(func(ctx context.Context) (*keyring.Keyring, error) {
			time.Sleep(10 * time.Second) // its answer is as old as its question
			return load(ctx)
		})
		u := watch(t, s, keyring.PollConfig{MaxAge: time.Hour, MaxBackoff: 40 * time.Minute})
		time.Sleep(24 * time.Hour)
		for n := len(s.confirmations()); len(s.confirmations()) == n; { // until a load has ended
			time.Sleep(time.Millisecond)
		}
		if len(u.all()) != 0 {
			t.Fatal("a keyring expired that its source confirmed")
		}
		confirmations := len(s.confirmations())

		// The source hangs: it expires all the same, an hour after the last load
		// that had an answer began.
		loads := s.called()
		last := s.made.Add(loads[len(loads)-1])
		s.does(func(ctx context.Context) (*keyring.Keyring, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		time.Sleep(90 * time.Minute)
		given := u.all()
		if len(given) != 1 || !u.at[0].Equal(last.Add(time.Hour)) {
			t.Fatalf("it expired at %v, want once, at %v", u.at, last.Add(time.Hour))
		}
		if loads := s.called(); loads[1]-loads[0] > 51*time.Minute {
			t.Errorf("waited more than a third of MaxAge: %v", loads)
		}
		expired := given[0]
		for _, version := range first.Versions() {
			if _, err := expired.Derive(version, "test", 32); !errors.Is(err, keyring.ErrExpired) || !strings.Contains(err.Error(), "key version "+version.String()+":") || !strings.Contains(err.Error(), "see to the key server") {
				t.Errorf("Derive: error %v", err)
			}
			if state, err := expired.State(version); err != nil || state != keyring.Primary {
				t.Errorf("key %s is %s, %v", version, state, err)
			}
		}
		if err := errors.Join(expired.Keeps(first), first.Keeps(expired)); err != nil {
			t.Errorf("neither may follow the other: %v", err)
		}
		if err := keyring.WriteCleartext(io.Discard, expired); !errors.Is(err, keyring.ErrExpired) {
			t.Errorf("WriteCleartext: error %v", err)
		}
		if _, _, err := expired.Add(keyring.DataKeys); !errors.Is(err, keyring.ErrExpired) {
			t.Errorf("Add: error %v", err)
		}
		if _, err := expired.Promote(keyring.MakeVersion(keyring.DataKeys, 1)); !errors.Is(err, keyring.ErrExpired) {
			t.Errorf("Promote: error %v", err)
		}
		if text := expired.String(); !strings.Contains(text, "1 primary") || strings.Count(text, "expired") != 2 {
			t.Errorf("it prints as %s", text)
		}

		// Nothing works now, so the source is asked as often as when it answers,
		// and its first answer counts, though nothing has changed.
		s.does(written(t, first))
		time.Sleep(time.Minute + 30*time.Second)
		given = u.all()
		if len(given) != 2 || given[1].String() != first.String() {
			t.Fatalf("after the source had come back, in use came %v", given)
		}
		if _, err := given[1].Derive(first.Versions()[0], "test", 32); err != nil {
			t.Error(err)
		}
		for _, ring := range s.confirmations()[confirmations:] {
			if ring == expired {
				t.Error("an expired keyring was confirmed")
			}
		}
	})
}

// An answer that cannot be used is no confirmation of what is in use.
func TestPollExpiresWhenTheSourceHoldsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := holding(generate(t))
		poll := keyring.Poll(s, keyring.PollConfig{MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		inUse, err := poll.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.holds(generate(t))
		go poll.Watch(t.Context(), func(next *keyring.Keyring) error {
			if err := next.Keeps(inUse); err != nil {
				return err
			}
			inUse = next
			return nil
		})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if _, err := inUse.Derive(inUse.Versions()[0], "test", 32); !errors.Is(err, keyring.ErrExpired) {
			t.Errorf("error %v, want ErrExpired", err)
		}
	})
}

func TestPollWithoutALoadBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, u := holding(generate(t)), &user{}
		s.fails(keyring.ErrUnavailable)
		go keyring.Poll(s, keyring.PollConfig{MaxAge: time.Minute, Logger: slog.New(slog.DiscardHandler)}).Watch(t.Context(), u.use)
		time.Sleep(10 * time.Minute) // there is nothing to expire
		ring := generate(t)
		s.holds(ring)
		time.Sleep(10 * time.Minute)
		if given := u.all(); len(given) != 1 || given[0] != ring || len(s.confirmations()) == 0 {
			t.Errorf("given %v", given)
		}
	})
}

func TestPollIsWatchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		poll := keyring.Poll(generate(t), quiet())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		use := func(*keyring.Keyring) error { return nil }
		go func() { ended <- poll.Watch(ctx, use) }()
		synctest.Wait()
		if err := poll.Watch(t.Context(), use); err == nil || !strings.Contains(err.Error(), "once for each plugin") {
			t.Errorf("a second Watch: %v", err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
		done, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := poll.Watch(done, use); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Watch after the first: %v", err)
		}
	})
}

func TestPollRefusesNothing(t *testing.T) {
	t.Parallel()
	s := holding(nil)
	s.does(func(context.Context) (*keyring.Keyring, error) { return nil, nil })
	if ring, err := keyring.Poll(s, quiet()).Load(t.Context()); ring != nil || !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("loaded %v, %v", ring, err)
	}
}

// Everything that the source is used for is told, and nothing of the keys.
func TestPollTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := generate(t)
		s := holding(first)
		var log bytes.Buffer
		var mu sync.Mutex
		counts := map[string]int{}
		u := watch(t, s, keyring.PollConfig{
			Every: time.Minute, MaxAge: time.Hour,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			OnEvent: func(e keyring.Event) {
				mu.Lock()
				defer mu.Unlock()
				counts[e.Op+" "+e.Outcome()]++
			},
		})
		second := added(t, first)
		for _, step := range []func(){
			func() { s.holds(second) },
			func() { s.fails(fmt.Errorf("status 429: %w", keyring.ErrUnavailable)) },
			func() { s.fails(errors.New("out of luck")) },
			func() { s.holds(second); s.confirms(keyring.ErrUnavailable) },
			func() { u.refuses(keyring.ErrKeyLost); s.holds(generate(t)) },
		} {
			step()
			time.Sleep(2 * time.Hour)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, event := range []string{"load ok", "load unavailable", "load failed", "use ok", "use key lost", "confirm ok", "confirm unavailable", "expire expired", "expire key lost"} {
			if counts[event] == 0 {
				t.Errorf("no event %q among %v", event, counts)
			}
			delete(counts, event)
		}
		if len(counts) > 0 {
			t.Errorf("more events: %v", counts)
		}
		if log.Len() == 0 {
			t.Fatal("nothing was logged")
		}
		for _, ring := range []*keyring.Keyring{first, second} {
			for _, match := range keyLine.FindAllStringIndex(document(t, ring), -1) {
				key := document(t, ring)[match[1]-1:][:20]
				if strings.Contains(log.String(), key) {
					t.Error("a key is in the log")
				}
			}
		}
	})
}
