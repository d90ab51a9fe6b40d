package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// CensusConfig configures Census. The zero value counts all rows of all models of a
// *gorm.DB with the plugin.
type CensusConfig struct {
	// Manifest is what is encrypted, for a *gorm.DB without the plugin. No key is
	// needed.
	Manifest *manifest.Manifest
	// Tables are the names of the tables to count. None means all.
	Tables []string
	// Sample is the share of the rows to look at, from 0.000001 to 1, such as 0.01;
	// 0 and 1 are all of them. A table of which the sample would be less than about
	// 1,000 rows is counted whole.
	//
	// PostgreSQL takes whole pages of a table (TABLESAMPLE SYSTEM) and does not
	// read the others. Rows that were written together are in one page, so take
	// more than one in a hundred while a rotation has done a part of the table.
	// SQLite takes single rows, and reads the pages of all.
	Sample float64
}

// CensusReport is what Census has counted, by table and column.
type CensusReport struct {
	Columns []ColumnCensus
}

// ColumnCensus is how many rows of a table have what in an encrypted column, or in
// that of a blind index.
type ColumnCensus struct {
	Table, Column string
	// Index says that the column holds the terms of a blind index.
	Index bool
	// Rows is the number of all rows, soft-deleted ones too: the sum of those with
	// NULL, those with Foreign values, and those of all Versions.
	Rows, Nulls int64
	// Foreign values do not start with a key version as ours do: plaintext, for
	// example. Of these, Unreadable ones have our magic and no key version behind
	// it: they were cut or changed.
	Foreign, Unreadable int64
	// Versions are the key versions that values start with, whether the keyring
	// has them or not: data keys first, by number. Nothing was opened, so a value
	// may be spoilt behind its version.
	Versions []VersionCount
	// Estimated says that the numbers are those of a sample, scaled to all rows.
	Estimated bool
}

// VersionCount is the number of rows under a key version.
type VersionCount struct {
	Version keyring.Version
	Rows    int64
}

// Census counts the stored values of encrypted columns and blind indexes by the key
// version that they start with, in the database. No key is used, and of a value no
// more leaves the database than some first characters up to a colon. Columns come
// by table and name.
//
// It sends a SELECT for each table, past the gates of the plugin, which goes
// through the whole table once and locks nothing. Tables are counted one after the
// other, so while values are written the numbers of two tables are of different
// moments. It knows of no columns but those of the models or the manifest. It is
// safe for concurrent use.
//
// It returns gormcrypt.ErrNoPlugin if there is neither the plugin nor a manifest,
// an error for tables that these do not have, and the error of ctx or the database.
// One of these is that PostgreSQL would hide rows by a policy for rows: let a role
// with BYPASSRLS count.
func Census(ctx context.Context, db *gorm.DB, config CensusConfig) (CensusReport, error) {
	m, err := sources.Manifest(db.WithContext(ctx), config.Manifest)
	if err != nil {
		return CensusReport{}, err
	}
	share := config.Sample
	switch {
	case share == 1:
		share = 0
	case share != 0 && !(share >= 0.000001 && share < 1): // or it is not a number
		return CensusReport{}, fmt.Errorf("gormcrypt: a sample of %v of the rows; want a share from 0.000001 to 1, or 0 for all", share)
	}
	tables, err := sources.Chosen(m, config.Tables)
	if err != nil {
		return CensusReport{}, err
	}
	counter, err := counterOf(db)
	if err != nil {
		return CensusReport{}, err
	}
	var all CensusReport
	for _, table := range tables {
		columns := countedColumns(table)
		tallies, sampled, err := counter.Tally(ctx, table.Name, columns, share)
		if err != nil {
			return CensusReport{}, failed(ctx, "counting the values of "+table.Name, err)
		}
		for i, tally := range tallies {
			counts := columnCensus(tally)
			counts.Table, counts.Column, counts.Index = table.Name, columns[i].Column, columns[i].Magic == ""
			if sampled {
				counts.scale(share)
			}
			all.Columns = append(all.Columns, counts)
		}
	}
	slices.SortFunc(all.Columns, func(a, b ColumnCensus) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
	})
	return all, nil
}

// counterOf returns what counts in a database.
func counterOf(db *gorm.DB) (*backfill.Counter, error) {
	pool, err := sources.Pool(db)
	if err != nil {
		return nil, err
	}
	return backfill.OpenCounter(pool, db.Dialector.Name())
}

// failed returns an error with that of ctx, of which a driver may say nothing.
func failed(ctx context.Context, what string, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return fmt.Errorf("gormcrypt: %s: %w", what, err)
}

// magic is what a value has in front of its key version, and a term has not.
var magic = func() string {
	one := keyring.MakeVersion(keyring.DataKeys, 1)
	return strings.TrimSuffix(ciphertext.Prefix(one), ciphertext.TermPrefix(one))
}()

// countedColumns returns the columns of a table that have key versions.
func countedColumns(t manifest.Table) []backfill.Counted {
	var all []backfill.Counted
	for _, column := range t.Columns {
		all = append(all, backfill.Counted{Column: column.Name, Magic: magic})
	}
	for _, index := range t.Indexes {
		all = append(all, backfill.Counted{Column: index.Name})
	}
	return all
}

func columnCensus(t backfill.Tally) ColumnCensus {
	c := ColumnCensus{Rows: t.Nulls + t.Foreign, Nulls: t.Nulls, Foreign: t.Foreign, Unreadable: t.Unreadable}
	for version, rows := range t.Versions {
		c.Versions = append(c.Versions, VersionCount{version, rows})
		c.Rows += rows
	}
	slices.SortFunc(c.Versions, func(a, b VersionCount) int {
		return cmp.Or(cmp.Compare(a.Version.Set(), b.Version.Set()), cmp.Compare(a.Version.Number(), b.Version.Number()))
	})
	return c
}

// scale makes the counts of a sample those of all rows.
func (c *ColumnCensus) scale(share float64) {
	c.Estimated = true
	c.Rows = 0
	for _, n := range []*int64{&c.Nulls, &c.Foreign, &c.Unreadable} {
		*n = int64(math.Round(float64(*n) / share))
	}
	c.Rows = c.Nulls + c.Foreign
	for i := range c.Versions {
		n := &c.Versions[i].Rows
		*n = int64(math.Round(float64(*n) / share))
		c.Rows += *n
	}
}
