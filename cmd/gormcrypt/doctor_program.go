package main

import (
	"context"
	"crypto/fips140"
	"runtime"
)

// checkProgram says what this program is.
func (e *examination) checkProgram(context.Context) []finding {
	mode := "off"
	if fips140.Enabled() {
		mode = "on"
	}
	found := ok("gormcrypt %s, %s, %s/%s, FIPS 140-3 mode %s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, mode)
	if e.settings == nil {
		return found
	}
	algorithm, err := e.algorithm()
	switch {
	case err != nil:
		return append(found, of("algorithm", failed(err))...)
	case algorithm.String() == "XChaCha20-Poly1305" && fips140.Enabled():
		return append(found, of("algorithm", problem("set algorithm to aes-256-gcm, here and in the application", "FIPS 140-3 mode does not admit xchacha20-poly1305"))...)
	}
	return found
}
