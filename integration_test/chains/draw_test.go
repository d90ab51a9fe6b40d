package chains

import (
	"math/bits"
	"slices"

	"pgregory.net/rapid"
)

// Everything is drawn bit by bit, which rapid shrinks in no time: it would
// spend minutes on the fractions by which it draws otherwise.

var bit = rapid.Bool()

func coin(t *rapid.T) bool { return bit.Draw(t, "") }

// upTo is a number from 0 to n.
func upTo(t *rapid.T, n int) int {
	drawn := 0
	for range bits.Len(uint(n)) {
		drawn <<= 1
		if coin(t) {
			drawn++
		}
	}
	if drawn > n {
		drawn -= n + 1
	}
	return drawn
}

// sometimes is true about once in n times.
func sometimes(t *rapid.T, n int) bool { return upTo(t, n-1) == n-1 }

// pick returns one of these things. It shrinks to the first.
func pick[T any](t *rapid.T, from ...T) T { return from[upTo(t, len(from)-1)] }

// some returns up to n of these things, each once.
func some[T any](t *rapid.T, n int, from ...T) []T {
	from = slices.Clone(from)
	return many(t, 0, min(n, len(from)), func(t *rapid.T) T {
		i := upTo(t, len(from)-1)
		one := from[i]
		from = slices.Delete(from, i, i+1)
		return one
	})
}

// many draws at least so many things, and at most so many.
func many[T any](t *rapid.T, least, most int, draw func(*rapid.T) T) []T {
	var drawn []T
	// What is drawn for one thing can be left out by itself, and when there are
	// as many as there may be, too.
	next := rapid.Custom(func(t *rapid.T) bool {
		if more := len(drawn) < least || upTo(t, 3) > 0; !more || len(drawn) == most {
			return false
		}
		drawn = append(drawn, draw(t))
		return true
	})
	for next.Draw(t, "") {
	}
	return drawn
}
