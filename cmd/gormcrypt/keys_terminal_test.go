package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// runInTerminal runs a command in a terminal, and returns what people see.
func runInTerminal(t *testing.T, env map[string]string, args ...string) (seen string, err error) {
	t.Helper()
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	all := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, screen) // ends with an error when the other side is closed
		all <- b.String()
	}()
	err = newApp(tty, tty, tty, func(name string) (string, bool) { value, ok := env[name]; return value, ok }).execute(t.Context(), args)
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	return <-all, err
}

// Keys are shown in a terminal only to those who ask for that too.
func TestCleartextInTerminal(t *testing.T) {
	t.Parallel()
	const mark = `"key": `
	seen, err := runInTerminal(t, nil, "keys", "generate", "--cleartext")
	if !errors.Is(err, errRefused) || strings.Contains(seen, mark) {
		t.Errorf("%v\n%s", err, seen)
	}
	if seen, err = runInTerminal(t, nil, "keys", "generate", "--cleartext", "--to-terminal"); err != nil || !strings.Contains(seen, mark) {
		t.Errorf("with --to-terminal: %v\n%s", err, seen)
	}
	env := map[string]string{"GORMCRYPT_KEYS_FROM": "env:GORMCRYPT_NOT_SET"}
	for _, command := range [][]string{{"add"}, {"promote", "2", "--every-process-has", "2"}, {"retire", "1"}} {
		seen, err := runInTerminal(t, env, append([]string{"keys", command[0], "--cleartext"}, command[1:]...)...)
		if !errors.Is(err, errRefused) || strings.Contains(seen, mark) {
			t.Errorf("keys %s: %v\n%s", command[0], err, seen)
		}
	}
}
