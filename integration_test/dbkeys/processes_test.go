package dbkeys_test

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

var (
	processes = flag.Int("dbkeys.processes", 5, "processes that read and write while their keys change")
	rounds    = flag.Int("dbkeys.rounds", 40, "times that one of them does something with the keys")
	seed      = flag.Uint64("dbkeys.seed", 0, "seed of what they do; 0 draws one")
)

// Processes read, search and write all the time, while keys of both sets are made,
// promoted, retired, restored and wrapped anew at random by any of them, three at a
// time, and some are killed and replaced. There is no value that one of them cannot
// open, no row that is not found, and no retired key with rows left.
//
//	go test ./dbkeys -run TestManyProcesses -dbkeys.processes=20 -dbkeys.rounds=500
func TestManyProcesses(t *testing.T) {
	testdb.EachInTurn(t, func(t *testing.T, where testdb.Database) {
		seed := cmp.Or(*seed, mathrand.Uint64())
		t.Logf("%d processes, %d rounds, -dbkeys.seed=%d", *processes, *rounds, seed)
		c := newCrowd(t, where, seed)
		for i := range *processes {
			c.idle <- c.start(i)
		}
		// Three at a time do something with the keys.
		todo := make(chan order)
		var group sync.WaitGroup
		for range min(3, *processes) {
			group.Go(func() {
				for do := range todo {
					c.round(do)
				}
			})
		}
		for range *rounds {
			if t.Failed() {
				break
			}
			todo <- c.draw()
		}
		close(todo)
		group.Wait()
		c.end()
	})
}

// crowd is the processes of a test.
type crowd struct {
	t     *testing.T
	where testdb.Database
	membership
	db       *gorm.DB
	operator *dbkeys.Store
	drawing  sync.Mutex
	random   *mathrand.Rand

	idle chan *numbered
	mu   sync.Mutex
	// done and refused count orders by what they were.
	done, refused map[string]int
	started       int
}

// numbered is a process with the number of its rows.
type numbered struct {
	*process
	number int
}

// killWhile kills a process at some time while it does something with the keys.
func (p *numbered) killWhile(t *testing.T, do order) {
	if err := json.NewEncoder(p.in).Encode(do); err != nil {
		t.Error(err)
	}
	time.Sleep(mathrand.N(200 * time.Millisecond))
	if err := p.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.Wait()
}

func newCrowd(t *testing.T, where testdb.Database, seed uint64) *crowd {
	secret := make([]byte, 32)
	rand.Read(secret)
	kek := &keyServer{name: "test", secrets: [][]byte{secret}, calls: map[string]int{}}
	db := where.Open(t, nil)
	c := &crowd{
		t: t, where: where, db: db, membership: membership{Where: where, Secrets: kek.secrets, Seed: seed},
		operator: open(t, db, kek, func(c *dbkeys.Config) { c.Grace = memberGrace }), random: mathrand.New(mathrand.NewPCG(seed, 0)),
		idle: make(chan *numbered, *processes), done: map[string]int{}, refused: map[string]int{},
	}
	must(t, c.operator.Init(t.Context()))
	a := start(t, where, kek)
	must(t, a.db.AutoMigrate(&Note{}), a.crypt.Close(), a.store.Close())
	return c
}

func (c *crowd) start(number int) *numbered {
	c.mu.Lock()
	c.started++
	m := c.membership
	m.Number, m.Seed = number, m.Seed+uint64(c.started)
	c.mu.Unlock()
	return &numbered{startMember(c.t, m), number}
}

// draw returns what is done next.
func (c *crowd) draw() order {
	c.drawing.Lock()
	defer c.drawing.Unlock()
	records, err := c.operator.List(c.t.Context())
	if err != nil {
		c.t.Error(err)
	}
	do := order{Set: keyring.Set(c.random.IntN(2))}
	live, retired := map[dbkeys.State][]keyring.Version{}, []keyring.Version(nil)
	for _, r := range records {
		if r.Version.Set() != do.Set {
			continue
		}
		if r.State == dbkeys.Retired {
			retired = append(retired, r.Version)
		} else {
			live[r.State] = append(live[r.State], r.Version)
		}
	}
	pick := func(versions []keyring.Version) keyring.Version { return versions[c.random.IntN(len(versions))] }
	old := append(live[dbkeys.Enabled], live[dbkeys.Retiring]...)
	switch n := c.random.IntN(100); {
	case n < 3:
		do.Do = "kill"
	case n < 8:
		do.Do = "rewrap"
	case n < 10 && len(retired) > 0:
		do.Do, do.Version = "restore", pick(retired)
	case n < 50 && len(live[dbkeys.Enabled]) > 0:
		do.Do, do.Version = "promote", pick(live[dbkeys.Enabled])
	case len(old) > 0 && (n < 75 || len(old) >= 3):
		do.Do, do.Version = "retire", pick(old)
	default:
		do.Do = "create"
	}
	return do
}

// round has one of the processes do something.
func (c *crowd) round(do order) {
	p := <-c.idle
	defer func() { c.idle <- p }()
	if do.Do == "kill" {
		p.killWhile(c.t, c.draw())
		p = c.start(p.number)
		c.note(do, true)
		return
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(memberEvery) {
		got, err := p.order(do)
		if err != nil || got.Failed != "" {
			c.t.Errorf("%s %s: %v %s", do.Do, do.Version, err, got.Failed)
			return
		}
		if got.Refused == "" {
			break
		}
		// What waits for others is tried again; some of it never can be done any more.
		if time.Now().After(end) || mathrand.IntN(8) == 0 {
			c.note(do, false)
			return
		}
	}
	c.note(do, true)
	if do.Do == "retire" {
		c.checkNoneLeft(do.Version)
	}
}

func (c *crowd) note(do order, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done {
		c.done[do.Do]++
	} else {
		c.refused[do.Do]++
	}
}

// checkNoneLeft looks for rows under a version, past everything.
func (c *crowd) checkNoneLeft(version keyring.Version) {
	c.t.Helper()
	pool, err := c.db.DB()
	if err != nil {
		c.t.Error(err)
		return
	}
	var left int
	err = pool.QueryRow(fmt.Sprintf("SELECT count(*) FROM notes WHERE body LIKE 'gc1:%[1]s:%%' OR email LIKE 'gc1:%[1]s:%%' OR email_index LIKE '%[1]s:%%'", version)).Scan(&left)
	if err != nil || left > 0 {
		c.t.Errorf("%d rows are left under %s, which is retired: %v", left, version, err)
	}
}

// end ends all processes, and looks at what they left.
func (c *crowd) end() {
	var total answer
	for range *processes {
		p := <-c.idle
		got, err := p.order(order{Do: "nothing"})
		if err != nil || got.Failed != "" {
			c.t.Errorf("process %d: %v %s", p.number, err, got.Failed)
		}
		total.Writes, total.Reads, total.Guarded = total.Writes+got.Writes, total.Reads+got.Reads, total.Guarded+got.Guarded
		_ = p.in.Close()
		if err := p.Wait(); err != nil {
			c.t.Errorf("process %d: %v: %s", p.number, err, p.errors)
		}
	}
	records, err := c.operator.List(c.t.Context())
	must(c.t, err)
	retired := 0
	for _, r := range records {
		if r.State == dbkeys.Retired {
			retired++
			c.checkNoneLeft(r.Version)
		}
	}
	a := start(c.t, c.where, &keyServer{name: "test", secrets: c.Secrets, calls: map[string]int{}})
	var notes []Note
	if err := a.db.Find(&notes).Error; err != nil {
		c.t.Error(err)
	}
	c.t.Logf("%d writes, %d rows read meanwhile, %d writes under a key that was retired meanwhile", total.Writes, total.Reads, total.Guarded)
	c.t.Logf("done %v, refused %v; %d key versions, %d of them retired; %d processes started; %d rows", c.done, c.refused, len(records), retired, c.started, len(notes))
	if total.Writes == 0 || total.Reads == 0 || len(notes) == 0 {
		c.t.Error("nothing was written or read meanwhile")
	}
}
