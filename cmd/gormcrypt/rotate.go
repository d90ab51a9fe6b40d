package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const rotateLong = `Rotate seals every value that is under an older key version anew under the primary
one, while applications read and write. First promote the version: gormcrypt keys
promote. Values under data keys are done first, then what is under index keys:
deterministic columns and the terms of blind indexes.

It counts, tries a thousand rows of each table, says what it will do, and asks. A
value is replaced only if it still is what was read, so that no write of an
application is lost. At the end it opens every value.

How far it is, is kept in the database. Stop it by Ctrl-C, or kill it, at any time:
gormcrypt rotate goes on. Run it on several machines, and they share the work.
Another terminal can have it wait (--pause), go on (--resume) or end (--cancel).

It is gentle unless told otherwise: applications should not notice it. At night,
--fast takes what the database gives; --rate bounds it either way.

It needs SELECT and UPDATE on the tables, and the tables that gormcrypt init makes.
Values that do not open are left as they are, and listed; the exit code is 3 then.`

const rotateExample = `  gormcrypt rotate --dry-run
  gormcrypt rotate
  gormcrypt rotate --yes --fast --max-lag 5s
  gormcrypt rotate --pause --reason "the shop is slow"`

// rotateFlags is what rotate is told.
type rotateFlags struct {
	set                   string
	tables, uniqueOK      []string
	dryRun, unknownOK     bool
	limits                limitFlags
	pause, resume, cancel bool
	job, reason           string
}

func (a *app) rotateCommand() *cobra.Command {
	var f rotateFlags
	cmd := &cobra.Command{
		Use: "rotate", Short: "Seal values anew under the primary key version", Long: rotateLong, Example: rotateExample,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.pause || f.resume || f.cancel {
				return a.steer(cmd.Context(), f)
			}
			return a.rotate(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.set, "set", "", "rotate only what is under these keys: data or index")
	flags.StringArrayVar(&f.tables, "table", nil, "rotate only this table; can be repeated")
	flags.StringArrayVar(&f.uniqueOK, "unique-ok", nil, "TABLE.COLUMN that is unique, and whose index key may be rotated because the application looks before it writes; can be repeated")
	flags.BoolVar(&f.unknownOK, "unknown-ok", false, "go on although values name a later key version, which the keyring does not have: they are damaged, and go to the quarantine")
	flags.BoolVar(&f.dryRun, "dry-run", false, "count and try, and change nothing")
	f.limits.add(flags)
	flags.BoolVar(&f.pause, "pause", false, "have the job wait, in all processes that run it")
	flags.BoolVar(&f.resume, "resume", false, "have a job that was paused go on")
	flags.BoolVar(&f.cancel, "cancel", false, "end the job; what it has done stays, and every value opens")
	flags.StringVar(&f.job, "job", "", "the job to pause, resume or cancel, if there are several")
	flags.StringVar(&f.reason, "reason", "", "why, for those who look at the job")
	a.offerYes(cmd)
	a.offerJSON(cmd)
	cmd.MarkFlagsMutuallyExclusive("pause", "resume", "cancel", "dry-run")
	return cmd
}

// rotate plans, asks, and runs a rotation of each set that has something to do.
func (a *app) rotate(ctx context.Context, f rotateFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	r, err := a.openRotation(ctx, f)
	if err != nil {
		return err
	}
	defer r.release()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.showPlan(); err != nil {
		return err
	}
	if len(r.turns) == 0 || f.dryRun {
		return nil
	}
	if err := r.checkOpens(); err != nil {
		return err
	}
	if err := r.checkUnique(); err != nil {
		return err
	}
	if err := a.confirm(ctx, r.action()); err != nil {
		return err
	}
	for _, turn := range r.turns {
		if err := r.run(ctx, turn); err != nil {
			return err
		}
	}
	return r.showNext()
}

// check finds flags that cannot be.
func (f rotateFlags) check() error {
	switch {
	case f.set != "" && f.set != "data" && f.set != "index":
		return fmt.Errorf("%w: --set is %q; there are data and index", errUsage, f.set)
	case f.job != "" || f.reason != "":
		return fmt.Errorf("%w: --job and --reason go with --pause, --resume and --cancel", errUsage)
	}
	return nil
}

// sets are those that the flags ask for.
func (f rotateFlags) sets() []keyring.Set {
	return slices.DeleteFunc([]keyring.Set{keyring.DataKeys, keyring.IndexKeys}, func(set keyring.Set) bool {
		return f.set == "data" && set != keyring.DataKeys || f.set == "index" && set != keyring.IndexKeys
	})
}

// openRotation opens what a rotation needs.
func (a *app) openRotation(ctx context.Context, f rotateFlags) (*rotateRun, error) {
	m, err := a.readManifest()
	if err != nil {
		return nil, err
	}
	algorithm, err := a.algorithm()
	if err != nil {
		return nil, err
	}
	access, openKeys := database.ReadWrite, a.openKeys
	if f.dryRun {
		access, openKeys = database.ReadOnly, a.openKeysReadOnly
	}
	db, err := a.openDatabase(ctx, access)
	if err != nil {
		return nil, err
	}
	if err := f.limits.check(db); err != nil {
		return nil, err
	}
	keys, ring, err := a.loadKeys(ctx, openKeys)
	if err != nil {
		return nil, err
	}
	release := func() {}
	if !f.dryRun {
		release = keys.Hold(ctx)
	}
	return &rotateRun{app: a, flags: f, db: db, manifest: m, algorithm: algorithm, ring: ring, where: keys.Where, release: release}, nil
}
