// Package database opens the database that a setting names.
package database

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	driver "modernc.org/sqlite" // an engine in Go, so that the binary needs no C library
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrUnreachable: the database did not answer. The same command may succeed later.
var ErrUnreachable = errors.New("the database does not answer")

// ErrURL: the setting is not that of a database.
var ErrURL = errors.New("not the URL of a database")

// ErrRejected: the server answers, and does not let this user into this database.
var ErrRejected = errors.New("the server refuses the connection")

// connectTimeout is how long a server may take to accept a connection, unless the URL
// has a connect_timeout.
const connectTimeout = 10 * time.Second

// Access is what a command may do.
type Access int

// ReadOnly has the database refuse every write of a command that should make none.
const (
	ReadOnly Access = iota
	ReadWrite
)

// Open connects to a database: postgres://…, "host=… user=…", or sqlite:PATH of a file
// that is there. The caller calls close. It returns ErrURL, ErrUnreachable,
// ErrRejected, and the error of ctx. No error has a password in it.
func Open(ctx context.Context, where string, access Access) (db *gorm.DB, close func() error, err error) {
	dialector, err := dialectorOf(where, access)
	if err != nil {
		return nil, nil, err
	}
	db, err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard, DisableAutomaticPing: true, SkipDefaultTransaction: true})
	if err != nil {
		return nil, nil, failed(ctx, err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, err
	}
	if err := pool.PingContext(ctx); err != nil {
		return nil, nil, errors.Join(failed(ctx, err), pool.Close())
	}
	return db, pool.Close, nil
}

// failed says what it means that a database could not be opened.
func failed(ctx context.Context, err error) error {
	var answer *pgconn.PgError
	var file *driver.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &answer) && refusesParameters(answer.Code):
		return fmt.Errorf("%w: %w; take the parameter out of the URL or, if this is a pooler such as PgBouncer, which takes none, give the address of the server itself", ErrRejected, err)
	case errors.As(err, &answer) && rejects(answer.Code):
		return fmt.Errorf("%w: %w; correct the user, the name of the database, or the password, which may be in PGPASSWORD or PGPASSFILE too", ErrRejected, err)
	case errors.As(err, &file) && file.Code()&0xff == sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the file is no SQLite database; correct the path", ErrURL)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// rejects says whether an answer of the server will be the same the next time: wrong
// authentication, no such database, no right to connect.
func rejects(code string) bool {
	return strings.HasPrefix(code, "28") || code == "3D000" || code == "42501"
}

// refusesParameters says whether a server does not take what a connection begins with:
// a parameter that it does not know, or a value. Reading commands ask for transactions
// that only read.
func refusesParameters(code string) bool {
	return strings.HasPrefix(code, "08P") || strings.HasPrefix(code, "22") || strings.HasPrefix(code, "42") && code != "42501"
}

// schemeForm is that of a scheme, which can be shown. What else stands before :// may
// be a part of a password.
var schemeForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,19}$`)

// wordForm is how "host=… user=…" begins.
var wordForm = regexp.MustCompile(`^\s*[a-z_]+\s*=`)

func dialectorOf(where string, access Access) (gorm.Dialector, error) {
	if path, ok := strings.CutPrefix(where, "sqlite:"); ok {
		return openSQLite(strings.TrimPrefix(path, "//"), access)
	}
	scheme, _, isURL := strings.Cut(where, "://")
	isWords := wordForm.MatchString(where)
	switch {
	case isURL && !isWords && schemeForm.MatchString(scheme) && scheme != "postgres" && scheme != "postgresql":
		return nil, fmt.Errorf("%w: it begins with %q; write postgres://USER@HOST/NAME or sqlite:PATH", ErrURL, scheme+"://")
	case !isWords && scheme != "postgres" && scheme != "postgresql":
		return nil, fmt.Errorf("%w: write postgres://USER@HOST/NAME or sqlite:PATH", ErrURL)
	}
	config, err := pgx.ParseConfig(where)
	if err != nil {
		// The error of the driver may quote what it does not understand.
		return nil, fmt.Errorf("%w: PostgreSQL's client does not understand it; write postgres://USER@HOST:PORT/NAME, with special characters of a password as in URLs (%%40 for @)", ErrURL)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "gormcrypt"
	}
	if access == ReadOnly {
		config.RuntimeParams["default_transaction_read_only"] = "on"
	}
	return postgres.New(postgres.Config{Conn: poolOf(config)}), nil
}
