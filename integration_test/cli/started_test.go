package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for what has to come.
const patience = 3 * time.Minute

// started is gormcrypt in the background of a script.
type started struct {
	command        *exec.Cmd
	stdout, stderr printed
	done           chan struct{}
	err            error // when done
}

// printed is what a process has printed so far.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start ARGS... runs gormcrypt in the background. There is one at a time.
func start(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if neg || len(args) == 0 || w.started != nil {
		ts.Fatalf("usage: start ARGS..., when nothing is started")
	}
	p := &started{command: exec.Command(w.command, args...), done: make(chan struct{})}
	p.command.Dir, p.command.Env = ts.MkAbs("."), environment(ts)
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	ts.Check(p.command.Start())
	w.started = p
	go func() {
		defer close(p.done)
		p.err = p.command.Wait()
	}()
	ts.Defer(func() {
		_ = p.command.Process.Kill()
		<-p.done
	})
}

// signal INT|HUP|KILL sends a signal to what was started. Where these tests run under
// nohup, and so what they start, HUP is TERM.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	if ossignal.Ignored(syscall.SIGHUP) {
		signals["HUP"] = syscall.SIGTERM
	}
	p := worldOf(ts).started
	if neg || p == nil || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal INT|HUP|KILL, when something is started")
	}
	ts.Check(p.command.Process.Signal(signals[args[0]]))
}

// ended CODE waits for the end of what was started, whose output is that of this
// command. The code of what was killed is -1.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	p := w.started
	if neg || p == nil || len(args) != 1 {
		ts.Fatalf("usage: ended CODE, when something is started")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("it does not end:\n%s%s", &p.stdout, &p.stderr)
	}
	w.started = nil
	fmt.Fprint(ts.Stdout(), &p.stdout)
	fmt.Fprint(ts.Stderr(), &p.stderr)
	exit, ok := errors.AsType[*exec.ExitError](p.err)
	if p.err != nil && !ok {
		ts.Fatalf("%v", p.err)
	}
	if got := exitCode(exit); got != code {
		ts.Fatalf("exit code %d, want %d\n%s%s", got, code, &p.stdout, &p.stderr)
	}
}

// says PATTERN waits until what was started has printed something that matches.
func says(ts *testscript.TestScript, neg bool, args []string) {
	p := worldOf(ts).started
	if neg || p == nil || len(args) != 1 {
		ts.Fatalf("usage: says PATTERN, when something is started")
	}
	pattern := regexp.MustCompile(args[0])
	said := func() bool { return pattern.MatchString(p.stdout.String() + p.stderr.String()) }
	for deadline := time.After(patience); !said(); {
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-p.done:
		case <-deadline:
		}
		if !said() {
			ts.Fatalf("it does not say %q:\n%s%s", args[0], &p.stdout, &p.stderr)
		}
	}
}

// until PATTERN STATEMENT runs a statement until its rows match the pattern.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until PATTERN STATEMENT")
	}
	w, pattern := worldOf(ts), regexp.MustCompile(args[0])
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		lines, err := w.query(args[1]) // fails while the table is not there yet
		if err == nil && pattern.MatchString(lines) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: it never matches %q; at last there was\n%s%v", args[1], args[0], lines, err)
		}
	}
}
