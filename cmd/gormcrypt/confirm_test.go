package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func nothingSet(string) (string, bool) { return "", false }

func TestConfirmInATerminal(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]error{"y\n": nil, "Yes\n": nil, "n\n": errRefused, "\n": errRefused, "yea\n": errRefused, "\x04": errRefused} {
		screen, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(tty, tty, tty, nothingSet)
		done := make(chan error)
		go func() { done <- a.confirm(t.Context(), "rewrite 10 rows") }()
		question, err := bufio.NewReader(screen).ReadString(']')
		if err != nil || question != "Go on, and rewrite 10 rows? [y/N]" {
			t.Errorf("asked %q, %v", question, err)
		}
		if _, err := screen.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("answer %q: %v, want %v", answer, err, want)
		}
		screen.Close()
		tty.Close()
	}
}

// Nobody answers, and the command is stopped.
func TestConfirmIsInterrupted(t *testing.T) {
	t.Parallel()
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- newApp(tty, tty, tty, nothingSet).confirm(ctx, "rewrite 10 rows") }()
	if _, err := bufio.NewReader(screen).ReadString(']'); err != nil {
		t.Fatal(err)
	}
	cancel()
	err = <-done
	if code, _ := explain(ctx, err); code != exitInterrupted {
		t.Errorf("exit code %d of %v", code, err)
	}
}

func TestConfirmWithoutATerminal(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a := newApp(strings.NewReader("y\n"), file, file, nothingSet)
	if err := a.confirm(t.Context(), "rewrite 10 rows"); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without --yes: %v", err)
	}
	a.yes = true
	if err := a.confirm(t.Context(), "rewrite 10 rows"); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}
