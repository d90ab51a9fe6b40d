package keyring_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

const (
	environVariable = "KEYRING_TEST_ENVIRON"
	environSecret   = "KEYRING_TEST_ENVIRON_KEYS"
)

// TestEnvironShowsNoKey looks at a real process from outside: at what the kernel
// shows of its environment, before and after it has read its keyring, and at what
// its children inherit.
func TestEnvironShowsNoKey(t *testing.T) {
	if how := os.Getenv(environVariable); how != "" {
		readInChild(how)
		return
	}
	t.Parallel()
	ring, other := generate(t), generate(t)
	text := document(t, ring)
	secret := keyOf(t, text)

	t.Run("read", func(t *testing.T) {
		t.Parallel()
		child := startChild(t, "read", environSecret+"="+text, environSecret+"2="+document(t, other), "X"+environSecret+"=x")
		before := child.environ()
		if !strings.Contains(before, secret) {
			t.Fatal("the key is not in /proc/PID/environ before it is read, so the test would find none")
		}
		if got := child.next(); got != "loaded "+ring.String() {
			t.Fatalf("the child says %q", got)
		}
		after := child.environ()
		if strings.Contains(after, secret[:8]) {
			t.Error("after it was read, /proc/PID/environ still shows the key")
		}
		// Nothing else has changed.
		want := strings.ReplaceAll(before, environSecret+"="+text, environSecret+"="+strings.Repeat("\x00", len(text)))
		if after != want {
			t.Errorf("/proc/PID/environ was\n%q\nand is\n%q", before, after)
		}
		requireInherits(t, child.next(), environSecret+"2", environSecret)
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		child := startChild(t, "read", environSecret+"="+secret)
		if !strings.Contains(child.environ(), secret) {
			t.Fatal("the key is not there before it is read")
		}
		if got := child.next(); !strings.HasPrefix(got, "refused ") || strings.Contains(got, secret) {
			t.Fatalf("the child says %q", got)
		}
		if strings.Contains(child.environ(), secret) {
			t.Error("a pasted key stays after it was refused")
		}
	})
	// An environment may hold a name twice. Go sees the first value; the kernel shows both.
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		again := document(t, other)
		// exec.Cmd removes duplicates, so the child makes them.
		child := startChild(t, "twice", environSecret+"="+text, "KEYRING_TEST_AGAIN="+again)
		if before := child.environ(); strings.Count(before, environSecret+"=") != 2 || !strings.Contains(before, secret) || !strings.Contains(before, keyOf(t, again)) {
			t.Fatalf("the name is not there twice: %q", before)
		}
		if got := child.next(); got != "loaded "+ring.String() {
			t.Fatalf("the child says %q", got)
		}
		if after := child.environ(); strings.Contains(after, secret) || strings.Contains(after, keyOf(t, again)) {
			t.Error("one of the two stays")
		}
	})
	// More than a page, so that the block is not read in one piece by chance.
	t.Run("large", func(t *testing.T) {
		t.Parallel()
		large := text + strings.Repeat(" ", 100_000)
		child := startChild(t, "read", environSecret+"="+large, "KEYRING_TEST_PADDING="+strings.Repeat("p", 100_000))
		if got := child.next(); got != "loaded "+ring.String() {
			t.Fatalf("the child says %q", got)
		}
		if after := child.environ(); strings.Contains(after, secret) || !strings.Contains(after, strings.Repeat("p", 100_000)) {
			t.Error("the key stays, or another variable went")
		}
	})
	// A process that has changed its user may not write to its own memory. It
	// loads its keyring all the same, and its children inherit nothing.
	t.Run("not dumpable", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root may change its user")
		}
		child := startChild(t, "another user", environSecret+"="+text)
		if got := child.next(); got != "loaded "+ring.String() {
			t.Fatalf("the child says %q", got)
		}
		if !strings.Contains(child.environ(), secret) {
			t.Error("it was removed; say so in the comment of TakeEnv")
		}
		requireInherits(t, child.next(), environVariable, environSecret)
	})
}

// keyOf returns the first key of a document, in base64.
func keyOf(t *testing.T, text string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, `"key": "`)
	key, _, _ := strings.Cut(rest, `"`)
	if raw, err := base64.RawURLEncoding.DecodeString(key); err != nil || len(raw) != keyring.KeySize {
		t.Fatalf("no key in the document: %v", err)
	}
	return key
}

// requireInherits checks the environment of a child's child.
func requireInherits(t *testing.T, environ, inherited, removed string) {
	t.Helper()
	has := func(name string) bool { return strings.Contains("\x00"+environ, "\x00"+name+"=") }
	if !has(inherited) || has(removed) {
		t.Errorf("a process that was started later has the environment %q", environ)
	}
}

// child is a process that waits for a line before each step, and answers each with
// a line.
type child struct {
	t       *testing.T
	command *exec.Cmd
	in      io.Writer
	out     *bufio.Scanner
}

func startChild(t *testing.T, how string, variables ...string) *child {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestEnvironShowsNoKey$")
	command.Env = append([]string{environVariable + "=" + how, "GOCOVERDIR=" + t.TempDir()}, variables...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	c := &child{t, command, in, bufio.NewScanner(out)}
	c.out.Buffer(nil, 1<<20)
	if got := c.line(); got != "ready" {
		t.Fatalf("the child says %q", got)
	}
	return c
}

func (c *child) next() string {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

func (c *child) line() string {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("the child says nothing: %v", c.out.Err())
	}
	return c.out.Text()
}

// environ returns what the kernel shows to those who may look.
func (c *child) environ() string {
	c.t.Helper()
	environ, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(c.command.Process.Pid), "environ"))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(environ)
}

func readInChild(how string) {
	switch how {
	case "another user":
		if err := syscall.Setuid(65534); err != nil {
			panic(err)
		}
	case "twice":
		environ := append(os.Environ(), environSecret+"="+os.Getenv("KEYRING_TEST_AGAIN"))
		for i, variable := range environ {
			if strings.HasPrefix(variable, environVariable+"=") {
				environ[i] = environVariable + "=read"
			}
		}
		environ = deleteVariable(environ, "KEYRING_TEST_AGAIN")
		panic(syscall.Exec(os.Args[0], os.Args, environ))
	}
	steps := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	steps.Scan()
	if ring, err := keyring.FromEnv(environSecret); err != nil {
		fmt.Println("refused", err)
	} else {
		fmt.Println("loaded", ring)
	}
	steps.Scan()
	environ, err := exec.Command("/usr/bin/env", "-0").Output()
	fmt.Printf("%s %v\n", bytes.ReplaceAll(environ, []byte("\n"), nil), err)
	steps.Scan()
	os.Exit(0)
}

func deleteVariable(environ []string, name string) []string {
	kept := environ[:0]
	for _, variable := range environ {
		if !strings.HasPrefix(variable, name+"=") {
			kept = append(kept, variable)
		}
	}
	return kept
}
