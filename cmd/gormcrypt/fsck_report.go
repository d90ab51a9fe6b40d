package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/fsck"
)

// fsckReport is a report as JSON.
type fsckReport struct {
	Sound    bool                `json:"sound"`
	Sampled  bool                `json:"sampled"`
	Columns  []fsckColumn        `json:"columns"`
	Findings []fsckFinding       `json:"findings"`
	Totals   map[fsck.Kind]int64 `json:"totals"`
}

type fsckColumn struct {
	Table     string              `json:"table"`
	Column    string              `json:"column"`
	Index     bool                `json:"index"`
	Rows      int64               `json:"rows"`
	Nulls     int64               `json:"nulls"`
	Sound     int64               `json:"sound"`
	Expected  int64               `json:"expected"`
	Unchecked int64               `json:"unchecked"`
	Kinds     map[fsck.Kind]int64 `json:"kinds"`
}

type fsckFinding struct {
	fsckPlace
	Kind    fsck.Kind  `json:"kind"`
	Version string     `json:"version,omitempty"`
	From    *fsckPlace `json:"from,omitempty"`
	Reason  string     `json:"reason"`
}

type fsckPlace struct {
	Table  string `json:"table"`
	Key    string `json:"key,omitempty"`
	Column string `json:"column"`
}

func (a *app) printFsck(r fsck.Report) error {
	if a.json {
		return a.printJSON(fsckJSON(r))
	}
	if err := a.printFsckColumns(r); err != nil || r.Sound() {
		return err
	}
	return a.printFindings(r)
}

func fsckJSON(r fsck.Report) fsckReport {
	all := fsckReport{Sound: r.Sound(), Sampled: r.Sampled, Columns: []fsckColumn{}, Findings: []fsckFinding{}, Totals: r.Totals}
	for _, c := range r.Columns {
		all.Columns = append(all.Columns, fsckColumn(c))
	}
	for _, f := range r.Findings {
		one := fsckFinding{fsckPlace: fsckPlace(f.Place), Kind: f.Kind, Version: f.Version, Reason: words.Replace(f.Reason)}
		if f.From != nil {
			from := fsckPlace(*f.From)
			one.From = &from
		}
		all.Findings = append(all.Findings, one)
	}
	return all
}

func (a *app) printFsckColumns(r fsck.Report) error {
	table := terminal.NewTable(terminal.Column{Title: "COLUMN"}, terminal.Column{Title: "ROWS", Right: true}, terminal.Column{Title: "NULL", Right: true},
		terminal.Column{Title: "SOUND", Right: true}, terminal.Column{Title: "FOUND", Right: true}, terminal.Column{Title: "NOT CHECKED", Right: true})
	var values int64
	for _, c := range r.Columns {
		var found int64
		for _, n := range c.Kinds {
			found += n
		}
		values += c.Sound
		table.Add(c.Table+"."+c.Column, terminal.Count(c.Rows), terminal.Count(c.Nulls), terminal.Count(c.Sound), terminal.Count(found), terminal.Count(c.Unchecked+c.Expected))
	}
	if err := table.Print(a.out); err != nil {
		return err
	}
	if !r.Sound() {
		return nil
	}
	what := "Clean: all"
	if r.Sampled {
		what = "Clean, as far as the sample goes:"
	}
	_, err := fmt.Fprintf(a.out, "\n%s %s values and terms are as they should be.\n", what, terminal.Count(values))
	return err
}

// adviceOnKind says what to do about what was found; docs/fsck.md says more.
var adviceOnKind = map[fsck.Kind]string{
	fsck.Plaintext:        "Find what wrote them. gormcrypt migrate, with --deployed settled, seals them and has the database refuse more.",
	fsck.Foreign:          "Restore them, or read them with the program that wrote them.",
	fsck.Damaged:          "Restore them from a backup.",
	fsck.Moved:            "Somebody has put them there past the application: put them back.",
	fsck.Copied:           "See which row they belong to, and have the application write the other one anew.",
	fsck.DuplicateNonce:   "What wrote them has broken random numbers: find it, then rotate the key.",
	fsck.UnknownKey:       "Load the keyring that has the key, or restore them if they are damaged.",
	fsck.RetiredKey:       "Load a keyring that still has the key, and rotate.",
	fsck.WrongType:        "Another model wrote them: find it, and write them anew.",
	fsck.WrongTerm:        "Have the application write these rows anew.",
	fsck.NoTerm:           "Have the application write these rows anew.",
	fsck.TermWithoutValue: "Set the term to NULL.",
}

// opensAny says whether a value opens, terms left out.
func opensAny(r fsck.Report) bool {
	return slices.ContainsFunc(r.Columns, func(c fsck.ColumnReport) bool { return !c.Index && c.Sound > 0 })
}

// whyOf says what is wrong, and where a value comes from or is too.
func whyOf(f fsck.Finding) string {
	why := words.Replace(f.Reason)
	switch {
	case f.From == nil:
		return why
	case f.From.Key == "":
		return fmt.Sprintf("%s: %s.%s", why, f.From.Table, f.From.Column)
	}
	return fmt.Sprintf("%s: %s.%s of row %s", why, f.From.Table, f.From.Column, f.From.Key)
}

func (a *app) printFindings(r fsck.Report) error {
	table := terminal.NewTable(terminal.Column{Title: "COLUMN"}, terminal.Column{Title: "KEY"}, terminal.Column{Title: "FOUND"}, terminal.Column{Title: "WHY", Wrap: true})
	for _, f := range r.Findings {
		table.Add(f.Table+"."+f.Column, f.Key, string(f.Kind), whyOf(f))
	}
	fmt.Fprintln(a.out)
	if err := table.Print(a.out); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	var all int64
	for _, kind := range slices.Sorted(maps.Keys(r.Totals)) {
		if err := a.out.Say("%s: %s. %s", kind, terminal.Count(r.Totals[kind]), adviceOnKind[kind]); err != nil {
			return err
		}
		all += r.Totals[kind]
	}
	if !opensAny(r) {
		if err := a.out.Say("No value opens at all: this is probably another keyring than that of the application."); err != nil {
			return err
		}
	}
	if rest := all - int64(len(r.Findings)); rest > 0 {
		fmt.Fprintf(a.out, "%s more are not listed; see --max-findings.\n", terminal.Count(rest))
	}
	return nil
}
