package database_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
)

// emptyFile makes an SQLite database, which an empty file is one of.
func emptyFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A database that is opened for reading refuses every write, also of what another
// connection of the pool does.
func TestSQLiteReadOnly(t *testing.T) {
	t.Parallel()
	path := emptyFile(t, "app.db")
	write, err := open(t, t.Context(), "sqlite:"+path, database.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := write("CREATE TABLE t (a integer)"); err != nil {
		t.Fatal(err)
	}
	read, err := open(t, t.Context(), "sqlite:"+path, database.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "CREATE TABLE u (a integer)", "DROP TABLE t", "PRAGMA user_version = 5"} {
		if err := read(statement); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if err := read("SELECT a FROM t"); err != nil {
		t.Error(err)
	}
}

// Names of files are not read as parts of a URL.
func TestSQLiteNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "a?mode=memory", "a#b", "a%20b", "ä&b=c.db", ":memory:"} {
		path := emptyFile(t, name)
		for _, where := range []string{"sqlite:" + path, "sqlite://" + path} {
			write, err := open(t, t.Context(), where, database.ReadWrite)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			if err := write("CREATE TABLE IF NOT EXISTS t (a integer)"); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: the file was not written: %v", name, err)
		}
	}
}

// A file of another kind is told at once, and not by the first command that reads it.
func TestNoSQLite(t *testing.T) {
	t.Parallel()
	path := emptyFile(t, "manifest.json")
	if err := os.WriteFile(path, []byte(strings.Repeat(`{"format": 1, "tables": []}`, 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, t.Context(), "sqlite:"+path, database.ReadOnly)
	if !errors.Is(err, database.ErrURL) || !strings.Contains(err.Error(), "no SQLite database") {
		t.Errorf("%v, want ErrURL", err)
	}
}

func TestSQLiteCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, ctx, "sqlite:"+emptyFile(t, "app.db"), database.ReadOnly); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
