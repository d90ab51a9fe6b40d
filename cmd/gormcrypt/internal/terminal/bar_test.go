package terminal_test

import (
	"fmt"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

func TestPercent(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]string{
		0: "0.0 %", 1e-9: "0.1 %", 0.5: "50.0 %", 0.29: "29.0 %", 0.9999: "99.9 %", 1 - 1e-6: "99.9 %", 1: "100 %",
	} {
		if got := terminal.Percent(share); got != want {
			t.Errorf("Percent(%v) = %q, want %q", share, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		share float64
		want  string
	}{
		{0, "░░░░░"}, {1e-6, "█░░░░"}, {0.5, "██░░░"}, {0.6, "███░░"}, {0.999999, "████░"}, {1, "█████"},
	} {
		bar := func(o *terminal.Output) { fmt.Fprint(o, o.Bar(c.share, 5)) }
		if got := inTerminal(t, 80, utf8, bar); got != c.want {
			t.Errorf("a bar of %v is %q, want %q", c.share, got, c.want)
		}
		if got := inFile(t, bar); got != "" {
			t.Errorf("a bar in a file: %q", got)
		}
	}
	ascii := inTerminal(t, 80, map[string]string{"LANG": "C", "TERM": "xterm"}, func(o *terminal.Output) { fmt.Fprint(o, o.Bar(0.6, 5)) })
	if ascii != "###--" {
		t.Errorf("a bar in ASCII: %q", ascii)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	if got := terminal.Count(1234567); got != "1,234,567" {
		t.Error(got)
	}
}
