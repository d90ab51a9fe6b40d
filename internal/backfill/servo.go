package backfill

import (
	"slices"
	"time"
)

const (
	firstRows   = 100 // of the first batch
	minRows     = 10  // below which only failures lead
	memory      = 10  // batches that the size of the next is computed from
	growth      = 1.5 // at most, from one batch to the next
	panicFactor = 5   // a batch that took so many times the target shrinks the next at once
)

// servo finds the number of rows that take the target.
type servo struct {
	size   float64
	perRow []float64 // nanoseconds a row took, of the last batches
}

// took learns from a batch. The next one takes the target if its rows take as long
// as those of the slowest tenth of late: of ten batches the second slowest, so
// that one hiccup changes nothing, unless it is a bad one.
func (s *servo) took(rows int, took, target time.Duration) {
	perRow := float64(took) / float64(rows)
	switch {
	case took > panicFactor*target:
		fits := min(s.size/panicFactor, float64(target)/perRow)
		s.size, s.perRow = min(s.size, max(minRows, fits)), nil
		return
	case took <= target && float64(rows) < s.size/2:
		return // what few rows take is mostly what any statement takes
	}
	s.note(perRow)
	sorted := slices.Sorted(slices.Values(s.perRow))
	fits := float64(target) / sorted[(len(sorted)*9-1)/10]
	s.size = min(max(minRows, fits), s.size*growth)
}

// failed halves a batch that failed. It counts as one of which half takes the
// target, so that the next ones do not soon grow to where it fails again.
func (s *servo) failed(rows int, target time.Duration) {
	s.size = max(1, float64(rows)/2)
	s.note(float64(target) / s.size)
}

func (s *servo) note(perRow float64) {
	s.perRow = append(s.perRow, perRow)
	if len(s.perRow) > memory {
		s.perRow = s.perRow[1:]
	}
}
