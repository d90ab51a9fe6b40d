package migrations

// turn is what comes next in a state.
type turn struct {
	deploy []Deployment
	step   string
	// advice says the same in words.
	advice string
}

var turns = map[State]turn{
	None:        {nil, "Expand", "nothing was done yet: look at Plan, and run Expand"},
	Expanding:   {nil, "Expand", "the table has a part of what Expand makes: run Expand again, or Revert"},
	Expanded:    {[]Deployment{Reading, Writing}, "Backfill", "it is expanded: deploy migrating=read, then migrating=write, and run Backfill"},
	Backfilling: {nil, "Backfill", "Backfill has begun and is not done: run it again, or Revert"},
	Backfilled:  {nil, "Verify", "it is backfilled: run Verify"},
	Verified:    {nil, "Enforce", "it is verified: run Enforce"},
	Enforcing:   {nil, "Enforce", "Enforce has begun and is not done: run it again, or Revert"},
	Enforced:    {[]Deployment{Settled}, "Finish", "the database refuses plaintext: deploy the field without migrating=, and run Finish"},
	Finished:    {nil, "", "it is finished; run Revert if it is to be plaintext again"},
	Reverting:   {nil, "Revert", "it is being reverted: deploy migrating=read, and run Revert with Config.Deployed, or Backfill to go on after all"},
	Reverted:    {[]Deployment{WithoutTag}, "Revert", "all values are plaintext: deploy the field without the tag, and run Revert with Config.Deployed"},
}

// Next returns what comes next on the way there or, once Revert has begun, on the way
// back: the deployments that all programs are to have first, one after the other, and
// the name of the method to call then. The last deployment is the Config.Deployed of
// that step. What is to be deployed while it is being reverted depends on what the
// database holds: Revert itself says it, by a *[DeploymentError].
//
// There is no step when it is finished, and in a state that only a newer version of the
// library knows.
func (s State) Next() (deploy []Deployment, step string) {
	next := turns[s]
	return append([]Deployment(nil), next.deploy...), next.step
}

// advice says what is to be done in a state.
func (s State) advice() string {
	next, known := turns[s]
	if !known {
		return "the record has the state " + string(s) + ", which this version of the library does not know"
	}
	return next.advice
}
