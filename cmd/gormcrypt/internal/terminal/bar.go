package terminal

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// Count returns a number as people read it: 1,234,567.
func Count(n int64) string { return humanize.Comma(n) }

// Percent returns a share, from 0 to 1. It says neither that there is nothing nor that
// it is all unless that is so.
func Percent(share float64) string {
	tenths := math.Floor(share*1000 + 1e-9)
	switch {
	case share > 0 && tenths == 0:
		return "0.1 %"
	case share >= 1:
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", tenths/10)
}

// Bar returns a share, from 0 to 1, as a bar of some columns. It is empty where there
// is no terminal. It is full if all is done, and empty if nothing is.
func (o *Output) Bar(share float64, columns int) string {
	if !o.IsTerminal {
		return ""
	}
	full, rest := "#", "-"
	if o.Unicode {
		full, rest = "█", "░"
	}
	n := int(math.Floor(share*float64(columns) + 1e-9))
	if share > 0 {
		n = max(n, 1)
	}
	n = max(0, min(n, columns))
	return strings.Repeat(full, n) + strings.Repeat(rest, columns-n)
}
