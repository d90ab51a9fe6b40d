package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/migrations"
)

// errMigration says an error of package migrations in words of the command line. It is
// still the error that it was.
type errMigration struct {
	text string
	err  error
}

func (e *errMigration) Error() string { return e.text }
func (e *errMigration) Unwrap() error { return e.err }

// flagOf returns how --deployed calls a deployment.
func flagOf(deployed migrations.Deployment) string {
	for flag, is := range deployments {
		if is == deployed {
			return flag
		}
	}
	return string(deployed)
}

// subject is what a command is about.
type subject struct {
	// column is TABLE.COLUMN.
	column string
	// settled says that the manifest has the column without migrating=, as one that was
	// encrypted from its first day.
	settled bool
}

// words returns an error with commands and flags in place of methods and fields.
func (s subject) words(err error) error {
	if deployment, ok := errors.AsType[*migrations.DeploymentError](err); ok {
		return &errMigration{fmt.Sprintf("%v: %s %s; %s", migrations.ErrDeployment, commandOf(deployment.Step), deployment.Why, waitsFor(deployment)), err}
	}
	if order, ok := errors.AsType[*migrations.OrderError](err); ok && order.Step != "Backfill" || ok && order.State != migrations.Reverting {
		return &errMigration{fmt.Sprintf("%v: %s of %s; %s", migrations.ErrOrder, commandOf(order.Step), s.column, s.advice(order.State)), err}
	}
	return err
}

// commandOf returns how the command line calls a method.
func commandOf(step string) string {
	if step == "TakeForPlaintext" {
		return "take-for-plaintext"
	}
	return strings.ToLower(step)
}

// waitsFor says what a step waits for.
func waitsFor(e *migrations.DeploymentError) string {
	var flags, words []string
	for _, one := range e.Admitted {
		flags, words = append(flags, "--deployed "+flagOf(one)), append(words, string(one))
	}
	return fmt.Sprintf("when every running program is %s, add %s", strings.Join(words, " or "), strings.Join(flags, " or "))
}

// refuses says whether a step has not begun because of its order, or a deployment.
func refuses(err error) bool {
	return errors.Is(err, migrations.ErrOrder) || errors.Is(err, migrations.ErrDeployment) || errors.Is(err, migrations.ErrProblems)
}

// statementLength is how much of a statement people read.
const statementLength = 140

// shortened returns the beginning of a statement. The condition of a constraint has a
// thousand characters.
func shortened(statement string) string {
	if len(statement) <= statementLength {
		return statement
	}
	return statement[:strings.LastIndex(statement[:statementLength], " ")] + " … (whole in migrate plan --json)"
}

// stateName is how a state is called.
func stateName(state migrations.State) string {
	if state == migrations.None {
		return "not begun"
	}
	return string(state)
}

// advice says how far it is, and what comes next.
func (s subject) advice(state migrations.State) string {
	return "it is " + stateName(state) + ": " + s.next(state)
}

// next says what comes next in a state.
func (s subject) next(state migrations.State) string {
	deploy, step := state.Next()
	if step == "" && s.settled {
		return "nothing; should fsck find plaintext, gormcrypt migrate backfill " + s.column + " --deployed settled begins anew, and gormcrypt migrate revert " + s.column + " goes back"
	}
	if step == "" {
		return "nothing; gormcrypt migrate revert " + s.column + " goes back"
	}
	command := "gormcrypt migrate " + commandOf(step) + " " + s.column
	switch encrypted := "gormcrypt migrate backfill " + s.column + " --deployed settled"; {
	case s.settled && state == migrations.Reverting:
		return "to have it encrypted after all, run: " + encrypted + "; to have it plaintext, deploy the field migrating=write, then migrating=read, and run: " + command + " --deployed read"
	case s.settled && step != "Revert":
		return "run: " + command + " --deployed settled"
	}
	var words []string
	for _, one := range deploy {
		words = append(words, string(one))
	}
	if len(deploy) > 0 {
		command += " --deployed " + flagOf(deploy[len(deploy)-1])
		return fmt.Sprintf("deploy the field %s, and run: %s", strings.Join(words, ", then "), command)
	}
	switch state {
	case migrations.Backfilling, migrations.Verified, migrations.Enforcing:
		command += " --deployed write"
	}
	return "run: " + command
}
