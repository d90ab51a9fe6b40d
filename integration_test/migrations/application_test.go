package migrations_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

var applicationTime = flag.Duration("migrations.time", 40*time.Millisecond, "how long programs of two deployments run side by side")

// customer is a row, whatever the deployment.
type customer = settledCustomer

// program is what a program of one deployment does with customers.
type program struct {
	name              string
	create, save, set func(c customer) error
	upsert            func(c customer) error
	read              func(id int64) (customer, error)
	find              func(email string) ([]int64, error)
	remove            func(id int64) error
}

// programOf returns the program of a deployment, of whose model and ours each can be
// made of the other. Its column has the value that the function makes of an address.
func programOf[T any](db *gorm.DB, column string, value func(email *string) any, to func(customer) T, from func(T) customer) *program {
	return &program{
		name: fmt.Sprintf("%T", *new(T)),
		create: func(c customer) error {
			row := to(c)
			return db.Create(&row).Error
		},
		save: func(c customer) error {
			row := to(c)
			return db.Save(&row).Error
		},
		set: func(c customer) error {
			return db.Model(new(T)).Where("id = ?", c.ID).Updates(map[string]any{column: value(c.Email), "name": c.Name}).Error
		},
		upsert: func(c customer) error {
			row := to(c)
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error
		},
		read: func(id int64) (customer, error) {
			var row T
			err := db.First(&row, id).Error
			return from(row), err
		},
		find: func(email string) (ids []int64, err error) {
			err = db.Model(new(T)).Where(column+" = ?", value(&email)).Pluck("id", &ids).Error
			return ids, err
		},
		remove: func(id int64) error { return db.Delete(new(T), id).Error },
	}
}

// program starts the program of a deployment.
func (c customers) program(deployment migrations.Deployment) *program {
	c.Helper()
	// What does not know of the new columns names those that it reads: a SELECT * that was
	// prepared does not survive that the table has others.
	value := func(email *string) any { return email }
	switch deployment {
	case migrations.Reading:
		return programOf(c.open(&readingCustomer{}), "email", value, func(c customer) readingCustomer { return readingCustomer(c) }, func(p readingCustomer) customer { return customer(p) })
	case migrations.Writing:
		return programOf(c.open(&writingCustomer{}), "email", value, func(c customer) writingCustomer { return writingCustomer(c) }, func(p writingCustomer) customer { return customer(p) })
	case migrations.Settled:
		return programOf(c.open(&settledCustomer{}), "email", value, func(c customer) settledCustomer { return c }, func(p settledCustomer) customer { return p })
	}
	return programOf(c.where.Open(c, &gorm.Config{QueryFields: true}), "email", value, func(c customer) plainCustomer { return plainCustomer{c.ID, c.Email, c.Name} },
		func(p plainCustomer) customer { return customer{ID: p.ID, Email: p.Email, Name: p.Name} })
}

// application writes and reads customers all the while. Each of its parts has a
// program, and rows of its own, of which it knows what it wrote last.
type application struct {
	customers
	launch    func(migrations.Deployment) *program
	draw      func(random *rand.Rand, id int64) *string
	instances []*instance
	cancel    context.CancelFunc
	group     sync.WaitGroup
	calls     atomic.Int64
	failed    atomic.Pointer[string]
}

type instance struct {
	program atomic.Pointer[program]
	mu      sync.Mutex
	want    map[int64]*string
}

const parts = 4

// start starts the application, with the rows that are there.
func (c customers) start(want map[int64]*string) *application {
	c.Helper()
	return c.startWith(c.program, c.draw, want)
}

func (c customers) startWith(launch func(migrations.Deployment) *program, draw func(*rand.Rand, int64) *string, want map[int64]*string) *application {
	c.Helper()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c.Logf("-migrations.seed=%d", seed)
	ctx, cancel := context.WithCancel(context.Background())
	a := &application{customers: c, launch: launch, draw: draw, cancel: cancel}
	first := launch(migrations.WithoutTag)
	for i := range int64(parts) {
		p := &instance{want: map[int64]*string{}}
		p.program.Store(first)
		for id, email := range want {
			if id%parts == i {
				p.want[id] = email
			}
		}
		a.instances = append(a.instances, p)
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		next := int64(100_000) + i
		a.group.Go(func() {
			for ctx.Err() == nil && a.failed.Load() == nil {
				if err := a.act(p, random, &next); err != nil {
					text := fmt.Sprintf("%s: %v", p.program.Load().name, err)
					a.failed.CompareAndSwap(nil, &text)
				}
				a.calls.Add(1)
			}
		})
	}
	c.Cleanup(func() { a.stop() })
	return a
}

// stop stops it, and returns what each row is to hold.
func (a *application) stop() map[int64]*string {
	a.Helper()
	a.cancel()
	a.group.Wait()
	if text := a.failed.Swap(nil); text != nil {
		a.Errorf("the application: %s", *text)
	}
	want := map[int64]*string{}
	for _, p := range a.instances {
		for id, email := range p.want {
			want[id] = email
		}
	}
	return want
}

// roll replaces the program of the application by that of another deployment, one part
// after the other.
func (a *application) roll(to migrations.Deployment) {
	a.Helper()
	next := a.launch(to)
	for _, p := range a.instances {
		p.mu.Lock() // it is between two calls
		p.program.Store(next)
		p.mu.Unlock()
		time.Sleep(*applicationTime / parts)
	}
	if a.failed.Load() != nil {
		a.FailNow()
	}
}

// draw draws what a customer's address is.
func (c customers) draw(random *rand.Rand, id int64) *string {
	var text string
	switch ugly := ugly(c.where); random.IntN(8) {
	case 0:
		return nil
	case 1:
		text = fmt.Sprintf("%.200s %d", ugly[random.IntN(len(ugly))], id)
	default:
		text = fmt.Sprintf("c%d-%d@example.org", id, random.IntN(1e6))
	}
	return &text
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// act makes one call, and compares what it gives with what was written.
func (a *application) act(p *instance, random *rand.Rand, next *int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	program := p.program.Load()
	var id int64
	skip := random.IntN(len(p.want))
	for id = range p.want {
		if skip--; skip < 0 {
			break
		}
	}
	email := a.draw(random, id)
	wrap := func(what string, err error) error {
		if err != nil {
			return fmt.Errorf("%s of row %d: %w", what, id, err)
		}
		return nil
	}
	switch random.IntN(10) {
	case 0:
		id = *next
		*next += parts
		email = a.draw(random, id)
		p.want[id] = email
		return wrap("create", program.create(customer{ID: id, Email: email, Name: "n"}))
	case 1:
		if len(p.want) < 50 {
			return nil
		}
		delete(p.want, id)
		return wrap("delete", program.remove(id))
	case 2:
		p.want[id] = email
		return wrap("save", program.save(customer{ID: id, Email: email, Name: "saved"}))
	case 3:
		p.want[id] = email
		return wrap("update", program.set(customer{ID: id, Email: email, Name: "updated"}))
	case 4:
		p.want[id] = email
		return wrap("upsert", program.upsert(customer{ID: id, Email: email, Name: "upserted"}))
	case 5:
		// Of another part, whose program may be of another deployment: it opens, or is
		// gone.
		other := id + 1 + int64(random.IntN(parts-1))
		_, err := program.read(other)
		if errors.Is(err, gorm.ErrRecordNotFound) {
			err = nil
		}
		return wrap("read by another part", err)
	case 6, 7:
		if p.want[id] == nil {
			return nil
		}
		found, err := program.find(*p.want[id])
		if err == nil && (len(found) == 0 || !strings.Contains(fmt.Sprint(" ", found, " "), fmt.Sprint(id))) {
			err = fmt.Errorf("by its address %.80q, %v were found", *p.want[id], found)
		}
		return wrap("find", err)
	}
	row, err := program.read(id)
	if err == nil && !equal(row.Email, p.want[id]) {
		err = fmt.Errorf("it has another address than was written")
	}
	return wrap("read", err)
}

// The whole way and back from each state, deployed as documented, under an application
// that reads and writes all the while: no call fails, and none gives a wrong value.
func TestApplicationGoesOn(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for i, last := range wayThere {
			t.Run(string(last.after), func(t *testing.T) {
				t.Parallel()
				where := map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t)
				c := newCustomers(t, where)
				c.indexed = true
				want := c.fill(150)
				a := c.start(want)
				newest := a.there(i)
				a.backFrom(last.after, newest)
				calls := a.calls.Load()
				want = a.stop()
				c.requirePlain(want)
				if calls < 50 {
					t.Errorf("the application has made %d calls only", calls)
				}
				t.Logf("%d calls", calls)
			})
		}
	})
}

// there goes the way up to a step, and returns what is deployed then.
func (a *application) there(last int) migrations.Deployment {
	a.Helper()
	ctx := context.Background()
	check := func(step string, err error) {
		a.Helper()
		if err != nil {
			a.Fatalf("%s: %v", step, err)
		}
	}
	check("Expand", a.as(&readingCustomer{}).Expand(ctx, fast("")))
	a.roll(migrations.Reading)
	if last == 0 {
		return migrations.Reading
	}
	a.roll(migrations.Writing)
	_, err := a.as(&writingCustomer{}).Backfill(ctx, fast(migrations.Writing))
	check("Backfill", err)
	if last == 1 {
		return migrations.Writing
	}
	_, err = a.as(&writingCustomer{}).Verify(ctx, fast(""))
	check("Verify", err)
	if last == 2 {
		return migrations.Writing
	}
	check("Enforce", a.as(&writingCustomer{}).Enforce(ctx, fast(migrations.Writing)))
	if last == 3 {
		return migrations.Writing
	}
	a.roll(migrations.Settled)
	check("Finish", a.as(&settledCustomer{}).Finish(ctx, fast(migrations.Settled)))
	return migrations.Settled
}

// backFrom goes back from a state, with what is deployed.
func (a *application) backFrom(state migrations.State, deployed migrations.Deployment) {
	a.Helper()
	ctx := context.Background()
	if state != migrations.Expanded {
		_, err := a.as(&writingCustomer{}).Revert(ctx, fast(""))
		if !errors.Is(err, migrations.ErrDeployment) {
			a.Fatalf("Revert asks for nothing: %v", err)
		}
		if deployed == migrations.Settled {
			a.roll(migrations.Writing)
		}
		a.roll(migrations.Reading)
		if _, err := a.as(&readingCustomer{}).Revert(ctx, fast(migrations.Reading)); err != nil {
			a.Fatalf("Revert: %v", err)
		}
	}
	a.roll(migrations.WithoutTag)
	if _, err := a.as(&readingCustomer{}).Revert(ctx, fast(migrations.WithoutTag)); err != nil {
		a.Fatalf("Revert: %v", err)
	}
	time.Sleep(*applicationTime)
}
