package backfill

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dialect is what the databases say differently.
type dialect interface {
	// rebind returns SQL with the placeholders of the dialect in place of ?. The
	// SQL has no other question marks.
	rebind(query string) string
	// now is the database's clock in milliseconds since 1970.
	now() string
	// lockJobs is a statement after which nobody else begins a job until the end of
	// the transaction.
	lockJobs() string
	// skipLocked is what a subquery ends with that is to leave locked rows out.
	skipLocked() string
	// describe completes a table with what the database knows of it.
	describe(ctx context.Context, pool *sql.DB, t Table) (described, error)
	// oneWriter reports that the database has one writer at a time, for which the
	// others wait by asking again and again.
	oneWriter() bool
	// reading returns the context to read a batch in, and what ends it.
	reading(ctx context.Context) (context.Context, context.CancelFunc)
	// transient reports whether an error may be gone when the same is tried again,
	// and smaller whether that is likelier with less.
	transient(err error) (again, smaller bool)
	// refusal says what of the database has refused to write a row: duplicate for a
	// unique constraint. It is empty for other errors, and holds nothing of the row.
	refusal(err error) string
	// constraintsNow is a statement that has constraints of a transaction looked at
	// with each statement, empty if they are.
	constraintsNow() string

	// whole runs f so that it sees every row of every table, or an error.
	whole(ctx context.Context, pool *sql.DB, f func(on querier) error) error
	// collated returns the columns of a table that are to be read in the collation
	// "C".
	collated(ctx context.Context, on querier, table string) (map[string]bool, error)
	// uniqueKey reports whether the database rules out that several rows of a table
	// have one key.
	uniqueKey(ctx context.Context, on querier, t Table) (bool, error)
	// version returns an expression of a column for what Tally.add wants. It fails
	// for no value.
	version(column, magic string) string
	// sample is what follows the name of a table of which about a share is read.
	sample(share float64) string

	// native returns a column of another type than text or bytes as it is read.
	native(column string) string
	// stored returns a column as a driver gives what is stored, whatever its declared
	// type. Native is that of a Source.
	stored(column string, native bool) string
	// bytes returns a column of bytes as it is read, so that no bytes are not NULL.
	bytes(column string) string
	// sealed returns a condition for a column whose value has the form of ciphertext.
	sealed(column string, binary bool) string
	// admits returns a condition for a column whose value is NULL or starts as
	// ciphertext does, or as the term of an index.
	admits(column string, binary, index bool) string
	// startsWith returns a condition for a column whose value starts with a prefix. It
	// is not true for NULL.
	startsWith(column, prefix string) string
	// standing returns those guards of a table that are in the database.
	standing(ctx context.Context, on querier, guards []Guard) ([]Guard, error)
	// guarded does what Counter.Guard does.
	guarded(ctx context.Context, pool *sql.DB, guards []Guard, wait time.Duration) ([]int64, error)
}

// described is a table with the statements for it.
type described interface {
	// keys returns the columns of the key as they are selected.
	keys() []string
	// unfit returns a condition for rows that cannot be found again by their key.
	unfit() string
	// bound returns a placeholder for column i of a key.
	bound(i int) string
	// swap swaps values in a transaction, and returns the number of rows.
	swap(ctx context.Context, tx *sql.Tx, swaps []Swap) (int64, error)
	// look selects the rows of some keys.
	look(keys []Key) (query string, args []any)
}

// numbered replaces question marks by $1, $2, and so on.
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// dialectOf returns the dialect of a GORM dialector's name.
func dialectOf(name string) (dialect, error) {
	switch name {
	case "sqlite":
		return sqlite{}, nil
	case "postgres":
		return postgres{}, nil
	}
	return nil, fmt.Errorf("gormcrypt: rotation works on SQLite and PostgreSQL, not on %s", name)
}

// Clock returns an SQL expression of the database's clock, in milliseconds since 1970.
func Clock(dialectName string) (string, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return "", err
	}
	return d.now(), nil
}
