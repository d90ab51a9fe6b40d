package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// jobJSON is a job for programs. Its names do not change.
type jobJSON struct {
	Job         string         `json:"job"`
	Title       string         `json:"title"`
	State       rotation.State `json:"state"`
	Phase       string         `json:"phase"`
	Pass        int            `json:"pass"`
	Reason      string         `json:"reason"`
	Tables      []jobTableJSON `json:"tables"`
	Rows        int64          `json:"rows"` // when it began
	RowsOfPass  int64          `json:"rows_of_pass"`
	Rewritten   int64          `json:"rewritten"`
	Superseded  int64          `json:"superseded"`
	Deleted     int64          `json:"deleted"`
	Deferred    int64          `json:"deferred"`
	Quarantined int64          `json:"quarantined"`
	Begun       time.Time      `json:"begun"`
	Changed     time.Time      `json:"changed"`
}

type jobTableJSON struct {
	Table      string  `json:"table"`
	Rows       int64   `json:"rows"`
	RowsOfPass int64   `json:"rows_of_pass"`
	Share      float64 `json:"share"`
}

func newJobJSON(s rotation.Status) jobJSON {
	j := jobJSON{
		s.ID, s.Title, s.State, s.Phase, s.Pass, s.Reason, []jobTableJSON{}, s.Total, s.RowsOfPass,
		s.Swapped, s.Superseded, s.Deleted, s.Deferred, s.Quarantined, s.Begun, s.Changed,
	}
	for _, t := range s.Tables {
		j.Tables = append(j.Tables, jobTableJSON{t.Table, t.Total, t.RowsOfPass, t.Share()})
	}
	return j
}

// unfinishedJobs returns the jobs that are not over. It makes no tables.
func unfinishedJobs(ctx context.Context, db *gorm.DB) ([]rotation.Status, error) {
	current, latest, err := migrations.Version(ctx, db)
	switch {
	case err != nil || current == 0:
		return nil, err
	case current < latest:
		return nil, fmt.Errorf("%w: the tables of gormcrypt itself are of version %d, and this is for version %d; run gormcrypt init", errRefused, current, latest)
	}
	all, err := rotation.Jobs(ctx, db)
	var jobs []rotation.Status
	for _, job := range all {
		if job.State == rotation.Running || job.State == rotation.Paused {
			jobs = append(jobs, job)
		}
	}
	return jobs, err
}

// jobsTable lists jobs.
func jobsTable(jobs []rotation.Status) *terminal.Table {
	table := terminal.NewTable(terminal.Column{Title: "JOB", Wrap: true}, terminal.Column{Title: "WHAT", Wrap: true}, terminal.Column{Title: "STATE", Wrap: true}, terminal.Column{Title: "DONE", Right: true}, terminal.Column{Title: "SINCE", Wrap: true})
	for _, job := range jobs {
		table.Add(job.ID, job.Title, string(job.State)+because(job.Reason), fmt.Sprintf("pass %d, %s", job.Pass, terminal.Percent(shareOf(job))), when(job.Begun))
	}
	return table
}

// withQuarantine returns the jobs whose quarantine counts: no later job of the same kind
// has gone through all of their tables. Jobs come newest first.
func withQuarantine(jobs []rotation.Status) []rotation.Status {
	var all []rotation.Status
	for i, job := range jobs {
		replaced := slices.ContainsFunc(jobs[:i], func(later rotation.Status) bool {
			return (later.State == rotation.Finished || later.State == rotation.Quarantined) && kindOf(later) == kindOf(job) && covers(later, job)
		})
		if job.Quarantined > 0 && !replaced {
			all = append(all, job)
		}
	}
	return all
}

// kindOf is the same for all rotations of a set of keys.
func kindOf(job rotation.Status) string {
	if job.Target.IsZero() {
		return job.Title
	}
	return job.Target.Set().String()
}

// covers says whether a job is about all tables of another.
func covers(job, other rotation.Status) bool {
	return !slices.ContainsFunc(other.Tables, func(t rotation.TableStatus) bool {
		return !slices.ContainsFunc(job.Tables, func(u rotation.TableStatus) bool { return u.Table == t.Table })
	})
}
