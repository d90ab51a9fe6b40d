package terminal

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Column is a column of a table.
type Column struct {
	Title string
	// Right aligns numbers. Wrap has a long text take several lines in a terminal.
	Right, Wrap bool
}

// Table is text in columns, whose cells may hold any text: what would control a
// terminal is shown as an escape.
type Table struct {
	columns []Column
	rows    []row
}

// row is a row, or if it has no cells the title of those below.
type row struct {
	cells   []string
	section string
}

// NewTable returns a table without rows.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Add adds a row, of a text for each column.
func (t *Table) Add(cells ...string) {
	all := make([]string, len(t.columns))
	for i := range min(len(cells), len(all)) {
		all[i] = Printable(cells[i])
	}
	t.rows = append(t.rows, row{cells: all})
}

// Section gives the rows that are added next a title.
func (t *Table) Section(title string) {
	t.rows = append(t.rows, row{section: Printable(title)})
}

// gap is what stands between columns.
const gap = "  "

// narrowest is how narrow a column is made that wraps.
const narrowest = 12

// Print prints the table. In a terminal, it is made to fit the width.
func (t *Table) Print(o *Output) error {
	widths := t.widths(o)
	var b strings.Builder
	titles := make([]string, len(t.columns))
	for i, column := range t.columns {
		titles[i] = column.Title
	}
	for _, line := range t.lines(titles, widths) {
		b.WriteString(o.Bold(line) + "\n")
	}
	for _, row := range t.rows {
		if row.cells == nil {
			b.WriteString("\n" + o.Bold(row.section) + "\n")
			continue
		}
		for _, line := range t.lines(row.cells, widths) {
			b.WriteString(line + "\n")
		}
	}
	_, err := fmt.Fprint(o, b.String())
	return err
}

// widths returns the width of each column.
func (t *Table) widths(o *Output) []int {
	widths := make([]int, len(t.columns))
	total := len(gap) * (len(t.columns) - 1)
	for i, column := range t.columns {
		widths[i] = runewidth.StringWidth(column.Title)
		for _, row := range t.rows {
			if row.cells != nil {
				widths[i] = max(widths[i], runewidth.StringWidth(row.cells[i]))
			}
		}
		total += widths[i]
	}
	for over := total - o.Width(); o.IsTerminal && over > 0; over-- {
		widest := -1
		for i, column := range t.columns {
			if column.Wrap && widths[i] > narrowest && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// lines returns a row, as one line or several.
func (t *Table) lines(cells []string, widths []int) []string {
	parts := make([][]string, len(cells))
	height := 1
	for i, cell := range cells {
		parts[i] = []string{cell}
		if t.columns[i].Wrap {
			parts[i] = Wrap(cell, widths[i])
		}
		height = max(height, len(parts[i]))
	}
	lines := make([]string, height)
	for at := range lines {
		var b strings.Builder
		for i, column := range t.columns {
			text := ""
			if at < len(parts[i]) {
				text = parts[i][at]
			}
			if i > 0 {
				b.WriteString(gap)
			}
			blanks := strings.Repeat(" ", max(0, widths[i]-runewidth.StringWidth(text)))
			if column.Right {
				text, blanks = blanks, text
			}
			b.WriteString(text + blanks)
		}
		lines[at] = strings.TrimRight(b.String(), " ")
	}
	return lines
}
