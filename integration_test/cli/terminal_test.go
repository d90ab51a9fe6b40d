package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// A rotation in a terminal: it asks, shows bars, is stopped by Ctrl-C, and goes on.
func TestRotateInATerminal(t *testing.T) {
	t.Parallel()
	dir, environment := shop(t, 200)
	p := newPane(t, dir, environment)

	status := regexp.MustCompile(`(?m)^\$ gormcrypt status\n(.*\n)*customers, 200 rows\nemail +░+ +0.0 % +0 +0 +1: 200$`)
	if text := capture(t, dir, environment, "gormcrypt status"); !status.MatchString(text) {
		t.Errorf("status shows\n%s", text)
	}
	p.start("gormcrypt rotate --rate 40 --workers 1")
	p.shows(`Go on, and rewrite \S+ values, and open all of 2 tables\? \[y/N\]`)
	p.press("n", "Enter")
	p.prompt()
	p.shows(`gormcrypt: refused: you did not say yes; nothing has changed`)

	p.run("clear")
	p.start("gormcrypt rotate --rate 40 --workers 1")
	p.shows(`\[y/N\]`)
	p.press("y", "Enter")
	text := p.shows(`(?m)^customers  [█░]+ +\d+\.\d % +\d+ of 200\norders     [█░]+ +\d+\.\d % +\d+ of 200\npass 1, sealing anew: \d+\.\d %, \d+ of 400 rows, \d+ rows a second, \S+ left$`)
	if bars := strings.Count(text, "\npass 1"); bars != 1 {
		t.Errorf("%d lines of progress:\n%s", bars, text)
	}
	t.Logf("\n%s", text)
	p.press("C-c")
	p.prompt()
	p.shows(`(?m)^gormcrypt: stopped; \d+\.\d % of pass 1 is done; go on with: gormcrypt rotate$`)
	p.run("clear")
	p.run("gormcrypt rotate --yes; gormcrypt status")
	text = p.shows(`(?m)^email +█+ +100 % +0 +0 +2: 200$`)
	t.Logf("\n%s", text)
}

// shop makes a shop with a new key in an SQLite database, and returns its directory and
// what gormcrypt needs to know.
func shop(t *testing.T, rows int) (dir string, environment []string) {
	t.Helper()
	binaries, dir, where := build(t), t.TempDir(), testdb.SQLite(t)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	must(t, err)
	db := where.Open(t, nil)
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: deployments["shop"]})
	must(t, db.Use(plugin))
	must(t, db.AutoMigrate(deployments["shop"]...))
	must(t, write(db, "shop", rows))
	must(t, writeManifest(db, filepath.Join(dir, "manifest.json")))
	must(t, plugin.Close())
	keys, version, err := keys.Add(keyring.DataKeys)
	must(t, err)
	keys, err = keys.Promote(version)
	must(t, err)
	must(t, keyring.WriteFile(path, keys))
	return dir, []string{
		"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GORMCRYPT_DATABASE=sqlite:" + where.Path, "GORMCRYPT_MANIFEST=manifest.json", "GORMCRYPT_KEYS_FROM=file:keys.json",
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
