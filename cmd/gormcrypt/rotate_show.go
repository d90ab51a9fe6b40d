package main

import (
	"fmt"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// showPlan says what would be done.
func (r *rotateRun) showPlan() error {
	for _, t := range r.plans {
		if r.json {
			if err := r.event(planEvent(t)); err != nil {
				return err
			}
			continue
		}
		if err := r.printPlan(t); err != nil {
			return err
		}
	}
	if r.json {
		return nil
	}
	if len(r.turns) == 0 {
		return r.out.Say("Nothing to do.")
	}
	if r.flags.dryRun {
		return r.out.Say("This was a dry run: nothing has changed.")
	}
	return nil
}

func (r *rotateRun) printPlan(t *turn) error {
	table := terminal.NewTable(
		terminal.Column{Title: "TABLE", Wrap: true}, terminal.Column{Title: "COLUMN", Wrap: true}, terminal.Column{Title: "ROWS", Right: true},
		terminal.Column{Title: "TO REWRITE", Right: true}, terminal.Column{Title: "TRIED", Right: true}, terminal.Column{Title: "FAILED", Right: true})
	for _, one := range t.plan.Tables {
		for _, column := range one.Columns {
			failed := 0
			for _, value := range one.Failed {
				if value.Column == column.Column {
					failed++
				}
			}
			table.Add(one.Table, column.Column, terminal.Count(one.Rows), terminal.Count(column.Stale), terminal.Count(int64(one.Tried)), terminal.Count(int64(failed)))
		}
	}
	if err := r.out.Say("To be sealed under %s key %s, of %s:", t.set, t.plan.Target, r.where); err != nil {
		return err
	}
	if err := table.Print(r.out); err != nil {
		return err
	}
	if failed := t.failed(); len(failed) > 0 {
		if err := r.out.Say("These values do not open; they would be left as they are, in quarantine:"); err != nil {
			return err
		}
		if err := quarantineTable(failed).Print(r.out); err != nil {
			return err
		}
	}
	if t.found {
		if err := r.out.Say("This goes on with job %s, begun at %s: pass %d, %s done.", t.job.ID, when(t.job.Begun), t.job.Pass, terminal.Percent(shareOf(t.job))); err != nil {
			return err
		}
	}
	if seconds := r.atLeast(t); seconds > 0 {
		if err := r.out.Say("At %v rows a second it takes %s or longer.", r.flags.limits.rate, seconds); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(r.out)
	return err
}

// atLeast is how long the writes take by --rate alone, zero without it. There may be a
// row for each value.
func (r *rotateRun) atLeast(t *turn) time.Duration {
	if r.flags.limits.rate == 0 {
		return 0
	}
	var rows int64
	for _, table := range t.plan.Tables {
		var most int64
		for _, column := range table.Columns {
			most = max(most, column.Stale)
		}
		rows += most
	}
	return (time.Duration(float64(rows) / r.flags.limits.rate * float64(time.Second))).Round(time.Second)
}

// action is what is asked for.
func (r *rotateRun) action() string {
	var values int64
	tables := map[string]bool{}
	for _, t := range r.turns {
		values += t.stale()
		for _, table := range t.plan.Tables {
			tables[table.Table] = true
		}
	}
	return fmt.Sprintf("rewrite %s values, and open all of %d tables", terminal.Count(values), len(tables))
}

// quarantineTable lists values that do not open.
func quarantineTable(values []rotation.QuarantinedValue) *terminal.Table {
	table := terminal.NewTable(terminal.Column{Title: "TABLE", Wrap: true}, terminal.Column{Title: "KEY", Wrap: true}, terminal.Column{Title: "COLUMN", Wrap: true}, terminal.Column{Title: "VERSION"}, terminal.Column{Title: "REASON", Wrap: true})
	for _, value := range values {
		table.Add(value.Table, value.Key, value.Column, value.Version, words.Replace(value.Reason))
	}
	return table
}

// shareOf is how much of the pass of a job is done.
func shareOf(s rotation.Status) float64 {
	return rotation.TableStatus{Total: s.Total, RowsOfPass: s.RowsOfPass, Shards: s.Shards, ShardsDone: s.ShardsDone}.Share()
}

func when(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }
