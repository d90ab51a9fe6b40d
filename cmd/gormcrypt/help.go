package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

// helpWidth is the number of columns that help is made for.
const helpWidth = 80

// fitHelp has the help of a command, and of those below it, fit a terminal: the
// paragraphs of its text, and what is said of its flags.
func fitHelp(cmd *cobra.Command) {
	cmd.Long = paragraphs(cmd.Long)
	for _, below := range cmd.Commands() {
		fitHelp(below)
	}
}

// paragraphs breaks the lines of a text anew. Lines that begin with a blank stay as they
// are.
func paragraphs(text string) string {
	var lines []string
	paragraph := ""
	end := func() {
		if paragraph != "" {
			lines = append(lines, terminal.Wrap(paragraph, helpWidth)...)
			paragraph = ""
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, " "):
			end()
			lines = append(lines, line)
		case paragraph == "":
			paragraph = line
		default:
			paragraph += " " + line
		}
	}
	end()
	return strings.Join(lines, "\n")
}

// usageTemplate is that of cobra, with flags that fit.
func usageTemplate(cmd *cobra.Command) string {
	cobra.AddTemplateFunc("fitting", func(flags *pflag.FlagSet) string { return flags.FlagUsagesWrapped(helpWidth) })
	return strings.NewReplacer(".LocalFlags.FlagUsages", "fitting .LocalFlags", ".InheritedFlags.FlagUsages", "fitting .InheritedFlags").Replace(cmd.UsageTemplate())
}
