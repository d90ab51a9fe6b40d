// Package migrations keeps the tables that gormcrypt has for itself beside those of
// the application: the ledger of rotations, and how far the migration of each column
// is. Their layout has versions. [Upgrade] makes them or brings them to the latest
// one, and the functions that use them call it first; call it yourself, with a role
// that may create tables, where the application runs with one that may not.
// [Downgrade] goes back to an earlier version, for a program with an earlier version
// of the library, or removes them.
package migrations
