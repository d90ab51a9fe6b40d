package backfill

import (
	"context"
	"database/sql"
)

// Describe returns the tables of a plan without a job, to read them.
func Describe(ctx context.Context, pool *sql.DB, dialectName string, plan Plan) (*Database, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return nil, err
	}
	return (&Ledger{pool, d}).Open(ctx, "", plan, 0)
}

// Count returns the number of rows of a table, and of the stale values of each of
// its cells.
func (d *Database) Count(ctx context.Context, table int) (rows int64, stale []int64, err error) {
	t := d.plan.Tables[table]
	sums := list(t.Cells, func(_ int, cell Cell) string {
		return "coalesce(sum(CASE WHEN " + d.stale(cell) + " THEN 1 ELSE 0 END), 0)"
	})
	stale = make([]int64, len(t.Cells))
	into := []any{&rows}
	for i := range stale {
		into = append(into, &stale[i])
	}
	err = d.pool.QueryRowContext(ctx, "SELECT count(*), "+sums+" FROM "+quoteTable(t.Name)+" AS t").Scan(into...)
	if err != nil {
		err = d.failed("counting what is stale in "+t.Name, err)
	}
	return rows, stale, err
}
