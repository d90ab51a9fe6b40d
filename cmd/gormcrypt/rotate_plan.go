package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// rotateRun is one call of rotate.
type rotateRun struct {
	*app
	flags     rotateFlags
	db        *gorm.DB
	manifest  *manifest.Manifest
	algorithm ciphertext.Algorithm
	ring      *keyring.Keyring
	where     string
	release   func()

	// stored is what there is under which key version, if it was asked for, and jobs are
	// those of the ledger.
	stored []rotation.ColumnCensus
	jobs   []rotation.Status

	plans []*turn // of all sets
	turns []*turn // of those that have something to do
}

// turn is the rotation of a set of keys.
type turn struct {
	*rotation.Rotation
	set  keyring.Set
	plan rotation.Plan
	// job is the one that it goes on with, if found is set.
	job   rotation.Status
	found bool
	// other is set if a job with another plan is about one of its tables.
	other error
	// left says that an earlier rotation has left values in quarantine, which counts until
	// a run has gone through its tables again.
	left bool
	show func(rotation.Progress)
}

// stale is how many values are to be sealed anew.
func (t *turn) stale() (n int64) {
	for _, table := range t.plan.Tables {
		for _, column := range table.Columns {
			n += column.Stale
		}
	}
	return n
}

// failed are the values that were tried and do not open.
func (t *turn) failed() (all []rotation.QuarantinedValue) {
	for _, table := range t.plan.Tables {
		all = append(all, table.Failed...)
	}
	return all
}

// prepare makes a plan for each set, and refuses what would do harm.
func (r *rotateRun) prepare(ctx context.Context) error {
	if err := r.checkTables(); err != nil {
		return err
	}
	if err := r.checkMigrating(); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	for _, set := range r.flags.sets() {
		t, err := r.newTurn(set)
		if errors.Is(err, rotation.ErrNothing) && r.flags.set == "" {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.prepareTurn(ctx, t); err != nil {
			return err
		}
		r.plans = append(r.plans, t)
	}
	return r.chooseTurns()
}

// look asks the database once what both sets want to know.
func (r *rotateRun) look(ctx context.Context) error {
	current, _, err := migrations.Version(ctx, r.db)
	if err == nil && current > 0 {
		r.jobs, err = rotation.Jobs(ctx, r.db)
	}
	if err != nil || r.flags.unknownOK {
		return err
	}
	census, err := rotation.Census(ctx, r.db, rotation.CensusConfig{Manifest: r.manifest, Tables: r.flags.tables})
	r.stored = census.Columns
	return err
}

// prepareTurn finds what there is to do for a set.
func (r *rotateRun) prepareTurn(ctx context.Context, t *turn) (err error) {
	t.job, t.found, err = t.Unfinished(ctx)
	if errors.Is(err, rotation.ErrOtherJob) {
		t.other, err = err, nil
	}
	if err != nil {
		return err
	}
	if t.found && t.job.State == rotation.Paused && !r.flags.dryRun {
		return fmt.Errorf("%w: job %s is paused%s; have it go on with gormcrypt rotate --resume, then run gormcrypt rotate again if no process runs it", errRefused, t.job.ID, because(t.job.Reason))
	}
	if err := r.checkNewer(t.set); err != nil {
		return err
	}
	if t.plan, err = t.Plan(ctx); err != nil {
		return err
	}
	t.left = r.hasQuarantine(t)
	return nil
}

// chooseTurns takes the sets that have something to do. A job that was begun goes
// first: it may be in the way of another.
func (r *rotateRun) chooseTurns() error {
	for _, t := range r.plans {
		if t.found {
			r.turns = append(r.turns, t)
		}
	}
	begun := len(r.turns) > 0
	for _, t := range r.plans {
		switch {
		case t.found || t.stale() == 0 && !t.left:
		case t.other != nil && !begun:
			return inWords(t.other)
		default:
			r.turns = append(r.turns, t)
		}
	}
	return nil
}

// hasQuarantine says whether a rotation of the same keys has left values in a table of
// the plan.
func (r *rotateRun) hasQuarantine(t *turn) bool {
	for _, job := range withQuarantine(r.jobs) {
		if !job.Target.IsZero() && job.Target.Set() == t.set && slices.ContainsFunc(t.plan.Tables, func(p rotation.TablePlan) bool {
			return slices.ContainsFunc(job.Tables, func(one rotation.TableStatus) bool { return one.Table == p.Table })
		}) {
			return true
		}
	}
	return false
}

func (r *rotateRun) newTurn(set keyring.Set) (*turn, error) {
	t := &turn{set: set}
	config := rotation.Config{
		Set: set, Tables: r.flags.tables, Manifest: r.manifest, Keys: r.ring, Algorithm: r.algorithm,
		Unique:  uniqueColumns(r.manifest), // checkUnique asks for those that have something to do
		Workers: r.flags.limits.workers, Limits: r.flags.limits.limits(), Throttles: r.flags.limits.throttles(r.db), MaxWait: r.flags.limits.maxWait,
		Progress: func(p rotation.Progress) { t.show(p) },
	}
	var err error
	t.Rotation, err = rotation.New(r.db, config)
	return t, err
}

// checkNewer refuses a keyring that is older than what is stored: the values under the
// version that it lacks would all be put into quarantine.
func (r *rotateRun) checkNewer(set keyring.Set) error {
	primary, err := r.ring.Primary(set)
	if err != nil {
		return err
	}
	for _, column := range r.stored {
		for _, count := range column.Versions {
			later := count.Version.Set() == set && count.Version.Number() > primary.Number()
			if later && !slices.Contains(r.ring.Versions(), count.Version) {
				return fmt.Errorf("%w: %s.%s has %d values under key version %s, which the keyring does not have: if it is older than that of the application, load the current one (this is %s); if these values are damaged (gormcrypt fsck names them), add --unknown-ok, and they go to the quarantine", rotation.ErrOlderKeyring, column.Table, column.Column, count.Rows, count.Version, r.where)
			}
		}
	}
	return nil
}

// inWords says how the command line goes on after an error of the library.
func inWords(err error) error {
	hint := ""
	switch {
	case errors.Is(err, rotation.ErrOtherJob):
		hint = "; go on with it by the flags --set and --table and the keyring of its start, or end it with gormcrypt rotate --cancel, and run this again"
	case errors.Is(err, rotation.ErrStale):
		hint = "; look for the program, then have the job go on with gormcrypt rotate --resume, and run gormcrypt rotate"
	case errors.Is(err, rotation.ErrPoisoned):
		hint = "; gormcrypt rotate --resume has it go on, and gormcrypt rotate --cancel ends it"
	case errors.Is(err, rotation.ErrWaited):
		hint = "; go on with gormcrypt rotate"
	}
	return fmt.Errorf("%w%s", err, hint)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}
