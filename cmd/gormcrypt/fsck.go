package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/fsck"
)

const fsckLong = `Fsck opens every value, and makes every term of a blind index anew, and says what is
wrong with which row: values that do not open, that come from another row or column, that
are plaintext or of another format, that stand twice; nonces that were used twice; keys
that the keyring does not have; terms that are not those of their values. It goes through
the tables in short reads, changes nothing and takes no lock, so that it may run on a
replica and beside applications. It needs SELECT on the tables, and on gormcrypt_schema and
gormcrypt_keys for keys in the database.

It prints no value. Rows are named by primary key. What was found is in the table once it
has all been looked at again, so what an application has changed meanwhile is not in it.

Exit codes: 0 if nothing was found, 3 if something was, and others if it could not look:
see gormcrypt --help.`

const fsckExamples = `  gormcrypt fsck
  gormcrypt fsck --table customers --sample 0.01
  gormcrypt fsck --json | jq .findings`

// fsckFlags are the flags of fsck.
type fsckFlags struct {
	tables    []string
	sample    float64
	slowTerms bool
	workers   int
	findings  int
	memory    int64
	tempDir   string
}

func (a *app) fsckCommand() *cobra.Command {
	var f fsckFlags
	cmd := &cobra.Command{
		Use: "fsck", Short: "Open every value, and say what is wrong with which", Long: fsckLong, Example: fsckExamples,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.fsck(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.tables, "table", nil, "check this table only; may be given several times")
	flags.Float64Var(&f.sample, "sample", 0, "the share of the rows to check, such as 0.01 (default all)")
	flags.BoolVar(&f.slowTerms, "slow-terms", false, "make the terms of slow indexes anew too, which takes tens of milliseconds each")
	flags.IntVar(&f.workers, "workers", 0, "how many connections read and open values (default one for each core)")
	flags.IntVar(&f.findings, "max-findings", 0, "how many findings are listed; all are counted (default 1000)")
	flags.Int64Var(&f.memory, "memory", 0, "how many MiB the nonces of all values may take, at 8 bytes each, before they go to temporary files (default 256)")
	flags.StringVar(&f.tempDir, "temp-dir", "", "where these files are (default that of the system)")
	a.offerJSON(cmd)
	return cmd
}

func (a *app) fsck(ctx context.Context, f fsckFlags) error {
	if f.sample < 0 || f.sample > 1 || f.workers < 0 || f.findings < 0 || f.memory < 0 {
		return fmt.Errorf("%w: --sample is a share from 0 to 1, and no number is negative; see gormcrypt fsck --help", errUsage)
	}
	described, err := a.readManifest()
	if err != nil {
		return err
	}
	if err := checkTables(described, f.tables); err != nil {
		return err
	}
	db, err := a.openDatabase(ctx, database.ReadOnly)
	if err != nil {
		return err
	}
	keys, err := a.openKeysReadOnly(ctx)
	if err != nil {
		return err
	}
	progress := terminal.NewProgress(a.errOut, seldom)
	report, err := fsck.Check(ctx, db, fsck.Config{
		Manifest: described, Keys: keys, Tables: f.tables, Sample: f.sample, SlowTerms: f.slowTerms,
		Workers: f.workers, MaxFindings: f.findings, Memory: f.memory << 20, TempDir: f.tempDir,
		Progress: func(p fsck.Progress) {
			if p.Table != "" { // it has begun
				progress.Show(fsckLine(p), "", fsckTasks(p))
			}
		},
	})
	if err != nil {
		return err
	}
	if err := a.printFsck(report); err != nil {
		return err
	}
	if !report.Sound() {
		return fmt.Errorf("%w: see what fsck has found; docs/fsck.md says what to do about each", errDamage)
	}
	return nil
}

// fsckLine is a line of progress.
func fsckLine(p fsck.Progress) string {
	what := "opening values of " + p.Table
	if p.Again {
		what = "looking again at what was found in " + p.Table
	}
	line := fmt.Sprintf("%s: %s of %s rows, %s rows a second", what, terminal.Count(p.Rows), terminal.Count(max(p.Rows, p.Total)), terminal.Count(int64(p.Rate)))
	if p.Left > 0 {
		line += ", " + p.Left.Round(time.Second).String() + " left"
	}
	if p.Findings > 0 {
		line += ", " + terminal.Count(p.Findings) + " found"
	}
	return line
}

// fsckTasks is the bar of a check: all tables are one task.
func fsckTasks(p fsck.Progress) []terminal.Task {
	share := 0.0
	if p.Total > 0 {
		share = min(1, float64(p.Rows)/float64(p.Total))
	}
	return []terminal.Task{{Name: "all tables", Share: share, Note: terminal.Count(p.Values) + " values"}}
}
