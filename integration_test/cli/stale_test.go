package cli_test

import "testing"

// What was announced is looked at again when it is agreed to: a key that somebody else
// has promoted while the question stood there is not retired, and applications go on.
func TestStaleConfirmation(t *testing.T) {
	t.Parallel()
	dir, environment := shop(t, 5)
	p, other := newPane(t, dir, environment), newPane(t, dir, environment)
	p.run("gormcrypt rotate --yes")
	p.start("clear; gormcrypt keys retire 1")
	p.shows(`Go on, and give up key 1\? \[y/N\]`)
	other.run("gormcrypt keys promote 1 --every-process-has 1")
	p.press("y", "Enter")
	p.prompt()
	p.shows(`gormcrypt: refused: key 1 is primary; promote another before`)
}
