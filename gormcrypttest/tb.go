package gormcrypttest

// TB is what this package needs of a test. *testing.T, *testing.B, *testing.F
// and most frameworks have it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}
