package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

const doctorLong = `Doctor looks at everything that the other commands need: the settings, the
database and what this role may do there, the keyring and what wraps it, the
manifest against the tables, jobs and migrations that are not finished, and
the clocks. Each line is ok, a warning or a problem, with its fix. What
depends on something that failed is not looked at, and says so.

It changes nothing: it opens the database read-only, and of key-encryption
keys it only asks to wrap and unwrap a random key. To find plaintext and
values under keys that are not there, it looks at a hundredth of each table,
and at all of small ones. With --integrity it has SQLite look through its
whole file.

Exit codes: 0 if there are no problems, warnings or not; 3 if there is one.`

// errProblems: the doctor has found some, and said which.
var errProblems = errors.New("not all is well")

func (a *app) doctorCommand() *cobra.Command {
	var integrity bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "What is wrong with settings, database, keys and manifest", Long: doctorLong,
		Example:           "  gormcrypt doctor\n  gormcrypt doctor --json",
		Args:              args(cobra.NoArgs),
		Annotations:       withoutSettings, // that they cannot be read is something to report
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := &examination{app: a, cmd: cmd, integrity: integrity}
			return e.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&integrity, "integrity", false, "have SQLite look through its whole file")
	a.offerJSON(cmd)
	return cmd
}

// examination is what the checks have found out so far, for those that come after.
type examination struct {
	*app
	cmd       *cobra.Command
	integrity bool

	// db and pool are nil if there is no connection, keys if there is no keyring, and
	// encrypted if there is no manifest. opens has the key versions, and whether they
	// are not retired; fits are the tables that are as the manifest says.
	db        *gorm.DB
	pool      *sql.DB
	keys      *keysource.Keys
	opens     map[keyring.Version]bool
	encrypted *manifest.Manifest
	fits      map[string]bool
	// current is that the tables of gormcrypt itself have the latest version, and none
	// that there are none yet.
	current, none bool

	findings []finding
}

// check is one thing to look at.
type check struct {
	area, name string
	// after are what it depends on. It is not looked at without.
	after []need
	look  func(e *examination, ctx context.Context) []finding
}

// need is something that a check before has to have found.
type need struct {
	name string
	met  func(e *examination) bool
}

var (
	needSettings = need{"the settings", func(e *examination) bool { return e.settings != nil }}
	needDatabase = need{"the database", func(e *examination) bool { return e.db != nil }}
	needManifest = need{"the manifest", func(e *examination) bool { return e.encrypted != nil }}
	needCurrent  = need{"gormcrypt's own tables at the latest version", func(e *examination) bool { return e.current || e.none }}
)

// checks are in the order of the report.
var checks = []check{
	{"settings", "settings", nil, (*examination).checkSettings},
	{"settings", "variables", nil, (*examination).checkVariables},
	{"settings", "audit log", []need{needSettings}, (*examination).checkAuditLog},
	{"database", "connection", []need{needSettings}, (*examination).checkConnection},
	{"database", "server", []need{needDatabase}, (*examination).checkServer},
	{"database", "clock", []need{needDatabase}, (*examination).checkClock},
	{"database", "own tables", []need{needDatabase}, (*examination).checkOwnTables},
	{"manifest", "manifest", []need{needSettings}, (*examination).checkManifest},
	{"manifest", "tables", []need{needDatabase, needManifest}, (*examination).checkTables},
	{"manifest", "permissions", []need{needDatabase, needManifest}, (*examination).checkPermissions},
	{"keys", "key encryption", []need{needSettings}, (*examination).checkKEK},
	{"keys", "keyring", []need{needSettings}, (*examination).checkKeyring},
	{"values", "values", []need{needDatabase, needManifest}, (*examination).checkValues},
	{"work", "jobs", []need{needDatabase, needCurrent}, (*examination).checkJobs},
	{"work", "migrations", []need{needDatabase, needCurrent}, (*examination).checkMigrations},
	{"machine", "program", nil, (*examination).checkProgram},
}

// run looks at everything, and says what it has found.
func (e *examination) run(ctx context.Context) error {
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return err
		}
		found := e.lacking(c)
		if found == nil {
			found = c.look(e, ctx)
		}
		for _, f := range found {
			f.Area = c.area
			if f.Check == "" {
				f.Check = c.name
			}
			e.findings = append(e.findings, f)
		}
	}
	if err := ctx.Err(); err != nil { // a check may have failed because of it
		return err
	}
	if err := e.report(); err != nil {
		return err
	}
	if n := e.count(problemFound); n > 0 {
		return fmt.Errorf("%w: %s, %s; the report has the fix of each", errProblems, counted(int64(n), "problem"), counted(int64(e.count(warningFound)), "warning"))
	}
	return nil
}

// lacking returns what is said of a check that cannot be made.
func (e *examination) lacking(c check) []finding {
	for _, need := range c.after {
		if !need.met(e) {
			return []finding{{Status: notLookedAt, Detail: "it needs " + need.name}}
		}
	}
	return nil
}

func (e *examination) count(s status) int {
	n := 0
	for _, f := range e.findings {
		if f.Status == s {
			n++
		}
	}
	return n
}
