package injector_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// otherUser is who the application runs as if we are root: nobody, on most systems.
const otherUser = 65534

// isolate has a command run without a network, and as another user if we are root.
// It returns which user that is, and why it has a network all the same.
func isolate(cmd *exec.Cmd) (uid int, isolated error) {
	uid = os.Getuid()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid == 0 {
		uid = otherUser
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: otherUser, Gid: otherUser}
	} else {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	}
	if isolated = exec.Command("unshare", "-n", "true").Run(); uid == os.Getuid() {
		isolated = exec.Command("unshare", "-n", "-r", "true").Run()
	}
	if isolated != nil {
		cmd.SysProcAttr.Cloneflags = 0
		cmd.SysProcAttr.UidMappings = nil
	}
	return uid, isolated
}

// requireNoNetwork fails the test if a process has another network interface than
// its own loopback, which is down.
func requireNoNetwork(t *testing.T, pid int) {
	t.Helper()
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	ours, err2 := os.Readlink("/proc/self/ns/net")
	interfaces, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	routes, err4 := os.ReadFile(fmt.Sprintf("/proc/%d/net/route", pid))
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if theirs == ours {
		t.Error("the application has our network")
	}
	if strings.Count(string(interfaces), ":") != 1 || !strings.Contains(string(interfaces), " lo:") || strings.Count(string(routes), "\n") > 1 {
		t.Errorf("the application has a network:\n%s%s", interfaces, routes)
	}
}

// dump writes what a process holds to files: its memory, as far as it can be read
// and is not zero, its environment and its arguments.
func dump(t *testing.T, pid int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	file, err := os.OpenFile(filepath.Join(dir, "memory"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var start, end uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &mode); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if mode[0] != 'r' || strings.Contains(line, "[v") { // the kernel's own, such as [vvar]
			continue
		}
		if err := copyMapping(file, memory, int64(start), int64(end)); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	for _, name := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyMapping(file, memory *os.File, start, end int64) error {
	chunk := make([]byte, 64<<10)
	zero := make([]byte, len(chunk))
	for start < end {
		part := chunk[:min(int64(len(chunk)), end-start)]
		if _, err := memory.ReadAt(part, start); errors.Is(err, syscall.EIO) {
			return nil // unmapped meanwhile
		} else if err != nil {
			return err
		}
		if !bytes.Equal(part, zero[:len(part)]) {
			if _, err := file.Write(part); err != nil {
				return err
			}
		}
		start += int64(len(part))
	}
	return nil
}

// testOtherUsers runs applications as other users, which takes root.
func testOtherUsers(t *testing.T, w *world) {
	if os.Getuid() != 0 {
		t.Skip("only root can run processes as other users")
	}
	run := func(uid uint32) string {
		cmd := exec.Command(filepath.Join(w.programs, "app"), "-socket", w.socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		cmd.Stdin = strings.NewReader("ada demo/x\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("the application ended with %v: %s", err, out)
		}
		return string(out)
	}
	w.serve(t, "-app", "65534")
	if got := run(65534); got != "ada: 200 OK ada\n" {
		t.Errorf("the application of the right user printed %q", got)
	}
	for _, uid := range []uint32{0, 65533} {
		if got := run(uid); strings.Contains(got, "200") {
			t.Errorf("the application of user %d printed %q", uid, got)
		}
		w.log.waitFor(t, fmt.Sprintf("another user made it\" uid=%d pid=", uid), 1)
	}
}
