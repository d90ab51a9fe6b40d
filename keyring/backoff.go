package keyring

import (
	"math/rand/v2"
	"time"
)

// backoff returns how long to wait after so many failures in a row: first, twice
// as long after each, and longest at most. Half of it is drawn at random, so that
// processes which failed together do not come back together. This is the "equal
// jitter" of M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog,
// 2015; unlike the other kinds there, it bounds the number of calls.
func backoff(first, longest time.Duration, failures int) time.Duration {
	wait := min(first, longest)
	for range failures {
		if wait > longest/2 {
			wait = longest
			break
		}
		wait *= 2
	}
	return wait/2 + rand.N(wait-wait/2+1)
}
