package terminal_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

// utf8 is the environment of most terminals.
var utf8 = map[string]string{"LANG": "en_US.UTF-8", "TERM": "xterm-256color", "NO_COLOR": "1"}

// inTerminal returns what a terminal of some columns is sent.
func inTerminal(t *testing.T, columns int, env map[string]string, print func(*terminal.Output)) string {
	t.Helper()
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 24, Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, screen) // ends with an error when the other side is closed
		seen <- strings.ReplaceAll(b.String(), "\r\n", "\n")
	}()
	print(terminal.New(tty, lookup(env)))
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	return <-seen
}

// inFile returns what a file gets.
func inFile(t *testing.T, print func(*terminal.Output)) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	print(terminal.New(file, lookup(utf8)))
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}
