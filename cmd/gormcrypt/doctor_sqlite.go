package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
)

// checkSQLite looks at the file, at who owns it, and at its journal.
func (e *examination) checkSQLite(ctx context.Context) []finding {
	var version, journal string
	if err := e.pool.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return failed(err)
	}
	if err := e.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return failed(err)
	}
	path, _ := database.SQLitePath(e.settings.Database)
	found := append(ok("SQLite %s", version), of("file", checkSQLiteFile(path))...)
	if journal == "wal" {
		found = append(found, of("journal", ok("a write-ahead log"))...)
	} else {
		found = append(found, of("journal", warning("have the application run PRAGMA journal_mode = WAL once", "the journal is %q: readers wait for writers, and a job is slow", journal))...)
	}
	if e.integrity {
		found = append(found, of("integrity", e.checkIntegrity(ctx))...)
	}
	return found
}

func (e *examination) checkIntegrity(ctx context.Context) []finding {
	rows, err := e.pool.QueryContext(ctx, "PRAGMA quick_check(5)")
	said, err := texts(rows, err)
	switch {
	case err != nil:
		return failed(err)
	case len(said) == 1 && said[0] == "ok":
		return ok("SQLite finds nothing wrong with the file")
	}
	return problem("restore the file from a backup, or see https://sqlite.org/recovery.html", "the file is damaged: %s", strings.Join(said, "; "))
}

// checkSQLiteFile looks at who owns the file and those beside it. A log that another user
// has made locks the application out.
func checkSQLiteFile(path string) []finding {
	owner, known := ownerOf(path)
	if known && owner != os.Geteuid() {
		return warning("run gormcrypt as the owner of the file, by sudo -u say", "%s belongs to user %d, and this is user %d: a log that this one makes locks the application out", path, owner, os.Geteuid())
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if other, there := ownerOf(path + suffix); there && other != owner {
			return problem("chown it to the owner of the database", "%s belongs to user %d, and the database to user %d: the application may be locked out", path+suffix, other, owner)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return warning("run gormcrypt as a user who may write to the file", "only reading commands work: %s", oneLine(err))
	}
	file.Close()
	return ok("%s", path)
}

// layoutSQLite returns what a table is like.
func (e *examination) layoutSQLite(ctx context.Context, table string) (*layout, error) {
	schema, name, found := strings.Cut(table, ".")
	if !found {
		schema, name = "main", table
	}
	var kind string
	var strict bool
	err := e.pool.QueryRowContext(ctx, "SELECT type, strict FROM pragma_table_list WHERE lower(name) = lower(?) AND schema = ?", name, schema).Scan(&kind, &strict)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &layout{types: map[string]string{}, strict: strict, view: kind == "view"}
	rows, err := e.pool.QueryContext(ctx, "SELECT name, type, pk FROM pragma_table_xinfo(?, ?) ORDER BY pk", name, schema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var column, kind string
		var nth int
		if err := rows.Scan(&column, &kind, &nth); err != nil {
			return nil, err
		}
		if l.types[column] = strings.ToLower(kind); nth > 0 {
			l.key = append(l.key, column)
		}
	}
	return l, rows.Err()
}

// holdsSQLite says why a type cannot hold ciphertext, and is empty if it can: only STRICT
// tables mind types.
func holdsSQLite(kind string, strict bool) string {
	if strict && kind != "text" && kind != "blob" && kind != "any" {
		return kind + " in a STRICT table holds no ciphertext"
	}
	return ""
}
