package fsck

import "testing"

// So many bound values are known to have been tried, and no more, of however many columns.
func TestTriedTuplesAreBounded(t *testing.T) {
	t.Parallel()
	var l look
	for tuple := range uint64(maxTuples + 10) {
		if l.tuples.tried(tuple) {
			t.Fatalf("%d was not tried before", tuple)
		}
	}
	if len(l.tuples) != maxTuples || !l.tuples.tried(7) || l.tuples.tried(maxTuples+1) {
		t.Errorf("%d are known", len(l.tuples))
	}
}
