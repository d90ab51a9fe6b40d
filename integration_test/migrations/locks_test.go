package migrations_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var lockedRows = flag.Int("migrations.rows", 5000, "rows of the tables whose locks are measured, 1,000,000 for the full size")

// longest is how long an application may wait for a step.
const longest = 100 * time.Millisecond

// newLocked returns customers of whom Email is a varchar with an index, and as many as
// the flag says.
func newLocked(t testing.TB, where testdb.Database, rows int) customers {
	t.Helper()
	c := newCustomers(t, where)
	numbers := "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < %d) SELECT n FROM counted) AS numbers"
	if where.Name == "postgres" {
		execute(t, where, "ALTER TABLE customers ALTER COLUMN email TYPE varchar(100)")
		numbers = "generate_series(1, %d) AS n"
	}
	execute(t, where, "INSERT INTO customers (id, email, name) SELECT n, 'Customer' || n || '@example.org', 'n' FROM "+fmt.Sprintf(numbers, rows),
		"CREATE INDEX by_email ON customers (email)", "ANALYZE customers")
	return c
}

// operation is one of an application, and how long it took.
type operation struct {
	began, ended time.Time
	writes       bool
}

// load reads and writes rows without a pause, until it is stopped. Each statement is a
// transaction of its own.
type load struct {
	mu   sync.Mutex
	all  []operation // those longer than a millisecond
	stop func()
}

// newLoad starts so many readers, and as many writers, with a connection each.
func newLoad(c customers, each, rows int) *load {
	c.Helper()
	pool := c.where.Plain(c)
	pool.SetMaxOpenConns(2 * each)
	pool.SetMaxIdleConns(2 * each)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	l := &load{}
	l.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	c.Cleanup(l.stop)
	for i := range 2 * each {
		group.Go(func() {
			for ctx.Err() == nil {
				id := 1 + rand.IntN(rows)
				one := operation{began: time.Now(), writes: i%2 == 1}
				var err error
				if one.writes {
					_, err = pool.ExecContext(context.Background(), "UPDATE customers SET name = 'm' WHERE id = $1", id)
				} else { // the type of the result does not change with that of the column
					err = pool.QueryRowContext(context.Background(), "SELECT length(email) FROM customers WHERE id = $1", id).Scan(new(sql.NullInt64))
				}
				if one.ended = time.Now(); err != nil {
					c.Errorf("the application: %v", err)
					return
				}
				if one.ended.Sub(one.began) > time.Millisecond {
					l.mu.Lock()
					l.all = append(l.all, one)
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

// in returns the longest read and write that were under way in a time, and how often
// any took longer than they may. Those of the same moment are one, as of one cause.
func (l *load) in(from, to time.Time) (read, write time.Duration, stalls int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var long []operation
	for _, one := range l.all {
		if one.ended.Before(from) || one.began.After(to) {
			continue
		}
		took := one.ended.Sub(one.began)
		if one.writes {
			write = max(write, took)
		} else {
			read = max(read, took)
		}
		if took > longest {
			long = append(long, one)
		}
	}
	slices.SortFunc(long, func(a, b operation) int { return a.began.Compare(b.began) })
	var until time.Time
	for _, one := range long {
		if one.began.After(until) {
			stalls++
		}
		until = slices.MaxFunc([]time.Time{until, one.ended}, time.Time.Compare)
	}
	return read, write, stalls
}

// sampler looks at the locks of a table, every few milliseconds.
type sampler struct {
	mu sync.Mutex
	// held is how long a lock was seen that readers or writers wait for, and waited how
	// long one of them has waited for one, since reset.
	held, waited time.Duration
	every        time.Duration // the longest time between two looks
	stop         func()
}

// locksOf returns those of customers. Only DDL takes the modes that are looked for.
const locksOf = `SELECT l.pid, l.mode, l.granted, l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'),
	coalesce(extract(epoch FROM clock_timestamp() - l.waitstart) * 1000000, 0)::bigint
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'relation' AND l.relation = 'customers'::regclass AND a.backend_type = 'client backend'
	AND (NOT l.granted OR l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))`

func newSampler(c customers) *sampler {
	c.Helper()
	pool := c.where.Plain(c)
	pool.SetMaxOpenConns(1)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	s := &sampler{}
	s.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	c.Cleanup(s.stop)
	group.Go(func() {
		since := map[string]time.Time{} // a lock was seen first
		for last := time.Now(); ctx.Err() == nil; time.Sleep(3 * time.Millisecond) {
			looked := time.Now()
			rows, err := pool.QueryContext(context.Background(), locksOf)
			if err != nil {
				c.Errorf("looking at the locks: %v", err)
				return
			}
			seen := map[string]time.Time{}
			s.mu.Lock()
			s.every = max(s.every, looked.Sub(last))
			for rows.Next() {
				var pid, waited int64
				var mode string
				var granted, ddl bool
				if err := rows.Scan(&pid, &mode, &granted, &ddl, &waited); err != nil {
					c.Error(err)
				}
				switch name := fmt.Sprint(pid, mode); {
				case granted:
					seen[name] = cmp.Or(since[name], looked)
					s.held = max(s.held, looked.Sub(seen[name]))
				case !ddl:
					s.waited = max(s.waited, time.Duration(waited)*time.Microsecond)
				}
			}
			s.mu.Unlock()
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				c.Error(err)
			}
			since, last = seen, looked
		}
	})
	return s
}

func (s *sampler) reset() (held, waited, every time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, waited, every = s.held, s.waited, s.every
	s.held, s.waited, s.every = 0, 0, 0
	return held, waited, every
}

// gently is how steps run under load: between the defaults, for which a million rows take
// an hour, and all that the machine has.
func gently(deployed migrations.Deployment) migrations.Config {
	return migrations.Config{Deployed: deployed, Limits: rotation.Limits{Target: 20 * time.Millisecond, Duty: 0.5}}
}

// quickly is how they run by themselves.
func quickly(deployed migrations.Deployment) migrations.Config {
	return migrations.Config{Deployed: deployed, Limits: rotation.Limits{Duty: 1}}
}

// lockedStep is a step as it is run under load.
type lockedStep struct {
	name string
	run  func() error
}

// there and back are all steps, in the programs that run them.
func (c customers) there(config func(migrations.Deployment) migrations.Config) []lockedStep {
	ctx := context.Background()
	return []lockedStep{
		{"Expand", func() error { return c.as(&readingCustomer{}).Expand(ctx, config("")) }},
		{"Backfill", func() error {
			_, err := c.as(&writingCustomer{}).Backfill(ctx, config(migrations.Writing))
			return err
		}},
		{"Verify", func() error {
			_, err := c.as(&writingCustomer{}).Verify(ctx, config(""))
			return err
		}},
		{"Enforce", func() error { return c.as(&writingCustomer{}).Enforce(ctx, config(migrations.Writing)) }},
		{"Finish", func() error { return c.as(&settledCustomer{}).Finish(ctx, config(migrations.Settled)) }},
	}
}

func (c customers) andBack(config func(migrations.Deployment) migrations.Config) []lockedStep {
	revert := func(model any, deployed migrations.Deployment) func() error {
		return func() error {
			_, err := c.as(model).Revert(context.Background(), config(deployed))
			if deployed == "" && errors.Is(err, migrations.ErrDeployment) {
				return nil
			}
			return err
		}
	}
	return []lockedStep{
		{"Revert: constraints, indexes", revert(&settledCustomer{}, "")},
		{"Revert: decrypt", revert(&readingCustomer{}, migrations.Reading)},
		{"Revert: columns", revert(&readingCustomer{}, migrations.WithoutTag)},
	}
}

// No step keeps an application waiting for longer than a tenth of a second, however
// large the table is: a reader and a writer that do not pause, and the locks of the
// table. What takes longer without any step is the machine.
func TestLocksAreShort(t *testing.T) {
	where := testdb.Postgres(t)
	rows := *lockedRows
	c := newLocked(t, where, rows)
	l, s := newLoad(c, 2, rows), newSampler(c)
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows\n%-30s %9s %9s %9s %6s %9s %9s %9s\n", rows, "step", "took", "read", "write", "stalls", "lock held", "lock wait", "looked")
	measure := func(name string, run func() error) (took time.Duration, stalls int) {
		t.Helper()
		s.reset()
		began := time.Now()
		if err := run(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ended := time.Now()
		time.Sleep(longest) // for what was under way to end
		read, write, stalls := l.in(began, ended)
		held, waited, every := s.reset()
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }
		fmt.Fprintf(&b, "%-30s %9v %9v %9v %6d %9v %9v %9v\n", name, round(ended.Sub(began)), round(read), round(write), stalls, round(held), round(waited), round(every))
		if held >= longest {
			t.Errorf("%s has held a lock for %v", name, held)
		}
		if waited >= longest {
			t.Errorf("during %s, an application has waited for a lock for %v", name, waited)
		}
		return ended.Sub(began), stalls
	}
	defer func() { t.Log(b.String()) }()
	var with, without time.Duration
	var stallsWith, stallsWithout int
	for _, step := range append(c.there(gently), c.andBack(gently)...) {
		took, stalls := measure(step.name, step.run)
		with, stallsWith = with+took, stallsWith+stalls
		// Half a minute says enough of the machine.
		idle := min(max(took, time.Second/4), 30*time.Second)
		_, stalls = measure("  without a step", func() error {
			time.Sleep(idle)
			return nil
		})
		without, stallsWithout = without+idle, stallsWithout+stalls
	}
	l.stop()
	s.stop()
	const chance = 3
	most := float64(stallsWithout)*max(1, with.Seconds()/without.Seconds())*2 + chance
	fmt.Fprintf(&b, "times longer than %v: %d in %v of steps, %d in %v without", longest, stallsWith, with.Round(time.Second), stallsWithout, without.Round(time.Second))
	// In a short run beside other tests, a few stalls more or less are those of the
	// machine: what counts there is the locks, above.
	if long := with > time.Minute; long && float64(stallsWith) > most {
		t.Errorf("readers and writers have waited for longer than %v %d times during steps; without them it would be %.1f at most", longest, stallsWith, most)
	}
	if n := c.count("SELECT count(*) FROM customers WHERE email LIKE 'Customer%@example.org'"); n != rows {
		t.Errorf("%d of %d rows are as they were", n, rows)
	}
}

// left opens a transaction that has read customers, and leaves it open until what it
// returns is called.
func (c customers) left() (end func()) {
	c.Helper()
	tx, err := c.where.Plain(c).BeginTx(context.Background(), nil)
	if err != nil {
		c.Fatal(err)
	}
	if _, err := tx.Exec("SELECT count(*) FROM customers"); err != nil {
		c.Fatal(err)
	}
	end = sync.OnceFunc(func() { _ = tx.Rollback() })
	c.Cleanup(end)
	return end
}

// While a transaction is left open that has read the table, steps ask for their locks
// again and again, and nobody waits behind them for longer than Config.LockWait. They
// succeed when it ends.
func TestOpenTransaction(t *testing.T) {
	where := testdb.Postgres(t)
	const rows = 2000
	c := newLocked(t, where, rows)
	l, s := newLoad(c, 2, rows), newSampler(c)
	for _, step := range append(c.there(gently), c.andBack(gently)...) {
		end := c.left()
		s.reset()
		const open = time.Second
		timer := time.AfterFunc(open, end)
		began := time.Now()
		if err := step.run(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		took := time.Since(began)
		read, write, stalls := l.in(began, time.Now())
		_, waited, every := s.reset()
		t.Logf("%s: took %v, others waited for a lock for %v, read for %v, wrote for %v, %d stalls, looked every %v", step.name, took, waited, read, write, stalls, every)
		if (step.name == "Expand" || step.name == "Enforce") && took < open {
			t.Errorf("%s took %v, while a transaction had the table", step.name, took)
		}
		if waited > longest { // twice what it is to be
			t.Errorf("%s: others have waited for a lock for %v", step.name, waited)
		}
		timer.Stop()
		end()
	}
}

// A transaction that never ends is no reason to wait for ever: each step gives up, says
// what it is about, and can be run again.
func TestTransactionThatNeverEnds(t *testing.T) {
	t.Parallel()
	c := newLocked(t, testdb.Postgres(t), 50)
	ctx := t.Context()
	const impatience = 100 * time.Microsecond
	wait := impatience
	impatient := func(deployed migrations.Deployment) migrations.Config {
		config := fast(deployed)
		config.LockWait = wait
		return config
	}
	try := func(name string, run func() error) {
		t.Helper()
		end := c.left()
		began := time.Now()
		err := run()
		if err == nil || !strings.Contains(err.Error(), "customers") || !strings.Contains(err.Error(), "left open") {
			t.Errorf("%s with a transaction that is left open: %v", name, err)
		}
		t.Logf("%s, after %v: %v", name, time.Since(began), err)
		end()
		wait = 0 // which is patient: an index waits for the transactions of other tests too
		defer func() { wait = impatience }()
		if err := run(); err != nil {
			t.Errorf("%s, when it has ended: %v", name, err)
		}
	}
	try("Expand", func() error { return c.as(&readingCustomer{}).Expand(ctx, impatient("")) })
	if _, err := c.as(&writingCustomer{}).Backfill(ctx, fast(migrations.Writing)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.as(&writingCustomer{}).Verify(ctx, fast("")); err != nil {
		t.Fatal(err)
	}
	try("Enforce", func() error { return c.as(&writingCustomer{}).Enforce(ctx, impatient(migrations.Writing)) })
	try("Finish", func() error { return c.as(&settledCustomer{}).Finish(ctx, impatient(migrations.Settled)) })
	if c.hasIndex("by_email") {
		t.Error("the index of the plaintext is still there")
	}
	revert := func(model any, deployed migrations.Deployment) func() error {
		return func() error {
			_, err := c.as(model).Revert(ctx, impatient(deployed))
			if deployed == "" && errors.Is(err, migrations.ErrDeployment) {
				return nil
			}
			return err
		}
	}
	try("Revert of the constraints", revert(&settledCustomer{}, ""))
	if _, err := c.as(&readingCustomer{}).Revert(ctx, fast(migrations.Reading)); err != nil {
		t.Fatal(err)
	}
	try("Revert of the columns", revert(&readingCustomer{}, migrations.WithoutTag))
	if state, err := c.as(&readingCustomer{}).State(ctx); err != nil || state != migrations.None {
		t.Errorf("%q: %v", state, err)
	}
}

// An index that is made waits for older transactions, whatever they have read. One that
// gave up is left behind as invalid, and is made anew.
func TestIndexThatWaits(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	c := newLocked(t, where, 50)
	ctx := t.Context()
	execute(t, where, "CREATE TABLE others (id integer)", "ALTER TABLE customers ALTER COLUMN email TYPE text")
	tx, err := c.where.Plain(t).BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT count(*) FROM others"); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(end)
	config := migrations.Config{LockWait: 100 * time.Microsecond} // so an index waits for 120 ms
	if err := c.as(&readingCustomer{}).Expand(ctx, config); err == nil || !strings.Contains(err.Error(), "any table") {
		t.Errorf("with an older transaction: %v", err)
	}
	invalid := "SELECT count(*) FROM pg_index WHERE indexrelid = 'idx_customers_email_index'::regclass AND NOT indisvalid"
	if n := c.count(invalid); n != 1 {
		t.Fatal("it leaves no invalid index, so this looks at nothing")
	}
	time.AfterFunc(500*time.Millisecond, end)
	if err := c.as(&readingCustomer{}).Expand(ctx, config); err != nil {
		t.Error(err)
	}
	if n := c.count(invalid); n != 0 {
		t.Error("the index is invalid, and Expand has taken it for one")
	}
}

// What would have PostgreSQL make an index anew under its lock, or refuse the change of
// the type, is a problem before anything is changed.
func TestTypesThatCannotChange(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"an index of an expression": "CREATE INDEX by_lower ON customers (lower(email))",
		"an index of some rows":     "CREATE INDEX by_some ON customers (name) WHERE email IS NOT NULL",
		"a view":                    "CREATE VIEW shown AS SELECT email FROM customers",
		"a trigger":                 "CREATE TRIGGER named BEFORE UPDATE OF email ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := testdb.Postgres(t)
			c := newLocked(t, where, 50)
			execute(t, where, statement)
			m := c.as(&readingCustomer{})
			if err := m.Expand(t.Context(), migrations.Config{}); !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), "after Expand") {
				t.Errorf("varchar: %v", err)
			}
			execute(t, where, "DROP VIEW IF EXISTS shown", "DROP TRIGGER IF EXISTS named ON customers", "DROP INDEX IF EXISTS by_lower, by_some",
				"ALTER TABLE customers ALTER COLUMN email TYPE text", statement)
			if err := m.Expand(t.Context(), migrations.Config{}); err != nil {
				t.Errorf("text: %v", err)
			}
		})
	}
}

// Other indexes stay as they are when the type changes.
func TestIndexesAreNotMadeAnew(t *testing.T) {
	t.Parallel()
	where := testdb.Postgres(t)
	c := newLocked(t, where, 50)
	execute(t, where, "CREATE INDEX a1 ON customers (email, name)", "CREATE INDEX a2 ON customers (email varchar_pattern_ops DESC)", "CREATE INDEX a3 ON customers USING hash (email)", "CREATE INDEX a4 ON customers (name) INCLUDE (email)")
	const files = "SELECT relname || ' ' || relfilenode FROM pg_class WHERE relname IN ('a1', 'a2', 'a3', 'a4', 'by_email', 'customers') AND relnamespace = current_schema()::regnamespace ORDER BY 1"
	before := texts(t, where, files)
	if err := c.as(&readingCustomer{}).Expand(t.Context(), migrations.Config{}); err != nil {
		t.Fatal(err)
	}
	if after := texts(t, where, files); !slices.Equal(before, after) || len(after) != 6 {
		t.Errorf("made anew:\n%v\n%v", before, after)
	}
}

// In SQLite, writers wait while a step is in a transaction: this says for how long.
// Batches of rows are not looked at, which yield to a writer that does not pause.
func TestSQLiteWritersWait(t *testing.T) {
	where := testdb.SQLite(t)
	rows := *lockedRows
	c := newLocked(t, where, rows)
	t.Logf("%d rows", rows)
	for _, step := range append(c.there(quickly), c.andBack(quickly)...) {
		if step.name == "Backfill" || step.name == "Verify" || step.name == "Revert: decrypt" {
			began := time.Now()
			if err := step.run(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			t.Logf("%-30s took %v by itself", step.name, time.Since(began).Round(time.Millisecond))
			continue
		}
		l := newLoad(c, 1, rows)
		began := time.Now()
		if err := step.run(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		ended := time.Now()
		l.stop()
		read, write, _ := l.in(began, ended)
		t.Logf("%-30s took %v, the longest read %v, the longest write %v", step.name, ended.Sub(began).Round(time.Millisecond), read.Round(time.Millisecond), write.Round(time.Millisecond))
	}
}
