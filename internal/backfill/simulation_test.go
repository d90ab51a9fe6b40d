package backfill

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	schedules    = flag.Int("schedules", 20_000, "schedules of TestSimulation")
	scheduleSeed = flag.Uint64("schedules.seed", 0, "seed of the first schedule of TestSimulation, 0 for any; those that follow count up")
)

// TestSimulation runs workers, an application, clocks, crashes and failures on a
// database in memory, one step at a time, in an order that is drawn. After every
// step each row holds what the application wrote last; at the end each is under the
// new version, but for those that do not open, and nothing was written by a worker
// whose lease had been given to another.
func TestSimulation(t *testing.T) {
	t.Parallel()
	first := *scheduleSeed
	if first == 0 {
		first = uint64(rand.Uint32()) + 1
	}
	var next, steps atomic.Uint64
	var mu sync.Mutex
	seen := map[string]int{}
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			local := map[string]int{}
			for !t.Failed() {
				i := next.Add(1) - 1
				if i >= uint64(*schedules) {
					break
				}
				s := newSimulation(first + i)
				err := s.run()
				steps.Add(uint64(s.steps))
				if err != nil {
					again := newSimulation(first + i)
					again.tracing = true
					_ = again.run()
					t.Errorf("%v\nto repeat it: -schedules=1 -schedules.seed=%d\n%s", err, first+i, strings.Join(again.trace, "\n"))
					break
				}
				for event := range s.events {
					local[event]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for event, n := range local {
				seen[event] += n
			}
		})
	}
	group.Wait()
	var summary []string
	for _, event := range simulatedEvents {
		if seen[event] == 0 && *schedules >= 1000 {
			t.Errorf("no schedule had: %s", event)
		}
		summary = append(summary, fmt.Sprintf("%s in %d", event, seen[event]))
	}
	t.Logf("%d schedules of %d steps from seed %d: %s", min(next.Load(), uint64(*schedules)), steps.Load(), first, strings.Join(summary, ", "))
}

// simulatedEvents are what schedules must have met, for the test to mean
// something.
var simulatedEvents = []string{
	"superseded", "deleted", "deferred", "poisoned", "lost lease", "took over", "crash", "failed", "failed after it was done", "old writer", "another pass", "inserted behind", "paused",
}

// simulation is one schedule.
type simulation struct {
	random *rand.Rand
	*memoryDatabase
	workers []*Worker
	names   int
	steps   int
	tracing bool
	trace   []string
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{random: rand.New(rand.NewPCG(seed, 1))}
	s.memoryDatabase = &memoryDatabase{
		rows: map[int64]*simulatedRow{}, said: map[int64]string{}, locked: map[int64]int{}, quarantine: map[int64]any{},
		pass: Pass{Rewriting, 1}, state: Running, events: map[string]bool{},
	}
	n := s.random.IntN(7)
	for i := range n {
		s.write(int64(2*i+1), 1)
	}
	if s.random.IntN(4) == 0 && n > 0 {
		s.rows[1].value = "1:poison"
		s.said[1] = "poison"
	}
	bound := Key{int64(5)}
	s.shards = []*simulatedShard{{Shard: Shard{UpTo: bound}}, {Shard: Shard{Number: 1, After: bound}, from: bound}}
	for range 1 + s.random.IntN(3) {
		s.workers = append(s.workers, s.worker())
	}
	return s
}

func (s *simulation) worker() *Worker {
	s.names++
	return &Worker{
		Name: fmt.Sprintf("w%d", s.names), Store: s.memoryDatabase, Codecs: []Codec{simulatedCodec{}},
		Pace: s, Now: func() time.Time { return time.Unix(s.now, 0) }, Every: 2 * time.Second,
	}
}

// Room has batches of one to three rows.
func (s *simulation) Room() Room { return Room{Rows: 1 + s.steps%3} }

// DidRead learns nothing.
func (s *simulation) DidRead(Part, int, time.Duration) {}

func (s *simulation) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%3d: ", s.steps)+fmt.Sprintf(format, args...))
	}
}

// leaseSeconds is the time of a lease.
const leaseSeconds = 5

// run takes steps until the job is over. After a while nothing disturbs it any
// more, so that it has to end.
func (s *simulation) run() error {
	disturbed := 20 + s.random.IntN(150)
	for ; !s.over(); s.steps++ {
		if s.steps > 5000 {
			return errors.New("the job does not end")
		}
		switch pick := s.random.IntN(100); {
		case s.steps >= disturbed, pick < 60:
			if err := s.work(s.random.IntN(len(s.workers)), s.steps < disturbed); err != nil {
				return err
			}
			s.now += int64(s.random.IntN(2))
		case pick < 85:
			s.application()
		case pick < 92:
			s.now += int64(s.random.IntN(2 * leaseSeconds))
		case pick < 96:
			i := s.random.IntN(len(s.workers))
			s.note("%s crashes", s.workers[i].Name)
			s.events["crash"] = true
			s.workers[i] = s.worker()
		default:
			s.state = []string{Running, Running, Paused}[s.random.IntN(3)]
			s.events["paused"] = s.events["paused"] || s.state == Paused
			s.note("the job is %s", s.state)
		}
		if s.steps >= disturbed && !s.over() {
			clear(s.locked)
			s.state = Running
			s.now++
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	return s.checkEnd()
}

// work has a worker take a step, which may fail before or after it was done.
func (s *simulation) work(i int, disturbed bool) error {
	w := s.workers[i]
	s.fail = 0
	if disturbed {
		s.fail = s.random.IntN(25)
	}
	s.fence = 0
	if shard := w.Shard(); shard != nil {
		s.fence = shard.Fence
	}
	state, counts, err := w.Step(context.Background())
	s.note("%s: state %d, %+v, %v", w.Name, state, counts, err)
	switch {
	case errors.Is(err, ErrLost):
		s.events["lost lease"] = true
		if s.random.IntN(2) == 0 { // as Runner does
			_ = s.Release(context.Background(), *w.Shard())
		}
		w.drop()
	case errors.Is(err, errSimulated):
		if s.random.IntN(2) == 0 {
			w.Restart()
		}
	case err != nil:
		return err
	}
	for event, n := range map[string]int64{"superseded": counts.Superseded, "deleted": counts.Deleted, "deferred": counts.Deferred, "poisoned": counts.Poisoned} {
		if n > 0 {
			s.events[event] = true
		}
	}
	return nil
}

// application writes, deletes, locks, and sometimes has a keyring of yesterday.
func (s *simulation) application() {
	key := int64(s.random.IntN(16))
	version := 2
	if s.random.IntN(8) == 0 {
		version = 1
		s.events["old writer"] = true
	}
	switch s.random.IntN(5) {
	case 0:
		delete(s.rows, key)
		delete(s.said, key)
		s.note("the application deletes %d", key)
	case 1:
		if s.rows[key] != nil {
			s.locked[key] = s.steps + 1 + s.random.IntN(30)
			s.note("the application locks %d", key)
		}
	default:
		if s.rows[key] == nil {
			s.events["inserted behind"] = true
		}
		s.write(key, version)
		s.note("the application writes %d: %s", key, s.rows[key].value)
	}
	for key, until := range s.locked {
		if until <= s.steps {
			delete(s.locked, key)
		}
	}
}

// memoryDatabase is a database in memory. It is a Store.
type memoryDatabase struct {
	rows map[int64]*simulatedRow
	// said is what the application wrote last.
	said   map[int64]string
	locked map[int64]int
	shards []*simulatedShard

	pass       Pass
	state      string
	quarantine map[int64]any
	now        int64
	serial     int
	fail       int   // 1 fails before it is done, 2 after
	fence      int64 // of the shard that the worker of this step holds
	events     map[string]bool
}

// simulatedRow is "version:payload".
type simulatedRow struct{ value string }

type simulatedShard struct {
	Shard
	from  Key
	done  bool
	until int64
}

func (m *memoryDatabase) write(key int64, version int) {
	m.serial++
	m.said[key] = fmt.Sprint("payload", m.serial)
	m.rows[key] = &simulatedRow{fmt.Sprintf("%d:%s", version, m.said[key])}
}

// check looks whether anything was lost.
func (m *memoryDatabase) check() error {
	if len(m.rows) != len(m.said) {
		return fmt.Errorf("there are %d rows, want %d", len(m.rows), len(m.said))
	}
	for key, row := range m.rows {
		if _, payload, _ := strings.Cut(row.value, ":"); payload != m.said[key] {
			return fmt.Errorf("row %d holds %s, want %s", key, row.value, m.said[key])
		}
	}
	return nil
}

func (m *memoryDatabase) over() bool { return m.pass.Phase == Ended }

// checkEnd looks whether the job has done what it says.
func (m *memoryDatabase) checkEnd() error {
	poisoned := 0
	for key, row := range m.rows {
		version, payload, _ := strings.Cut(row.value, ":")
		switch {
		case payload == "poison":
			poisoned++
		case version != "2":
			return fmt.Errorf("row %d is still %s at the end of the job, which is %s", key, row.value, m.state)
		}
	}
	// A row that did not open may have been written anew since.
	if (m.state == Quarantined) != (len(m.quarantine) > 0) || m.state == Finished && poisoned > 0 {
		return fmt.Errorf("the job is %s with %d rows in quarantine, and %d rows do not open", m.state, len(m.quarantine), poisoned)
	}
	return nil
}

var errSimulated = errors.New("the connection was lost")

// failing has a method fail, before or after it is done.
func (m *memoryDatabase) failing(do func() error) error {
	switch m.fail {
	case 1:
		m.events["failed"] = true
		return errSimulated
	case 2:
		if err := do(); err != nil {
			return err
		}
		m.events["failed after it was done"] = true
		return errSimulated
	}
	return do()
}

func (m *memoryDatabase) shard(s Shard) (*simulatedShard, error) {
	its := m.shards[s.Number]
	if its.Fence != s.Fence || m.state != Running {
		return nil, ErrLost
	}
	return its, nil
}

func (m *memoryDatabase) Claim(context.Context, string) (shard Shard, ok bool, err error) {
	err = m.failing(func() error {
		for _, s := range m.shards {
			if m.state != Running || s.done || s.until > m.now {
				continue
			}
			if s.until > 0 {
				m.events["took over"] = true
			}
			s.until = m.now + leaseSeconds
			s.Fence++
			s.Pass = m.pass
			shard, ok = s.Shard, true
			return nil
		}
		return nil
	})
	if err != nil {
		return Shard{}, false, err
	}
	return shard, ok, nil
}

func (m *memoryDatabase) Read(_ context.Context, s Shard, room Room) (part Part, err error) {
	err = m.failing(func() error {
		part.End = true
		for _, key := range slices.Sorted(maps.Keys(m.rows)) {
			if s.After != nil && key <= s.After[0].(int64) || s.UpTo != nil && key > s.UpTo[0].(int64) {
				continue
			}
			if part.Count == room.Rows {
				part.End = false
				break
			}
			part.Count++
			part.Last = Key{key}
			row := m.row(key)
			if s.Pass.Phase == Verifying {
				row.Old = []any{m.rows[key].value}
			}
			if row.IsStale() {
				part.Rows = append(part.Rows, row)
			}
		}
		return nil
	})
	return part, err
}

func (m *memoryDatabase) row(key int64) Row {
	row := Row{Key: Key{key}, Old: []any{nil}}
	if value := m.rows[key].value; !strings.HasPrefix(value, "2:") {
		row.Old[0] = value
	}
	return row
}

func (m *memoryDatabase) Write(_ context.Context, s Shard, c Checkpoint) (written Written, err error) {
	err = m.failing(func() error {
		its, err := m.shard(s)
		if err != nil {
			return err
		}
		for _, swap := range c.Swaps {
			key := swap.Key[0].(int64)
			if row := m.rows[key]; row != nil && row.value == swap.Old[0] && m.locked[key] == 0 {
				row.value = swap.New[0].(string)
				written.Swapped++
			}
		}
		for _, poison := range c.Poison {
			m.quarantine[poison.Key[0].(int64)] = poison.Stored
		}
		its.After, its.done, its.until = c.Cursor, c.Done, m.now+leaseSeconds
		return nil
	})
	return written, err
}

func (m *memoryDatabase) Look(_ context.Context, _ Shard, keys []Key) (rows []*Current, err error) {
	err = m.failing(func() error {
		for _, key := range keys {
			var current *Current
			if row := m.rows[key[0].(int64)]; row != nil {
				current = &Current{m.row(key[0].(int64)), []any{row.value}}
			}
			rows = append(rows, current)
		}
		return nil
	})
	return rows, err
}

func (m *memoryDatabase) Renew(_ context.Context, s Shard) error {
	its, err := m.shard(s)
	if err == nil {
		its.until = m.now + leaseSeconds
	}
	return err
}

func (m *memoryDatabase) Release(_ context.Context, s Shard) error {
	if its := m.shards[s.Number]; its.Fence == s.Fence {
		its.until = 0
	}
	return nil
}

func (m *memoryDatabase) Pass(context.Context) (Pass, error) { return m.pass, nil }

func (m *memoryDatabase) Settle(_ context.Context, from Pass) (Pass, error) {
	err := m.failing(func() error {
		if m.pass != from || m.state != Running {
			return nil
		}
		var stale int64
		for _, s := range m.shards {
			if !s.done {
				return nil
			}
		}
		for key, row := range m.rows {
			if !strings.HasPrefix(row.value, "2:") && m.quarantine[key] != row.value {
				stale++
			}
		}
		m.pass, m.state, _ = settle(from, stale, int64(len(m.quarantine)), "")
		if m.pass.Phase == Rewriting {
			m.events["another pass"] = true
		}
		if m.pass.Phase != Ended {
			clear(m.quarantine)
			for _, s := range m.shards {
				s.After, s.done, s.until = s.from, false, 0
			}
		}
		return nil
	})
	return m.pass, err
}

// simulatedCodec knows versions 1 and 2.
type simulatedCodec struct{}

func (simulatedCodec) Reseal(row Row) (Swap, []Poison, error) {
	_, payload, _ := strings.Cut(row.Old[0].(string), ":")
	if payload == "poison" {
		return Swap{}, []Poison{{Stored: row.Old[0]}}, nil
	}
	return Swap{row, []any{"2:" + payload}}, nil, nil
}

func (simulatedCodec) Check(row Row) ([]Poison, error) {
	if strings.HasSuffix(row.Old[0].(string), ":poison") {
		return []Poison{{Stored: row.Old[0]}}, nil
	}
	return nil, nil
}
