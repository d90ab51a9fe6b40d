package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// capture runs commands in a terminal of 80 columns, and returns what it shows then,
// with what has scrolled away: each command behind a "$ ", and its output. Environment
// is beside that of the test. It skips the test if there is no tmux.
func capture(t testing.TB, dir string, environment []string, commands ...string) string {
	t.Helper()
	p := newPane(t, dir, environment)
	for _, command := range commands {
		p.run(command)
	}
	return p.text()
}

// pane is a shell in a terminal of 80 columns and 24 lines.
type pane struct {
	testing.TB
	socket string
}

func newPane(t testing.TB, dir string, environment []string) *pane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no tmux")
		}
		t.Skip("there is no tmux")
	}
	sockets, err := os.MkdirTemp("", "tmux") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	p := &pane{t, filepath.Join(sockets, "s")}
	t.Cleanup(func() {
		p.tmux("kill-server")
		os.RemoveAll(sockets)
	})
	// The shell tells with each prompt that the command before it has ended.
	shell := exec.Command("tmux", "-S", p.socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "bash --norc --noprofile")
	shell.Dir = dir
	shell.Env = append(append(os.Environ(), environment...), "LC_ALL=C.UTF-8", "TERM=xterm", "PROMPT_COMMAND=PS1='$ '; tmux wait-for -S prompt", "HISTFILE=")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.prompt()
	return p
}

func (p *pane) tmux(args ...string) string {
	p.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", p.socket}, args...)...).CombinedOutput()
	if err != nil {
		p.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// run runs a command, and waits for its end.
func (p *pane) run(command string) {
	p.Helper()
	p.start(command)
	p.prompt()
}

// start runs a command. Its end is waited for by prompt.
func (p *pane) start(command string) {
	p.Helper()
	p.tmux("send-keys", "-l", command)
	p.tmux("send-keys", "Enter")
}

// prompt waits for the end of the command.
func (p *pane) prompt() {
	p.Helper()
	wait := exec.Command("tmux", "-S", p.socket, "wait-for", "prompt")
	timer := time.AfterFunc(patience, func() { _ = wait.Process.Kill() })
	defer timer.Stop()
	if err := wait.Run(); err != nil {
		p.Fatalf("the command does not end: %v\n%s", err, p.text())
	}
	p.shows(`(?m)^\$\s*\z`) // keys that come before it are echoed twice
}

// shows waits until a pattern is to be seen, and returns the text.
func (p *pane) shows(pattern string) string {
	p.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if regexp.MustCompile(pattern).MatchString(p.screen()) {
			return p.text()
		}
		if time.Now().After(deadline) {
			p.Fatalf("no %q is to be seen in\n%s", pattern, p.text())
		}
	}
}

// press sends keys, such as "C-c".
func (p *pane) press(keys ...string) {
	p.Helper()
	p.tmux(append([]string{"send-keys"}, keys...)...)
}

// text returns what there is to be seen, without the last prompt.
func (p *pane) text() string {
	p.Helper()
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(p.screen(), "\n "), "$"), "\n") + "\n"
}

// screen returns what there is to be seen, and has scrolled away.
func (p *pane) screen() string {
	p.Helper()
	return p.tmux("capture-pane", "-p", "-S", "-")
}
