package main

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The exit codes, as the help has them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDamage      = 3
	exitRefused     = 4
	exitUnavailable = 5
	exitInterrupted = 130
)

// errDamage: values are not as they should be. What is wrong was printed already.
var errDamage = errors.New("values are not as they should be")

// errRefused: it would do harm now, or somebody has said no.
var errRefused = errors.New("refused")

// codes says which error gives which exit code. The first that fits counts.
var codes = []struct {
	err  error
	code int
}{
	{errUsage, exitUsage}, {settings.ErrInvalid, exitUsage}, {database.ErrURL, exitUsage}, {database.ErrRejected, exitUsage},
	{errDamage, exitDamage}, {errProblems, exitDamage}, {rotation.ErrQuarantined, exitDamage}, {rotation.ErrPoisoned, exitDamage}, {migrations.ErrNotVerified, exitDamage},
	{errRefused, exitRefused}, {rotation.ErrInUse, exitRefused}, {rotation.ErrOtherJob, exitRefused}, {rotation.ErrOlderKeyring, exitRefused},
	{migrations.ErrOrder, exitRefused}, {migrations.ErrDeployment, exitRefused}, {migrations.ErrProblems, exitRefused},
	{dbkeys.ErrBehind, exitRefused}, {dbkeys.ErrState, exitRefused}, {dbkeys.ErrNotEmpty, exitRefused}, {keysource.ErrReadOnly, exitRefused},
	{keyring.ErrKeyLost, exitRefused}, {fs.ErrExist, exitRefused},
	{database.ErrUnreachable, exitUnavailable}, {keyring.ErrUnavailable, exitUnavailable},
}

// answers are what to do about an answer of PostgreSQL, by its code: see appendix A of
// its manual.
var answers = map[string]string{
	"42501": "grant that to the role that connects, or connect as another; gormcrypt doctor lists what is missing",                              // insufficient_privilege
	"25006": "this server only reads, as a replica does: give the URL of the primary, and keys in the database that of theirs as keys.database", // read_only_sql_transaction
	"42P01": otherDatabase, "42703": otherDatabase,                                                                                              // undefined_table, undefined_column
}

// otherDatabase is for a table or a column that is not there.
const otherDatabase = "the manifest is of another database, or of programs that do not run here: gormcrypt doctor compares them"

// notThere is how SQLite, and the library itself, say that of tables and columns.
var notThere = regexp.MustCompile(`no such (table|column)|there is no table \S|the table \S+ has no column`)

// explain returns the exit code for an error, and what is said of it, in one line.
func explain(ctx context.Context, err error) (code int, message string) {
	code = exitFailed
	for _, one := range codes {
		if errors.Is(err, one.err) {
			code = one.code
			break
		}
	}
	if code == exitFailed && isBusy(err) {
		code = exitUnavailable
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code = exitInterrupted
	}
	return code, oneLine(err)
}

// isBusy says whether the database was held by others for too long.
func isBusy(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "database is locked")
}

// oneLine returns what an error says: errors of drivers, and joined ones, have several
// lines, and those of the library begin with its name.
func oneLine(err error) string {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.Join(strings.Fields(line), " ")
		switch last := len(lines) - 1; {
		case line == "":
		case last >= 0 && strings.HasSuffix(lines[last], ":"):
			lines[last] += " " + line
		default:
			lines = append(lines, line)
		}
	}
	message := words.Replace(strings.Join(lines, "; "))
	if advice := adviceFor(err, message); advice != "" && !strings.Contains(message, "gormcrypt doctor") {
		message += "; " + advice
	}
	if isBusy(err) {
		message += "; another writer holds the database, or it is slow; nothing is lost: run the command again"
	}
	return message
}

// adviceFor returns what to do about an error that does not say it itself.
func adviceFor(err error, message string) string {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return answers[answer.Code]
	}
	switch {
	case notThere.MatchString(message):
		return otherDatabase
	case errors.Is(err, fs.ErrPermission) && !strings.Contains(message, ";"), strings.Contains(message, "attempt to write a readonly database"):
		return "run it as the user that the file belongs to; gormcrypt doctor looks at files"
	}
	return ""
}
