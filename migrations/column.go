package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Deployment is what all running programs that use a table have by now, as you know
// it: the database cannot tell. A program of the deployment before does harm to the
// step that comes after it.
type Deployment string

// The deployments of a migration, in order, and back.
const (
	// WithoutTag: programs as they were before, which do not know of the encryption.
	WithoutTag Deployment = "without the tag"
	// Reading: all programs have migrating=read. They read both, and write plaintext.
	Reading Deployment = "migrating=read"
	// Writing: all programs have migrating=write. They read both, and write ciphertext.
	Writing Deployment = "migrating=write"
	// Settled: all programs have the tag, without migrating=.
	Settled Deployment = "without migrating="
)

// Config is how a step runs. The zero value is gentle, and confirms nothing.
type Config struct {
	// Deployed is what all running programs have. Steps that depend on it ask for it.
	Deployed Deployment
	// Unique admits a column or an index that is unique, although no constraint sees
	// that a plaintext and a ciphertext are equal: while rows are of both kinds, the
	// application looks before it writes, as docs/migrations.md says.
	Unique bool

	// LockWait is how long statements of applications may wait behind a lock on the
	// table at a time, in PostgreSQL. The lock is asked for a hundred times, with
	// longer pauses between. What nobody waits behind, such as an index that is made,
	// waits 1,200 times as long, at most fifteen times. The default is 50 ms.
	LockWait time.Duration

	// The others are those of rotation.Config, for the steps that go through all rows.
	Workers     int
	ShardRows   int
	Lease       time.Duration
	Limits      rotation.Limits
	Throttles   []rotation.Throttle
	MaxWait     time.Duration
	MaxPoisoned int64
	Progress    func(rotation.Progress)
	Logger      *slog.Logger
}

// check sets the defaults, and returns an error for numbers that cannot be.
func (c *Config) check() error {
	if c.LockWait < 0 {
		return errors.New("gormcrypt: Config.LockWait is negative")
	}
	if c.LockWait == 0 {
		c.LockWait = 50 * time.Millisecond
	}
	return nil
}

func (c Config) rotation() rotation.Config {
	return rotation.Config{
		Workers: c.Workers, ShardRows: c.ShardRows, Lease: c.Lease, Limits: c.Limits, Throttles: c.Throttles,
		MaxWait: c.MaxWait, MaxPoisoned: c.MaxPoisoned, Progress: c.Progress, Logger: c.Logger,
	}
}

// Migration takes a column from plaintext to ciphertext, and back, or makes the terms
// of a new blind index of encrypted rows. Its steps can each be run again, by any
// process, and stopped by their context or killed: the next run goes on. How far it is
// is in the database. Methods are safe for concurrent use; two processes that run the
// same step share its work, or one finds that the other has done it.
type Migration struct {
	db     *gorm.DB
	pool   *sql.DB
	source source
	table  manifest.Table
	// column is what is migrated. For an index, name is that of the index, and index is
	// set.
	column manifest.Column
	index  *manifest.Index
	name   string
	// indexes are the blind indexes of the column, which migrate with it, or the one
	// that is migrated; and wanted are the indexes of the database on them.
	indexes []manifest.Index
	wanted  []manifest.DatabaseIndex
	store   store
}

// String returns the table and the column.
func (m *Migration) String() string { return m.table.Name + "." + m.name }

// mode is the migrating= of the field in this program.
func (m *Migration) mode() string {
	if m.index != nil {
		return m.index.Migrating
	}
	return m.column.Migrating
}

// State returns how far the migration is. It needs no more than the right to read
// gormcrypt's own tables.
func (m *Migration) State(ctx context.Context) (State, error) {
	r, err := m.record(ctx)
	return r.State, err
}

func (m *Migration) record(ctx context.Context) (record, error) {
	if err := owntables.Upgrade(ctx, m.db); err != nil {
		return record{}, err
	}
	return m.store.load(ctx)
}

func (m *Migration) database(config Config) (database, error) {
	return databaseOf(m.pool, m.db.Dialector.Name(), config.LockWait)
}

// encrypting returns what seals the rows, or makes their terms.
func (m *Migration) encrypting() (*rowcodec.Codec, error) {
	cipher, own := m.source.cipher, m.source.normalizations
	switch {
	case m.index != nil:
		return rowcodec.Index(cipher, m.table, *m.index, own)
	case m.column.Beside != "":
		return rowcodec.MoveBeside(cipher, m.table, m.column, own)
	}
	return rowcodec.Encrypt(cipher, m.table, m.column, own)
}

// decrypting returns what opens the rows for good.
func (m *Migration) decrypting() (*rowcodec.Codec, error) {
	if m.column.Beside != "" {
		return rowcodec.MoveBack(m.source.cipher, m.table, m.column)
	}
	return rowcodec.Decrypt(m.source.cipher, m.table, m.column)
}

// tables returns the table as a codec goes through it.
func (m *Migration) tables(ctx context.Context, codec *rowcodec.Codec) (*backfill.Tables, error) {
	return backfill.OpenTables(ctx, m.pool, m.db.Dialector.Name(), []backfill.Table{codec.Table})
}

// constraint returns the name of the constraint of a column. It is short enough for
// every database, whatever the names of the table and the column are.
func (m *Migration) constraint(column string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q.%q", m.table.Name, column))
	return fmt.Sprintf("gormcrypt_encrypted_%x", sum[:8])
}
