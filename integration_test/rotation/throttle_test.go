package rotation_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// slow are limits by which a job takes much longer than a test.
var slow = rotation.Limits{Rate: 20, Duty: 1}

// running is a rotation that runs while a test goes on.
type running struct {
	t      *testing.T
	other  *gorm.DB // of somebody else
	cancel context.CancelFunc
	done   chan struct{}
	report rotation.Report
	err    error

	mu       sync.Mutex
	progress []rotation.Progress
}

// start runs a rotation of 900 rows.
func start(t *testing.T, where testdb.Database, config rotation.Config) *running {
	t.Helper()
	first, _, promoted := rings(t)
	fill(t, use(t, where, first, models()...), 300)
	return again(t, where, promoted, config)
}

// again runs a rotation of what there is.
func again(t *testing.T, where testdb.Database, keys *keyring.Keyring, config rotation.Config) *running {
	t.Helper()
	r := &running{t: t, other: where.Open(t, nil), done: make(chan struct{})}
	config.Lease = 2 * time.Second // so that it sees soon what somebody else does
	config.Progress = func(p rotation.Progress) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress = append(r.progress, p)
	}
	job, err := rotation.New(use(t, where, keys, models()...), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.report, r.err = job.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// sees waits for a progress.
func (r *running) sees(what string, seen func(rotation.Progress) bool) rotation.Progress {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		all := r.progress
		r.mu.Unlock()
		for _, p := range all {
			if seen(p) {
				return p
			}
		}
	}
	r.cancel()
	<-r.done
	r.t.Fatalf("no progress shows %s: %+v", what, r.progress)
	return rotation.Progress{}
}

// within waits for the end.
func (r *running) within(d time.Duration) error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(d):
		r.t.Fatalf("it did not end within %s", d)
	}
	return r.err
}

// stop stops it by its context.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := r.within(30 * time.Second); !errors.Is(err, context.Canceled) {
		r.t.Fatal(err)
	}
}

// status is what somebody else sees.
func (r *running) status() rotation.Status {
	r.t.Helper()
	all, err := rotation.Jobs(r.t.Context(), r.other)
	if err != nil || len(all) != 1 {
		r.t.Fatalf("%d jobs: %v", len(all), err)
	}
	return all[0]
}

// A job waits while a query says so, tells why, and then goes on.
func TestAJobWaitsForAThrottle(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		plain := where.Open(t, nil)
		execute(t, where.Plain(t), "CREATE TABLE notices (reason text)")
		execute(t, where.Plain(t), "INSERT INTO notices VALUES ('a backup runs')")
		r := start(t, where, rotation.Config{Throttles: []rotation.Throttle{rotation.Query(plain, "SELECT reason FROM notices")}})
		p := r.sees("the reason", func(p rotation.Progress) bool { return p.Waits != "" })
		if p.Waits != "a backup runs" || p.Left != 0 || p.Rows > 0 || p.RowsLeft != 900 {
			t.Errorf("%+v", p)
		}
		if stored := versions(t, where); stored["2"] > 0 {
			t.Errorf("it wrote while it was to wait: %v", stored)
		}
		execute(t, where.Plain(t), "DELETE FROM notices")
		if err := r.within(30 * time.Second); err != nil || r.report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, r.report)
		}
		if stored := versions(t, where); stored["1"] > 0 {
			t.Errorf("afterwards: %v", stored)
		}
	})
}

// A run that waits for too long ends, and the next goes on with the job.
func TestMaxWaitOfARun(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 300)
		plain := where.Open(t, nil)
		for query, want := range map[string]string{
			"SELECT 17":                      "a throttle's query returns 17",
			"SELECT reason FROM no_such_one": "a throttle failed: gormcrypt: a throttle's query: ",
		} {
			r := again(t, where, promoted, rotation.Config{MaxWait: 1200 * time.Millisecond, Throttles: []rotation.Throttle{rotation.Query(plain, query)}})
			if err := r.within(30 * time.Second); !errors.Is(err, rotation.ErrWaited) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", query, err)
			}
			r.sees("why", func(p rotation.Progress) bool { return strings.HasPrefix(p.Waits, want) })
			if s := r.status(); s.State != rotation.Running || s.Swapped > 0 {
				t.Errorf("%s: %+v", query, s)
			}
		}
		r := again(t, where, promoted, rotation.Config{})
		if err := r.within(30 * time.Second); err != nil || !r.report.Resumed || r.report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, r.report)
		}
	})
}

// Until somebody sets limits, each run has those that it was configured with.
func TestLimitsOfARun(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 300)
		r := again(t, where, promoted, rotation.Config{Limits: slow})
		r.sees("rows", func(p rotation.Progress) bool { return p.Swapped > 0 })
		r.stop()
		r = again(t, where, promoted, rotation.Config{Limits: rotation.Limits{Duty: 1}})
		began := time.Now()
		if err := r.within(30 * time.Second); err != nil || !r.report.Resumed || time.Since(began) > 20*time.Second {
			t.Errorf("%v: %+v", err, r.report)
		}
		if limits := r.report.Limits(); limits != (rotation.Limits{}) {
			t.Errorf("nobody has set %+v", limits)
		}
	})
}

// Other limits are taken over by a job that runs, and kept by one that is resumed.
func TestLimitsBySomebodyElse(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 300)
		r := again(t, where, promoted, rotation.Config{Limits: slow})
		r.sees("rows", func(p rotation.Progress) bool { return p.Swapped > 0 })
		id := r.status().ID
		began := time.Now()
		if err := rotation.SetLimits(t.Context(), r.other, id, rotation.Limits{Rate: 200, Duty: 1}); err != nil {
			t.Fatal(err)
		}
		p := r.sees("other limits", func(p rotation.Progress) bool { return p.Swapped > 150 })
		if took := time.Since(began); took > 20*time.Second || p.Swapped > 700 {
			t.Errorf("%d rows after %s at 200 in a second", p.Swapped, took)
		}
		r.stop()
		if err := rotation.SetLimits(t.Context(), r.other, id, slow); err != nil {
			t.Fatal(err)
		}
		before := r.status()
		if got := before.Limits(); got != slow {
			t.Errorf("%+v", got)
		}
		r = again(t, where, promoted, rotation.Config{Limits: rotation.Limits{Duty: 1}})
		p = r.sees("anything", func(p rotation.Progress) bool { return true })
		if n := p.Swapped - before.Swapped; n > 120 {
			t.Errorf("%d rows in a second at 20", n)
		}
		if err := rotation.SetLimits(t.Context(), r.other, id, rotation.Limits{Duty: 1}); err != nil {
			t.Fatal(err)
		}
		if err := r.within(30 * time.Second); err != nil || !r.report.Resumed || r.report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, r.report)
		}
		if err := rotation.SetLimits(t.Context(), r.other, id, slow); err == nil || !strings.Contains(err.Error(), "is finished already") {
			t.Errorf("of a job that is over: %v", err)
		}
	})
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		r := start(t, where, rotation.Config{Limits: slow})
		r.sees("rows", func(p rotation.Progress) bool { return p.Swapped > 0 })
		id := r.status().ID
		if err := rotation.Pause(t.Context(), r.other, id, "lunch"); err != nil {
			t.Fatal(err)
		}
		p := r.sees("the pause", func(p rotation.Progress) bool { return p.State == rotation.Paused })
		if p.Waits != "the job is paused: lunch" || p.Left != 0 {
			t.Errorf("%+v", p)
		}
		paused := r.status()
		time.Sleep(time.Second)
		if s := r.status(); s.State != rotation.Paused || s.Reason != "lunch" || s.Swapped != paused.Swapped {
			t.Errorf("%+v became %+v", paused, s)
		}
		if err := rotation.Resume(t.Context(), r.other, id); err != nil {
			t.Fatal(err)
		}
		p = r.sees("more rows", func(p rotation.Progress) bool { return p.Swapped > paused.Swapped })
		if p.Waits != "" || p.State != rotation.Running {
			t.Errorf("%+v", p)
		}
		if err := rotation.Cancel(t.Context(), r.other, id, "enough"); err != nil {
			t.Fatal(err)
		}
		if err := r.within(30 * time.Second); !errors.Is(err, rotation.ErrCancelled) || r.report.State != rotation.Cancelled || r.report.Reason != "enough" {
			t.Errorf("%v: %+v", err, r.report)
		}
		if err := rotation.Resume(t.Context(), r.other, id); err == nil {
			t.Error("a cancelled job is resumed")
		}
	})
}

func TestQueryThrottle(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		_, _, keys := rings(t)
		db := use(t, where, keys, models()...) // whose plugin would have something to say
		execute(t, where.Plain(t), "CREATE TABLE signs (n bigint)")
		for query, want := range map[string]string{
			"SELECT n FROM signs":      "",
			"SELECT max(n) FROM signs": "",
			"SELECT sum(n) FROM (SELECT 0 AS n UNION ALL SELECT 0) AS t": "",
			"SELECT sum(n) FROM (SELECT 7 AS n UNION ALL SELECT 0) AS t": "a throttle's query returns 7",
			"SELECT cast(0 AS numeric)":                                  "",
			"SELECT 0":                                                   "",
			"SELECT ''":                                                  "",
			"SELECT '0'":                                                 "",
			"SELECT -2":                                                  "a throttle's query returns -2",
			"SELECT 0.5":                                                 "a throttle's query returns 0.5",
			"SELECT 'a backup runs', 7":                                  "a backup runs",
			"SELECT 'nan'":                                               "nan",
			"SELECT reason FROM (SELECT 'one' AS reason UNION SELECT 'two') AS t ORDER BY 1": "one",
		} {
			if got, err := rotation.Query(db, query).Throttled(t.Context()); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", query, got, err, want)
			}
		}
		for query, want := range map[string]string{"SELECT 1 < 2": "a throttle's query returns ", "SELECT 1 > 2": ""} {
			if got, err := rotation.Query(db, query).Throttled(t.Context()); err != nil || want != "" && !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s: %q, %v; want %q", query, got, err, want)
			}
		}
		wrong := []string{"SELECT", "SELECT n FROM nothing", "SELECT abs(-9223372036854775807 - 1)"}
		if where.Name == "postgres" {
			wrong = append(wrong, "SELECT 1 / 0", "SELECT now()", "CREATE TABLE other (n int)")
		}
		for _, query := range wrong {
			if got, err := rotation.Query(db, query).Throttled(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "gormcrypt: a throttle's query") {
				t.Errorf("%s: %q, %v; want an error", query, got, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := rotation.Query(db, "SELECT 0").Throttled(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
