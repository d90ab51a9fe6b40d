package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// migrateStep is a step of a migration.
type migrateStep struct {
	name, short, long string
	// writes says that it is to be confirmed, and rows that it goes through all rows.
	writes, rows bool
	run          func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error)
}

// method returns the name of the method, which the lines of a plan begin with.
func (s migrateStep) method() string { return strings.ToUpper(s.name[:1]) + s.name[1:] }

var migrateSteps = []migrateStep{
	{"expand", "Give the table what programs with migrating= need", `Expand makes the columns of blind indexes, and their indexes, and in PostgreSQL has a
varchar with a length hold any text. Programs that do not know of it go on as before. It is
the first step; run it before migrating=read is deployed.`, true, false,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return nil, m.Expand(ctx, config)
		}},
	{"backfill", "Encrypt what is plaintext, while it is used", `Backfill seals what is plaintext, in batches, while applications read and write, and opens
every value in the end. It can be stopped, killed and run again, and by several processes
at once. Values that cannot be encrypted are left as they are, in quarantine, and printed.
It needs --deployed write, or settled for a field that was encrypted from its first day.`, true, true,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return m.Backfill(ctx, config)
		}},
	{"verify", "Make sure that no plaintext is left, and every value opens", `Verify goes through all rows. It writes nothing but how far the migration is.`, false, true,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return m.Verify(ctx, config)
		}},
	{"enforce", "Have the database refuse plaintext", `Enforce adds a constraint to the column and those of its blind indexes, so that no program
can put plaintext there any more. It needs --deployed write or --deployed settled.`, true, false,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return nil, m.Enforce(ctx, config)
		}},
	{"finish", "Drop what nothing needs any more", `Finish drops the indexes that find nothing in ciphertext, and what was there for programs
with migrating=. It needs --deployed settled, and the manifest of a program so.`, true, false,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return nil, m.Finish(ctx, config)
		}},
	{"revert", "Go back to plaintext, from every state", `Revert is run up to three times, and says by an error what is to be deployed before the
next time: it has the database take plaintext again; decrypts all values, with --deployed
read; and removes what expand has made, with --deployed without-tag.`, true, true,
		func(ctx context.Context, m *migrations.Migration, config migrations.Config) (any, error) {
			return m.Revert(ctx, config)
		}},
}

func (a *app) migrateStepCommand(step migrateStep) *cobra.Command {
	var flags migrateFlags
	cmd := &cobra.Command{
		Use: step.name + " TABLE.COLUMN", Short: step.short, Long: step.long, Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			m, err := a.openMigration(cmd.Context(), given[0], flags)
			if err != nil {
				return err
			}
			return a.runMigrateStep(cmd.Context(), step, m)
		},
	}
	flags.add(cmd.Flags())
	if step.rows {
		flags.limits.add(cmd.Flags())
	}
	if step.writes {
		a.offerYes(cmd)
	}
	a.offerJSON(cmd)
	return cmd
}

func (a *app) runMigrateStep(ctx context.Context, step migrateStep, m *migration) error {
	if err := m.Ready(ctx, step.method(), m.config); err != nil {
		return m.words(err)
	}
	if step.writes {
		if err := a.announce(ctx, step, m); err != nil {
			return err
		}
	}
	if step.rows {
		progress := terminal.NewProgress(a.errOut, seldom)
		m.config.Progress = func(p rotation.Progress) { progress.Show(progressLine(p), p.Waits, tasksOf(p.Status)) }
	}
	before, err := m.State(ctx)
	if err != nil {
		return err
	}
	came, err := step.run(ctx, m.Migration, m.config)
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("stopped; what is done is kept, and the same command goes on: %w", err)
	}
	state, stateErr := m.State(ctx)
	if stateErr != nil {
		return errors.Join(m.words(err), stateErr)
	}
	if state == before && refuses(err) {
		return m.words(err)
	}
	next := m.next(state)
	if deployment, ok := errors.AsType[*migrations.DeploymentError](err); ok && state != before {
		// A part of revert is done, and the rest waits for a deployment.
		next, err = waitsFor(deployment)+": gormcrypt migrate "+step.name+" "+m.column, nil
		if before == migrations.Finished || before == migrations.Enforced {
			next = "programs without migrating= do not read plaintext, so deploy migrating=write before migrating=read; " + next
		}
	}
	return errors.Join(m.words(err), a.printCame(ctx, m, state, next, came))
}

// triedCiphertext is how many values that are ciphertext already a plan opens.
const triedCiphertext = 1000

// opensNothing says whether the keyring opens no ciphertext that is in the column, so that
// more of another key would be put beside it.
func opensNothing(plan migrations.Plan) bool {
	failed := int64(0)
	for _, value := range plan.Failed {
		if value.Version != "" {
			failed++
		}
	}
	return plan.Ciphertext > 1 && failed >= min(plan.Ciphertext, triedCiphertext)
}

// announce says what a step will do, and has it confirmed.
func (a *app) announce(ctx context.Context, step migrateStep, m *migration) error {
	plan, err := m.Plan(ctx, m.config)
	if err != nil {
		return m.words(err)
	}
	if opensNothing(plan) {
		return errOtherKeyring(m.where)
	}
	lines := []string{fmt.Sprintf("%s is %s: %s rows, %s with plaintext, %s with ciphertext.", m.column, stateName(plan.State), terminal.Count(plan.Rows), terminal.Count(plan.Plaintext), terminal.Count(plan.Ciphertext))}
	prefix := step.method() + ": "
	for _, line := range plan.Steps {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			lines = append(lines, "  "+shortened(text))
		}
	}
	for _, line := range lines {
		if a.json {
			break
		}
		if err := a.out.Say("%s", line); err != nil {
			return err
		}
	}
	return a.confirm(ctx, step.name+" "+m.column)
}

// migrationResult is what a step came to, as JSON.
type migrationResult struct {
	Column       string            `json:"column"`
	State        string            `json:"state"`
	Next         string            `json:"next"`
	Job          *jobJSON          `json:"job,omitempty"`
	Verification *verificationJSON `json:"verification,omitempty"`
	Quarantine   []valueJSON       `json:"quarantine"`
}

type verificationJSON struct {
	Rows      int64 `json:"rows"`
	Values    int64 `json:"values"`
	Plaintext int64 `json:"plaintext"`
	Failed    int64 `json:"failed"`
}

// printCame prints what a step came to, and what comes next.
func (a *app) printCame(ctx context.Context, m *migration, state migrations.State, next string, came any) error {
	result := migrationResult{Column: m.column, State: stateName(state), Next: next}
	var left []rotation.QuarantinedValue
	var err error
	switch came := came.(type) {
	case rotation.Report:
		if came.Job == "" {
			break
		}
		job := newJobJSON(came.Status)
		result.Job = &job
		if left, err = rotation.Quarantine(ctx, m.db, came.Job); err != nil {
			return err
		}
	case migrations.Verification:
		result.Verification = &verificationJSON{came.Rows, came.Values, came.Plaintext, came.FailedTotal}
		left = came.Failed
	}
	result.Quarantine = valuesJSON(left)
	if a.json {
		return a.printJSON(result)
	}
	return a.printResult(result, left)
}

func (a *app) printResult(r migrationResult, left []rotation.QuarantinedValue) error {
	if j := r.Job; j != nil {
		if err := a.out.Say("Job %s: %s rows rewritten, %s written first by an application, %s values left as they are.", j.Job, terminal.Count(j.Rewritten), terminal.Count(j.Superseded), terminal.Count(j.Quarantined)); err != nil {
			return err
		}
	}
	if v := r.Verification; v != nil {
		if err := a.out.Say("%s rows: %s values and terms opened, %s rows with plaintext, %s values that do not open.", terminal.Count(v.Rows), terminal.Count(v.Values), terminal.Count(v.Plaintext), terminal.Count(v.Failed)); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		if err := quarantineTable(left).Print(a.out); err != nil {
			return err
		}
	}
	return a.out.Say("%s is %s. Next: %s", r.Column, r.State, r.Next)
}
