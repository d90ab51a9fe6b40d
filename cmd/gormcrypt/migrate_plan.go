package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// migrationPlan is a plan as JSON.
type migrationPlan struct {
	Table      string   `json:"table"`
	Column     string   `json:"column"`
	State      string   `json:"state"`
	Next       string   `json:"next"`
	Rows       int64    `json:"rows"`
	Nulls      int64    `json:"nulls"`
	Plaintext  int64    `json:"plaintext"`
	Ciphertext int64    `json:"ciphertext"`
	Lookalikes int64    `json:"lookalikes"`
	Steps      []string `json:"steps"`
	Problems   []string `json:"problems"`
	Warnings   []string `json:"warnings"`
	Failed     int      `json:"failed"`
	// Seconds is how long backfill should take.
	Seconds float64 `json:"seconds"`
}

func (a *app) migratePlanCommand() *cobra.Command {
	var flags migrateFlags
	cmd := &cobra.Command{
		Use: "plan [TABLE.COLUMN]", Short: "What a migration would do, and how far it is",
		Long: `Plan counts the values of a column, tries to encrypt some of them, and says every
statement that the database will be sent, and what is in the way. It changes nothing, but
makes the tables of gormcrypt if they are not there.

Without a column it lists the migrations: those that have begun, and the columns that are
migrating= in the manifest.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 0 {
				return a.listMigrations(cmd)
			}
			m, err := a.openMigration(cmd.Context(), given[0], flags)
			if err != nil {
				return err
			}
			plan, err := m.Plan(cmd.Context(), m.config)
			if err != nil {
				return m.words(err)
			}
			if a.json {
				return a.printJSON(migrationPlanOf(m.subject, plan))
			}
			return a.printMigrationPlan(m.subject, plan)
		},
	}
	flags.add(cmd.Flags())
	flags.limits.add(cmd.Flags())
	a.offerJSON(cmd)
	return cmd
}

func migrationPlanOf(of subject, p migrations.Plan) migrationPlan {
	return migrationPlan{
		Table: p.Table, Column: p.Column, State: stateName(p.State), Next: of.next(p.State), Rows: p.Rows, Nulls: p.Nulls,
		Plaintext: p.Plaintext, Ciphertext: p.Ciphertext, Lookalikes: p.Lookalikes, Steps: orEmpty(p.Steps), Problems: orEmpty(inCommands(p.Problems)),
		Warnings: orEmpty(inCommands(p.Warnings)), Failed: len(p.Failed), Seconds: p.Duration.Seconds(),
	}
}

// orEmpty returns a list that JSON shows as one.
func orEmpty(all []string) []string { return append([]string{}, all...) }

// inCommands returns problems with commands and flags in place of methods and fields.
func inCommands(problems []string) []string {
	var all []string
	for _, one := range problems {
		all = append(all, words.Replace(one))
	}
	return all
}

func (a *app) printMigrationPlan(of subject, p migrations.Plan) error {
	if err := a.out.Say("%s.%s: %s", p.Table, p.Column, stateName(p.State)); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	table := terminal.NewTable(terminal.Column{Title: "ROWS", Right: true}, terminal.Column{Title: "NULL", Right: true}, terminal.Column{Title: "PLAINTEXT", Right: true}, terminal.Column{Title: "CIPHERTEXT", Right: true})
	table.Add(terminal.Count(p.Rows), terminal.Count(p.Nulls), terminal.Count(p.Plaintext), terminal.Count(p.Ciphertext))
	if err := table.Print(a.out); err != nil {
		return err
	}
	if p.State == migrations.Finished {
		fmt.Fprintln(a.out)
		return a.out.Say("Next: %s", of.next(p.State))
	}
	if p.Lookalikes > 0 {
		fmt.Fprintf(a.out, "%s plaintexts begin as ciphertext does, and are none.\n", terminal.Count(p.Lookalikes))
	}
	var steps []string
	for _, one := range p.Steps {
		steps = append(steps, shortened(one))
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"The database will be told:", steps}, {"In the way:", inCommands(p.Problems)}, {"To be known:", inCommands(p.Warnings)}} {
		if err := a.printList(list.title, list.lines); err != nil {
			return err
		}
	}
	if len(p.Failed) > 0 {
		fmt.Fprintf(a.out, "\nOf the rows that were tried, these would be left as they are:\n")
		if err := quarantineTable(p.Failed).Print(a.out); err != nil {
			return err
		}
	}
	if p.Duration > 0 {
		fmt.Fprintf(a.out, "\nBackfill should take about %v with these limits.\n", p.Duration.Round(time.Second))
	}
	fmt.Fprintln(a.out)
	return a.out.Say("Next: %s", of.next(p.State))
}

func (a *app) printList(title string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	fmt.Fprintf(a.out, "\n%s\n", title)
	for _, line := range lines {
		if err := a.out.Say("  %s", line); err != nil {
			return err
		}
	}
	return nil
}

// listMigrations prints the migrations that the database knows of, and those that the
// manifest has.
func (a *app) listMigrations(cmd *cobra.Command) error {
	described, err := a.readManifest()
	if err != nil {
		return err
	}
	db, err := a.openDatabase(cmd.Context(), database.ReadOnly)
	if err != nil {
		return err
	}
	all, err := migrations.List(cmd.Context(), db)
	if err != nil {
		return err
	}
	for _, one := range migratingOf(*described) {
		if !slices.ContainsFunc(all, func(s migrations.Standing) bool { return s.Table == one.Table && s.Column == one.Column }) {
			all = append(all, one)
		}
	}
	return a.printStandings(all, *described)
}

// standing is a migration as JSON.
type standing struct {
	Table   string     `json:"table"`
	Column  string     `json:"column"`
	State   string     `json:"state"`
	Next    string     `json:"next"`
	Changed *time.Time `json:"changed,omitempty"`
}

func (a *app) printStandings(all []migrations.Standing, described manifest.Manifest) error {
	list := []standing{}
	table := terminal.NewTable(terminal.Column{Title: "COLUMN"}, terminal.Column{Title: "STATE"}, terminal.Column{Title: "NEXT", Wrap: true})
	for _, s := range all {
		of := subject{s.Table + "." + s.Column, isSettled(described, s.Table, s.Column)}
		one := standing{Table: s.Table, Column: s.Column, State: stateName(s.State), Next: of.next(s.State)}
		if !s.Changed.IsZero() {
			one.Changed = &s.Changed
		}
		list = append(list, one)
		table.Add(of.column, one.State, one.Next)
	}
	switch {
	case a.json:
		return a.printJSON(list)
	case len(list) == 0:
		_, err := fmt.Fprintln(a.out, "No column is being migrated.")
		return err
	}
	return table.Print(a.out)
}

// migratingOf returns the columns and indexes that are migrating= in a manifest.
func migratingOf(m manifest.Manifest) []migrations.Standing {
	var all []migrations.Standing
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			if c.Migrating != "" {
				all = append(all, migrations.Standing{Table: t.Name, Column: c.Name})
			}
		}
		for _, x := range t.Indexes {
			if x.Migrating != "" {
				all = append(all, migrations.Standing{Table: t.Name, Column: x.Name})
			}
		}
	}
	return all
}

// isSettled says whether a manifest has the column without migrating=.
func isSettled(m manifest.Manifest, table, column string) bool {
	return slices.ContainsFunc(tableNamed(m, table).Columns, func(c manifest.Column) bool { return c.Name == column && c.Migrating == "" })
}
