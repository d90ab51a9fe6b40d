//go:build goexperiment.runtimesecret

package secretly

import "runtime/secret"

// Do calls f, and erases what it leaves behind.
func Do(f func()) { secret.Do(f) }

// Erase is Do.
func Erase(f func()) { secret.Do(f) }
