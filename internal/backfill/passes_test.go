package backfill

import (
	"testing"
	"time"
)

// The passes of a job: as many as it takes to find nothing stale, and one that opens
// everything. What is stale again and again is waited for, and at last paused for.
func TestPasses(t *testing.T) {
	for _, c := range []struct {
		name               string
		from               Pass
		stale, quarantined int64
		next               Pass
		state              string
		pause              time.Duration
	}{
		{"nothing is left", Pass{Rewriting, 1}, 0, 0, Pass{Verifying, 2}, Running, 0},
		{"all opens", Pass{Verifying, 2}, 0, 0, Pass{Ended, 2}, Finished, 0},
		{"some does not", Pass{Verifying, 2}, 0, 3, Pass{Ended, 2}, Quarantined, 0},
		{"something was written meanwhile", Pass{Rewriting, 1}, 5, 0, Pass{Rewriting, 2}, Running, 0},
		{"and again", Pass{Rewriting, 2}, 5, 0, Pass{Rewriting, 3}, Running, 0},
		{"and again and again", Pass{Rewriting, 3}, 5, 0, Pass{Rewriting, 4}, Running, time.Second},
		{"while all was opened", Pass{Verifying, 5}, 1, 0, Pass{Rewriting, 6}, Running, 4 * time.Second},
		{"for long", Pass{Rewriting, 19}, 5, 0, Pass{Rewriting, 20}, Running, time.Minute},
		{"for too long", Pass{Rewriting, 20}, 5, 0, Pass{Rewriting, 21}, Paused, time.Minute},
		{"and after it was resumed", Pass{Rewriting, 99}, 5, 0, Pass{Rewriting, 100}, Paused, time.Minute},
	} {
		next, state, reason := settle(c.from, c.stale, c.quarantined, "")
		if next != c.next || state != c.state || pause(next) != c.pause || (reason == "") != (state == Running || state == Finished) {
			t.Errorf("%s: %v, %s, %q, after %v; want %v, %s, %v", c.name, next, state, reason, pause(next), c.next, c.state, c.pause)
		}
	}
}

// What a value names is known without its key.
func TestVersionOf(t *testing.T) {
	for stored, want := range map[any]string{"gc1:12:AAAA": "12", "i3:AAAA": "i3", "gc1:i3:AAAA": "i3", "plain": "", "": "", "a:b:7": "", ":": ""} {
		if got := versionOf(stored); got != want {
			t.Errorf("%q: %q, want %q", stored, got, want)
		}
	}
	if got := versionOf([]byte("gc1:4:\x00\xff")); got != "4" {
		t.Errorf("of bytes: %q", got)
	}
}
