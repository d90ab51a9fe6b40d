// Package secretly runs what handles keys. In a program that is built with
// GOEXPERIMENT=runtimesecret, on Linux for amd64 and arm64, registers and stack
// are erased after it, and memory that it allocated is once that is garbage. In
// any other build Do overwrites the stack, as far down as is usual, and Erase, which
// is for what runs often, does nothing.
package secretly
