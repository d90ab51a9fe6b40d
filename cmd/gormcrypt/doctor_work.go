package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// checkJobs looks for jobs that are not finished, and for what they could not seal anew.
func (e *examination) checkJobs(ctx context.Context) []finding {
	if e.none {
		return ok("there was none yet")
	}
	jobs, err := rotation.Jobs(ctx, e.db)
	if err != nil {
		return failed(err)
	}
	var all []finding
	for _, job := range jobs {
		switch {
		case job.State == rotation.Paused:
			all = append(all, warning("gormcrypt rotate --resume, or --cancel", "job %s (%s) is paused: %s", job.ID, job.Title, job.Reason)...)
		case job.State == rotation.Running:
			all = append(all, warning("nothing, if a process runs it; otherwise run the same command again", "job %s (%s) is not finished; it was last heard of %s", job.ID, job.Title, job.Changed.UTC().Format("2006-01-02 15:04:05 MST"))...)
		}
	}
	for _, job := range withQuarantine(jobs) {
		all = append(all, problem("gormcrypt fsck lists them; repair or delete them, and run gormcrypt rotate, or the step of the migration, once more", "job %s (%s) has %s in quarantine", job.ID, job.Title, counted(job.Quarantined, "value"))...)
	}
	if len(all) == 0 {
		return ok("none is unfinished, and nothing is in quarantine")
	}
	return all
}

// checkMigrations looks for columns in the middle of a migration.
func (e *examination) checkMigrations(ctx context.Context) []finding {
	if e.none {
		return ok("there was none yet")
	}
	all, err := migrations.List(ctx, e.db)
	if err != nil {
		return failed(err)
	}
	var columns []string
	for _, s := range all {
		if s.State != migrations.Finished {
			columns = append(columns, fmt.Sprintf("%s.%s is %s", s.Table, s.Column, s.State))
		}
	}
	if len(columns) == 0 {
		return ok("none is unfinished")
	}
	return warning("gormcrypt migrate plan says what comes next", "%s", strings.Join(columns, "; "))
}
