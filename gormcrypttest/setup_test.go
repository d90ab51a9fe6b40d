package gormcrypttest_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

func TestMain(m *testing.M) {
	// GORM writes to it when it refuses a model, whatever the logger of the
	// *gorm.DB is.
	logger.Default = logger.Discard
	os.Exit(m.Run())
}

// recorder is a test that fails without failing the one it is used in.
type recorder struct {
	*testing.T
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failuresOf returns how a test fails.
func failuresOf(t *testing.T, test func(gormcrypttest.TB)) []string {
	t.Helper()
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(r)
	}()
	<-done
	return r.failures
}

// requireFailure checks that a test fails once, with a message that has all of
// want in it.
func requireFailure(t *testing.T, failures []string, want ...string) {
	t.Helper()
	if len(failures) != 1 {
		t.Fatalf("%d failures, want one with %q: %q", len(failures), want, failures)
	}
	for _, want := range want {
		if !strings.Contains(failures[0], want) {
			t.Errorf("the failure is %q, want %q in it", failures[0], want)
		}
	}
}
