package terminal_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

func table() *terminal.Table {
	table := terminal.NewTable(terminal.Column{Title: "COLUMN"}, terminal.Column{Title: "ROWS", Right: true}, terminal.Column{Title: "REASON", Wrap: true})
	table.Add("email", "1,200", "it was sealed for another column, or its row, or somebody has changed it")
	table.Add("名前", "7", "")
	table.Add("a\x1b[2Jb\n", "0", "short")
	return table
}

func TestTableInATerminal(t *testing.T) {
	t.Parallel()
	got := inTerminal(t, 50, utf8, func(o *terminal.Output) { table().Print(o) })
	want := strings.TrimPrefix(`
COLUMN        ROWS  REASON
email        1,200  it was sealed for another
                    column, or its row, or
                    somebody has changed it
名前             7
a\x1b[2Jb\n      0  short
`, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without a terminal a row is a line, for grep.
func TestTableInAFile(t *testing.T) {
	t.Parallel()
	got := inFile(t, func(o *terminal.Output) { table().Print(o) })
	if lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n"); len(lines) != 4 || !strings.HasSuffix(lines[1], "it was sealed for another column, or its row, or somebody has changed it") {
		t.Errorf("got\n%s", got)
	}
	if strings.ContainsRune(got, '\x1b') {
		t.Errorf("a control character: %q", got)
	}
}

func TestWordsLongerThanTheColumn(t *testing.T) {
	t.Parallel()
	got := inTerminal(t, 20, utf8, func(o *terminal.Output) {
		o.Say("see %s", strings.Repeat("x", 30))
	})
	if want := "see\n" + strings.Repeat("x", 20) + "\n" + strings.Repeat("x", 10) + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		env   map[string]string
		color bool
	}{
		{"a terminal", map[string]string{"TERM": "xterm"}, true},
		{"NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"an empty NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{"a dumb terminal", map[string]string{"TERM": "dumb"}, false},
	} {
		got := inTerminal(t, 80, c.env, func(o *terminal.Output) { table().Print(o) })
		if strings.ContainsRune(got, '\x1b') != c.color {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
