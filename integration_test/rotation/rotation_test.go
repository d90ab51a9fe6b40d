package rotation_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A rotation of data keys, and one of index keys, leave every value as it was,
// under the new version.
func TestRotationOfEveryColumn(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 300)
		db := use(t, where, promoted, models()...)
		before := read(t, db)
		stored := versions(t, where)
		if stored["2"] > 0 || stored["1"] == 0 || stored["i1"] == 0 || stored["index i1"] == 0 {
			t.Fatalf("before: %v", stored)
		}
		for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
			job, err := rotation.New(db, rotation.Config{Set: set, ShardRows: 40, Workers: 4, Limits: rotation.Limits{Duty: 1}})
			if err != nil {
				t.Fatal(err)
			}
			report, err := job.Run(context.Background())
			if err != nil || report.State != rotation.Finished || report.Resumed || report.Shards < 8 {
				t.Fatalf("%v: %+v", err, report)
			}
			if d := cmp.Diff(before, read(t, db)); d != "" {
				t.Errorf("%s: (-before +after)\n%s", set, d)
			}
		}
		want := map[string]int{"2": stored["1"], "i2": stored["i1"], "index i2": stored["index i1"]}
		if d := cmp.Diff(want, versions(t, where)); d != "" {
			t.Errorf("stored (-want +got)\n%s", d)
		}
		// And they are found.
		var found []patient
		if err := db.Unscoped().Where("name = ?", "secret 17").Find(&found).Error; err != nil || len(found) != 1 {
			t.Errorf("found %d: %v", len(found), err)
		}
	})
}

// Processes that begin at the same moment run one job.
func TestProcessesBeginOneJob(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), 20)
		var group sync.WaitGroup
		begin := make(chan struct{})
		for range 8 {
			db := use(t, where, promoted, models()...)
			job, err := rotation.New(db, rotation.Config{Workers: 1, ShardRows: 5, Limits: rotation.Limits{Rate: 4, MaxRows: 5, Duty: 1}}) // so that it is not done before the last has begun
			if err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				<-begin
				if report, err := job.Run(context.Background()); err != nil || report.State != rotation.Finished {
					t.Errorf("%v: %+v", err, report)
				}
			})
		}
		close(begin)
		group.Wait()
		jobs, err := rotation.Jobs(context.Background(), use(t, where, promoted, models()...))
		if err != nil || len(jobs) != 1 || jobs[0].Swapped != 60 {
			t.Errorf("%v: %+v", err, jobs)
		}
	})
}

// No row is gone through twice in a pass, by whatever shards.
func TestShardsDoNotOverlap(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		const rows = 100
		first, _, promoted := rings(t)
		fill(t, use(t, where, first, models()...), rows)
		job, err := rotation.New(use(t, where, promoted, models()...), rotation.Config{ShardRows: 7, Workers: 3, Limits: rotation.Limits{Duty: 1}})
		if err != nil {
			t.Fatal(err)
		}
		report, err := job.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all := int64(rows * len(models()))
		if report.Swapped != all || report.Rows != 2*all || report.Superseded > 0 {
			t.Errorf("of %d rows, %d were swapped, and %d read to rewrite and to verify them: %+v", all, report.Swapped, report.Rows, report.Status)
		}
	})
}

// A process whose keyring is older than what another has sealed does not seal it
// back.
func TestAnOlderKeyring(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, added, promoted := rings(t)
		accounts(t, where, first, 20)
		if report, err := run(t, use(t, where, promoted, &account{}), rotation.Config{}); err != nil {
			t.Fatalf("%v: %+v", err, report)
		}
		report, err := run(t, use(t, where, added, &account{}), rotation.Config{})
		if !errors.Is(err, rotation.ErrOlderKeyring) || report.Swapped > 0 {
			t.Errorf("%v: %+v", err, report)
		}
		if found := column(t, where, "SELECT count(*) FROM accounts WHERE email LIKE 'gc1:1:%'"); found[0] != "0" {
			t.Errorf("%s emails are sealed back", found[0])
		}
		// Index keys have versions of their own.
		if report, err := run(t, use(t, where, promoted, &account{}), rotation.Config{Set: keyring.IndexKeys}); err != nil || report.Swapped != 20 {
			t.Errorf("%v: %+v", err, report)
		}
	})
}
