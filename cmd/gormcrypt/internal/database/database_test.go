package database_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
)

// secret is what no error may have in it.
const secret = "hunter2"

// open opens a database, which is closed with the test, and checks that an error has no
// password in it.
func open(t *testing.T, ctx context.Context, where string, access database.Access) (exec func(statement string) error, err error) {
	t.Helper()
	db, closeDatabase, err := database.Open(ctx, where, access)
	if err != nil {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a password is in %v", err)
		}
		return nil, err
	}
	t.Cleanup(func() {
		if err := closeDatabase(); err != nil {
			t.Error(err)
		}
	})
	return func(statement string) error { return db.WithContext(ctx).Exec(statement).Error }, nil
}

// What is not the URL of a database is said so, and never quoted.
func TestNoURL(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		"":                                 "write postgres://USER@HOST/NAME or sqlite:PATH",
		"app.db":                           "write postgres://USER@HOST/NAME",
		"postgres":                         "",
		"mysql://me:" + secret + "@host/x": `it begins with "mysql://"`,
		"me:" + secret + "@tcp(host)/x":    "write postgres://",
		"me:" + secret + "@tcp(host)/x?charset=u":               "",
		secret + " my password://x":                             "write postgres://",
		"postgres://me:" + secret + "%zz@host/x":                "with special characters of a password as in URLs",
		"postgres://me:" + secret + "@host:port/":               "PostgreSQL's client does not understand it",
		"host=h password='" + secret:                            "PostgreSQL's client does not understand it",
		"postgres://me:" + secret + "@host/x?sslmode=no":        "PostgreSQL's client does not understand it",
		"postgres://me:" + secret + "@host/x?connect_timeout=x": "PostgreSQL's client does not understand it",
		"sqlite:":     "write sqlite: and then the path of the file",
		"sqlite://":   "write sqlite: and then the path of the file",
		"sqlite:none": "none: no such file or directory; the command line makes no database",
		"sqlite:.":    ". is a directory; name the file of the database",
	} {
		_, err := open(t, context.Background(), where, database.ReadOnly)
		if !errors.Is(err, database.ErrURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want ErrURL: %s", where, err, want)
		}
	}
}
