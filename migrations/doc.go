// Package migrations takes a column from plaintext to ciphertext while applications
// read and write it, and back. A [Migration], which [Column] returns by a
// model, and [OfManifest] by a manifest, has a method for each step:
//
//	Plan      counts, and says what will be done and what is in the way
//	Expand    makes the columns of blind indexes, before anything is deployed
//	          deploy migrating=read, then migrating=write
//	Backfill  seals what is plaintext, in batches, as a rotation does
//	Verify    looks at every row once more
//	Enforce   has the database refuse plaintext
//	          deploy the field without migrating=
//	Finish    drops the indexes that find nothing any more
//
// Programs of two deployments that follow each other run side by side: both kinds of
// values are read from migrating=read on, and ciphertext is written from
// migrating=write on. What is deployed only you know. A step that would break a program
// of an earlier deployment returns [ErrDeployment] until [Config] says that none is
// left.
//
// How far a migration is, its [State], is kept in the database. Each step can be
// stopped and run again, by any process; one that comes too early returns [ErrOrder],
// which says what is missing; one that is done does nothing. [Migration.Revert] goes
// back from every state. The same steps make the terms of a new blind index of rows that
// are encrypted already, whose field has the migrating= itself; and with [Settled]
// throughout they seal what plaintext there is in a column that was encrypted from its
// first day, and have the database refuse more.
// [List] says which migrations the database knows of.
// docs/migrations.md says what each step does to the database, and what works
// meanwhile.
//
// [Check] compares models with those of the last deployment, in a unit test, and finds
// renames that orphan stored data.
//
// The package also keeps the tables that gormcrypt has for itself beside those of
// the application: the ledger of rotations, and how far the migration of each column
// is. Their layout has versions. [Upgrade] makes them or brings them to the latest
// one, and the functions that use them call it first; call it yourself, with a role
// that may create tables, where the application runs with one that may not.
// [Downgrade] goes back to an earlier version, for a program with an earlier version
// of the library, or removes them.
package migrations
