package migrations

import (
	"context"
	"fmt"
	"slices"
)

// gate is where a step begins, or not.
type gate struct {
	// admitted are the states in which it may, and done those of them in which there is
	// nothing for it to do.
	admitted, done []State
	// deployed returns an error unless all programs have what it needs.
	deployed func(m *Migration, r record, deployed Deployment) error
}

var anyState = []State{None, Expanding, Expanded, Backfilling, Backfilled, Verified, Enforcing, Enforced, Finished, Reverting, Reverted}

// gates are those of the steps, by the names of their methods.
var gates = map[string]gate{
	"Plan":             {admitted: anyState},
	"Expand":           {admitted: []State{None, Expanding, Expanded}, done: []State{Expanded}},
	"Backfill":         {admitted: []State{Expanded, Backfilling, Backfilled, Verified, Enforced, Finished, Reverting, Reverted}, deployed: (*Migration).mayBackfill},
	"TakeForPlaintext": {admitted: []State{Backfilling, Backfilled, Verified}, deployed: (*Migration).mayTakeForPlaintext},
	"Verify":           {admitted: []State{Backfilled, Verified, Enforcing, Enforced, Finished}},
	"Enforce":          {admitted: []State{Verified, Enforcing, Enforced, Finished}, done: []State{Enforced, Finished}, deployed: (*Migration).mayEnforce},
	"Finish":           {admitted: []State{Enforced, Finished}, deployed: (*Migration).mayFinish},
	"Revert":           {admitted: anyState, done: []State{None}},
}

// Ready returns the error with which a step would refuse to begin now, because of its
// turn or of what is deployed: ErrOrder or ErrDeployment. The step is named as its
// method is, and as [State.Next] does. It is for programs that ask people before they
// run a step: it reads no row of the table. What is in the way of the step otherwise,
// and what Revert asks for on its way, is not looked at.
//
// It returns an error for a name that is none, and otherwise those of ctx and the
// database.
func (m *Migration) Ready(ctx context.Context, step string, config Config) error {
	if _, ok := gates[step]; !ok {
		return fmt.Errorf("gormcrypt: there is no step %q", step)
	}
	_, _, err := m.begin(ctx, step, &config)
	return err
}

// begin returns the record, if a step may run, and whether it is done already. It sets
// the defaults of the configuration.
func (m *Migration) begin(ctx context.Context, step string, config *Config) (r record, done bool, err error) {
	if err := config.check(); err != nil {
		return record{}, false, err
	}
	if r, err = m.record(ctx); err != nil {
		return r, false, err
	}
	g := gates[step]
	switch {
	case !slices.Contains(g.admitted, r.State):
		return r, false, &OrderError{Step: step, Column: m.String(), State: r.State, Next: r.State.advice()}
	case slices.Contains(g.done, r.State):
		return r, true, nil
	case g.deployed != nil:
		return r, false, g.deployed(m, r, config.Deployed)
	}
	return r, false, nil
}

func (m *Migration) mayBackfill(r record, deployed Deployment) error {
	why := "seals plaintext, which programs without the tag would read as it is, and which those with migrating=read would write again"
	if m.index != nil {
		why = "makes terms, which programs that do not write them would leave behind when they write a value"
	}
	if (r.State == Enforced || r.State == Finished) && !m.settles(r, deployed) {
		return &OrderError{Step: "Backfill", Column: m.String(), State: r.State, Next: r.State.advice()}
	}
	return m.maySeal(r, "Backfill", why, deployed)
}

func (m *Migration) mayTakeForPlaintext(r record, deployed Deployment) error {
	return m.maySeal(r, "TakeForPlaintext", "seals plaintext, which programs without the tag would read as it is", deployed)
}

// settles reports whether plaintext is sealed that no program reads: of a field that was
// encrypted from its first day, and never had migrating=, or is finished, and has lost its
// constraint.
func (m *Migration) settles(r record, deployed Deployment) bool {
	return deployed == Settled && m.mode() == "" && m.index == nil && r.Beside == ""
}

// maySeal asks for programs that write ciphertext.
func (m *Migration) maySeal(r record, step, why string, deployed Deployment) error {
	wanted := Writing
	if m.settles(r, deployed) {
		wanted = Settled
	}
	if err := confirm(step, why, deployed, wanted); err != nil {
		return err
	}
	return m.requireMode(wanted)
}

func (m *Migration) mayEnforce(_ record, deployed Deployment) error {
	return confirm("Enforce", "has the database refuse plaintext, which programs with migrating=read write", deployed, Writing, Settled)
}

func (m *Migration) mayFinish(_ record, deployed Deployment) error {
	if err := confirm("Finish", "drops what programs with migrating= find plaintext by", deployed, Settled); err != nil {
		return err
	}
	return m.requireMode(Settled)
}
