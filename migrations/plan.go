package migrations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Plan is what a migration would do.
type Plan struct {
	Table, Column string
	State         State
	// Next says what is to be done in this state.
	Next string
	// Rows is the number of all rows, and Nulls, Plaintext and Ciphertext those of the
	// values. Lookalikes are those plaintexts that begin as ours do, and are plaintext by
	// what follows. For an index, Plaintext is the number of rows that need a term. A
	// column of a type that holds no ciphertext is not counted.
	Rows, Nulls, Plaintext, Ciphertext, Lookalikes int64
	// Steps is what the database will be told, by step.
	Steps []string
	// Problems is every reason why it cannot be done, with what to do. Warnings are to
	// be known.
	Problems, Warnings []string
	// Failed are values that would be left as they are: of the first thousand rows that
	// would be written, which were tried, and of the first thousand that hold ciphertext
	// already. They are reasons why the migration would not be finished.
	Failed []rotation.QuarantinedValue
	// Duration is how long Backfill should take with these limits, from how long the
	// rows that were tried took to be read, sealed and written. Those were written in a
	// transaction that was taken back. It is too short before Expand, when there is no
	// column for terms yet, and zero if there was nothing to try.
	Duration time.Duration
}

// triedRows, of triedBytes at most, are sealed for a try, and triedWrites are written.
const (
	triedRows   = 1000
	triedBytes  = 8 << 20
	triedWrites = 100
)

// Plan counts what is to be done, by two scans of the table, and tries it. It changes
// nothing, but for gormcrypt's own tables, which it makes if they are not there. It can
// be called in any state, and before anything is deployed.
//
// It returns the errors of ctx and the database. Problems are no error.
func (m *Migration) Plan(ctx context.Context, config Config) (Plan, error) {
	plan := Plan{Table: m.table.Name, Column: m.name}
	r, _, err := m.begin(ctx, "Plan", &config)
	if err != nil {
		return plan, err
	}
	plan.State, plan.Next = r.State, r.State.advice()
	db, err := m.database(config)
	if err != nil {
		return plan, err
	}
	l, problems, warnings, err := m.problems(ctx, db, config)
	if err != nil {
		return plan, err
	}
	plan.Problems, plan.Warnings = problems, warnings
	if plan.Steps, err = m.steps(ctx, db, l, r); err != nil {
		return plan, err
	}
	if len(l.columns) == 0 || m.index == nil && (!l.columns[m.name] || m.column.Beside == "" && !l.wide && !l.widens) {
		return plan, nil
	}
	now, err := m.asItIs(ctx, db, r)
	if err != nil {
		return plan, err
	}
	if err := now.count(ctx, &plan, l); err != nil {
		return plan, err
	}
	return plan, now.try(ctx, config, &plan, l)
}

// steps says what the database will be told.
func (m *Migration) steps(ctx context.Context, db database, l layout, r record) ([]string, error) {
	expansion, err := m.expansion(ctx, db, l)
	if err != nil {
		return nil, err
	}
	var all []string
	table := quoteTable(m.table.Name)
	if expansion.NotNull {
		all = append(all, "Expand: "+quote(m.name)+" of "+table+" admits NULL")
	}
	for _, column := range expansion.Columns {
		all = append(all, "Expand: ALTER TABLE "+table+" ADD COLUMN "+quote(column)+" text")
	}
	if widening := db.widening(m.table.Name, m.name, m.column.Binary); expansion.Kind != "" && m.column.Beside == "" && widening != "" {
		all = append(all, "Expand: "+widening)
	}
	for _, index := range expansion.Indexes {
		all = append(all, "Expand: "+db.creating(m.table.Name, index))
	}
	all = append(all, "Backfill: the values of "+m.String()+", by compare and swap", "Verify: all rows are read")
	if r.Beside == "" {
		r.Beside = m.column.Beside
	}
	checks, err := m.checks(r)
	if err != nil {
		return nil, err
	}
	for _, check := range checks {
		all = append(all, "Enforce: "+db.check(m.table.Name, m.constraint(check.column), check.condition))
	}
	if m.column.Beside != "" {
		all = append(all, fmt.Sprintf("Enforce: the column %s of %s is dropped, and %s renamed to its name; by its old name, triggers take what is written there until Finish", quote(m.name), table, quote(m.column.Beside)))
	}
	for _, x := range l.indexes {
		if m.column.Beside == "" && m.index == nil && !m.column.Deterministic && x.alone && !x.constraint && !isOurs(x.name) {
			all = append(all, "Finish: "+db.dropping(m.table.Name, x.name))
		}
	}
	return all, nil
}

// count counts the values of the column.
func (m *Migration) count(ctx context.Context, plan *Plan, l layout) error {
	t := backfill.Table{Name: m.table.Name, Key: m.table.PrimaryKey}
	switch {
	case m.column.Beside != "":
		t.Cells = append(t.Cells, backfill.Cell{Column: m.name, Native: true, Stale: backfill.Present})
		if l.columns[m.column.Beside] {
			t.Cells = append(t.Cells, backfill.Cell{Column: m.column.Beside, Stale: backfill.Present})
		}
	case m.index == nil:
		const everything = "no value starts with this"
		for _, cell := range []backfill.Cell{{Stale: backfill.Plain}, {Stale: backfill.Sealed}, {Prefix: "gc1:"}, {Prefix: everything}} {
			cell.Column, cell.Binary = m.name, m.column.Binary
			t.Cells = append(t.Cells, cell)
		}
	default:
		codec, err := m.encrypting()
		if err != nil {
			return err
		}
		if t = codec.Table; !l.columns[m.name] { // all rows with values need one
			t.Cells = nil
			for _, i := range codec.Table.Cells[0].Of {
				t.Cells = append(t.Cells, backfill.Cell{Column: t.Sources[i].Column, Binary: t.Sources[i].Binary, Stale: backfill.Sealed})
			}
		}
	}
	tables, err := backfill.OpenTables(ctx, m.pool, m.db.Dialector.Name(), []backfill.Table{t})
	if err != nil {
		return err
	}
	rows, counts, err := tables.Count(ctx, 0)
	if err != nil {
		return m.failed("counting its values", err)
	}
	plan.Rows, plan.Plaintext = rows, counts[0]
	switch {
	case m.column.Beside != "":
		if len(counts) > 1 {
			plan.Ciphertext = counts[1]
		}
		plan.Nulls = rows - plan.Plaintext - plan.Ciphertext
	case m.index == nil:
		plan.Ciphertext, plan.Lookalikes, plan.Nulls = counts[1], counts[0]-counts[2], rows-counts[3]
		if plan.Lookalikes < 0 { // rows were written between
			plan.Lookalikes = 0
		}
	}
	return nil
}

// try seals some rows, and writes some of them for nothing.
func (m *Migration) try(ctx context.Context, config Config, plan *Plan, l layout) error {
	if m.index != nil && !l.columns[m.name] { // there is nothing to write to yet
		return nil
	}
	if m.column.Beside != "" && !l.columns[m.column.Beside] {
		return nil
	}
	codec, err := m.trying(l)
	if err != nil {
		return err
	}
	tables, err := m.tables(ctx, codec)
	if err != nil {
		return err
	}
	began := time.Now()
	part, err := tables.Read(ctx, backfill.Shard{Pass: backfill.Pass{Phase: backfill.Rewriting}}, backfill.Room{Rows: triedRows, Stale: triedRows, Bytes: triedBytes})
	if err != nil {
		return m.failed("reading some rows", err)
	}
	var swaps []backfill.Swap
	for _, row := range part.Rows {
		swap, poison, err := codec.Reseal(row)
		if err != nil {
			return err
		}
		m.note(plan, row, poison)
		if len(poison) == 0 {
			swaps = append(swaps, swap)
		}
	}
	perRow := time.Duration(0)
	if part.Count > 0 {
		perRow = time.Since(began) / time.Duration(part.Count)
	}
	if err := m.trySealed(ctx, plan); err != nil {
		return err
	}
	perWrite := time.Duration(0)
	wide := m.index != nil || l.wide
	if some := swaps[:min(len(swaps), triedWrites)]; len(some) > 0 && len(plan.Problems) == 0 && wide {
		began := time.Now()
		if _, err := tables.Swap(ctx, 0, some, true); err != nil {
			plan.Problems = append(plan.Problems, fmt.Sprintf("some rows were written for a try, and the database refuses that: %v", err))
		}
		perWrite = time.Since(began) / time.Duration(len(some))
	}
	duty := config.Limits.Duty * float64(max(config.Workers, 1))
	if duty == 0 {
		gentle, err := backfill.Gentle(ctx, m.pool, m.db.Dialector.Name(), 1)
		if err != nil {
			return err
		}
		duty = gentle.Duty
	}
	// Twice through all rows, to seal and to verify.
	work := 2*time.Duration(plan.Rows)*perRow + time.Duration(plan.Plaintext)*perWrite
	plan.Duration = time.Duration(float64(work) / duty).Round(time.Second)
	if rate := config.Limits.Rate; rate > 0 {
		plan.Duration = max(plan.Duration, time.Duration(float64(plan.Plaintext)/rate*float64(time.Second)))
	}
	return nil
}

// trying returns what seals the rows, without the terms for which Expand has made no
// column yet.
func (m *Migration) trying(l layout) (*rowcodec.Codec, error) {
	if m.index != nil {
		return m.encrypting()
	}
	table := m.table
	table.Indexes = slices.DeleteFunc(slices.Clone(table.Indexes), func(x manifest.Index) bool { return !l.columns[x.Name] })
	if m.column.Beside != "" {
		return rowcodec.MoveBeside(m.source.cipher, table, m.column, m.source.normalizations)
	}
	return rowcodec.Encrypt(m.source.cipher, table, m.column, m.source.normalizations)
}

// trySealed opens some of the values that have the form of ciphertext already.
func (m *Migration) trySealed(ctx context.Context, plan *Plan) error {
	if m.index != nil || plan.Ciphertext == 0 {
		return nil
	}
	codec, err := m.decrypting()
	if err != nil {
		return err
	}
	tables, err := m.tables(ctx, codec)
	if err != nil {
		return err
	}
	shard := backfill.Shard{Pass: backfill.Pass{Phase: backfill.Rewriting}}
	for opened := 0; opened < triedRows; {
		part, err := tables.Read(ctx, shard, backfill.Room{Rows: 100 * triedRows, Stale: triedRows, Bytes: triedBytes})
		if err != nil {
			return m.failed("reading some ciphertext", err)
		}
		for _, row := range part.Rows {
			_, poison, err := codec.Reseal(row)
			if err != nil {
				return err
			}
			m.note(plan, row, poison)
			opened++
		}
		if part.End || part.Count == 0 {
			return nil
		}
		shard.After = part.Last
	}
	return nil
}

func (m *Migration) note(plan *Plan, row backfill.Row, poison []backfill.Poison) {
	for _, value := range poison {
		plan.Failed = append(plan.Failed, rotation.QuarantinedValue{Table: m.table.Name, Key: row.Key.String(), Column: value.Column, Version: value.Version, Reason: value.Reason})
	}
}
