// Package fsck opens every stored value of encrypted columns, and says what is wrong
// with which: values that do not open, that were moved or copied past the plugin, that
// are plaintext, and terms of blind indexes that disagree with their values.
//
// It reads, and changes nothing: it works with a role that may only SELECT, on a replica,
// and on a file that is read-only. Applications go on writing meanwhile, and rotations
// go on running.
package fsck

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Config configures Check. The zero value checks all rows of all models of a *gorm.DB
// with the plugin.
type Config struct {
	// Manifest and Keys are for a *gorm.DB without the plugin: what is encrypted, and
	// by which keys. With the plugin both come from there. Keys are loaded once more
	// for each version that a value names and they do not have.
	Manifest *manifest.Manifest
	Keys     keyring.Source
	// Normalizations are those of gormcrypt.Config, without the plugin.
	Normalizations map[string]func(string) string

	// Tables are the names of the tables to check. None means all.
	Tables []string
	// Sample is the share of the rows to read, as in rotation.CensusConfig: from
	// 0.000001 to 1, and 0 and 1 are all of them. Copies are found if both are in the
	// sample. What is found is looked for in whole tables.
	Sample float64
	// SlowTerms has the terms of slow indexes made anew, each of which takes 19 MiB of
	// memory and tens of milliseconds. Without it, only their form is checked.
	SlowTerms bool

	// Workers is how many goroutines read and open values, each with a connection of
	// its own while it reads. The default is GOMAXPROCS.
	Workers int
	// MaxFindings is how many findings are kept in the Report. The default is 1,000.
	MaxFindings int
	// Memory is how many bytes the nonces of all values may take, at 8 bytes each,
	// before they go to temporary files. The default is 256 MiB.
	Memory int64
	// TempDir is where these files are. The default is os.TempDir.
	TempDir string

	// Found is called for each finding, by one goroutine at a time, and is not to block.
	Found func(Finding)
	// Progress is called about once a second, and at the end, by one goroutine at a
	// time. It is not to block.
	Progress func(Progress)
}

const (
	defaultMaxFindings = 1000
	defaultMemory      = 256 << 20
	minSample          = 0.000001
)

// withDefaults checks the numbers and fills in what is zero.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Sample == 1:
		c.Sample = 0
	case c.Sample != 0 && !(c.Sample >= minSample && c.Sample < 1): // or it is not a number
		return c, fmt.Errorf("gormcrypt: a sample of %v of the rows; want a share from %v to 1, or 0 for all", c.Sample, minSample)
	}
	if c.Workers < 0 || c.MaxFindings < 0 || c.Memory < 0 {
		return c, errors.New("gormcrypt: Config.Workers, MaxFindings and Memory cannot be negative; 0 is the default")
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.MaxFindings == 0 {
		c.MaxFindings = defaultMaxFindings
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	return c, nil
}

// Check opens every value of every encrypted column, or those of a sample of rows, and
// returns what is wrong with them. It goes through each table by its primary key in
// short statements, past the gates of the plugin, and takes no lock. If something was
// found it reads the rows in question again, and goes through the tables once more to
// see where values come from that do not open, and which ones are copies. What is not
// there any more when it is looked at again is no finding.
//
// Findings are no error. It returns an error if it could not look: gormcrypt.ErrNoPlugin
// if there is neither the plugin nor a manifest with keys; an error for tables that these
// do not have, or that the database does not have, and for one whose rows their key does
// not tell apart; the keyring's ErrExpired, or the error of its source; and those of ctx
// and the database, one of which is that PostgreSQL would hide rows by a policy for rows:
// let a role with BYPASSRLS check. The Report then has what was found until there: some
// values in it may be Damaged that a whole check finds to be Moved.
func Check(ctx context.Context, db *gorm.DB, config Config) (Report, error) {
	config, err := config.withDefaults()
	if err != nil {
		return Report{}, err
	}
	by, err := sources.Open(ctx, db.WithContext(ctx), sources.Given{Manifest: config.Manifest, Keys: config.Keys, Normalizations: config.Normalizations})
	if err != nil {
		return Report{}, failed(ctx, err)
	}
	tables, err := sources.Chosen(by.Manifest, config.Tables)
	if err != nil {
		return Report{}, err
	}
	c, err := newChecker(config, by, tables)
	if err != nil {
		return Report{}, err
	}
	defer c.prints.close()
	pool, err := sources.Pool(db)
	if err != nil {
		return Report{}, err
	}
	if c.tables, err = backfill.OpenTables(ctx, pool, db.Dialector.Name(), c.backfillTables()); err != nil {
		return Report{}, failed(ctx, err)
	}
	return c.check(ctx)
}

// failed returns an error with that of ctx, of which a driver may say nothing.
func failed(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
