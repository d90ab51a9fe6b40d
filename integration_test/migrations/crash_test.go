package migrations_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var (
	kills = flag.Int("migrations.kills", 8, "processes that TestKilled kills, for each database; from 100 on, each state is to be hit")
	seed  = flag.Uint64("migrations.seed", 0, "what the random choices are made from, as a test has logged it; 0 is another one each time")
)

// choices returns the source of random choices, and logs what repeats them.
func choices(t testing.TB) *mathrand.Rand {
	t.Helper()
	from := *seed
	if from == 0 {
		from = mathrand.Uint64()
	}
	t.Logf("-migrations.seed=%d", from)
	return mathrand.New(mathrand.NewPCG(from, 0))
}

// The states in the order in which a process goes through them.
var (
	statesThere = []migrations.State{migrations.None, migrations.Expanding, migrations.Expanded, migrations.Backfilling, migrations.Backfilled, migrations.Verified, migrations.Enforcing, migrations.Enforced, migrations.Finished}
	statesBack  = []migrations.State{migrations.Reverting, migrations.Reverted, migrations.Expanding, migrations.None}
)

// Processes that are killed at any moment, and others that go on, or turn round, leave
// what one leaves that is not killed; and between them every value can be read.
func TestKilled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := choices(t)
		c := newCustomers(t, where)
		c.indexed = true
		want := c.fill(150)
		before := c.objects()
		settled := endWithoutKills(t, where.Name)
		v := victims{customers: c, want: want, random: random, hits: map[migrations.State]int{}}
		v.do = instructions{Where: where, Keys: keysFile(t, c.keys), Name: "child-" + rand.Text(), There: true}
		ended := func() {
			if v.do.There {
				c.requireSealed(want)
				c.requireObjects(settled)
			} else {
				c.requirePlain(want)
				c.requireObjects(before)
			}
			v.requireNoJobs()
			v.do.There = !v.do.There
		}
		for killed := 0; killed < *kills; {
			if v.goOn() {
				ended()
				continue
			}
			killed++
			v.check()
			if random.IntN(6) == 0 { // somebody has thought better of it
				v.do.There = !v.do.There
			}
		}
		for range 2 {
			child := v.do.start(t)
			if err := <-child.done; err != nil {
				t.Fatalf("%v\n%s", err, &child.out)
			}
			ended()
		}
		t.Logf("killed in the states %v", v.hits)
		for _, state := range slices.Concat(statesThere, statesBack) {
			if v.hits[state] == 0 && *kills >= 100 {
				t.Errorf("no process was killed in the state %q", state)
			}
		}
	})
}

// victims are processes that are killed.
type victims struct {
	customers
	want   map[int64]*string
	random *mathrand.Rand
	do     instructions
	hits   map[migrations.State]int
}

// endWithoutKills returns what is in the database when nothing was killed.
func endWithoutKills(t *testing.T, kind string) map[string]string {
	t.Helper()
	c := newCustomers(t, map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[kind](t))
	c.indexed = true
	c.fill(30)
	for _, step := range wayThere {
		if err := step.run(c); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	return c.objects()
}

// goOn has a process go on, and kills it, unless it comes to its end before.
func (v *victims) goOn() (ended bool) {
	v.Helper()
	v.do.Pause = time.Duration(v.random.IntN(30)) * time.Millisecond
	release := v.holdUp()
	child := v.do.start(v)
	moment := make(chan struct{})
	stop := make(chan struct{})
	go v.await(v.aim(), v.random.IntN([]int{1, 3, 10, 50}[v.random.IntN(4)]), v.random.IntN(1500), stop, moment)
	defer close(stop)
	select {
	case err := <-child.done:
		release()
		if err != nil {
			v.Fatalf("after %v: %v\n%s", v.hits, err, &child.out)
		}
		return true
	case <-moment:
	}
	_ = child.Process.Signal(syscall.SIGKILL)
	<-child.done
	v.endSessions()
	release()
	return false
}

// holdUp sometimes has a transaction open for a while that statements of migrations
// wait for, such as those that make an index.
func (v *victims) holdUp() (release func()) {
	v.Helper()
	if v.where.Name != "postgres" || v.random.IntN(3) > 0 {
		return func() {}
	}
	tx, err := v.pool.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		v.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM " + []string{"customers", "pg_class"}[v.random.IntN(2)]).Scan(&n); err != nil {
		v.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(v.random.IntN(600))*time.Millisecond, func() { _ = tx.Rollback() })
	return func() {
		timer.Stop()
		_ = tx.Rollback()
	}
}

// endSessions sometimes ends what PostgreSQL still does for a process that is gone, and
// otherwise lets it come to an end while the next goes on.
func (v *victims) endSessions() {
	v.Helper()
	if v.where.Name != "postgres" || v.random.IntN(2) > 0 {
		return
	}
	if _, err := v.pool.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", v.do.Name); err != nil {
		v.Fatal(err)
	}
}

// aim returns a state to be killed in, of those to come that were hit the least, or
// none for any.
func (v *victims) aim() migrations.State {
	if v.random.IntN(3) == 0 {
		return "any"
	}
	way, at := statesBack, 0
	if v.do.There {
		way, at = statesThere, max(0, slices.Index(statesThere, v.state()))
	}
	to := slices.Clone(way[at:])
	v.random.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	return slices.MinFunc(to, func(a, b migrations.State) int { return v.hits[a] - v.hits[b] })
}

// await waits for a state, and for some milliseconds in it, or until a time is over.
func (v *victims) await(aim migrations.State, within, atMost int, stop, moment chan struct{}) {
	defer close(moment)
	over := time.Now().Add(time.Duration(20+atMost) * time.Millisecond)
	if aim != "any" {
		over = time.Now().Add(4 * time.Second)
	}
	for time.Now().Before(over) && v.state() != aim {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
	if aim != "any" {
		time.Sleep(time.Duration(within) * time.Millisecond)
	}
}

// state is what the database has, past the library.
func (v *victims) state() migrations.State {
	var state migrations.State
	// There is no such table before the first step.
	_ = v.pool.QueryRowContext(context.Background(), "SELECT state FROM gormcrypt_columns WHERE table_name = 'customers' AND column_name = 'email'").Scan(&state)
	return state
}

// check checks what a process has left that was killed.
func (v *victims) check() {
	v.Helper()
	state := v.state()
	if !slices.Contains(slices.Concat(statesThere, statesBack), state) {
		v.Errorf("there is no state %q", state)
	}
	v.hits[state]++
	sealed, plain := v.values()
	switch state {
	case migrations.None, migrations.Expanding, migrations.Expanded, migrations.Reverted:
		if sealed > 0 {
			v.Errorf("%s: %d values are ciphertext", state, sealed)
		}
	case migrations.Backfilled, migrations.Verified, migrations.Enforcing, migrations.Enforced, migrations.Finished:
		if plain > 0 {
			v.Errorf("%s: %d values are plaintext", state, plain)
		}
	}
	if state == migrations.None || state == migrations.Expanding { // in which the column of the index may not be there
		return
	}
	reads(v, state, func(row readingCustomer) (int64, *string) { return row.ID, row.Email })
	reads(v, state, func(row writingCustomer) (int64, *string) { return row.ID, row.Email })
}

// values checks that each value is the plaintext, or opens to it.
func (v *victims) values() (sealed, plain int) {
	v.Helper()
	cipher, err := ciphertext.New(v.keys, ciphertext.Config{})
	if err != nil {
		v.Fatal(err)
	}
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "email"})
	if err != nil {
		v.Fatal(err)
	}
	stored := v.stored("email")
	if len(stored) != len(v.want) {
		v.Errorf("there are %d rows, want %d", len(stored), len(v.want))
	}
	for id, value := range stored {
		want := v.want[id]
		switch {
		case value.Valid != (want != nil):
			v.Errorf("row %d holds %.60q (%t)", id, value.String, value.Valid)
		case !value.Valid:
		case value.String == *want:
			plain++
		default:
			var opened string
			if err := column.OpenString(&opened, value.String); err != nil || opened != *want {
				v.Errorf("row %d holds %.60q, which opens to something else: %v", id, value.String, err)
			}
			sealed++
		}
	}
	return sealed, plain
}

// reads checks that a program with a model reads all rows.
func reads[M any](v *victims, state migrations.State, of func(M) (int64, *string)) {
	v.Helper()
	var model M
	db := v.open(&model)
	pool, err := db.DB()
	if err != nil {
		v.Fatal(err)
	}
	defer pool.Close()
	var all []M
	if err := db.Find(&all).Error; err != nil {
		v.Errorf("%s: %T: %v", state, model, err)
	}
	got := map[int64]*string{}
	for _, row := range all {
		id, email := of(row)
		got[id] = email
	}
	if d := cmp.Diff(v.want, got); d != "" {
		v.Errorf("%s: %T (-want +got)\n%s", state, model, d)
	}
}

func (v *victims) requireNoJobs() {
	v.Helper()
	jobs, err := rotation.Jobs(context.Background(), v.plain)
	if err != nil {
		v.Fatal(err)
	}
	for _, job := range jobs {
		if job.State != rotation.Finished && job.State != rotation.Cancelled || job.Quarantined > 0 {
			v.Errorf("the job %q is %s, with %d values in quarantine", job.Title, job.State, job.Quarantined)
		}
	}
}

// objects returns what the database has beside the rows, by name, but for gormcrypt's
// own tables.
func (c customers) objects() map[string]string {
	c.Helper()
	query := "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master WHERE tbl_name NOT LIKE 'gormcrypt_%'"
	if c.where.Name == "postgres" {
		query = `SELECT 'column ' || attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'index ' || i.relname, replace(pg_get_indexdef(i.oid), current_schema() || '.', '') || ' ' || x.indisvalid FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = 'customers'::regclass
UNION ALL SELECT 'constraint ' || conname, pg_get_constraintdef(oid) || ' ' || convalidated FROM pg_constraint WHERE conrelid = 'customers'::regclass`
	}
	rows, err := c.pool.QueryContext(context.Background(), query)
	if err != nil {
		c.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			c.Fatal(err)
		}
		all[name] = sortedConstraints(definition)
	}
	if err := rows.Err(); err != nil {
		c.Fatal(err)
	}
	return all
}

// sortedConstraints returns the definition of an SQLite table with our constraints in
// order: which of two was added first is left to when a process was killed.
func sortedConstraints(definition string) string {
	parts := strings.Split(strings.TrimSuffix(definition, ")"), ", CONSTRAINT ")
	if len(parts) == 1 {
		return definition
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, ", CONSTRAINT ") + ")"
}

func (c customers) requireObjects(want map[string]string) {
	c.Helper()
	if d := cmp.Diff(want, c.objects()); d != "" {
		c.Errorf("the database is not as without kills (-want +got)\n%s", d)
	}
	if strings.Contains(fmt.Sprint(c.objects()), " false") {
		c.Errorf("there is something invalid: %v", c.objects())
	}
}

// An index whose making fails on the way, here by a deadlock, is invalid, and is not
// taken for one that is there.
func TestAnIndexThatIsLeftInvalid(t *testing.T) {
	t.Parallel()
	for range 5 {
		c := newCustomers(t, testdb.Postgres(t))
		c.fill(30)
		if !c.expandInDeadlock() {
			continue // PostgreSQL has had the other one lose
		}
		if !c.hasIndex("idx_customers_email_index") || c.invalidIndexes() > 0 {
			t.Error("the index is not there, or not valid")
		}
		return
	}
	t.Error("it was never interrupted")
}

// expandInDeadlock runs Expand beside a transaction that waits for it, and for which it
// waits, and reports whether its index was left invalid by that.
func (c customers) expandInDeadlock() (interrupted bool) {
	c.Helper()
	tx, err := c.pool.Begin()
	if err != nil {
		c.Fatal(err)
	}
	defer tx.Rollback()
	// Expand gets as far as the index, which waits for who has written before.
	execute(c, c.where, "ALTER TABLE customers ADD COLUMN email_index text")
	if _, err := tx.Exec("UPDATE customers SET name = 'm' WHERE id = 20"); err != nil {
		c.Fatal(err)
	}
	m, done := c.as(&readingCustomer{}), make(chan error, 1)
	go func() { done <- m.Expand(context.Background(), fast(migrations.WithoutTag)) }()
	for c.invalidIndexes() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	_, err = tx.Exec("LOCK TABLE customers IN SHARE UPDATE EXCLUSIVE MODE")
	interrupted = err == nil && c.invalidIndexes() == 1
	_ = tx.Rollback()
	if err := <-done; err != nil {
		c.Error(err)
	}
	return interrupted
}

func (c customers) invalidIndexes() int {
	c.Helper()
	return c.count("SELECT count(*) FROM pg_index WHERE indrelid = 'customers'::regclass AND NOT indisvalid")
}

// An index of another table that has the name already is not taken for it.
func TestAnIndexOfAnotherTable(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		c.fill(30)
		execute(t, where, "CREATE TABLE others (n integer)", "CREATE INDEX idx_customers_email_index ON others (n)")
		expand := func() error {
			return c.as(&readingCustomer{}).Expand(context.Background(), fast(migrations.WithoutTag))
		}
		if err := expand(); err == nil || !strings.Contains(err.Error(), "idx_customers_email_index") {
			t.Errorf("it was not made: %v", err)
		}
		execute(t, where, "DROP INDEX idx_customers_email_index")
		if err := expand(); err != nil || !c.hasIndex("idx_customers_email_index") {
			t.Errorf("it is not there: %v", err)
		}
	})
}
