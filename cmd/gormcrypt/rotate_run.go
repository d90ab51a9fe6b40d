package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// seldom is how often a log gets a line of progress.
const seldom = 10 * time.Second

// run runs the rotation of a set, and says what it came to.
func (r *rotateRun) run(ctx context.Context, t *turn) error {
	progress := terminal.NewProgress(r.errOut, seldom)
	var failed error // of standard output
	t.show = func(p rotation.Progress) {
		if r.json {
			failed = errors.Join(failed, r.event(progressEvent(t.set, p)))
			return
		}
		if p.Phase == "ended" {
			progress.Last(progressLine(p), tasksOf(p.Status))
			return
		}
		progress.Show(progressLine(p), p.Waits, tasksOf(p.Status))
	}
	report, err := t.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return stopped{report, err}
	}
	if err := errors.Join(failed, r.showReport(context.WithoutCancel(ctx), t, report)); err != nil {
		return err
	}
	if errors.Is(err, rotation.ErrQuarantined) {
		return fmt.Errorf("%w: %d of them cannot be sealed anew, and are in quarantine; repair or delete them, or restore them from a backup, and run gormcrypt rotate again", errDamage, report.Quarantined)
	}
	if err != nil {
		return inWords(err)
	}
	return nil
}

// stopped is the error of a run that a signal has ended.
type stopped struct {
	report rotation.Report
	cause  error
}

func (s stopped) Error() string {
	if s.report.ID == "" {
		return "stopped before anything was done; go on with: gormcrypt rotate"
	}
	return fmt.Sprintf("stopped; %s of pass %d is done; go on with: gormcrypt rotate", terminal.Percent(shareOf(s.report.Status)), s.report.Pass)
}

func (s stopped) Unwrap() error { return s.cause }

// progressLine says how far the job is, without the tables.
func progressLine(p rotation.Progress) string {
	if p.Phase == "ended" {
		return fmt.Sprintf("done after %d passes, %s of %s rows", p.Pass, terminal.Count(p.RowsOfPass), terminal.Count(max(p.Total, p.RowsOfPass)))
	}
	line := fmt.Sprintf("pass %d, %s: %s, %s of %s rows", p.Pass, phases[p.Phase], terminal.Percent(p.Share), terminal.Count(p.RowsOfPass), terminal.Count(max(p.Total, p.RowsOfPass)))
	if p.Rate > 0 {
		line += fmt.Sprintf(", %s rows a second", terminal.Count(int64(p.Rate+0.5)))
	}
	if p.Left > 0 {
		line += fmt.Sprintf(", %s left", p.Left)
	}
	if p.Quarantined > 0 {
		line += fmt.Sprintf(", %s in quarantine", terminal.Count(p.Quarantined))
	}
	return line
}

// phases are the phases of a job for people.
var phases = map[string]string{"rewriting": "sealing anew", "verifying": "opening every value"}

// tasksOf are the tables of a job.
func tasksOf(s rotation.Status) []terminal.Task {
	var tasks []terminal.Task
	for _, table := range s.Tables {
		tasks = append(tasks, terminal.Task{Name: table.Table, Share: table.Share(), Note: terminal.Count(table.RowsOfPass) + " of " + terminal.Count(max(table.Total, table.RowsOfPass))})
	}
	return tasks
}

// showReport says what a run came to.
func (r *rotateRun) showReport(ctx context.Context, t *turn, report rotation.Report) error {
	if report.Job == "" {
		return nil
	}
	values, err := rotation.Quarantine(ctx, r.db, report.Job)
	if err != nil {
		return err
	}
	if r.json {
		return r.event(endEvent(t.set, report, values))
	}
	table := terminal.NewTable(terminal.Column{Title: "JOB " + report.Job}, terminal.Column{Title: "ROWS", Right: true}, terminal.Column{})
	for _, line := range []struct {
		title string
		rows  int64
		note  string
	}{
		{"rewritten", report.Swapped, ""},
		{"superseded", report.Superseded, "an application has written them first"},
		{"deleted meanwhile", report.Deleted, ""},
		{"deferred to a later pass", report.Deferred, "they were locked, or kept changing"},
	} {
		table.Add(line.title, terminal.Count(line.rows), line.note)
	}
	if err := table.Print(r.out); err != nil || len(values) == 0 {
		return err
	}
	if err := r.out.Say("In quarantine, as they were:"); err != nil {
		return err
	}
	return quarantineTable(values).Print(r.out)
}

// showNext says what can be done now.
func (r *rotateRun) showNext() error {
	if r.json {
		return nil
	}
	if len(r.flags.tables) > 0 {
		return r.out.Say("Done. Tables that --table does not name were not looked at.")
	}
	for _, t := range r.turns {
		for _, version := range r.ring.Versions() {
			state, err := r.ring.State(version)
			if err != nil {
				return err
			}
			if state == keyring.Enabled && version.Set() == t.set && version.Number() < t.plan.Target.Number() {
				if err := r.out.Say("No value is under key %s any more. When every process has key %s:", version, t.plan.Target); err != nil {
					return err
				}
				fmt.Fprintf(r.out, "  gormcrypt keys retire %s\n", version)
			}
		}
	}
	return nil
}
