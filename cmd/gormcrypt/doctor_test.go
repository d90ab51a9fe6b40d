package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// worst returns the worst status of findings.
func worst(all []finding) status {
	result := okFound
	for _, f := range all {
		if f.Status == problemFound || result == okFound {
			result = f.Status
		}
	}
	return result
}

func TestClocks(t *testing.T) {
	t.Parallel()
	here := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		off, took time.Duration
		want      status
	}{
		{0, 0, okFound}, {time.Second, time.Millisecond, okFound}, {-time.Second, time.Millisecond, okFound},
		{3 * time.Second, time.Millisecond, warningFound}, {-3 * time.Second, time.Millisecond, warningFound},
		{20 * time.Second, time.Millisecond, problemFound}, {-time.Hour, time.Millisecond, problemFound},
		{3 * time.Second, 10 * time.Second, okFound}, // the answer may have been late
	} {
		got := clockFinding(here.Add(test.off), here.Add(-test.took/2), here.Add(test.took-test.took/2))
		if worst(got) != test.want {
			t.Errorf("off by %v in %v: %v, want %s", test.off, test.took, got, test.want)
		}
	}
	for off, want := range map[time.Duration]string{
		20 * time.Second: "this machine is 20s behind the database", -20 * time.Second: "this machine is 20s ahead of the database",
		-time.Millisecond: "this machine and the database agree", // one of them may count whole milliseconds
	} {
		if got := clockFinding(here.Add(off), here, here)[0].Detail; got != want {
			t.Errorf("off by %v: %s", off, got)
		}
	}
}

func TestWayToAServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		remote, encrypted, verified bool
		want                        status
	}{
		{false, false, false, okFound}, {true, false, false, problemFound}, {true, true, false, warningFound}, {true, true, true, okFound},
	} {
		if got := wayFinding(test.remote, test.encrypted, test.verified); worst(got) != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestColumnsOfACensus(t *testing.T) {
	t.Parallel()
	one, two := keyring.MakeVersion(keyring.DataKeys, 1), keyring.MakeVersion(keyring.DataKeys, 2)
	opens := map[keyring.Version]bool{one: true, two: false}
	under := func(v keyring.Version) []rotation.VersionCount { return []rotation.VersionCount{{Version: v, Rows: 3}} }
	for name, test := range map[string]struct {
		census    rotation.ColumnCensus
		migrating bool
		opens     map[keyring.Version]bool
		want      string
	}{
		"nothing":                    {rotation.ColumnCensus{}, false, opens, ""},
		"a key that there is":        {rotation.ColumnCensus{Versions: under(one)}, false, opens, ""},
		"a retired key":              {rotation.ColumnCensus{Versions: under(two)}, false, opens, "is retired, in 3 rows"},
		"a keyring that is unknown":  {rotation.ColumnCensus{Versions: under(two)}, false, nil, ""},
		"plaintext":                  {rotation.ColumnCensus{Foreign: 2}, false, opens, "plaintext, or what another program has written, in 2 rows"},
		"plaintext of a sample":      {rotation.ColumnCensus{Foreign: 200, Estimated: true}, false, opens, "in about 200 rows"},
		"plaintext, while migrating": {rotation.ColumnCensus{Foreign: 2}, true, opens, ""},
		"damage, while migrating":    {rotation.ColumnCensus{Foreign: 2, Unreadable: 2}, true, opens, "cut or changed, in 2 rows"},
	} {
		got := columnFindings(test.census, test.migrating, test.opens)
		if len(got) > 1 || (len(got) == 0) != (test.want == "") || len(got) == 1 && !strings.Contains(got[0].Detail, test.want) {
			t.Errorf("%s: %v, want %q", name, got, test.want)
		}
	}
}

// A log that root has made beside a database of the application locks that out.
func TestOwnersOfSQLiteFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	create := func(name string, uid int) {
		t.Helper()
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(name, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	create(path, 0)
	if got := checkSQLiteFile(path); worst(got) != okFound {
		t.Error("a file of this user: ", got)
	}
	create(path+"-wal", 1234)
	if got := checkSQLiteFile(path); worst(got) != problemFound || !strings.Contains(got[0].Detail, "-wal belongs to user 1234") {
		t.Error("a log of another user: ", got)
	}
	create(path, 1234)
	if got := checkSQLiteFile(path); worst(got) != warningFound || !strings.Contains(got[0].Detail, "belongs to user 1234, and this is user 0") {
		t.Error("a file of another user: ", got)
	}
}

// At 80 columns nothing is longer, and what follows stands below.
func TestReportAtEightyColumns(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	text := "tables: " + strings.Repeat("a word and ", 30) + "\nfix: " + strings.Repeat("another ", 20)
	writeHanging(&b, "  problem        ", text, 80, true)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, line := range lines {
		if len(line) > 80 || i > 0 && !strings.HasPrefix(line, strings.Repeat(" ", 17)) {
			t.Errorf("line %d: %q", i, line)
		}
	}
	if got, want := strings.Join(strings.Fields(b.String()), " "), strings.Join(strings.Fields("problem "+text), " "); got != want {
		t.Errorf("words are not the same: %q", got)
	}
}
