package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The help of every command fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > helpWidth {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), width, line)
			}
		}
		for _, below := range cmd.Commands() {
			check(below)
		}
	}
	check(newApp(os.Stdin, os.Stdout, os.Stderr, nothingSet).root())
}

func TestParagraphs(t *testing.T) {
	t.Parallel()
	text := "One line\nand another one, which is so long that it does not fit a terminal of eighty columns any more.\n\n  a list   stays\n  as it is\nAnd the end:"
	want := "One line and another one, which is so long that it does not fit a terminal of\neighty columns any more.\n\n  a list   stays\n  as it is\nAnd the end:"
	if got := paragraphs(text); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}
