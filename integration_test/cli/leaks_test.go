package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

const passphrase = "six words that nobody would guess"

const oneColumn = `{"format": 1, "tables": [{"name": "people", "primary_key": ["id"],
  "columns": [{"name": "email", "type": "string", "context": {"table": "people", "column": "email"}}]}]}`

// leaks runs commands, and keeps all that they print and leave behind.
type leaks struct {
	*testing.T
	where        testdb.Database
	command, dir string
	from         string
	printed      bytes.Buffer
	// keys are all that there were, in every form that may be seen.
	keys map[string]bool
}

// run runs gormcrypt, whose outcome does not matter here, and notes the keys that there
// are then.
func (l *leaks) run(args ...string) {
	l.Helper()
	l.exec(l.from, args...)
	l.note()
}

func (l *leaks) exec(from string, args ...string) string {
	l.Helper()
	url := l.where.DSN
	if l.where.Name == "sqlite" {
		url = "sqlite:" + l.where.Path
	}
	command := exec.Command(filepath.Join(l.command, "gormcrypt"), args...)
	command.Dir = l.dir
	command.Env = append(os.Environ(), "GORMCRYPT_DATABASE="+url, "GORMCRYPT_KEYS_FROM="+from, "GORMCRYPT_KEYS_WRAPPED_BY=passphrase-env:PASSPHRASE", "PASSPHRASE="+passphrase)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	l.printed.WriteString(out.String())
	l.Logf("gormcrypt %s: %v\n%s", strings.Join(args, " "), err, &out)
	return out.String()
}

// note remembers the keys of the keyring.
func (l *leaks) note() {
	l.Helper()
	ring, err := l.load()
	if err != nil {
		l.Fatal(err)
	}
	var text bytes.Buffer
	if err := keyring.WriteCleartext(&text, ring); err != nil {
		l.Fatal(err)
	}
	var document struct{ Keys []struct{ Key string } }
	if err := json.Unmarshal(text.Bytes(), &document); err != nil {
		l.Fatal(err)
	}
	for _, entry := range document.Keys {
		key, err := base64.RawURLEncoding.DecodeString(entry.Key)
		if err != nil {
			l.Fatal(err)
		}
		if len(key) == 0 {
			continue // it is retired
		}
		for _, form := range []string{entry.Key, base64.RawStdEncoding.EncodeToString(key), hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)), string(key)} {
			l.keys[form] = true
		}
	}
}

func (l *leaks) load() (*keyring.Keyring, error) {
	scheme, path, _ := strings.Cut(l.from, ":")
	path = filepath.Join(l.dir, path)
	switch scheme {
	case "file":
		return keyring.FromFile(path)
	case "wrapped":
		return keyring.FromPassphrase(path, []byte(passphrase))
	}
	kek, err := keyring.NewPassphrase([]byte(passphrase))
	if err != nil {
		return nil, err
	}
	quiet := keyring.PollConfig{Logger: slog.New(slog.DiscardHandler)}
	store, err := dbkeys.Open(context.Background(), dbkeys.Config{DB: l.where.Open(l, nil), KEK: kek, Poll: quiet})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return store.Load(context.Background())
}

// check looks for the keys in a text.
func (l *leaks) check(where, text string) {
	l.Helper()
	for form := range l.keys {
		if strings.Contains(text, form) {
			l.Errorf("a key is in %s", where)
		}
	}
}

// From init to a retired key, nothing that is printed or left behind has a key in it
// but the keyring itself, if it is one that is not wrapped, and its copies.
func TestNoKeyIsShown(t *testing.T) {
	t.Parallel()
	binaries := build(t)
	for _, from := range []string{"file:keys.json", "wrapped:keys.json", "database"} {
		t.Run(strings.ReplaceAll(from, ":", "-"), func(t *testing.T) {
			testdb.Each(t, func(t *testing.T, where testdb.Database) {
				l := &leaks{T: t, where: where, command: binaries, dir: t.TempDir(), from: from, keys: map[string]bool{}}
				pool := where.Plain(t)
				if _, err := pool.Exec("CREATE TABLE people (id integer PRIMARY KEY, email text)"); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(l.dir, "manifest.json"), []byte(oneColumn), 0o600); err != nil {
					t.Fatal(err)
				}
				l.run("init", "--yes", "--manifest", "manifest.json")
				l.run("keys", "add", "--yes")
				l.run("keys", "add", "--yes", "--set", "index")
				if from == "database" {
					l.run("keys", "promote", "2", "--yes")
					l.run("keys", "promote", "i2", "--yes")
				} else {
					l.run("keys", "promote", "2", "--every-process-has", "2")
					l.run("keys", "promote", "i2", "--every-process-has", "i2")
				}
				l.run("keys", "retire", "1", "--yes")
				if !strings.Contains(l.printed.String(), "Key 1 is retired") {
					t.Error("key 1 is not retired")
				}
				l.run("keys", "list")
				l.run("keys", "list", "--json")
				l.run("keys", "restore", "1", "--yes")
				l.run("keys", "rewrap", "--yes")
				l.run("keys", "generate")
				l.run("keys", "promote", "9")
				l.run("init")
				if want := 4 * 4; len(l.keys) < want { // 1, 2, i1 and i2, of whose five forms two may be the same
					t.Fatalf("there were %d forms of keys, want %d", len(l.keys), want)
				}
				l.check("what was printed", l.printed.String())
				l.checkFiles(t)
			})
		})
	}
}

func (l *leaks) checkFiles(t *testing.T) {
	files := 0
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if l.from != "file:keys.json" || !strings.HasPrefix(entry.Name(), "keys.json") {
			l.check(entry.Name(), string(text))
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
	if l.where.Name == "sqlite" {
		text, err := os.ReadFile(l.where.Path)
		if err != nil {
			t.Error(err)
		}
		l.check("the database", string(text))
	}
}

// What prints keys when it is asked to by name does print them: otherwise, the test
// above would see nothing.
func TestKeysAreSeen(t *testing.T) {
	t.Parallel()
	l := &leaks{T: t, where: testdb.SQLite(t), command: build(t), dir: t.TempDir(), from: "file:keys.json", keys: map[string]bool{}}
	text := l.exec("env:NONE", "keys", "generate", "--cleartext")
	if err := os.WriteFile(filepath.Join(l.dir, "keys.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.note()
	for form := range l.keys {
		if strings.Contains(text, form) {
			return
		}
	}
	t.Error("no key is seen in a cleartext keyring")
}
