package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// refused CODE PATTERN ARGS... runs gormcrypt, which has to exit with the code, print
// nothing but one line on standard error that matches the pattern, and change neither
// a row or a table of the database nor a file of the script. It tells no secret.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: refused CODE PATTERN ARGS...")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	w := worldOf(ts)
	before := w.snapshot(ts)
	var stdout, stderr bytes.Buffer
	command := exec.Command(w.command, args[2:]...)
	command.Dir, command.Env = ts.MkAbs("."), environment(ts)
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		ts.Fatalf("%v", err)
	} else if got := exitCode(exit); got != code {
		ts.Fatalf("exit code %d, want %d\n%s%s", got, code, &stdout, &stderr)
	}
	message := stderr.String()
	ts.Logf("%s", message)
	switch {
	case !strings.HasPrefix(message, "gormcrypt: ") || strings.Count(message, "\n") != 1:
		ts.Fatalf("standard error is not one line that begins with gormcrypt:\n%s", message)
	case !regexp.MustCompile(args[1]).MatchString(message):
		ts.Fatalf("standard error does not match %q:\n%s", args[1], message)
	}
	w.noSecret(ts, "standard error", message)
	w.noSecret(ts, "standard output", stdout.String())
	if after := w.snapshot(ts); after != before {
		ts.Fatalf("something has changed (-before +after):\n%s", cmp.Diff(before, after))
	}
}

func exitCode(exit *exec.ExitError) int {
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// environment returns the variables of a script.
func environment(ts *testscript.TestScript) []string {
	var all []string
	for _, name := range []string{
		"HOME", "PATH", "TMPDIR", "WORK", "NO_COLOR", "GORMCRYPT_CONFIG", "GORMCRYPT_DATABASE", "GORMCRYPT_MANIFEST", "GORMCRYPT_KEYS",
		"GORMCRYPT_KEYS_FROM", "GORMCRYPT_KEYS_WRAPPED_BY", "GORMCRYPT_KEYS_NAME", "GORMCRYPT_KEYS_DATABASE", "GORMCRYPT_AUDIT_LOG",
		"GORMCRYPT_ALGORITHM", "GORMCRYPT_VAULT_LOGIN", "GORMCRYPT_VAULT_ADDRESS", "GORMCRYPT_VAULT_SECRET_ID", "PASSPHRASE", "TOKEN",
	} {
		if value := ts.Getenv(name); value != "" {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// snapshot returns everything that a command may not change when it refuses: the files
// of the script, the definitions of the database, and its rows.
func (w *world) snapshot(ts *testscript.TestScript) string {
	var b strings.Builder
	ts.Check(filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, text)
		return err
	}))
	definitions, tables := "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2", "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
	row := "SELECT * FROM %q ORDER BY rowid"
	if w.where.Name == "postgres" {
		definitions = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2" // constraints come with the next
		tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
		row = "SELECT t::text FROM %q AS t ORDER BY 1"
	}
	queries := []string{definitions}
	if w.where.Name == "postgres" {
		queries = append(queries,
			"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace ORDER BY 1",
			"SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1")
	}
	names, err := w.query(tables)
	ts.Check(err)
	for _, name := range strings.Fields(names) {
		if name == "gormcrypt_key_processes" {
			continue // processes that live are heard of meanwhile
		}
		queries = append(queries, fmt.Sprintf(row, name))
	}
	for _, query := range queries {
		text, err := w.query(query)
		ts.Check(err)
		fmt.Fprintf(&b, "%s\n%s", query, text)
	}
	return b.String()
}
