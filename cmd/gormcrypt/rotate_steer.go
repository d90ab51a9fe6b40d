package main

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// steer pauses, resumes or cancels a job.
func (a *app) steer(ctx context.Context, f rotateFlags) error {
	db, err := a.openDatabase(ctx, database.ReadWrite)
	if err != nil {
		return err
	}
	job, err := chooseJob(ctx, db, f.job)
	if err != nil {
		return err
	}
	reason := f.reason
	if reason == "" {
		reason = "by " + whoami()
	}
	switch {
	case f.resume && job.State != rotation.Paused:
		return fmt.Errorf("%w: job %s is %s, and not paused", errRefused, job.ID, job.State)
	case f.pause && job.State == rotation.Paused:
		return fmt.Errorf("%w: job %s is paused already%s", errRefused, job.ID, because(job.Reason))
	case f.pause:
		if err := rotation.Pause(ctx, db, job.ID, reason); err != nil {
			return err
		}
		return a.steered(ctx, db, job, "is paused: all processes stop after their batch, and wait. It goes on with gormcrypt rotate --resume.")
	case f.resume:
		if err := rotation.Resume(ctx, db, job.ID); err != nil {
			return err
		}
		return a.steered(ctx, db, job, "goes on in the processes that wait for it. If there is none, run gormcrypt rotate.")
	default:
		if !a.json {
			if err := a.out.Say("Job %s (%s) would end. What it has done stays, and every value opens.", job.ID, job.Title); err != nil {
				return err
			}
		}
		if err := a.confirm(ctx, "cancel it"); err != nil {
			return err
		}
		if err := rotation.Cancel(ctx, db, job.ID, reason); err != nil {
			return err
		}
		return a.steered(ctx, db, job, "is cancelled.")
	}
}

// steered says what has become of a job.
func (a *app) steered(ctx context.Context, db *gorm.DB, job rotation.Status, text string) error {
	if !a.json {
		return a.out.Say("Job %s %s", job.ID, text)
	}
	now, err := rotation.Find(ctx, db, job.ID)
	if err != nil {
		return err
	}
	return a.event(newJobJSON(now))
}

// chooseJob returns the job of a name, or the one that is not over.
func chooseJob(ctx context.Context, db *gorm.DB, id string) (rotation.Status, error) {
	jobs, err := unfinishedJobs(ctx, db)
	if err != nil {
		return rotation.Status{}, err
	}
	var names []string
	for _, job := range jobs {
		if job.ID == id || id == "" && len(jobs) == 1 {
			return job, nil
		}
		names = append(names, job.ID+" ("+job.Title+")")
	}
	switch {
	case len(jobs) == 0:
		return rotation.Status{}, fmt.Errorf("%w: there is no unfinished job", errRefused)
	case id == "":
		return rotation.Status{}, fmt.Errorf("%w: there are several unfinished jobs; name one by --job: %s", errRefused, strings.Join(names, ", "))
	}
	return rotation.Status{}, fmt.Errorf("%w: --job %s is no unfinished job; there are: %s", errUsage, id, strings.Join(names, ", "))
}
