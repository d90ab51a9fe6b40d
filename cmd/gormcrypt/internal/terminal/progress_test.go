package terminal_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

func TestProgressInATerminal(t *testing.T) {
	t.Parallel()
	got := inTerminal(t, 61, utf8, func(o *terminal.Output) {
		p := terminal.NewProgress(o, time.Hour)
		p.Show("pass 1", "", []terminal.Task{{"customers", 0.5, "500 of 1,000"}, {"a\x1btable", 1, "20 of 20"}})
		p.Show("pass 2", "somebody has paused it for the night, and will be back", []terminal.Task{{"customers", 0.25, "9"}})
	})
	first, _, _ := strings.Cut(got, "\n")
	if want := "\x1b[2Kcustomers   ████████████░░░░░░░░░░░░░   50.0 %  500 of 1,000"; first != want {
		t.Errorf("the first line is %q, want %q", first, want)
	}
	if !strings.Contains(got, "a\\x1btable") || !strings.Contains(got, "pass 1\n\x1b[J\r\x1b[3A") {
		t.Errorf("got %q", got)
	}
	for _, line := range strings.Split(got, "\n") {
		for _, code := range []string{"\r", "\x1b[2K", "\x1b[J", "\x1b[3A"} {
			line = strings.ReplaceAll(line, code, "")
		}
		if n := len([]rune(line)); n > 60 {
			t.Errorf("a line of %d: %q", n, line)
		}
	}
}

// More tables than the screen has lines: those that are done with are left out.
func TestProgressOfManyTasks(t *testing.T) {
	t.Parallel()
	got := inTerminal(t, 80, utf8, func(o *terminal.Output) {
		var tasks []terminal.Task
		for i := range 100 {
			tasks = append(tasks, terminal.Task{Name: fmt.Sprintf("t%d", i), Share: map[bool]float64{true: 1, false: 0.5}[i < 50]})
		}
		terminal.NewProgress(o, time.Hour).Show("pass 1", "", tasks)
	})
	if lines := strings.Count(got, "\n"); lines > 23 || strings.Contains(got, "t49 ") || !strings.Contains(got, "t50 ") {
		t.Errorf("%d lines: %q", lines, got)
	}
}

func TestProgressInAFile(t *testing.T) {
	t.Parallel()
	tasks := []terminal.Task{{"customers", 0.5, "500 of 1,000"}}
	seldom := inFile(t, func(o *terminal.Output) {
		p := terminal.NewProgress(o, time.Hour)
		p.Show("1 %", "", tasks)
		p.Show("2 %", "", tasks)
		p.Show("2 %", "paused", tasks)
		p.Show("2 %", "paused", tasks)
		p.Show("3 %", "", tasks)
		p.Show("4 %", "", tasks)
		p.Last("5 %", tasks)
	})
	if want := "1 %\n2 %; waiting: paused\n3 %\n5 %\n"; seldom != want {
		t.Errorf("got %q, want %q", seldom, want)
	}
	often := inFile(t, func(o *terminal.Output) {
		p := terminal.NewProgress(o, 0)
		p.Show("1 %", "", tasks)
		p.Show("2 %", "", tasks)
	})
	if want := "1 %\n2 %\n"; often != want {
		t.Errorf("got %q, want %q", often, want)
	}
}
