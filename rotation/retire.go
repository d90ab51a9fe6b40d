package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// RetireConfig configures Retire. The zero value is for a *gorm.DB with the plugin.
type RetireConfig struct {
	// Manifest and Keys are for a *gorm.DB without the plugin: what is encrypted,
	// and the keyring that has the version.
	Manifest *manifest.Manifest
	Keys     keyring.Source
	// LockWait is how long statements of applications may wait behind a lock on a
	// table at a time, in PostgreSQL. The lock is asked for five times, with as long
	// a pause between. The default is 1 s.
	LockWait time.Duration
}

// ErrInUse is the error of Retire for a key version that something still needs.
var ErrInUse = errors.New("the key version is in use")

// Retirement is what Retire came to.
type Retirement struct {
	Version keyring.Version
	// Keys is the keyring without the key, nil if the version cannot be retired.
	Keys *keyring.Keyring
	// Uses is what still needs the version: columns first, then rows in quarantine,
	// then jobs. It is empty unless the error is ErrInUse.
	Uses []Use
	// Guards are in the database and refuse values under the version. After a
	// refusal or an error they are those that were there before.
	Guards []Guard
}

// Use is something that still needs a key version: Rows of a Column with a value
// under it; if Job is set too, Rows in the quarantine of that job because of the
// Column; and if only Job is set, a job that is not finished.
type Use struct {
	Table, Column string
	Rows          int64
	Job           string
}

// String returns the use for an operator, such as "users.name: 3 rows".
func (u Use) String() string {
	switch {
	case u.Table == "":
		return "job " + u.Job + " is not finished"
	case u.Job != "":
		return fmt.Sprintf("%s.%s: %s in the quarantine of job %s", u.Table, u.Column, countOf(u.Rows), u.Job)
	}
	return fmt.Sprintf("%s.%s: %s", u.Table, u.Column, countOf(u.Rows))
}

func countOf(rows int64) string {
	if rows == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", rows)
}

// Guard refuses values of a column under a key version, whoever writes them.
type Guard struct {
	Table, Column string
	// Name is that of a CHECK constraint in PostgreSQL. In SQLite two triggers have
	// it, with "_insert" and "_update" behind.
	Name string
}

// Retire makes sure that nothing needs a key version any more, and that nothing is
// written under it again. Then it returns the keyring without that key, which is
// yours to give to every process; nothing that runs is changed by it. Until a
// process has another keyring it can be told so: an old one whose primary version
// this still is gets an error from the database when it writes.
//
// Keep the key itself for as long as there are backups, replicas that lag behind,
// exports or other databases with values under it: Retire knows of one database,
// and in it of the columns of the models or the manifest.
//
// In every column it puts a guard that refuses values under the version, and only
// then counts all rows. If there is one, or if a row in quarantine names the
// version, or a job is not finished, whatever it is about, it removes the guards
// that it has put there, and returns a Retirement with all Uses and an error that
// wraps ErrInUse. Before that it counts once without guards, so that nobody meets
// them while there is much left to do.
//
// A row in quarantine counts until a later job has gone through its column and is
// finished, or until the column is gone: run the rotation again when the row is
// repaired or deleted.
//
// In PostgreSQL guards are constraints that are NOT VALID, under short locks. It
// takes two connections at a time, and the right to alter the tables. In SQLite they
// are triggers, and writers wait while it counts. A table that is made anew has no
// triggers, and GORM's migrator makes one anew when it alters a column: then, and
// when columns are added, retire the version once more. Retire may be called again
// at any time, and concurrently; then one waits for the other.
//
// It returns the keyring's errors for a version that is unknown or primary,
// gormcrypt.ErrNoPlugin if there is neither the plugin nor a manifest with keys, and
// the errors of ctx and the database. Guards are removed after these too. If that
// fails, the error says how to. After a process was killed, constraints may be left
// in PostgreSQL; the error of the next refusal names them, as it does those of an
// earlier call that found nothing.
func Retire(ctx context.Context, db *gorm.DB, config RetireConfig, version keyring.Version) (Retirement, error) {
	r := Retirement{Version: version}
	keys, m, err := config.sources(ctx, db)
	if err != nil {
		return r, err
	}
	retired, err := withoutKey(keys, version)
	if err != nil {
		return r, fmt.Errorf("gormcrypt: %w", err)
	}
	guards := guardsOf(m, version)
	counter, err := counterOf(db)
	if err != nil {
		return r, err
	}
	ledger, err := ledgerOf(ctx, db)
	if err != nil {
		return r, err
	}
	fail := func(err error) (Retirement, error) {
		standing, standingErr := counter.Standing(context.WithoutCancel(ctx), guards)
		r.Guards = described(standing)
		for _, guard := range r.Guards {
			err = fmt.Errorf("%w; the guard %s of %s.%s is there and refuses the version", err, guard.Name, guard.Table, guard.Column)
		}
		return r, errors.Join(err, standingErr)
	}
	counts, err := counter.Refused(ctx, guards)
	if err != nil {
		return fail(failed(ctx, "retiring key version "+version.String(), err))
	}
	if r.Uses, err = usesOf(ctx, ledger, version, guards, counts); err != nil {
		return fail(err)
	}
	if len(r.Uses) == 0 {
		if counts, err = counter.Guard(ctx, guards, config.LockWait); err != nil {
			return fail(failed(ctx, "retiring key version "+version.String(), err))
		}
		// A job that began meanwhile does not matter if nothing is left to be read.
		r.Uses = columnUses(guards, counts)
	}
	if len(r.Uses) > 0 {
		return fail(inUse(version, r.Uses))
	}
	r.Keys, r.Guards = retired, described(guards)
	return r, nil
}

func (c *RetireConfig) sources(ctx context.Context, db *gorm.DB) (*keyring.Keyring, manifest.Manifest, error) {
	switch {
	case c.LockWait < 0:
		return nil, manifest.Manifest{}, errors.New("gormcrypt: RetireConfig.LockWait is negative")
	case c.LockWait == 0:
		c.LockWait = time.Second
	}
	m, err := sources.Manifest(db.WithContext(ctx), c.Manifest)
	if err != nil {
		return nil, m, err
	}
	if len(m.Tables) == 0 {
		return nil, m, errors.New("gormcrypt: no table has an encrypted column, so there is nothing by which to tell that a key is not needed; register the models, or name the manifest of this database")
	}
	keys, err := sources.Keys(ctx, db, c.Keys)
	return keys, m, err
}

// withoutKey returns a keyring in which a version is retired, if it is not already.
func withoutKey(keys *keyring.Keyring, version keyring.Version) (*keyring.Keyring, error) {
	if state, err := keys.State(version); err == nil && state == keyring.Retired {
		return keys, nil
	}
	return keys.Retire(version)
}

// guardsOf returns a guard for each column that could hold values under a version.
// Encrypted columns could whatever the set is: an older program may have them
// deterministic, or not.
func guardsOf(m manifest.Manifest, version keyring.Version) []backfill.Guard {
	var all []backfill.Guard
	for _, table := range m.Tables {
		for _, column := range table.Columns {
			all = append(all, backfill.Guard{Table: table.Name, Column: column.Name, Version: version.String(), Prefix: ciphertext.Prefix(version)})
		}
		for _, index := range table.Indexes {
			if version.Set() == keyring.IndexKeys {
				all = append(all, backfill.Guard{Table: table.Name, Column: index.Name, Version: version.String(), Prefix: ciphertext.TermPrefix(version)})
			}
		}
	}
	return all
}

func described(guards []backfill.Guard) []Guard {
	var all []Guard
	for _, guard := range guards {
		all = append(all, Guard{guard.Table, guard.Column, guard.Name()})
	}
	return all
}

// usesOf returns all that needs a version: what was counted, and what the ledger
// has of it.
func usesOf(ctx context.Context, ledger *backfill.Ledger, version keyring.Version, guards []backfill.Guard, counts []int64) ([]Use, error) {
	jobs, err := ledger.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	quarantine, err := ledger.QuarantineOfAll(ctx)
	if err != nil {
		return nil, err
	}
	uses := columnUses(guards, counts)
	// Where values are left, it helps to know which rows could not be opened, also
	// for another version.
	tables := map[string]bool{}
	for _, use := range uses {
		tables[use.Table] = true
	}
	for _, rows := range quarantine {
		if rows.Version != version.String() && !tables[rows.Table] || isSettled(rows, jobs) {
			continue
		}
		// What was renamed is counted by its new name.
		there, err := ledger.Has(ctx, rows.Table, rows.Column)
		if err != nil {
			return nil, fmt.Errorf("gormcrypt: looking for what is in quarantine: %w", err)
		}
		if there {
			uses = append(uses, Use{Table: rows.Table, Column: rows.Column, Rows: rows.Rows, Job: rows.Job})
		}
	}
	// What an unfinished job has yet to read is not for a count of today to say.
	for _, job := range jobs {
		if !job.Over() {
			uses = append(uses, Use{Job: job.ID})
		}
	}
	return uses, nil
}

func columnUses(guards []backfill.Guard, counts []int64) []Use {
	var uses []Use
	for i, guard := range guards {
		if counts[i] > 0 {
			uses = append(uses, Use{Table: guard.Table, Column: guard.Column, Rows: counts[i]})
		}
	}
	return uses
}

// isSettled reports whether a later job has gone through the column of rows in
// quarantine, and opened all of it.
func isSettled(rows backfill.QuarantinedRows, jobs []backfill.Job) bool {
	return slices.ContainsFunc(jobs, func(job backfill.Job) bool {
		return job.State == backfill.Finished && job.CreatedAt.After(rows.NotedAt) && slices.ContainsFunc(job.Tables, func(t backfill.Table) bool {
			return t.Name == rows.Table && slices.ContainsFunc(t.Cells, func(c backfill.Cell) bool { return c.Column == rows.Column })
		})
	})
}

func inUse(version keyring.Version, uses []Use) error {
	texts := make([]string, len(uses))
	for i, use := range uses {
		texts[i] = use.String()
	}
	return fmt.Errorf("gormcrypt: %w: %s: %s; rotate to another version, see to the rows in quarantine and let jobs finish, or cancel them, before it is retired", ErrInUse, version, strings.Join(texts, "; "))
}
