package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

// status is how something is.
type status string

const (
	okFound      status = "ok"
	warningFound status = "warning"
	problemFound status = "problem"
	notLookedAt  status = "not looked at"
)

// finding is what the doctor says of one thing.
type finding struct {
	Area   string `json:"area"`
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func ok(format string, values ...any) []finding {
	return []finding{{Status: okFound, Detail: fmt.Sprintf(format, values...)}}
}

func warning(fix, format string, values ...any) []finding {
	return []finding{{Status: warningFound, Detail: fmt.Sprintf(format, values...), Fix: fix}}
}

func problem(fix, format string, values ...any) []finding {
	return []finding{{Status: problemFound, Detail: fmt.Sprintf(format, values...), Fix: fix}}
}

// failed is the problem that an error is, which says the fix itself.
func failed(err error) []finding { return problem("", "%s", oneLine(err)) }

// of gives findings the name of what they are about.
func of(name string, all []finding) []finding {
	for i := range all {
		all[i].Check = name
	}
	return all
}

// report prints the findings.
func (e *examination) report() error {
	if e.json {
		return e.printJSON(struct {
			Findings []finding `json:"findings"`
			Problems int       `json:"problems"`
			Warnings int       `json:"warnings"`
		}{e.findings, e.count(problemFound), e.count(warningFound)})
	}
	var b strings.Builder
	area := ""
	for _, f := range e.findings {
		if f.Area != area {
			area = f.Area
			fmt.Fprintf(&b, "%s\n", area)
		}
		text := f.Check + ": " + f.Detail
		if f.Fix != "" {
			text += "\nfix: " + f.Fix
		}
		safe, _ := terminal.Escape(text)
		writeHanging(&b, fmt.Sprintf("  %-13s  ", f.Status), safe, e.out.Width(), e.out.IsTerminal)
	}
	_, err := fmt.Fprint(e.out, b.String())
	return err
}

// writeHanging writes lines behind a label, and the others below the first. In a
// terminal they are broken at blanks.
func writeHanging(b *strings.Builder, label, text string, width int, breaks bool) {
	left := strings.Repeat(" ", len(label))
	for line := range strings.SplitSeq(text, "\n") {
		used := len(label)
		b.WriteString(label)
		for i, word := range strings.Fields(line) {
			length := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case breaks && used+1+length > width:
				b.WriteString("\n" + left + "  ")
				used = len(left) + 2
			default:
				b.WriteByte(' ')
				used++
			}
			b.WriteString(word)
			used += length
		}
		b.WriteByte('\n')
		label = left
	}
}
