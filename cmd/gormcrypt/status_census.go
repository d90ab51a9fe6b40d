package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// census is what was counted, with the versions that should be.
type census struct {
	columns []rotation.ColumnCensus
	primaries
}

// current is how many values of a column are under a primary version, out of how many
// that are not NULL.
func (c census) current(column rotation.ColumnCensus) (n, of int64) {
	for _, count := range column.Versions {
		if count.Version == c.versions[count.Version.Set()] {
			n += count.Rows
		}
	}
	return n, column.Rows - column.Nulls
}

// check returns errDamage if a value is not under the primary version.
func (c census) check() error {
	var older, foreign int64
	for _, column := range c.columns {
		n, of := c.current(column)
		foreign += column.Foreign
		older += of - n - column.Foreign
	}
	if older+foreign == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d are under other key versions than the primary ones, which gormcrypt rotate changes, and %d are plaintext or damaged", errDamage, older, foreign)
}

func (a *app) printCensus(c census) error {
	if err := a.out.Say("%s", c.title()); err != nil {
		return err
	}
	table := terminal.NewTable(
		terminal.Column{Title: "COLUMN", Wrap: true}, terminal.Column{Title: "UNDER PRIMARY"},
		terminal.Column{Title: "PLAINTEXT", Right: true}, terminal.Column{Title: "NULL", Right: true}, terminal.Column{Title: "BY KEY VERSION", Wrap: true})
	last := ""
	for _, column := range c.columns {
		if column.Table != last {
			last = column.Table
			table.Section(fmt.Sprintf("%s, %s rows", column.Table, number(column, column.Rows)))
		}
		name := column.Column
		if !a.out.IsTerminal { // a line for itself
			name = column.Table + "." + name
		}
		table.Add(name, a.share(c, column), number(column, column.Foreign-column.Unreadable), number(column, column.Nulls), versions(column))
	}
	return table.Print(a.out)
}

// title says what the primary versions are.
func (c census) title() string {
	var names []string
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
		if version, ok := c.versions[set]; ok {
			names = append(names, set.String()+" key "+version.String())
		}
	}
	text := cmp.Or(strings.Join(names, ", "), "none")
	if c.guessed {
		return "Primary, as there is no keyring to ask and these are the highest here: " + text
	}
	return "Primary: " + text
}

// share is how much of a column is under the primary version.
func (a *app) share(c census, column rotation.ColumnCensus) string {
	n, of := c.current(column)
	if of == 0 {
		return "no values"
	}
	share := float64(n) / float64(of)
	bar := a.out.Bar(share, max(5, min(30, a.out.Width()/8)))
	return strings.TrimSpace(fmt.Sprintf("%s %7s", bar, terminal.Percent(share)))
}

// number returns a number of rows, which may be estimated.
func number(column rotation.ColumnCensus, n int64) string {
	if column.Estimated {
		return "~" + terminal.Count(n)
	}
	return terminal.Count(n)
}

// versions lists how many values there are under which key.
func versions(column rotation.ColumnCensus) string {
	var all []string
	for _, count := range column.Versions {
		all = append(all, count.Version.String()+": "+number(column, count.Rows))
	}
	if column.Unreadable > 0 {
		all = append(all, "damaged: "+number(column, column.Unreadable))
	}
	return strings.Join(all, ", ")
}
