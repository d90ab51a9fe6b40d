package rotation

import (
	"context"
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Plan is what a run would do.
type Plan struct {
	// Target is the key version that values would be sealed under.
	Target keyring.Version
	Tables []TablePlan
}

// TablePlan is what a run would do with a table.
type TablePlan struct {
	Table string
	// Rows is the number of all rows, each of which is read twice.
	Rows int64
	// Columns are those that are sealed under keys of the set, and the indexes
	// under index keys.
	Columns []ColumnPlan
	// Tried is the number of rows that were sealed anew for a try, and thrown away,
	// and Failed are the values among them that do not open.
	Tried  int
	Failed []QuarantinedValue
}

// ColumnPlan is what a run would do with a column.
type ColumnPlan struct {
	Column string
	// Stale is the number of values that are not under the target, NULL left out.
	Stale int64
}

// tried is how many rows of a table a plan seals anew for a try, at most of
// triedBytes.
const (
	tried      = 1000
	triedBytes = 8 << 20
)

// Plan counts what is to be done, by one scan of each table, and seals the first
// thousand rows of each anew without writing them. It changes nothing, and does
// not create the ledger.
func (r *Rotation) Plan(ctx context.Context) (Plan, error) {
	tables, err := r.tables(ctx)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Target: r.target}
	for i, codec := range r.codecs {
		one := TablePlan{Table: codec.Table.Name}
		rows, stale, err := tables.Count(ctx, i)
		if err != nil {
			return Plan{}, fmt.Errorf("gormcrypt: %w", err)
		}
		one.Rows = rows
		for j, cell := range codec.Table.Cells {
			one.Columns = append(one.Columns, ColumnPlan{cell.Column, stale[j]})
		}
		some, err := tables.Read(ctx, backfill.Shard{Table: i, Pass: backfill.Pass{Phase: backfill.Rewriting}}, backfill.Room{Rows: tried, Stale: tried, Bytes: triedBytes})
		if err != nil {
			return Plan{}, fmt.Errorf("gormcrypt: %w", err)
		}
		for _, row := range some.Rows {
			_, poison, err := codec.Reseal(row)
			if err != nil {
				return Plan{}, err
			}
			one.Tried++
			for _, value := range poison {
				one.Failed = append(one.Failed, QuarantinedValue{Table: one.Table, Key: row.Key.String(), Column: value.Column, Version: value.Version, Reason: value.Reason})
			}
		}
		plan.Tables = append(plan.Tables, one)
	}
	return plan, nil
}
