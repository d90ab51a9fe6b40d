package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

// docs/cli.md lists every setting, and every command.
func TestDocsAreComplete(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, one := range settings.All {
		flag := ""
		if one.Flag != "" {
			flag = "`--" + one.Flag + "`"
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", one.Name, one.Variable, flag, one.Usage)
	}
	if !strings.Contains(string(doc), table.String()) {
		t.Errorf("docs/cli.md is to have this table of the settings:\n%s", &table)
	}
	a := newApp(os.Stdin, os.Stdout, os.Stderr, nothingSet)
	for _, command := range a.commands() {
		if name := command.Name(); !command.Hidden && !strings.Contains(string(doc), "`"+name) && !strings.Contains(string(doc), "[`"+name) {
			t.Errorf("docs/cli.md does not tell of %s", name)
		}
	}
	for code, meaning := range map[int]string{
		exitOK: "done", exitFailed: "failed;", exitUsage: "the command, a setting", exitDamage: "values are not", exitRefused: "refused,",
		exitUnavailable: "the database or the key server did not answer", exitInterrupted: "stopped by a signal",
	} {
		if line := fmt.Sprintf("| %d | %s", code, meaning); !strings.Contains(string(doc), line) {
			t.Errorf("docs/cli.md has no line that begins with %q", line)
		}
		if !strings.Contains(rootLong, fmt.Sprintf("\n  %-4d %s", code, meaning)) {
			t.Errorf("gormcrypt --help does not tell of exit code %d", code)
		}
	}
}
