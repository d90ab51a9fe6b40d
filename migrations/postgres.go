package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// postgresDatabase waits for a lock on a table no longer than wait at a time: those
// who come later wait behind it.
type postgresDatabase struct {
	pool *sql.DB
	wait time.Duration
}

// lockTries is how often a lock is asked for that others wait behind. With the pauses
// between, which are ten times as long, that is about a minute at the default of 50 ms.
const lockTries = 100

// lockRefused reports whether a lock was not had in time.
func lockRefused(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && (state.SQLState() == "55P03" || state.SQLState() == "40P01")
}

// tryLocked runs f again while others have the lock that it asks for, which it waits for
// as long as it says.
func (d postgresDatabase) tryLocked(ctx context.Context, table string, tries int, wait time.Duration, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		switch {
		case err == nil || !lockRefused(err):
			return err
		case try == tries:
			return fmt.Errorf("%d times others have used %s for longer than %v, such as a transaction that is left open (for an index, one on any table); run the step again when it is over: %w", tries, table, wait, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5*d.wait + rand.N(10*d.wait)):
		}
	}
}

// alter runs statements that lock a table against everybody, in one transaction.
func (d postgresDatabase) alter(ctx context.Context, table string, statements ...string) error {
	return d.tryLocked(ctx, table, lockTries, d.wait, func() error {
		tx, err := d.pool.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for _, statement := range append([]string{fmt.Sprintf("SET LOCAL lock_timeout = %d", max(d.wait.Milliseconds(), 1)), "SET LOCAL statement_timeout = 0"}, statements...) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

// Readers and writers do not wait behind a statement that goes on beside them. It waits
// a minute at a time at the default of 50 ms, fifteen times: an index that is made waits
// for all transactions that are older, and is made anew each time that it gives up.
const (
	patience    = 1200
	besideTries = 15
)

// beside runs a statement that reads and writes go on beside, outside of a
// transaction.
func (d postgresDatabase) beside(ctx context.Context, table, statement string) error {
	return d.tryBeside(ctx, table, func() error { return d.once(ctx, statement) })
}

// tryBeside runs f again while once gives up in it.
func (d postgresDatabase) tryBeside(ctx context.Context, table string, f func() error) error {
	return d.tryLocked(ctx, table, besideTries, patience*d.wait, f)
}

func (d postgresDatabase) once(ctx context.Context, statement string) error {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// It may take longer than a limit for statements allows. What is set for the
	// session is reset, and the connection is thrown away if that fails.
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET lock_timeout = %d", max((patience*d.wait).Milliseconds(), 1))); err != nil {
		return err
	}
	defer d.reset(conn)
	if _, err := conn.ExecContext(ctx, "SET statement_timeout = 0"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, statement)
	return err
}

func (d postgresDatabase) reset(conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, setting := range []string{"lock_timeout", "statement_timeout"} {
		if _, err := conn.ExecContext(ctx, "RESET "+setting); err != nil {
			_ = conn.Raw(func(any) error { return errBroken })
			return
		}
	}
}

func (d postgresDatabase) hasTable(ctx context.Context, table string) (there bool, err error) {
	err = d.pool.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", quoteTable(table)).Scan(&there)
	return there, err
}

func (d postgresDatabase) layout(ctx context.Context, table, column string) (layout, error) {
	l := layout{columns: map[string]bool{}}
	name := quoteTable(table)
	columns, err := texts(ctx, d.pool, "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped", name)
	if err != nil {
		return l, err
	}
	for _, one := range columns {
		l.columns[one] = true
	}
	if !l.columns[column] {
		return l, nil
	}
	var base, generated, relation string
	var hasDefault, fuzzy bool
	err = d.pool.QueryRowContext(ctx, `SELECT a.attnotnull, format_type(a.atttypid, a.atttypmod), t.typname::text, a.attgenerated::text, a.atthasdef OR a.attidentity <> '', c.relkind::text,
	coalesce((SELECT NOT collisdeterministic FROM pg_collation WHERE oid = a.attcollation), false)
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_class AS c ON c.oid = a.attrelid WHERE a.attrelid = to_regclass($1) AND a.attname = $2`, name, column).
		Scan(&l.notNull, &l.kind, &base, &generated, &hasDefault, &relation, &fuzzy)
	if err != nil {
		return l, err
	}
	l.wide = base == "text" || base == "bytea" || l.kind == "character varying"
	l.widens = base == "varchar"
	switch {
	case generated != "":
		l.problems = append(l.problems, "the database computes the column from others; make it a plain column")
	case hasDefault:
		l.problems = append(l.problems, "the column has a default, which would be stored as it is; drop the default, and set the value in the application")
	}
	if fuzzy {
		l.problems = append(l.problems, "the column has a collation that takes different texts for equal; give it another")
	}
	if relation == "p" || relation == "f" {
		l.warnings = append(l.warnings, "the table is partitioned, or foreign: make indexes on it yourself")
	}
	if err := d.dependents(ctx, name, column, &l); err != nil {
		return l, err
	}
	rows, err := d.pool.QueryContext(ctx, `SELECT i.relname::text, x.indisunique, x.indnkeyatts = 1 AND x.indkey[0] = a.attnum AND x.indexprs IS NULL AND x.indpred IS NULL, pg_get_indexdef(i.oid),
	EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.oid AND contype IN ('p', 'u', 'x')), x.indexprs IS NOT NULL OR x.indpred IS NOT NULL
FROM pg_attribute AS a JOIN pg_index AS x ON x.indrelid = a.attrelid JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND (a.attnum = ANY (x.indkey) OR EXISTS (
	SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = i.oid AND refobjid = a.attrelid AND refobjsubid = a.attnum)) ORDER BY 1`, name, column)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for rows.Next() {
		var x tableIndex
		var computed bool
		if err := rows.Scan(&x.name, &x.unique, &x.alone, &x.definition, &x.constraint, &computed); err != nil {
			return l, err
		}
		l.indexes = append(l.indexes, x)
		if computed && retyped(l) {
			l.problems = append(l.problems, fmt.Sprintf("the index %s is of an expression, or of some rows, and would be made anew with the type of the column, while nobody reads and writes; drop it, and make it concurrently after Expand if it is of use to ciphertext", x.name))
		}
	}
	return l, rows.Err()
}

// retyped reports whether Expand changes the type of a column.
func retyped(l layout) bool { return !l.wide && l.widens }

// dependents notes what depends on a column.
func (d postgresDatabase) dependents(ctx context.Context, name, column string, l *layout) error {
	view := "the view %s has the column in it, and will show ciphertext; list a struct for it in Config.Models, with context="
	if retyped(*l) { // which PostgreSQL refuses
		view += "; until then, drop it, for the type of the column to be changed, and make it again after Expand"
	}
	const of = " AND a.attrelid = to_regclass($1) AND a.attname = $2 ORDER BY 1"
	type question struct {
		query, says string
		problem     bool
	}
	questions := []question{
		{"SELECT c.conname::text FROM pg_constraint AS c, pg_attribute AS a WHERE c.contype = 'c' AND c.conrelid = a.attrelid AND a.attnum = ANY (c.conkey)" + of,
			"the CHECK constraint %s is on the column, and would be made on ciphertext; drop it, and check in the application", true},
		{"SELECT c.conname::text FROM pg_constraint AS c, pg_attribute AS a WHERE c.contype = 'f' AND (c.conrelid = a.attrelid AND a.attnum = ANY (c.conkey) OR c.confrelid = a.attrelid AND a.attnum = ANY (c.confkey))" + of,
			"the foreign key %s is on the column, and ciphertext matches nothing; relate the tables by another column", true},
		{"SELECT DISTINCT v.relname::text FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class, pg_attribute AS a WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND v.oid <> a.attrelid" + of,
			view, retyped(*l)},
		{"SELECT b.attname::text FROM pg_depend AS d JOIN pg_attrdef AS f ON f.oid = d.objid JOIN pg_attribute AS b ON b.attrelid = f.adrelid AND b.attnum = f.adnum, pg_attribute AS a WHERE d.classid = 'pg_attrdef'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND b.attnum <> a.attnum" + of,
			"the column %s is computed from it, in the clear; drop that", true},
		{"SELECT p.polname::text FROM pg_depend AS d JOIN pg_policy AS p ON p.oid = d.objid, pg_attribute AS a WHERE d.classid = 'pg_policy'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum" + of,
			"the policy %s looks at the column, and would see ciphertext; have it look at another", true},
		{"SELECT t.tgname::text FROM pg_trigger AS t, pg_attribute AS a WHERE NOT t.tgisinternal AND t.tgrelid = a.attrelid" + of,
			"the trigger %s runs for rows that are rewritten, if it is one of updates, and sees ciphertext", false},
	}
	if retyped(*l) {
		questions = append(questions, question{"SELECT DISTINCT t.tgname::text FROM pg_depend AS d JOIN pg_trigger AS t ON t.oid = d.objid, pg_attribute AS a WHERE NOT t.tgisinternal AND d.classid = 'pg_trigger'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum" + of,
			"the trigger %s names the column, whose type is to become one that holds ciphertext; drop it, and make it again after Expand", true})
	}
	for _, q := range questions {
		names, err := texts(ctx, d.pool, q.query, name, column)
		if err != nil {
			return err
		}
		for _, one := range slices.DeleteFunc(names, isOurs) {
			if says := fmt.Sprintf(q.says, one); q.problem {
				l.problems = append(l.problems, says)
			} else {
				l.warnings = append(l.warnings, says)
			}
		}
	}
	return nil
}

func (d postgresDatabase) addColumn(ctx context.Context, table, column string) error {
	return d.alter(ctx, table, "ALTER TABLE "+quoteTable(table)+" ADD COLUMN IF NOT EXISTS "+quote(column)+" text")
}

func (d postgresDatabase) dropColumn(ctx context.Context, table, column string) error {
	return d.alter(ctx, table, "ALTER TABLE "+quoteTable(table)+" DROP COLUMN IF EXISTS "+quote(column))
}

func (d postgresDatabase) widening(table, column string, binary bool) string {
	kind := "text"
	if binary {
		kind = "bytea"
	}
	return "ALTER TABLE " + quoteTable(table) + " ALTER COLUMN " + quote(column) + " TYPE " + kind
}

func (d postgresDatabase) widen(ctx context.Context, table, column string, binary bool) error {
	return d.alter(ctx, table, d.widening(table, column, binary))
}

func (postgresDatabase) creating(table string, index manifest.DatabaseIndex) string {
	return indexing(index, quoteTable(table), "CONCURRENTLY ", "")
}

func (d postgresDatabase) createIndex(ctx context.Context, table string, index manifest.DatabaseIndex) error {
	return d.makeIndex(ctx, table, index.Name, d.creating(table, index))
}

func (d postgresDatabase) recreateIndex(ctx context.Context, table, name, definition string) error {
	return d.makeIndex(ctx, table, name, strings.Replace(definition, "INDEX ", "INDEX CONCURRENTLY ", 1))
}

// makeIndex runs the statement of an index until that is there and valid. What is left
// of one that could not be made, such as by a process that was killed, or behind a
// lock, has its name too.
func (d postgresDatabase) makeIndex(ctx context.Context, table, name, statement string) error {
	for {
		err := d.tryBeside(ctx, table, func() error {
			if valid, err := d.indexes(ctx, table, name, true); err != nil || valid {
				return err
			}
			if there, err := d.hasIndex(ctx, table, name); err != nil {
				return err
			} else if there {
				if err := d.once(ctx, d.dropping(table, name)); err != nil {
					return err
				}
			}
			return d.once(ctx, statement)
		})
		var state interface{ SQLState() string }
		if !errors.As(err, &state) || state.SQLState() != "42P07" {
			return err
		}
		// Another process has begun it meanwhile, or it is one of another table.
		if there, again := d.hasIndex(ctx, table, name); again != nil || !there {
			return err
		}
	}
}

func (d postgresDatabase) hasIndex(ctx context.Context, table, name string) (bool, error) {
	return d.indexes(ctx, table, name, false)
}

// indexes reports whether a table has an index of a name, or a valid one.
func (d postgresDatabase) indexes(ctx context.Context, table, name string, valid bool) (bool, error) {
	found, err := texts(ctx, d.pool, "SELECT i.relname::text FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = to_regclass($1) AND i.relname = $2 AND (x.indisvalid OR NOT $3)", quoteTable(table), name, valid)
	return len(found) > 0, err
}

func (d postgresDatabase) dropIndex(ctx context.Context, table, name string) error {
	return d.beside(ctx, table, d.dropping(table, name))
}

func (postgresDatabase) dropping(table, name string) string {
	schema := ""
	if before, _, found := cutLast(table); found {
		schema = quoteTable(before) + "."
	}
	return "DROP INDEX CONCURRENTLY IF EXISTS " + schema + quote(name)
}

func cutLast(name string) (before, after string, found bool) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return "", name, false
}

func (d postgresDatabase) check(table, name, condition string) string {
	return fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", quoteTable(table), quote(name), condition)
}

// addCheck adds a constraint that is NOT VALID, which looks at no row under its lock,
// and then looks at all rows while they are read and written.
func (d postgresDatabase) addCheck(ctx context.Context, table, name, condition string) error {
	var there, valid bool
	err := d.pool.QueryRowContext(ctx, "SELECT count(*) > 0, coalesce(bool_and(convalidated), false) FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2", quoteTable(table), name).Scan(&there, &valid)
	if err != nil || valid {
		return err
	}
	if !there {
		if err := d.alter(ctx, table, d.check(table, name, condition)); err != nil {
			return err
		}
	}
	err = d.beside(ctx, table, "ALTER TABLE "+quoteTable(table)+" VALIDATE CONSTRAINT "+quote(name))
	var state interface{ SQLState() string }
	if errors.As(err, &state) && state.SQLState() == "23514" {
		// The constraint refuses also updates of what is there.
		return errors.Join(errViolated, d.dropCheck(context.WithoutCancel(ctx), table, name))
	}
	return err
}

func (d postgresDatabase) dropCheck(ctx context.Context, table, name string) error {
	return d.alter(ctx, table, "ALTER TABLE "+quoteTable(table)+" DROP CONSTRAINT IF EXISTS "+quote(name))
}

func (d postgresDatabase) setNotNull(ctx context.Context, table, column string, notNull bool) error {
	name := quoteTable(table)
	if !notNull {
		return d.alter(ctx, table, "ALTER TABLE "+name+" ALTER COLUMN "+quote(column)+" DROP NOT NULL")
	}
	// With a constraint that says the same and is valid, no row is looked at under the
	// lock.
	check := "gormcrypt_not_null"
	if err := d.addCheck(ctx, table, check, quote(column)+" IS NOT NULL"); err != nil {
		return err
	}
	return d.alter(ctx, table, "ALTER TABLE "+name+" ALTER COLUMN "+quote(column)+" SET NOT NULL", "ALTER TABLE "+name+" DROP CONSTRAINT "+quote(check))
}

// landing are the statements by which a row takes what is written to the old name of a
// column.
func (d postgresDatabase) landing(of besides) []string {
	table, function := quoteTable(of.table), quote(of.trigger)
	if schema, _, found := cutLast(of.table); found {
		function = quoteTable(schema) + "." + function
	}
	return []string{
		"ALTER TABLE " + table + " ADD COLUMN IF NOT EXISTS " + quote(of.beside) + " text",
		fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.%[2]s IS NOT NULL THEN NEW.%[3]s := NEW.%[2]s; NEW.%[2]s := NULL; END IF; RETURN NEW; END $$", function, quote(of.beside), quote(of.column)),
		fmt.Sprintf("CREATE OR REPLACE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()", quote(of.trigger), table, function),
	}
}

// settled are those that undo them.
func (d postgresDatabase) settled(of besides) []string {
	table, function := quoteTable(of.table), quote(of.trigger)
	if schema, _, found := cutLast(of.table); found {
		function = quoteTable(schema) + "." + function
	}
	return []string{
		"DROP TRIGGER IF EXISTS " + quote(of.trigger) + " ON " + table,
		"DROP FUNCTION IF EXISTS " + function + "()",
		"ALTER TABLE " + table + " DROP COLUMN IF EXISTS " + quote(of.beside),
	}
}

// cutOver makes sure beforehand, by a constraint that is valid, that all values have
// moved, so that nothing is looked at under the lock.
func (d postgresDatabase) cutOver(ctx context.Context, of besides) error {
	if err := d.addCheck(ctx, of.table, of.trigger, quote(of.column)+" IS NULL"); err != nil {
		return err
	}
	table := quoteTable(of.table)
	return d.alter(ctx, of.table, append([]string{
		"ALTER TABLE " + table + " DROP COLUMN " + quote(of.column),
		"ALTER TABLE " + table + " RENAME COLUMN " + quote(of.beside) + " TO " + quote(of.column),
	}, d.landing(of)...)...)
}

func (d postgresDatabase) back(ctx context.Context, of besides) error {
	table := quoteTable(of.table)
	return d.alter(ctx, of.table, append(d.settled(of),
		"ALTER TABLE "+table+" RENAME COLUMN "+quote(of.column)+" TO "+quote(of.beside),
		"ALTER TABLE "+table+" ADD COLUMN "+quote(of.column)+" "+of.kind)...)
}

func (d postgresDatabase) isCutOver(ctx context.Context, of besides) (bool, error) {
	found, err := texts(ctx, d.pool, "SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2", quoteTable(of.table), of.trigger)
	return len(found) > 0, err
}

func (d postgresDatabase) land(ctx context.Context, of besides) error {
	return d.alter(ctx, of.table, d.landing(of)...)
}

func (d postgresDatabase) settle(ctx context.Context, of besides) error {
	return d.alter(ctx, of.table, d.settled(of)...)
}
