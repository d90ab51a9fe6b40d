package fsck

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// checker is one call of Check.
type checker struct {
	config Config
	keys   keys
	tables *backfill.Tables
	plan   []planned
	// origins are all columns of the manifest, where a value may come from.
	origins []origin
	seed    maphash.Seed
	prints  *fingerprints
	strays  strays
	// widths are the bytes of a row in the widest page of each table.
	widths []atomic.Int64

	mu      sync.Mutex
	columns []ColumnReport
	report  Report
	meter   meter
}

// planned is a table that is checked.
type planned struct {
	*rowcodec.Reader
	// first is the number of its first column in checker.columns. Those of indexes
	// follow.
	first int
}

func newChecker(config Config, by sources.Opened, tables []manifest.Table) (*checker, error) {
	c := &checker{
		config: config, keys: keys{cipher: by.Cipher, source: config.Keys, asked: map[string]bool{}}, seed: maphash.MakeSeed(),
		prints: newFingerprints(config.Memory, config.TempDir), report: Report{Totals: map[Kind]int64{}},
	}
	for _, t := range tables {
		reader, err := rowcodec.Read(by.Cipher, t, by.Normalizations)
		if err != nil {
			return nil, err
		}
		c.plan = append(c.plan, planned{reader, len(c.columns)})
		for _, column := range reader.Columns {
			c.columns = append(c.columns, ColumnReport{Table: t.Name, Column: column.Name})
		}
		for _, index := range reader.Indexes {
			c.columns = append(c.columns, ColumnReport{Table: t.Name, Column: index.Described.Name, Index: true})
		}
	}
	c.widths = make([]atomic.Int64, len(c.plan))
	var err error
	c.origins, err = originsOf(by, c.plan)
	return c, err
}

func (c *checker) backfillTables() []backfill.Table {
	all := make([]backfill.Table, len(c.plan))
	for i, t := range c.plan {
		all[i] = t.Table
	}
	return all
}

// check goes through all tables, and returns what it has found, also with an error.
func (c *checker) check(ctx context.Context) (Report, error) {
	stop := c.meter.start(c.config.Progress)
	err := c.walk(ctx)
	if err == nil {
		err = c.secondLook(ctx)
	}
	c.unsettled(err)
	stop()
	c.report.Columns = c.columns
	c.report.finish()
	if err != nil {
		err = failed(ctx, err)
	}
	return c.report, err
}

// add adds findings, each of a column by its number.
func (c *checker) add(column int, f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.add(&c.columns[column], f, c.config.MaxFindings)
	c.meter.findings.Add(1)
	if c.config.Found != nil {
		c.config.Found(f)
	}
}

// place returns the place of a column by its number.
func (c *checker) place(column int, key backfill.Key) Place {
	return Place{Table: c.columns[column].Table, Key: key.String(), Column: c.columns[column].Column}
}

// whole reports whether a table is read whole, and how many rows it has.
func (c *checker) whole(ctx context.Context, table int) (bool, int64, error) {
	rows, err := c.tables.Rows(ctx, table)
	if err == nil {
		err = c.tables.CheckKey(ctx, table)
	}
	if err != nil {
		return false, 0, fmt.Errorf("gormcrypt: %w", err)
	}
	return c.config.Sample == 0 || float64(rows)*c.config.Sample < smallSample, rows, nil
}

// smallSample is the number of rows below which a sample says too little.
const smallSample = 1000
