//go:build linux && goexperiment.runtimesecret

package memory_test

// erases says that the programs are built with GOEXPERIMENT=runtimesecret.
const erases = true

// byChance is how many of many copies may be left.
const byChance = 0
