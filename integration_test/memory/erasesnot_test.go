//go:build linux && !goexperiment.runtimesecret

package memory_test

// erases says that the programs are built with GOEXPERIMENT=runtimesecret.
const erases = false

// byChance is how many of many copies may be left: when a stack has to grow, Go moves
// it and does not clear the old one, with whatever was computed there at that moment.
// What is never overwritten is left as often as it was copied.
const byChance = copies / 16
