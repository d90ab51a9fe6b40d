//go:build !linux

package injector_test

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// isolate leaves a command as it is.
func isolate(*exec.Cmd) (uid int, isolated error) {
	return os.Getuid(), errors.New("it is not Linux")
}

func requireNoNetwork(t *testing.T, _ int) { t.Helper(); t.Fatal("not called") }

// dump skips the test: only Linux shows the memory of a process as a file.
func dump(t *testing.T, _ int) string {
	t.Helper()
	t.Skip("only Linux shows the memory of a process as a file")
	return ""
}

func testOtherUsers(t *testing.T, _ *world) { t.Skip("only Linux says who connects") }
