package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
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

func (c Config) rotation() rotation.Config {
	return rotation.Config{
		Workers: c.Workers, ShardRows: c.ShardRows, Lease: c.Lease, Limits: c.Limits, Throttles: c.Throttles,
		MaxWait: c.MaxWait, MaxPoisoned: c.MaxPoisoned, Progress: c.Progress, Logger: c.Logger,
	}
}

// Errors of steps.
var (
	// ErrOrder: it is not the turn of the step. The error says what is missing.
	ErrOrder = errors.New("it is not the turn of this step")
	// ErrDeployment: the step would do harm to programs that may still run. The error
	// says what to deploy, and how to confirm it.
	ErrDeployment = errors.New("programs may still run that this step would break")
	// ErrProblems: the column cannot be migrated as it is. The error lists the reasons,
	// as Plan does.
	ErrProblems = errors.New("the column cannot be migrated as it is")
	// ErrNotVerified: Verify, or the constraint of Enforce, has found what should not be
	// there.
	ErrNotVerified = errors.New("values are left that are not as they should be")

	errViolated = errors.New("there is plaintext in the column again")
	errBroken   = errors.New("the connection is not as it was")
)

// Migration takes a column from plaintext to ciphertext, and back, or makes the terms
// of a new blind index of encrypted rows. Its steps can each be run again, by any
// process, and stopped by their context or killed: the next run goes on. How far it is
// is in the database. Methods are safe for concurrent use; two processes that run the
// same step share its work, or one finds that the other has done it.
type Migration struct {
	db     *gorm.DB
	pool   *sql.DB
	plugin *gormcrypt.Plugin
	table  manifest.Table
	// column is what is migrated. For an index, name is that of the index, and index is
	// set.
	column manifest.Column
	index  *manifest.Index
	name   string
	// indexes are the blind indexes of the column, which migrate with it, or the one
	// that is migrated; and wanted are the indexes of the database that their tags ask
	// for.
	indexes []manifest.Index
	wanted  []newIndex
	store   store
}

// Column returns the migration of a field of a model: an encrypted one, whose column
// holds plaintext now, or a BlindIndex of fields that are encrypted already. The
// *gorm.DB has the plugin, with the model. The field is named as in Go, or as its
// column.
//
// It returns gormcrypt.ErrNoPlugin, a *gormcrypt.ModelError for a field that is not
// encrypted, an error if the table is not there, and that of the database.
func Column(db *gorm.DB, model any, field string) (*Migration, error) {
	plugin, ok := db.Plugins[(&gormcrypt.Plugin{}).Name()].(*gormcrypt.Plugin)
	if !ok {
		return nil, fmt.Errorf("gormcrypt: %w", gormcrypt.ErrNoPlugin)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	all, err := gormcrypt.Manifest(db)
	if err != nil {
		return nil, err
	}
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("gormcrypt: parsing the model %T: %w", model, err)
	}
	found := stmt.Schema.LookUpField(field)
	name := ""
	if found != nil {
		name = found.DBName
	}
	at := slices.IndexFunc(all.Tables, func(t manifest.Table) bool { return t.Name == stmt.Schema.Table })
	if at < 0 {
		return nil, fmt.Errorf("gormcrypt: there is no table %s with encrypted columns; list the model in gormcrypt.Config.Models, and have it migrated where the table is", stmt.Schema.Table)
	}
	m := &Migration{
		db: db, pool: pool, plugin: plugin, table: all.Tables[at], name: name,
		store: store{pool, db.Dialector.Name() == "postgres", stmt.Schema.Table, name},
	}
	if !m.find() {
		return nil, &gormcrypt.ModelError{Model: stmt.Schema.ModelType.String(), Field: field, Problem: "it has no encrypted field and no blind index of that name", Fix: "write the name of a field that is marked as encrypted, or of a BlindIndex"}
	}
	m.wanted = indexesOf(stmt.Schema, m.indexes)
	return m, nil
}

// find finds what is migrated in the manifest of the table.
func (m *Migration) find() bool {
	for i, index := range m.table.Indexes {
		if index.Name == m.name {
			m.index, m.indexes = &m.table.Indexes[i], []manifest.Index{index}
			return true
		}
	}
	for _, column := range m.table.Columns {
		if column.Name == m.name {
			m.column = column
			for _, index := range m.table.Indexes {
				if len(index.Of) == 1 && index.Of[0] == m.name {
					m.indexes = append(m.indexes, index)
				}
			}
			return true
		}
	}
	return false
}

// indexesOf returns the indexes that the tags of a model ask for on some columns.
func indexesOf(s *schema.Schema, on []manifest.Index) []newIndex {
	var all []newIndex
	for _, index := range s.ParseIndexes() {
		made := newIndex{Name: index.Name, Unique: index.Class == "UNIQUE", Using: index.Type, Where: index.Where}
		wanted := false
		for _, field := range index.Fields {
			part := field.Expression
			if part == "" {
				part = quote(field.DBName)
			}
			if field.Collate != "" {
				part += " COLLATE " + quote(field.Collate)
			}
			if field.Sort != "" {
				part += " " + field.Sort
			}
			made.Parts = append(made.Parts, part)
			wanted = wanted || slices.ContainsFunc(on, func(x manifest.Index) bool { return x.Name == field.DBName })
		}
		if wanted {
			all = append(all, made)
		}
	}
	return all
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

// begin returns the record, if the state is one of those in which a step may run, and
// the numbers of the configuration can be.
func (m *Migration) begin(ctx context.Context, step string, config *Config, admitted ...State) (record, error) {
	switch {
	case config.LockWait < 0:
		return record{}, errors.New("gormcrypt: Config.LockWait is negative")
	case config.LockWait == 0:
		config.LockWait = 50 * time.Millisecond
	}
	r, err := m.record(ctx)
	if err != nil {
		return r, err
	}
	if !slices.Contains(admitted, r.State) {
		return r, fmt.Errorf("gormcrypt: %w: %s of %s; %s", ErrOrder, step, m, m.next(r))
	}
	return r, nil
}

// next says what is to be done in a state.
func (m *Migration) next(r record) string {
	switch r.State {
	case None:
		return "nothing was done yet: look at Plan, and run Expand"
	case Expanding:
		return "the table has a part of what Expand makes: run Expand again, or Revert"
	case Expanded:
		return "it is expanded: deploy migrating=read, then migrating=write, and run Backfill"
	case Backfilling:
		return "Backfill has begun and is not done: run it again, or Revert"
	case Backfilled:
		return "it is backfilled: run Verify"
	case Verified:
		return "it is verified: run Enforce"
	case Enforcing:
		return "Enforce has begun and is not done: run it again, or Revert"
	case Enforced:
		return "the database refuses plaintext: deploy the field without migrating=, and run Finish"
	case Finished:
		return "it is finished; run Revert if it is to be plaintext again"
	case Reverting:
		return "it is being reverted: deploy migrating=read, and run Revert with Config.Deployed, or Backfill to go on after all"
	case Reverted:
		return "all values are plaintext: deploy the field without the tag, and run Revert with Config.Deployed"
	}
	return "the record has the state " + string(r.State) + ", which this version of the library does not know"
}

// confirm returns an error unless all running programs have one of some deployments.
func confirm(step, why string, deployed Deployment, admitted ...Deployment) error {
	if slices.Contains(admitted, deployed) {
		return nil
	}
	names := make([]string, len(admitted))
	for i, one := range admitted {
		names[i] = fmt.Sprintf("migrations.%s (%s)", constantOf[one], one)
	}
	return fmt.Errorf("gormcrypt: %w: %s %s; when every running program is deployed so, set Config.Deployed to %s", ErrDeployment, step, why, strings.Join(names, " or "))
}

var constantOf = map[Deployment]string{WithoutTag: "WithoutTag", Reading: "Reading", Writing: "Writing", Settled: "Settled"}

func (m *Migration) database(config Config) (database, error) {
	return databaseOf(m.pool, m.db.Dialector.Name(), config.LockWait)
}

// encrypting returns what seals the rows, or makes their terms.
func (m *Migration) encrypting() (*rowcodec.Codec, error) {
	cipher, own := m.plugin.Cipher(), m.plugin.Normalizations()
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
		return rowcodec.MoveBack(m.plugin.Cipher(), m.table, m.column)
	}
	return rowcodec.Decrypt(m.plugin.Cipher(), m.table, m.column)
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
