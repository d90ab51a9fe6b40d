package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
)

const migrateLong = `Migrate takes a column from plaintext to ciphertext while applications read and write
it, and back, or makes the terms of a new blind index. Columns are named TABLE.COLUMN, as
in the manifest. The steps, and what is deployed in between:

  expand     makes the columns of blind indexes
             deploy the field with migrating=read, then with migrating=write
  backfill   encrypts what is plaintext
  verify     opens every value once more
  enforce    has the database refuse plaintext
             deploy the field without migrating=
  finish     drops the indexes that find nothing any more
  revert     goes back, from every state

Each deployment writes a manifest of its own, and a step needs that of the deployment
that runs. What is deployed the database cannot tell: --deployed is your word for it.
Every step can be stopped, and run again.

A field that was encrypted from its first day has no constraint either. The same steps
give it one, and seal what is plaintext in it, with --deployed settled for each.`

// migrateCommand returns the family of commands.
func (a *app) migrateCommand() *cobra.Command {
	family := &cobra.Command{
		Use: "migrate", Short: "Encrypt a column that has data, and back", Long: migrateLong,
		Args: args(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	family.AddCommand(a.migratePlanCommand())
	for _, step := range migrateSteps {
		family.AddCommand(a.migrateStepCommand(step))
	}
	family.AddCommand(a.migrateTakeCommand(), a.migrateForgetCommand())
	return family
}

// deployments are the values of --deployed.
var deployments = map[string]migrations.Deployment{
	"": "", "without-tag": migrations.WithoutTag, "read": migrations.Reading, "write": migrations.Writing, "settled": migrations.Settled,
}

// migrateFlags are those that the steps share.
type migrateFlags struct {
	deployed string
	unique   bool
	lockWait time.Duration
	limits   limitFlags
}

func (f *migrateFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.deployed, "deployed", "", "what all running programs have by now: without-tag, read, write (as in migrating=), or settled (the tag without it)")
	flags.BoolVar(&f.unique, "unique-ok", false, "go on although values are unique: no constraint sees that plaintext and ciphertext are equal, so the application looks before it writes")
	flags.DurationVar(&f.lockWait, "lock-wait", 50*time.Millisecond, "how long applications may wait behind a lock at a time, in PostgreSQL")
}

// migration is a migration and how its steps are to run.
type migration struct {
	*migrations.Migration
	subject
	// keys is how many columns the primary key of the table has.
	keys int
	// where is where the keyring is.
	where  string
	db     *gorm.DB
	config migrations.Config
}

// openMigration opens the migration of a column, named TABLE.COLUMN.
func (a *app) openMigration(ctx context.Context, name string, flags migrateFlags) (*migration, error) {
	table, column, err := splitColumn(name)
	if err != nil {
		return nil, err
	}
	deployed, ok := deployments[flags.deployed]
	if !ok {
		return nil, fmt.Errorf("%w: --deployed %s: there are without-tag, read, write and settled", errUsage, flags.deployed)
	}
	described, err := a.readManifest()
	if err != nil {
		return nil, err
	}
	algorithm, err := a.algorithm()
	if err != nil {
		return nil, err
	}
	db, err := a.openDatabase(ctx, database.ReadWrite)
	if err != nil {
		return nil, err
	}
	if err := flags.limits.check(db); err != nil {
		return nil, err
	}
	keys, ring, err := a.loadKeys(ctx, a.openKeys)
	if err != nil {
		return nil, err
	}
	release := keys.Hold(ctx)
	a.closers = append(a.closers, func() error { release(); return nil })
	m, err := migrations.OfManifest(db.WithContext(ctx), migrations.Source{Manifest: *described, Keys: ring, Algorithm: algorithm}, table, column)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return &migration{m, subject{name, isSettled(*described, table, column)}, len(tableNamed(*described, table).PrimaryKey), keys.Where, db, migrations.Config{
		Deployed: deployed, Unique: flags.unique, LockWait: flags.lockWait,
		Workers: flags.limits.workers, Limits: flags.limits.limits(), Throttles: flags.limits.throttles(db), MaxWait: flags.limits.maxWait,
	}}, nil
}

// tableNamed returns a table of a manifest, and a zero one if there is none of that name.
func tableNamed(m manifest.Manifest, name string) manifest.Table {
	for _, table := range m.Tables {
		if table.Name == name {
			return table
		}
	}
	return manifest.Table{}
}

// splitColumn splits TABLE.COLUMN. The table may have a schema in front.
func splitColumn(name string) (table, column string, err error) {
	at := strings.LastIndex(name, ".")
	if at < 1 || at == len(name)-1 {
		return "", "", fmt.Errorf("%w: %q is not of the form TABLE.COLUMN", errUsage, name)
	}
	return name[:at], name[at+1:], nil
}
