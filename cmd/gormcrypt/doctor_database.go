package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// checkConnection opens the database, read-only.
func (e *examination) checkConnection(ctx context.Context) []finding {
	db, err := e.openDatabase(ctx, database.ReadOnly)
	if err != nil {
		return failed(err)
	}
	if e.pool, err = db.DB(); err != nil {
		return failed(err)
	}
	e.db = db
	return ok("%s", database.Name(e.settings.Database))
}

// postgres says whether the database is PostgreSQL, and not SQLite.
func (e *examination) postgres() bool { return e.db.Dialector.Name() == "postgres" }

func (e *examination) checkServer(ctx context.Context) []finding {
	if e.postgres() {
		return e.checkPostgres(ctx)
	}
	return e.checkSQLite(ctx)
}

// How much clocks may differ. Leases of jobs are 30 s, those of processes a minute.
const (
	clockNoticed = 2 * time.Second
	clockHarmful = 15 * time.Second
)

// checkClock compares the clock of this machine with that of the database, by which
// leases and tokens expire.
func (e *examination) checkClock(ctx context.Context) []finding {
	clock, err := backfill.Clock(e.db.Dialector.Name())
	if err != nil {
		return failed(err)
	}
	var there int64
	before := time.Now()
	if err := e.pool.QueryRowContext(ctx, "SELECT "+clock).Scan(&there); err != nil {
		return failed(err)
	}
	after := time.Now()
	return clockFinding(time.UnixMilli(there), before, after)
}

// clockFinding judges a time that was read between two others.
func clockFinding(there, before, after time.Time) []finding {
	ahead := before.Add(after.Sub(before) / 2).Sub(there)
	unsure := after.Sub(before)/2 + 2*time.Millisecond // clocks of whole milliseconds, which SQLite computes from a day
	text := "this machine and the database agree"
	switch {
	case ahead > unsure:
		text = fmt.Sprintf("this machine is %v ahead of the database", ahead.Round(time.Millisecond))
	case -ahead > unsure:
		text = fmt.Sprintf("this machine is %v behind the database", -ahead.Round(time.Millisecond))
	}
	const fix = "set both by NTP: leases, tokens and the times in reports depend on them"
	switch off := ahead.Abs() - unsure; {
	case off > clockHarmful:
		return problem(fix, "%s", text)
	case off > clockNoticed:
		return warning(fix, "%s", text)
	}
	return ok("%s", text)
}

// checkOwnTables looks at the version of gormcrypt's own tables, and at what the role may
// do with them.
func (e *examination) checkOwnTables(ctx context.Context) []finding {
	current, latest, err := migrations.Version(ctx, e.db)
	if err != nil {
		return failed(err)
	}
	e.current, e.none = current == latest, current == 0
	switch {
	case current > latest:
		return problem("use a newer gormcrypt", "they have version %d, made by a newer gormcrypt; this one knows %d", current, latest)
	case e.postgres():
		return e.checkOwnTablesPostgres(ctx, current, latest)
	}
	return ownTablesFinding(current, latest, true)
}

// ownTablesFinding says what becomes of tables of a version, given whether the role may
// create tables.
func ownTablesFinding(current, latest int, mayCreate bool) []finding {
	const fix = "GRANT CREATE ON SCHEMA to the role, or run gormcrypt init with one that has it"
	switch {
	case current == latest:
		return ok("version %d, the latest", current)
	case !mayCreate && current == 0:
		return problem(fix, "there are none, and this role may not create tables")
	case !mayCreate:
		return problem(fix, "they have version %d of %d, and this role may not alter the schema", current, latest)
	case current == 0:
		return ok("there are none yet; the first job or migration makes them")
	}
	return warning("run gormcrypt init, or let the next job do it", "they have version %d of %d", current, latest)
}
