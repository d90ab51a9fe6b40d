package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// keyServer is a KEK in the memory of the test, whose calls can be made to fail.
type keyServer struct {
	aead cipher.AEAD
	mu   sync.Mutex
	// before is called with each call, and fails it.
	before func(ctx context.Context, call int) error
	calls  []time.Time
	// unwrapped is all that Unwrap returned, the bytes themselves.
	unwrapped [][]byte
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &keyServer{aead: aead}
}

// does sets what happens before each call, which is counted from 1 anew.
func (s *keyServer) does(before func(ctx context.Context, call int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.calls = before, nil
}

func (s *keyServer) called() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *keyServer) call(ctx context.Context) error {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	before, call := s.before, len(s.calls)
	s.mu.Unlock()
	if err := ctx.Err(); err != nil || before == nil {
		return err
	}
	return before(ctx, call)
}

func (s *keyServer) Name() string { return "test/keys/app" }

func (s *keyServer) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	return s.aead.Seal(nil, nil, key, nil), nil
}

func (s *keyServer) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	key, err := s.aead.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, keyring.ErrWrongKey
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwrapped = append(s.unwrapped, key)
	return key, nil
}

// A KEK that generates, one that rewraps, and one that does both.
type generatingServer struct{ *keyServer }

func (s generatingServer) GenerateKey(ctx context.Context) (key, wrapped []byte, err error) {
	key = make([]byte, keyring.KeySize)
	rand.Read(key)
	wrapped, err = s.Wrap(ctx, key)
	return key, wrapped, err
}

type rewrappingServer struct{ *keyServer }

func (s rewrappingServer) Rewrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	key, err := s.Unwrap(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	return s.aead.Seal(nil, nil, key, nil), nil
}

type fullServer struct {
	*keyServer
	keyring.Generator
	keyring.Rewrapper
}

func (s fullServer) Name() string { return s.keyServer.Name() }
func (s fullServer) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	return s.keyServer.Wrap(ctx, key)
}
func (s fullServer) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	return s.keyServer.Unwrap(ctx, wrapped)
}

func quietCalls() keyring.CallConfig {
	return keyring.CallConfig{Logger: slog.New(slog.DiscardHandler)}
}

func wrap(t *testing.T, kek keyring.KEK) (key, wrapped []byte) {
	t.Helper()
	key = make([]byte, keyring.KeySize)
	rand.Read(key)
	wrapped, err := kek.Wrap(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, wrapped
}

func TestResilient(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*keyServer) keyring.KEK{
		"wraps only":            func(s *keyServer) keyring.KEK { return s },
		"generates":             func(s *keyServer) keyring.KEK { return generatingServer{s} },
		"rewraps":               func(s *keyServer) keyring.KEK { return rewrappingServer{s} },
		"generates and rewraps": func(s *keyServer) keyring.KEK { return fullServer{s, generatingServer{s}, rewrappingServer{s}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, other := newKeyServer(t), newKeyServer(t)
			keyringtest.RunKEK(t, keyringtest.KEKHarness{
				New:   func(*testing.T) keyring.KEK { return keyring.Resilient(make(one), quietCalls()) },
				Other: func(*testing.T) keyring.KEK { return keyring.Resilient(make(other), quietCalls()) },
			})
			kek := keyring.Resilient(make(one), quietCalls())
			if _, generates := kek.(keyring.Generator); generates != strings.Contains(name, "generates") {
				t.Errorf("it is a Generator: %t", generates)
			}
			if _, rewraps := kek.(keyring.Rewrapper); rewraps != strings.Contains(name, "rewraps") {
				t.Errorf("it is a Rewrapper: %t", rewraps)
			}
		})
	}
}

// everyCall makes each of the calls that a KEK has.
func everyCall(t *testing.T, kek keyring.KEK, wrapped []byte) map[string]func(context.Context) error {
	t.Helper()
	return map[string]func(context.Context) error{
		"wrap":     func(ctx context.Context) error { _, err := kek.Wrap(ctx, make([]byte, 32)); return err },
		"unwrap":   func(ctx context.Context) error { _, err := kek.Unwrap(ctx, wrapped); return err },
		"rewrap":   func(ctx context.Context) error { _, err := kek.(keyring.Rewrapper).Rewrap(ctx, wrapped); return err },
		"generate": func(ctx context.Context) error { _, _, err := kek.(keyring.Generator).GenerateKey(ctx); return err },
	}
}

func TestResilientTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyServer(t)
		kek := keyring.Resilient(fullServer{s, generatingServer{s}, rewrappingServer{s}}, quietCalls())
		_, wrapped := wrap(t, kek)
		for op, call := range everyCall(t, kek, wrapped) {
			s.does(func(_ context.Context, call int) error {
				if call < 4 {
					return fmt.Errorf("status 503: %w", keyring.ErrUnavailable)
				}
				return nil
			})
			if err := call(t.Context()); err != nil {
				t.Errorf("%s: %v", op, err)
			}
			calls := s.called()
			if len(calls) != 4 {
				t.Fatalf("%s: %d calls", op, len(calls))
			}
			for i, limit := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
				if wait := calls[i+1].Sub(calls[i]); wait < limit/2 || wait > limit {
					t.Errorf("%s: the wait after %d calls was %s, want %s to %s", op, i+1, wait, limit/2, limit)
				}
			}

			s.does(func(context.Context, int) error { return fmt.Errorf("status 429: %w", keyring.ErrUnavailable) })
			if err := call(t.Context()); !errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), "429") || len(s.called()) != 4 {
				t.Errorf("%s: after %d calls the error is %v", op, len(s.called()), err)
			}

			for _, final := range []error{keyring.ErrWrongKey, errors.New("permission denied")} {
				s.does(func(context.Context, int) error { return final })
				if err := call(t.Context()); !errors.Is(err, final) || len(s.called()) != 1 {
					t.Errorf("%s: after %d calls the error is %v, want %v after one", op, len(s.called()), err, final)
				}
			}

			s.does(func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() })
			began := time.Now()
			err := call(t.Context())
			if took := time.Since(began); !errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 5s") || len(s.called()) != 4 || took < 20*time.Second || took > 22*time.Second {
				t.Errorf("%s: a server that does not answer was called %d times in %s: %v", op, len(s.called()), took, err)
			}
		}
	})
}

func TestResilientMindsItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyServer(t)
		kek := keyring.Resilient(fullServer{s, generatingServer{s}, rewrappingServer{s}}, keyring.CallConfig{Tries: 1000, Logger: slog.New(slog.DiscardHandler)})
		_, wrapped := wrap(t, kek)
		for op, call := range everyCall(t, kek, wrapped) {
			for name, before := range map[string]func(context.Context, int) error{
				"between tries": func(context.Context, int) error { return keyring.ErrUnavailable },
				"in a try":      func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() },
			} {
				s.does(before)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				began := time.Now()
				if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
					t.Errorf("%s, %s: after %s the error is %v", op, name, time.Since(began), err)
				}
				cancel()
				synctest.Wait()
				n := len(s.called())
				time.Sleep(time.Minute)
				if len(s.called()) != n {
					t.Errorf("%s, %s: it was called on after its caller had left", op, name)
				}
			}
		}
	})
}

func TestResilientUnwrapsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyServer(t)
		kek := keyring.Resilient(s, quietCalls())
		keyA, wrappedA := wrap(t, kek)
		keyB, wrappedB := wrap(t, kek)
		s.does(func(context.Context, int) error { time.Sleep(time.Second); return nil })
		var group sync.WaitGroup
		impatient, leave := context.WithCancel(t.Context())
		group.Go(func() {
			if _, err := kek.Unwrap(impatient, wrappedA); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			for _, pair := range [][2][]byte{{keyA, wrappedA}, {keyB, wrappedB}} {
				group.Go(func() {
					got, err := kek.Unwrap(t.Context(), pair[1])
					if err != nil || !bytes.Equal(got, pair[0]) {
						t.Errorf("another key, or none: %v", err)
					}
					clear(got) // as a caller does, which must not be another's
				})
			}
		}
		synctest.Wait()
		leave()
		group.Wait()
		if n := len(s.called()); n != 2 {
			t.Errorf("two keys were unwrapped by %d calls", n)
		}
		synctest.Wait()
		for _, key := range s.unwrapped {
			if !bytes.Equal(key, make([]byte, keyring.KeySize)) {
				t.Error("a key was left in memory after all callers had their copies")
			}
		}
		if _, err := kek.Unwrap(t.Context(), wrappedA); err != nil || len(s.called()) != 3 {
			t.Errorf("a later call was not made: %v", err)
		}
	})
}

func TestResilientTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyServer(t)
		var log bytes.Buffer
		var events []keyring.Event
		kek := keyring.Resilient(s, keyring.CallConfig{
			Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			OnEvent: func(e keyring.Event) { events = append(events, e) },
		})
		key, wrapped := wrap(t, kek)
		s.does(func(_ context.Context, call int) error {
			time.Sleep(30 * time.Millisecond)
			if call == 1 {
				return fmt.Errorf("dial tcp 10.0.0.7:8200: connection refused: %w", keyring.ErrUnavailable)
			}
			return nil
		})
		if _, err := kek.Unwrap(t.Context(), wrapped); err != nil {
			t.Fatal(err)
		}
		if _, err := kek.Unwrap(t.Context(), wrapped[1:]); !errors.Is(err, keyring.ErrWrongKey) {
			t.Fatal(err)
		}
		var told []string
		for _, e := range events {
			told = append(told, fmt.Sprintf("%s %s %d %s %s", e.KEK, e.Op, e.Try, e.Outcome(), e.Duration))
		}
		if got, want := strings.Join(told, "; "), "test/keys/app wrap 1 ok 0s; test/keys/app unwrap 1 unavailable 30ms; test/keys/app unwrap 2 ok 30ms; test/keys/app unwrap 1 wrong key 30ms"; got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		for _, want := range []string{
			`level=DEBUG msg="key server called in vain, and is called again" outcome=unavailable duration=30ms op=unwrap kek=test/keys/app try=1 tries=4 error="dial tcp 10.0.0.7:8200: connection refused: the key server is not available, and new keys wait for it`,
			`level=DEBUG msg="key server called" outcome=ok duration=30ms op=unwrap kek=test/keys/app try=2 tries=4`,
			`level=WARN msg="key server call failed" outcome="wrong key"`,
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has not %s:\n%s", want, log.String())
			}
		}
		for _, secret := range [][]byte{key, wrapped} {
			for _, form := range keyringtest.Forms(secret) {
				if strings.Contains(log.String(), form) {
					t.Errorf("the log shows a key, wrapped or not")
				}
			}
		}
	})
}
