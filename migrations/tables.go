package migrations

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/owntables"
)

var (
	// ErrNewer: a newer version of the library has made the tables, and this one does
	// not know what is in them.
	ErrNewer = owntables.ErrNewer
	// ErrUnfinished: there is a job, or the migration of a column, that is not
	// finished, or keys of package dbkeys, and they would be lost.
	ErrUnfinished = owntables.ErrUnfinished
)

// Upgrade brings gormcrypt's own tables to the latest version, and creates them if
// they are not there. If there is nothing to do, which is one SELECT, any role may
// call it that has SELECT on gormcrypt_schema; otherwise it needs the right to create
// tables. In PostgreSQL they are where the search path finds them, and new ones in
// its first schema.
//
// Any number of processes may call it at once: all is done in one transaction, for
// which the others wait, in SQLite for about ten seconds. What fails, or is cancelled
// by ctx, leaves everything as it was. Statements do not go through the callbacks and
// the logger of db.
//
// It returns ErrNewer if a newer version of the library has made the tables; an error
// if there is something to do and db is in a transaction or for dry runs; and those
// of ctx and the database.
func Upgrade(ctx context.Context, db *gorm.DB) error { return owntables.Upgrade(ctx, db) }

// Downgrade brings gormcrypt's own tables back to a version, and removes all of them
// for 0. What is in those that go is lost: the ledger has the finished jobs, and what
// they left in quarantine. As with [Upgrade], all is done in one transaction, or
// nothing. In PostgreSQL it waits for transactions that use the tables. Functions of
// this version of the library that use them bring them to the latest version again.
//
// It returns ErrUnfinished, with what to do, if that would lose a job that is running
// or paused, the migration of a column that is not finished, or keys that are kept
// there; ErrNewer as Upgrade does; an error for a version that is not there or later than that of the tables, and
// if db is in a transaction or for dry runs; and those of ctx and the database.
func Downgrade(ctx context.Context, db *gorm.DB, version int) error {
	return owntables.Downgrade(ctx, db, version)
}

// Version returns the version of gormcrypt's own tables, 0 if there are none, or only
// those of a build before there were versions; and the latest one, to which [Upgrade]
// brings them. Current is larger than latest if a newer version of the library has
// made the tables. It needs SELECT on gormcrypt_schema, and changes nothing.
func Version(ctx context.Context, db *gorm.DB) (current, latest int, err error) {
	return owntables.Version(ctx, db)
}
