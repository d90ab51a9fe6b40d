package rotation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var kills = flag.Int("rotation.kills", 4, "processes that TestKilled kills, for each database")

// A process that is killed at any moment, again and again, leaves a job that the
// next one goes on with, and in the end each row was sealed anew exactly once.
func TestKilled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		const rows = 250
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		fill(t, use(t, where, keys, models()...), rows)
		killed, jobs := 0, 0
		for killed < *kills {
			set := []keyring.Set{keyring.DataKeys, keyring.IndexKeys}[jobs%2]
			added, version, err := keys.Add(set)
			if err != nil {
				t.Fatal(err)
			}
			if keys, err = added.Promote(version); err != nil {
				t.Fatal(err)
			}
			db := use(t, where, keys, models()...)
			before := read(t, db)
			jobs++
			all := newProcesses(t, where, db, keys, instructions{Set: set, Workers: 2, Rows: 1 + random.IntN(20), Rate: 1000})
			for done := false; !done; {
				child := all.start()
				moment := time.NewTimer(20*time.Millisecond + time.Duration(random.IntN(700))*time.Millisecond)
				if killed >= *kills {
					moment.Stop() // the last one goes on to the end
				}
				select {
				case err := <-child.done:
					if err != nil {
						t.Fatalf("after %d kills: %v\n%s", killed, err, &child.out)
					}
					done = true
				case <-moment.C:
					if err := child.Process.Signal(syscall.SIGKILL); err == nil {
						killed++
					}
					<-child.done
				}
			}
			ended, err := rotation.Jobs(context.Background(), db)
			if err != nil {
				t.Fatal(err)
			}
			var swapped int64 // one that was killed after its end is followed by one that finds nothing
			for _, job := range ended {
				if job.State != rotation.Finished {
					t.Errorf("the job is %s", job.State)
				}
				if strings.HasSuffix(job.Title, " "+version.String()) {
					swapped += job.Swapped
				}
			}
			want := int64(3 * rows)
			if set == keyring.IndexKeys {
				want = rows
			}
			if swapped != want {
				t.Errorf("%d rows were sealed anew, want %d", swapped, want)
			}
			if d := cmp.Diff(before, read(t, db)); d != "" {
				t.Fatalf("(-before +after)\n%s", d)
			}
			data, _ := keys.Primary(keyring.DataKeys)
			index, _ := keys.Primary(keyring.IndexKeys)
			for found := range versions(t, where) {
				if found != data.String() && found != index.String() && found != "index "+index.String() {
					t.Errorf("there are values under %s", found)
				}
			}
		}
		t.Logf("%d processes were killed in %d jobs", killed, jobs)
	})
}

// A process that is stopped for longer than its lease loses its shard to another.
// When it goes on it writes nothing that belongs to the other: each row is counted
// once in each pass.
func TestStoppedPastItsLease(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, workers := range []int{2, 4, 8} {
			const rows = 250
			first, _, promoted := rings(t)
			db := use(t, where, first, models()...)
			if err := db.Migrator().DropTable(models()...); err != nil {
				t.Fatal(err)
			}
			fill(t, db, rows)
			db = use(t, where, promoted, models()...)
			before := read(t, db)
			all := newProcesses(t, where, db, promoted, instructions{Workers: workers / 2, Rows: 10, Rate: 200})
			stopped, other := all.start(), all.start()
			time.Sleep(time.Second)
			if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			for _, child := range []*child{stopped, other} {
				if err := <-child.done; err != nil {
					t.Fatalf("%v\n%s", err, &child.out)
				}
			}
			jobs, err := rotation.Jobs(context.Background(), db)
			if err != nil || len(jobs) == 0 || jobs[0].State != rotation.Finished || jobs[0].Swapped != 3*rows || jobs[0].Rows != int64(jobs[0].Pass*3*rows) {
				t.Errorf("%d workers: %v: %+v, want %d rows sealed anew", workers, err, jobs[0], 3*rows)
			}
			var taken int
			if err := where.Plain(t).QueryRow("SELECT sum(fence) FROM gormcrypt_shards WHERE job = '" + jobs[0].ID + "'").Scan(&taken); err != nil || taken <= jobs[0].Shards*jobs[0].Pass {
				t.Errorf("shards were taken %d times, so no lease was lost: %v", taken, err)
			}
			if d := cmp.Diff(before, read(t, db)); d != "" {
				t.Errorf("(-before +after)\n%s", d)
			}
		}
	})
}

// After a process was killed, what it held is free when its lease is over. Until
// then a run says what it waits for.
func TestTheShardsOfOneThatWasKilled(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 100)
		r := again(t, where, promoted, rotation.Config{Limits: slow})
		r.sees("rows", func(p rotation.Progress) bool { return p.Swapped > 0 })
		r.stop()
		execute(t, where.Plain(t), fmt.Sprintf("UPDATE gormcrypt_shards SET owner = 'elsewhere/7/0', lease_until = %d WHERE done = 0", time.Now().Add(10*time.Second).UnixMilli()))
		r = again(t, where, promoted, rotation.Config{Limits: rotation.Limits{Duty: 1}})
		p := r.sees("what it waits for", func(p rotation.Progress) bool { return p.Waits != "" })
		if !strings.HasPrefix(p.Waits, "others have the rest (elsewhere/7/0); that of one that is gone is free in ") || p.Rate != 0 || p.Left != 0 {
			t.Errorf("%+v", p)
		}
		if err := r.within(30 * time.Second); err != nil || r.report.State != rotation.Finished {
			t.Errorf("%v: %+v", err, r.report)
		}
	})
}

// A run that is stopped by its context, whenever that is, leaves no lease for which
// the next would have to wait.
func TestAStoppedRunLeavesNoLease(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 400)
		db := use(t, where, promoted, &account{})
		config := rotation.Config{Workers: 4, ShardRows: 2, Limits: rotation.Limits{Duty: 1, MaxRows: 2, Rate: 400}}
		for round := range 25 {
			job, err := rotation.New(db, config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+rand.IntN(40))*time.Millisecond)
			report, err := job.Run(ctx)
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v: %+v", err, report)
			}
			if report.Job == "" { // it was stopped before it began
				continue
			}
			var held int
			if err := where.Plain(t).QueryRow("SELECT count(*) FROM gormcrypt_shards WHERE done = 0 AND lease_until > 0").Scan(&held); err != nil || held > 0 {
				t.Fatalf("after round %d, %d shards are held: %v", round, held, err)
			}
		}
	})
}
