package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// secrets makes the values that a row of the suite writes. Each holds a run of
// ten digits that nothing else in the suite does, the marker, so that it is
// recognised wherever it turns up: as text, as a number, inside of JSON.
type secrets struct {
	series int // of the row
	last   int
	known  []string
	// watch is told of every marker before its value is handed out.
	watch func(markers ...string)
}

// mark notes markers.
func (s *secrets) mark(markers ...string) {
	s.known = append(s.known, markers...)
	s.watch(markers...)
}

// number returns a number that is a marker, and fits a uint32.
func (s *secrets) number() int64 {
	s.last++
	n := 42_0000_0000 + int64(s.series)*10_000 + int64(s.last)
	digits := strconv.FormatInt(n, 10)
	s.mark(digits, digits[:1]+"."+digits[1:]) // as fmt writes large floats
	return n
}

// text returns a text with a marker.
func (s *secrets) text() string { return fmt.Sprintf("ada.%d@example.org", s.number()) }

// bytes returns bytes with a marker, which are no text.
func (s *secrets) bytes() []byte { return fmt.Appendf(nil, "\x00\xff%d\xfe", s.number()) }

// float returns a number with a fraction. Its marker is what stands before it.
func (s *secrets) float() float64 { return float64(s.number()) + 0.25 }

// moment returns a time in the year 4242, with nanoseconds and an offset. Its
// markers are the day and the Unix time.
func (s *secrets) moment() time.Time {
	n := s.number()
	moment := time.Date(4242, 4, 24, 12, 0, int(n%3600), int(n%1_000_000_000), time.FixedZone("", 5*3600+1800))
	s.mark("4242-04-24", strconv.FormatInt(moment.Unix(), 10))
	return moment
}

// labels returns a slice with a marker.
func (s *secrets) labels() []string { return []string{s.text(), ""} }

// notes returns a map with markers in its keys and its values.
func (s *secrets) notes() map[string]string { return map[string]string{s.text(): s.text()} }

// in returns the markers that a text holds.
func (s *secrets) in(text string) []string {
	var found []string
	for _, marker := range s.known {
		if strings.Contains(text, marker) {
			found = append(found, marker)
		}
	}
	return found
}
