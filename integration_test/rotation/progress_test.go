package rotation_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The tables of a job add up to what is said of the whole, before a run, in the middle
// of it and after it; and Unfinished finds the job in the middle only.
func TestProgressOfTables(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		db := use(t, where, first, models()...)
		fill(t, db, 300)
		job, err := rotation.New(use(t, where, promoted, models()...), rotation.Config{})
		if err != nil {
			t.Fatal(err)
		}
		unfinished := func(want string) {
			t.Helper()
			status, found, err := job.Unfinished(t.Context())
			if err != nil || found != (want != "") || status.ID != want {
				t.Errorf("the job %q is unfinished (%v, %v), want %q", status.ID, found, err, want)
			}
		}
		unfinished("")

		r := again(t, where, promoted, rotation.Config{Workers: 1, ShardRows: 50, Limits: rotation.Limits{MaxRows: 10, Rate: 100}})
		p := r.sees("rows", func(p rotation.Progress) bool { return p.RowsOfPass > 0 })
		addsUp(t, p.Status)
		unfinished(p.ID)
		r.stop()
		unfinished(p.ID)

		report, err := job.Run(t.Context())
		if err != nil || !report.Resumed {
			t.Fatalf("resumed %v, %v", report.Resumed, err)
		}
		addsUp(t, report.Status)
		for _, table := range report.Tables {
			if table.Share() != 1 || table.RowsOfPass != table.Total {
				t.Errorf("at the end: %+v", table)
			}
		}
		if report.Target != keyring.MakeVersion(keyring.DataKeys, 2) {
			t.Errorf("the target is %s", report.Target)
		}
		unfinished("")
	})
}

func addsUp(t *testing.T, s rotation.Status) {
	t.Helper()
	var sum rotation.TableStatus
	for _, table := range s.Tables {
		if table.Total == 0 || table.Shards == 0 || table.Share() < 0 || table.Share() == 1 != (table.ShardsDone == table.Shards) {
			t.Errorf("%+v, share %v", table, table.Share())
		}
		sum.Total, sum.RowsOfPass = sum.Total+table.Total, sum.RowsOfPass+table.RowsOfPass
		sum.Shards, sum.ShardsDone = sum.Shards+table.Shards, sum.ShardsDone+table.ShardsDone
	}
	if want := (rotation.TableStatus{Total: s.Total, RowsOfPass: s.RowsOfPass, Shards: s.Shards, ShardsDone: s.ShardsDone}); len(s.Tables) < 2 || sum != want {
		t.Errorf("%d tables come to %+v, want %+v", len(s.Tables), sum, want)
	}
}
