package terminal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// Task is a part of the work, of which a terminal shows a bar.
type Task struct {
	Name string
	// Share is how much is done, from 0 to 1, and Note stands behind it.
	Share float64
	Note  string
}

// Progress shows how far something is: by bars that are drawn over, or, where that
// cannot be, by a line now and then. It has no goroutine, and is not safe for
// concurrent use.
type Progress struct {
	out   *Output
	every time.Duration
	drawn int
	said  time.Time
	alert string
}

// NewProgress returns a progress. Where there are no bars, it is a line every so often.
func NewProgress(o *Output, every time.Duration) *Progress {
	return &Progress{out: o, every: every}
}

// Show shows the tasks, and a line about all of them. Alert is why nothing happens,
// and is told at once.
func (p *Progress) Show(line, alert string, tasks []Task) {
	text := line
	if alert != "" {
		text = line + "; waiting: " + alert
	}
	if p.out.Redraws {
		p.draw(Printable(text), tasks)
		return
	}
	if now := time.Now(); p.said.IsZero() || now.Sub(p.said) >= p.every || alert != p.alert {
		p.said, p.alert = now, alert
		fmt.Fprintln(p.out, Printable(text))
	}
}

// Last shows the end, wherever that is.
func (p *Progress) Last(line string, tasks []Task) {
	p.said = time.Time{}
	p.Show(line, "", tasks)
}

// longestName is how much of a name a bar leaves room for.
const longestName = 24

// draw puts the bars and the line in place of those before.
func (p *Progress) draw(text string, tasks []Task) {
	width, notes, names := p.out.Width()-1, 0, 0
	below := Wrap(text, width)
	tasks = p.fitting(tasks, len(below))
	for _, task := range tasks {
		names = max(names, min(longestName, runewidth.StringWidth(Printable(task.Name))))
		notes = max(notes, runewidth.StringWidth(Printable(task.Note)))
	}
	bar := max(5, width-names-notes-len("  100.0 %  ")-len(gap))
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", p.drawn) // from behind the ^C of who stops it, too
	}
	var lines []string
	for _, task := range tasks {
		name := runewidth.FillRight(runewidth.Truncate(Printable(task.Name), names, "~"), names)
		lines = append(lines, fmt.Sprintf("%s  %s  %7s  %*s", name, p.out.Bar(task.Share, bar), Percent(task.Share), notes, Printable(task.Note)))
	}
	lines = append(lines, below...)
	for _, line := range lines {
		b.WriteString("\x1b[2K" + runewidth.Truncate(line, width, "") + "\n")
	}
	b.WriteString("\x1b[J") // what is left of a longer picture
	p.drawn = len(lines)
	fmt.Fprint(p.out, b.String())
}

// fitting returns the tasks that the screen has lines for: those that are not done
// with come first.
func (p *Progress) fitting(tasks []Task, below int) []Task {
	_, height, err := term.GetSize(int(p.out.Fd()))
	if err != nil || height <= 0 {
		height = 24
	}
	room := max(1, height-below-1)
	if len(tasks) <= room {
		return tasks
	}
	open := slices.DeleteFunc(slices.Clone(tasks), func(task Task) bool { return task.Share >= 1 })
	if len(open) == 0 {
		open = tasks
	}
	return open[:min(room, len(open))]
}
