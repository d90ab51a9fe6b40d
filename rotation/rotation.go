// Package rotation seals the values of a database anew under a new key version,
// while applications read and write them.
//
// First add a key version to the keyring and give it to every process, then
// promote it: from then on new values are sealed under it. A [Rotation] then finds
// what is still sealed under older versions by its prefix, and seals that anew. It
// replaces a value only if it still is what was read, so nothing that an
// application writes meanwhile is lost. [Census] says what is left. When that is
// nothing, [Retire] has the database refuse the old version, and takes its key out
// of the keyring.
//
// A run can be stopped and killed at any time: what it did is in a ledger, in
// tables of the same database, and the next run goes on from there. Several
// processes can run the same job and share the work.
package rotation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Config configures a Rotation. The zero value rotates the data keys of all models
// of a *gorm.DB with the plugin, gently.
type Config struct {
	// Set is what is sealed anew: values under data keys, or, for
	// keyring.IndexKeys, deterministic columns and the terms of blind indexes.
	Set keyring.Set
	// Tables are the names of the tables to go through. None means all.
	Tables []string
	// Unique are the columns, as "table.column", with a unique constraint that may
	// be rotated under index keys although the constraint does not see that equal
	// values under two versions are equal. Without it, a plan with such a column is
	// refused.
	Unique []string

	// Manifest and Keys are for a *gorm.DB without the plugin: what is encrypted,
	// and by which keys. With the plugin both come from there.
	Manifest *manifest.Manifest
	Keys     keyring.Source
	// Algorithm and Normalizations are those of gormcrypt.Config, without the
	// plugin.
	Algorithm      ciphertext.Algorithm
	Normalizations map[string]func(string) string

	// DryRun has Run count what is to be done and try it, as Plan does, and write
	// nothing. It is in Report.Plan then.
	DryRun bool

	// Workers is how many goroutines read, seal and write, each with a connection
	// of its own while it does. The default is GOMAXPROCS.
	Workers int
	// ShardRows is the number of rows in a shard, of which a worker has one at a
	// time. The default is 10,000.
	ShardRows int
	// Lease is the time after which a worker that has not been heard of loses its
	// shard. The default is 30 s.
	Lease time.Duration
	// Limits are what this process may take of the database for the job, unless
	// [SetLimits] has given the job limits for all processes.
	Limits Limits
	// Throttles are asked about once a second whether to wait, in each process that
	// runs the job: any of them is enough. There are [ReplicationLag],
	// [ActiveConnections] and [Query]. MaxWait is how long a worker waits for them
	// without a break before the run ends with ErrWaited; zero is for ever.
	Throttles []Throttle
	MaxWait   time.Duration
	// MaxPoisoned is how many values that do not open, or that the database refuses
	// under the new version, are put into quarantine before the job pauses and the
	// run ends with ErrPoisoned. The default is 1,000.
	MaxPoisoned int64

	// Progress is called about once a second, and at the end, by one goroutine at a
	// time. It is not to block.
	Progress func(Progress)
	// Logger gets the same as records, and what a run waits for. The default is
	// none.
	Logger *slog.Logger
}

// Errors of New and of a run.
var (
	// ErrPoisoned: there are more values in quarantine than Config.MaxPoisoned.
	ErrPoisoned = errors.New("too many values cannot be sealed anew")
	// ErrStale: after many passes there still are values under an older version,
	// because something goes on writing them. The job is paused, and goes on when it
	// is resumed and run.
	ErrStale = backfill.ErrStale
	// ErrQuarantined: everything is sealed anew but for values in quarantine.
	ErrQuarantined = errors.New("values are left that cannot be sealed anew")
	// ErrOlderKeyring: another job has sealed one of the tables under a later version
	// already.
	ErrOlderKeyring = errors.New("the keyring is older than what is stored")
	// ErrCancelled: somebody has cancelled the job.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrWaited: the throttles had the run wait for longer than Config.MaxWait.
	ErrWaited = backfill.ErrWaited
	// ErrOtherJob: an unfinished job with another plan is about one of the tables.
	ErrOtherJob = backfill.ErrOtherJob
	// ErrNothing: no table has values under keys of the set.
	ErrNothing = errors.New("there is nothing to rotate")
	// ErrNoJob: there is no job of that name.
	ErrNoJob = backfill.ErrNoJob
)

// Rotation is a plan: to seal tables anew under the primary version of a set of
// keys. Its methods are safe for concurrent use.
type Rotation struct {
	config Config
	db     *gorm.DB
	target keyring.Version
	codecs []*rowcodec.Codec
	plan   backfill.Plan
	hash   string
}

// New makes a plan. It sends nothing but what finds out which models have a
// table. It returns gormcrypt.ErrNoPlugin if there is neither the plugin nor a
// manifest with keys; the keyring's ErrNoPrimary; ErrNothing; an error for tables and columns
// that the configuration names and the manifest does not have; and one for unique
// columns under index keys that the configuration does not name.
func New(db *gorm.DB, config Config) (*Rotation, error) {
	by, err := sources.Open(db.Statement.Context, db, sources.Given{Manifest: config.Manifest, Keys: config.Keys, Algorithm: config.Algorithm, Normalizations: config.Normalizations})
	if err != nil {
		return nil, err
	}
	if err := config.checkNumbers(); err != nil {
		return nil, err
	}
	r := &Rotation{config: withDefaults(config), db: db}
	if r.target, err = by.Cipher.Keys().Primary(config.Set); err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	tables, err := sources.Chosen(by.Manifest, config.Tables)
	if err != nil {
		return nil, err
	}
	if err := checkNames(by.Manifest, config.Unique); err != nil {
		return nil, err
	}
	// The order of a manifest is not part of the plan.
	tables = slices.SortedFunc(slices.Values(tables), func(a, b manifest.Table) int { return cmp.Compare(a.Name, b.Name) })
	for _, table := range tables {
		if err := checkUnique(table, config); err != nil {
			return nil, err
		}
		for _, column := range table.Columns {
			if column.Migrating != "" {
				return nil, fmt.Errorf("gormcrypt: %s.%s is migrating, so it holds plaintext, which is not sealed anew; finish its migration first, or name the other tables in Config.Tables", table.Name, column.Name)
			}
		}
		c, err := rowcodec.Rotate(by.Cipher, table, config.Set, r.target, by.Normalizations)
		if err != nil {
			return nil, err
		}
		if c != nil {
			r.codecs, r.plan.Tables = append(r.codecs, c), append(r.plan.Tables, c.Table)
		}
	}
	if len(r.codecs) == 0 {
		return nil, fmt.Errorf("gormcrypt: %w: no table has values under %s keys", ErrNothing, config.Set)
	}
	r.plan.Title, r.plan.Target = "seal under key version "+r.target.String(), r.target.String()
	r.plan.Writers = "a program with an older keyring"
	r.hash, err = hashOf(r.plan)
	return r, err
}

func hashOf(plan backfill.Plan) (string, error) {
	text, err := json.Marshal(plan)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), err
}

// checkNumbers returns what is wrong with the numbers of a configuration.
func (c Config) checkNumbers() error {
	switch {
	case c.Workers < 0, c.ShardRows < 0, c.Lease < 0, c.MaxWait < 0, c.MaxPoisoned < 0:
		return errors.New("gormcrypt: a number in the configuration of the job is negative")
	case c.Lease > 0 && c.Lease < time.Second:
		return errors.New("gormcrypt: a lease of less than a second is lost while a batch is written; give it one at least")
	}
	return c.Limits.check()
}

// Execute runs another job than a rotation, for package migrations: programs have no
// use for it. Of the configuration, it takes what is about how the job runs. It
// returns what Run does.
func Execute(ctx context.Context, db *gorm.DB, config Config, plan backfill.Plan, codecs []*rowcodec.Codec) (Report, error) {
	if err := config.checkNumbers(); err != nil {
		return Report{}, err
	}
	hash, err := hashOf(plan)
	if err != nil {
		return Report{}, err
	}
	r := &Rotation{config: withDefaults(config), db: db, codecs: codecs, plan: plan, hash: hash}
	return r.Run(ctx)
}

// mark is a backfill.Mark.
func (r *Rotation) mark(table int, key backfill.Key, column string, stored any) string {
	return r.codecs[table].Mark(key, column, stored)
}

func withDefaults(c Config) Config {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.ShardRows == 0 {
		c.ShardRows = 10_000
	}
	if c.Lease == 0 {
		c.Lease = 30 * time.Second
	}
	if c.MaxPoisoned == 0 {
		c.MaxPoisoned = 1000
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Report is what a run came to.
type Report struct {
	// Job is the name of the job in the ledger, and Resumed says that it was begun
	// by an earlier run.
	Job     string
	Resumed bool
	// Target is the key version that values are sealed under.
	Target keyring.Version
	// Plan is what a dry run found, and nil otherwise.
	Plan *Plan
	Status
}

// Run goes on with the job of this plan, or begins one, and returns when nothing
// is left to do, in this process or in others that run it too. Progress is lost by
// nothing: a run that is killed is gone on with by the next, whoever calls it.
//
// It returns a Report and an error together, where there is something to say: one
// that wraps ErrQuarantined when everything is done but for values in quarantine,
// ErrPoisoned, ErrStale, ErrCancelled, ErrWaited, ErrOtherJob, ErrOlderKeyring, the
// error of ctx, or that of the database.
func (r *Rotation) Run(ctx context.Context) (Report, error) {
	if r.config.DryRun {
		plan, err := r.Plan(ctx)
		return Report{Target: r.target, Plan: &plan}, err
	}
	pool, err := sources.Pool(r.db)
	if err != nil {
		return Report{}, err
	}
	ledger, err := backfill.OpenLedger(pool, r.db.Dialector.Name())
	if err != nil {
		return Report{}, err
	}
	var tables *backfill.Tables
	var defaults Limits
	var id string
	var resumed bool
	err = ledger.Patiently(ctx, func() (err error) {
		if err := owntables.Upgrade(ctx, r.db); err != nil {
			return err
		}
		if defaults, err = gentle(ctx, r.db, r.config.Workers); err != nil {
			return err
		}
		if tables, err = r.tables(ctx); err != nil {
			return err
		}
		if err := r.checkNewer(ctx, ledger); err != nil {
			return err
		}
		id, resumed, err = ledger.Begin(ctx, r.plan, r.hash, func(ctx context.Context, table int) ([]backfill.Key, int64, error) {
			return tables.Bounds(ctx, table, r.config.ShardRows)
		})
		return err
	})
	if err != nil {
		return Report{}, err
	}
	run := newRun(r, ledger, ledger.Open(id, tables, r.plan.Writers, r.config.Lease, r.mark), id, defaults)
	err = run.work(ctx)
	job, jobErr := run.lastLook(ctx, err)
	report := Report{Job: id, Resumed: resumed, Target: r.target, Status: status(job)}
	if err == nil {
		err = jobErr
	}
	if err == nil {
		err = outcome(report.Status)
	}
	run.finish(report.Status, err)
	return report, err
}

// Unfinished returns the job that Run would go on with, and false if it would begin
// one. It changes nothing, and needs no ledger to be there. It returns ErrOtherJob and
// ErrOlderKeyring as Run does.
func (r *Rotation) Unfinished(ctx context.Context) (Status, bool, error) {
	version, _, err := owntables.Version(ctx, r.db)
	if err != nil || version == 0 {
		return Status{}, false, err
	}
	ledger, err := ledgerOf(ctx, r.db)
	if err != nil {
		return Status{}, false, err
	}
	if err := r.checkNewer(ctx, ledger); err != nil {
		return Status{}, false, err
	}
	id, err := ledger.Unfinished(ctx, r.plan, r.hash)
	if err != nil || id == "" {
		return Status{}, false, err
	}
	job, err := ledger.Job(ctx, id)
	return status(job), err == nil, err
}

// tables finds the tables of the plan in the database.
func (r *Rotation) tables(ctx context.Context) (*backfill.Tables, error) {
	pool, err := sources.Pool(r.db)
	if err != nil {
		return nil, err
	}
	return backfill.OpenTables(ctx, pool, r.db.Dialector.Name(), r.plan.Tables)
}

// checkNewer refuses to seal anew under a version what a job has sealed under a later
// one: the process has an older keyring.
func (r *Rotation) checkNewer(ctx context.Context, ledger *backfill.Ledger) error {
	if r.target.IsZero() {
		return nil
	}
	jobs, err := ledger.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		target, err := keyring.ParseVersion(job.Target)
		if err != nil || target.Set() != r.target.Set() || target.Number() <= r.target.Number() {
			continue
		}
		for _, table := range job.Tables {
			if slices.ContainsFunc(r.plan.Tables, func(t backfill.Table) bool { return t.Name == table.Name }) {
				return fmt.Errorf("gormcrypt: %w: job %s has sealed %s under key version %s, and the primary version here is %s; load the current keyring, or, if %s is not to be used any more, add another version, promote that and rotate to it", ErrOlderKeyring, job.ID, table.Name, target, r.target, target)
			}
		}
	}
	return nil
}

// outcome returns the error of a job that is over.
func outcome(s Status) error {
	switch s.State {
	case Finished:
		return nil
	case Cancelled:
		return fmt.Errorf("gormcrypt: job %s: %w", s.ID, ErrCancelled)
	case Quarantined:
		return fmt.Errorf("gormcrypt: job %s: %w: %s; see Quarantine", s.ID, ErrQuarantined, s.Reason)
	}
	return fmt.Errorf("gormcrypt: the ledger is damaged: job %s has ended, and its state is %s; cancel the job, and run another", s.ID, s.State)
}
