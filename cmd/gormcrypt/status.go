package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/rotation"
)

const statusLong = `Status counts the values of every encrypted column, and of every blind index, by the
key version that they begin with: how much is under the primary version, under which
others there are how many, and how many are plaintext. It says which jobs are not
finished.

It reads each table once, in the database, and changes nothing. Of a value, no more
than its first characters leave the database, and no key is needed: the keyring only
says which version is the primary one. Without it, that is the highest in the database.

It needs SELECT on the tables, and on gormcrypt's own. With --check the exit code is 3 if a value is not under
the primary version, for monitoring.`

const statusExample = `  gormcrypt status
  gormcrypt status --sample 0.01 --table orders
  gormcrypt status --check || mail -s "rotate" ops < /dev/null`

// statusFlags is what status is told.
type statusFlags struct {
	tables []string
	sample float64
	check  bool
}

func (a *app) statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use: "status", Short: "Count values by key version, and list unfinished jobs", Long: statusLong, Example: statusExample,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), f) },
	}
	cmd.Flags().StringArrayVar(&f.tables, "table", nil, "count only this table; can be repeated")
	cmd.Flags().Float64Var(&f.sample, "sample", 0, "look at this share of the rows, such as 0.01, and estimate")
	cmd.Flags().BoolVar(&f.check, "check", false, "exit with 3 if a value is not under the primary key version")
	a.offerJSON(cmd)
	return cmd
}

// status counts, and prints what there is.
func (a *app) status(ctx context.Context, f statusFlags) error {
	switch {
	case f.sample < 0 || f.sample > 1:
		return fmt.Errorf("%w: --sample is %v; give a share of the rows, above 0 and up to 1", errUsage, f.sample)
	case f.check && f.sample > 0:
		return fmt.Errorf("%w: --check looks at all rows; leave --sample out", errUsage)
	case f.check && a.settings.KeysFrom == "":
		return a.settings.Missing("keys.from")
	}
	m, err := a.readManifest()
	if err != nil {
		return err
	}
	if err := checkTables(m, f.tables); err != nil {
		return err
	}
	db, err := a.openDatabase(ctx, database.ReadOnly)
	if err != nil {
		return err
	}
	primaries, err := a.primaries(ctx, db)
	if err != nil {
		return err
	}
	report, err := rotation.Census(ctx, db, rotation.CensusConfig{Manifest: m, Tables: f.tables, Sample: f.sample})
	if err != nil {
		return err
	}
	jobs, err := unfinishedJobs(ctx, db)
	if err != nil {
		return err
	}
	c := census{report.Columns, primaries.or(report)}
	if a.json {
		err = a.printJSON(c.json(jobs))
	} else {
		err = a.printStatus(c, jobs)
	}
	if err != nil || !f.check {
		return err
	}
	return c.check()
}

func (a *app) printStatus(c census, jobs []rotation.Status) error {
	if err := a.printCensus(c); err != nil {
		return err
	}
	return a.printJobs(jobs)
}

// printJobs says which jobs are not finished, and what to do with them.
func (a *app) printJobs(jobs []rotation.Status) error {
	if len(jobs) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(a.out, "\nUnfinished jobs:"); err != nil {
		return err
	}
	if err := jobsTable(jobs).Print(a.out); err != nil {
		return err
	}
	for _, job := range jobs {
		run := "gormcrypt rotate"
		if job.Target.IsZero() {
			run = "the same step of gormcrypt migrate"
		}
		advice := fmt.Sprintf("%s joins in, or goes on if no process runs it. To have it wait: gormcrypt rotate --pause --job %s", run, job.ID)
		if job.State == rotation.Paused {
			advice = fmt.Sprintf("gormcrypt rotate --resume --job %s has it go on, and %s runs it if no process does", job.ID, run)
		}
		if err := a.out.Say("%s: %s", job.ID, advice); err != nil {
			return err
		}
	}
	return nil
}
