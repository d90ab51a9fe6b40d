package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// An error is said in one line, in which two that are joined can be told apart, and
// which has the fix.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.Join(errors.New("write log: no space left"), errors.New("sync log: no space left")), "write log: no space left; sync log: no space left"},
		{errors.New("failed to connect to `user=u`:\n\t127.0.0.1:1: refused\n\n\t[::1]:1: refused"), "failed to connect to `user=u`: 127.0.0.1:1: refused; [::1]:1: refused"},
		{fmt.Errorf("nothing has changed: %w", context.Canceled), "nothing has changed: stopped by a signal"},
		{&pgconn.PgError{Severity: "ERROR", Message: "permission denied for table t", Code: "42501"}, "ERROR: permission denied for table t (SQLSTATE 42501); " + answers["42501"]},
		{&pgconn.PgError{Severity: "ERROR", Message: "column t.mail does not exist", Code: "42703"}, "ERROR: column t.mail does not exist (SQLSTATE 42703); " + otherDatabase},
		{errors.New("gormcrypt: counting the values of t: SQL logic error: no such table: t (1)"), "counting the values of t: SQL logic error: no such table: t (1); " + otherDatabase},
		{errors.New("gormcrypt: the table people has no column email"), "the table people has no column email; " + otherDatabase},
		{&pgconn.PgError{Severity: "ERROR", Message: "cannot execute INSERT in a read-only transaction", Code: "25006"}, "ERROR: cannot execute INSERT in a read-only transaction (SQLSTATE 25006); " + answers["25006"]},
		{&fs.PathError{Op: "open", Path: "keys.json.lock", Err: fs.ErrPermission}, "open keys.json.lock: permission denied; run it as the user that the file belongs to; gormcrypt doctor looks at files"},
		{errors.New("attempt to write a readonly database (8)"), "attempt to write a readonly database (8); run it as the user that the file belongs to; gormcrypt doctor looks at files"},
		{errors.New("it is plaintext; Backfill seals it"), "it is plaintext; gormcrypt migrate backfill seals it"},
		{errors.New("deploy migrating=read, and run Revert with Config.Deployed, or Backfill to go on after all"), "deploy migrating=read, and run gormcrypt migrate revert with --deployed read, or gormcrypt migrate backfill to go on after all"},
		{errors.New("gormcrypt: Config.LockWait is negative"), "--lock-wait is negative"},
	} {
		if got := oneLine(test.err); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if strings.Contains(oneLine(test.err), "\n") {
			t.Errorf("%q has several lines", oneLine(test.err))
		}
	}
}
