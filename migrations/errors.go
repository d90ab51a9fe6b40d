package migrations

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of steps.
var (
	// ErrOrder: it is not the turn of the step. The error is an *[OrderError], which says
	// what is missing.
	ErrOrder = errors.New("it is not the turn of this step")
	// ErrDeployment: the step would do harm to programs that may still run. The error
	// says what to deploy, and, if it is a *[DeploymentError], how to confirm it.
	ErrDeployment = errors.New("programs may still run that this step would break")
	// ErrProblems: the column cannot be migrated as it is. The error lists the reasons,
	// as Plan does.
	ErrProblems = errors.New("the column cannot be migrated as it is")
	// ErrNotVerified: Verify, or the constraint of Enforce, has found what should not be
	// there.
	ErrNotVerified = errors.New("values are left that are not as they should be")
	// ErrNoRow: the table has no row with the primary key that TakeForPlaintext was given.
	ErrNoRow = errors.New("there is no row with that primary key")

	errViolated = errors.New("there is plaintext in the column again")
	errBroken   = errors.New("the connection is not as it was")
)

// OrderError says that it is not the turn of a step.
type OrderError struct {
	// Step is the name of the method, and Column that of the migration, as
	// "table.column".
	Step, Column string
	State        State
	// Next says what is to be done in this state, in words. State.Next says it for
	// programs.
	Next string
}

// Error returns the step, and what is to be done.
func (e *OrderError) Error() string {
	return fmt.Sprintf("gormcrypt: %v: %s of %s; %s", ErrOrder, e.Step, e.Column, e.Next)
}

// Unwrap returns ErrOrder.
func (e *OrderError) Unwrap() error { return ErrOrder }

// DeploymentError says that a step has to be told what is deployed.
type DeploymentError struct {
	// Step is the name of the method, and Why says what it does, and to whom: a
	// sentence that begins with the step.
	Step, Why string
	// Admitted are those that Config.Deployed may be.
	Admitted []Deployment
}

// Error returns the reason, and what to set.
func (e *DeploymentError) Error() string {
	names := make([]string, len(e.Admitted))
	for i, one := range e.Admitted {
		names[i] = fmt.Sprintf("migrations.%s (%s)", constantOf[one], one)
	}
	return fmt.Sprintf("gormcrypt: %v: %s %s; when every running program is deployed so, set Config.Deployed to %s", ErrDeployment, e.Step, e.Why, strings.Join(names, " or "))
}

// Unwrap returns ErrDeployment.
func (e *DeploymentError) Unwrap() error { return ErrDeployment }

var constantOf = map[Deployment]string{WithoutTag: "WithoutTag", Reading: "Reading", Writing: "Writing", Settled: "Settled"}

// confirm returns an error unless all running programs have one of some deployments.
func confirm(step, why string, deployed Deployment, admitted ...Deployment) error {
	if slices.Contains(admitted, deployed) {
		return nil
	}
	return &DeploymentError{Step: step, Why: why, Admitted: admitted}
}

// requireMode returns an error unless the field has the migrating= of a deployment, in
// this program or in the manifest.
func (m *Migration) requireMode(wanted Deployment) error {
	if is := deploymentOf[m.mode()]; is != wanted {
		return fmt.Errorf("gormcrypt: %w: %s, %s is %s, and is to be %s; %s", ErrDeployment, m.source.where, m, is, wanted, m.source.renew)
	}
	return nil
}

// deploymentOf has the deployments by the migrating= of their fields.
var deploymentOf = map[string]Deployment{"": Settled, "read": Reading, "write": Writing}
