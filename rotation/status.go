package rotation

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// State is what a job is doing.
type State string

// The states of a job. It is over in the last three.
const (
	Running   State = backfill.Running
	Paused    State = backfill.Paused
	Cancelled State = backfill.Cancelled
	// Finished: nothing is sealed under another version, and everything opened.
	Finished State = backfill.Finished
	// Quarantined: the same but for values in quarantine.
	Quarantined State = backfill.Quarantined
)

// Status is how far a job is, as the ledger has it.
type Status struct {
	ID, Title string
	State     State
	// Phase is "rewriting", "verifying" or "ended", and Pass counts the ways
	// through all tables, from 1.
	Phase string
	Pass  int
	// Reason is why it is paused or ended, if there is something to say.
	Reason string
	// Shards are the parts of all tables, and ShardsDone those that are done with
	// in this pass.
	Shards, ShardsDone int
	// Total is the number of rows of all tables when the job began. There may be
	// more or less by now.
	Total int64
	// RowsOfPass is how many rows this pass has gone through. The others are of all
	// passes: Rows that were read, Swapped rows that have new values, Superseded
	// ones that the application has written first, Deleted ones, and Deferred ones,
	// which were locked or kept changing and were left to the next pass.
	RowsOfPass, Rows, Swapped, Superseded, Deleted, Deferred int64
	// Quarantined is the number of values in quarantine.
	Quarantined int64
	// Begun and Changed are by the clock of the database.
	Begun, Changed time.Time
	// Target is the key version that a rotation seals under; other jobs have none.
	Target keyring.Version
	// Tables are the tables of the job, in the order of its plan.
	Tables []TableStatus

	limits string
}

// TableStatus is how far a job is with a table.
type TableStatus struct {
	Table string
	// Total is the number of its rows when the job began, and RowsOfPass how many this
	// pass has gone through. Shards are its parts, and ShardsDone those that are done
	// with in this pass.
	Total, RowsOfPass  int64
	Shards, ShardsDone int
}

// Share is how much of this pass is done with, from 0 to 1, by the number of rows when
// the job began: it stays at 0.99 while rows that were inserted since are gone through.
func (t TableStatus) Share() float64 {
	switch {
	case t.ShardsDone == t.Shards:
		return 1
	case t.Total == 0:
		return float64(t.ShardsDone) / float64(t.Shards)
	}
	return min(0.99, float64(t.RowsOfPass)/float64(t.Total))
}

// Limits returns the limits that SetLimits has given the job, none if it has not.
func (s Status) Limits() Limits {
	var limits Limits
	_ = json.Unmarshal([]byte(s.limits), &limits) // which SetLimits wrote
	return limits
}

// ledgerOf returns the ledger in a database, and makes it if it is not there.
func ledgerOf(ctx context.Context, db *gorm.DB) (*backfill.Ledger, error) {
	if err := owntables.Upgrade(ctx, db); err != nil {
		return nil, err
	}
	pool, err := sources.Pool(db)
	if err != nil {
		return nil, err
	}
	return backfill.OpenLedger(pool, db.Dialector.Name())
}

// Find returns a job. It returns ErrNoJob if there is none of that name.
func Find(ctx context.Context, db *gorm.DB, id string) (Status, error) {
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return Status{}, err
	}
	job, err := ledger.Job(ctx, id)
	return status(job), err
}

// Jobs returns all jobs, the newest first.
func Jobs(ctx context.Context, db *gorm.DB) ([]Status, error) {
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return nil, err
	}
	jobs, err := ledger.Jobs(ctx)
	var all []Status
	for _, job := range jobs {
		all = append(all, status(job))
	}
	return all, err
}

func status(j backfill.Job) Status {
	s := Status{
		ID: j.ID, Title: j.Title, State: State(j.State), Phase: string(j.Pass.Phase), Pass: j.Pass.Number, Reason: j.Reason,
		Shards: j.Shards, ShardsDone: j.Done, Total: j.Total, RowsOfPass: j.PassRead,
		Rows: j.Counts.Read, Swapped: j.Counts.Swapped, Superseded: j.Counts.Superseded, Deleted: j.Counts.Deleted, Deferred: j.Counts.Deferred,
		Quarantined: j.Quarantined, Begun: j.CreatedAt, Changed: j.UpdatedAt, limits: j.Limits,
	}
	s.Target, _ = keyring.ParseVersion(j.Target) // none, of a job that is no rotation
	for i, part := range j.Parts {
		s.Tables = append(s.Tables, TableStatus{j.Tables[i].Name, part.Total, part.PassRead, part.Shards, part.Done})
	}
	return s
}

// Pause has all workers of a job, in whatever process, stop after their batch.
// Runs go on waiting until it is resumed. Reason is kept with the job.
func Pause(ctx context.Context, db *gorm.DB, id, reason string) error {
	return setState(ctx, db, id, Paused, reason)
}

// Resume has a paused job go on.
func Resume(ctx context.Context, db *gorm.DB, id string) error {
	return setState(ctx, db, id, Running, "")
}

// Cancel ends a job. What it has done is not undone: every value opens.
func Cancel(ctx context.Context, db *gorm.DB, id, reason string) error {
	return setState(ctx, db, id, Cancelled, reason)
}

func setState(ctx context.Context, db *gorm.DB, id string, state State, reason string) error {
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return err
	}
	return ledger.SetState(ctx, id, string(state), reason)
}

// SetLimits gives a job limits in place of those of Config.Limits and of earlier
// calls, in all processes that run it, which take them within about a second. A
// field that is zero is the default, whatever it was before; to change one, begin
// with Status.Limits.
func SetLimits(ctx context.Context, db *gorm.DB, id string, limits Limits) error {
	if err := limits.check(); err != nil {
		return err
	}
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return err
	}
	text, err := json.Marshal(limits)
	if err != nil {
		return err
	}
	return ledger.SetLimits(ctx, id, string(text))
}

// QuarantinedValue is a value that does not open, or that a unique constraint
// refuses under the new version. It is left as it is.
type QuarantinedValue struct {
	Table string
	// Key is the primary key, its columns separated by commas.
	Key string
	// Version is the key version that the value names, empty if it names none.
	Column, Version string
	Reason          string
	NotedAt         time.Time
}

// Quarantine returns the values that a job could not seal anew, by table and key.
func Quarantine(ctx context.Context, db *gorm.DB, id string) ([]QuarantinedValue, error) {
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return nil, err
	}
	rows, err := ledger.Quarantine(ctx, id)
	var all []QuarantinedValue
	for _, row := range rows {
		all = append(all, QuarantinedValue{row.Table, row.Key.String(), row.Column, row.Version, row.Reason, row.NotedAt})
	}
	return all, err
}
