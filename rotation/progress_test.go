package rotation

import (
	"math"
	"testing"
	"time"
)

// steps has a meter see a job each second, by the rows of its first pass.
func steps(m *meter, total int64, waits string, rows ...int64) (p Progress) {
	for _, n := range rows {
		now := time.Unix(1e9, 0)
		if !m.at.IsZero() {
			now = m.at.Add(time.Second)
		}
		p = m.progress(Status{Pass: 1, Total: total, RowsOfPass: n}, waits, now)
	}
	return p
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		total int64
		waits string
		rows  []int64
		share float64
		left  time.Duration
	}{
		{"at the beginning", 100_000, "", []int64{0}, 0, 0},
		{"of one look", 100_000, "", []int64{50_000}, 0.5, 0},
		{"in the first hundredth", 100_000, "", []int64{0, 499, 999}, 0.00999, 0},
		{"after it", 100_000, "", []int64{0, 500, 1000}, 0.01, 198 * time.Second},
		{"in the middle", 100_000, "", []int64{40_000, 45_000, 50_000}, 0.5, 10 * time.Second},
		{"of one that was resumed", 100_000, "", []int64{90_000, 90_100}, 0.901, 99 * time.Second},
		{"while it waits", 100_000, "it is noon", []int64{40_000, 45_000, 50_000}, 0.5, 0},
		{"while nothing happens", 100_000, "", []int64{40_000, 40_000, 40_000}, 0.4, 0},
		{"when all is done", 100_000, "", []int64{90_000, 100_000}, 1, 0},
		{"when there are more rows than there were", 100_000, "", []int64{90_000, 110_000}, 1, 0},
		{"of no rows", 0, "", []int64{0, 0}, 1, 0},
	} {
		p := steps(&meter{}, c.total, c.waits, c.rows...)
		if p.Left != c.left || math.Abs(p.Share-c.share) > 1e-9 || p.RowsLeft != max(0, c.total-c.rows[len(c.rows)-1]) || p.Waits != c.waits {
			t.Errorf("%s: %s left, %d rows, %v done, waits %q; want %s, %v", c.name, p.Left, p.RowsLeft, p.Share, p.Waits, c.left, c.share)
		}
	}
}

// Nothing happens for a long time, then rows that were there are gone at the end.
func TestTimeLeftStaysATime(t *testing.T) {
	var m meter
	steps(&m, 1e6, "", 400_000, 401_000)
	for range 300 {
		if p := steps(&m, 1e6, "", 401_000); p.Left <= 0 || p.Left > longest {
			t.Fatalf("%s left at %v rows a second", p.Left, p.Rate)
		}
	}
	for _, state := range []State{Finished, Quarantined} {
		if p := m.progress(Status{State: state, Pass: 1, Total: 1e6, RowsOfPass: 900_000}, "", m.at.Add(time.Second)); p.Share != 1 || p.RowsLeft != 0 || p.Left != 0 {
			t.Errorf("%s: %v done, %d rows and %s left", state, p.Share, p.RowsLeft, p.Left)
		}
	}
}

func TestRateIsSmooth(t *testing.T) {
	var m meter
	if p := steps(&m, 1e6, "", 0, 1000, 2000, 3000); p.Rate != 1000 {
		t.Errorf("%v rows a second, want 1000", p.Rate)
	}
	// A second without rows takes off a fifth, and another rate comes through in time.
	if p := steps(&m, 1e6, "", 3000); math.Abs(p.Rate-800) > 1e-6 {
		t.Errorf("%v rows a second, want 800", p.Rate)
	}
	last := 800.0
	for rows := int64(5000); rows <= 63_000; rows += 2000 {
		p := steps(&m, 1e6, "", rows)
		if p.Rate <= last || p.Rate > 2000 {
			t.Errorf("%v rows a second after %v", p.Rate, last)
		}
		last = p.Rate
	}
	if last < 1990 {
		t.Errorf("%v rows a second after half a minute, want 2000", last)
	}
	// Two seconds at once are as two of one.
	one, two := m, m
	p := steps(&one, 1e6, "", 63_000, 63_000)
	q := two.progress(Status{Pass: 1, Total: 1e6, RowsOfPass: 63_000}, "", two.at.Add(2*time.Second))
	if math.Abs(p.Rate-q.Rate) > 1e-6 {
		t.Errorf("%v rows a second, and %v", p.Rate, q.Rate)
	}
	// Two looks at once are one.
	if r := two.progress(Status{Pass: 1, Total: 1e6, RowsOfPass: 64_000}, "", two.at); r.Rate != q.Rate {
		t.Errorf("%v rows a second, want %v", r.Rate, q.Rate)
	}
	// The next pass begins anew.
	if p := m.progress(Status{Pass: 2, Total: 1e6, RowsOfPass: 0}, "", m.at.Add(time.Second)); p.Rate != 0 || p.Share != 0 {
		t.Errorf("the next pass begins with %v rows a second, and %v done", p.Rate, p.Share)
	}
}
