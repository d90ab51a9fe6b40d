// Package terminal prints tables, bars and progress: for people if there is a terminal,
// and as plain text if there is none.
package terminal

import (
	"cmp"
	"os"
	"strings"

	"golang.org/x/term"
)

// Output is where a command prints. It is an io.Writer.
type Output struct {
	*os.File
	// IsTerminal says that people look at it, Redraws that lines can be drawn over, Color
	// that colours are wanted, and Unicode that it shows more than ASCII.
	IsTerminal, Redraws, Color, Unicode bool
}

// New returns the output to a file. The environment has a say: see https://no-color.org.
func New(file *os.File, lookup func(string) (string, bool)) *Output {
	value := func(name string) string { text, _ := lookup(name); return text }
	o := &Output{File: file, IsTerminal: term.IsTerminal(int(file.Fd()))}
	o.Redraws = o.IsTerminal && value("TERM") != "dumb"
	o.Color = o.Redraws && value("NO_COLOR") == ""
	locale := strings.ToLower(cmp.Or(value("LC_ALL"), value("LC_CTYPE"), value("LANG")))
	o.Unicode = strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
	return o
}

// Width is the number of columns, 80 if there is no terminal.
func (o *Output) Width() int {
	if width, _, err := term.GetSize(int(o.Fd())); o.IsTerminal && err == nil && width > 0 {
		return width
	}
	return 80
}

// Bold returns a text that stands out where there are colours.
func (o *Output) Bold(text string) string {
	if !o.Color {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}
