//go:build !goexperiment.runtimesecret

package secretly

// Do calls f, and overwrites the stack that it used, as far as that is usual.
func Do(f func()) {
	overwriteStack() // also has it grow now: later, what is on it would be copied
	defer overwriteStack()
	f()
}

// Erase calls f.
func Erase(f func()) { f() }

// depth is the stack that is overwritten, in bytes: more than any derivation of a
// key uses.
const depth = 8 << 10

//go:noinline
func overwriteStack() {
	var frame [depth]byte
	keep(&frame)
}

//go:noinline
func keep(*[depth]byte) {}
