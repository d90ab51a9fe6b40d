//go:build linux

package memory_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// plaintext is a secret of a row. The programs read it from the database.
func plaintext() secret { return secret{"the API key of a row", []byte("sk_live_" + rand.Text())} }

// newRing returns a keyring of which the first version of each set is enabled and the
// second primary.
func newRing(t *testing.T) *keyring.Keyring {
	t.Helper()
	ring := must(keyring.Generate())
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
		added, version, err := ring.Add(set)
		if err != nil {
			t.Fatal(err)
		}
		ring = must(added.Promote(version))
	}
	return ring
}

func document(t *testing.T, ring *keyring.Keyring) string {
	t.Helper()
	var b bytes.Buffer
	if err := keyring.WriteCleartext(&b, ring); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// database returns the DSN of a database with rows that were sealed under a ring.
func database(t *testing.T, ring *keyring.Keyring, rows ...*Customer) string {
	t.Helper()
	dsn := testdb.SQLite(t).DSN
	db, plugin := open(dsn, gormcrypt.Config{Keys: ring})
	defer plugin.Close()
	pool := must(db.DB())
	defer pool.Close()
	if err := db.CreateInBatches(rows, 200).Error; err != nil {
		t.Fatal(err)
	}
	return dsn
}

// crashes runs a program until it panics, and returns what it wrote.
func crashes(t *testing.T, program, step, traceback string, environ ...string) []byte {
	t.Helper()
	// A core dump holds all of the memory, and is not what is looked at here.
	cmd := command(t, program, append(environ, "GOTRACEBACK="+traceback)...)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -c 0; exec "$0"`, cmd.Path}
	cmd.Stdin = strings.NewReader(step + "\n")
	output, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(output, []byte("goroutine ")) {
		t.Fatalf("GOTRACEBACK=%s: the program did not crash: %v", traceback, err)
	}
	return output
}

// written returns what a program wrote into a directory, by the names of the files.
func written(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, entry := range must(os.ReadDir(dir)) {
		content := must(os.ReadFile(filepath.Join(dir, entry.Name())))
		if unzip, err := gzip.NewReader(bytes.NewReader(content)); err == nil { // a profile
			content = must(io.ReadAll(unzip))
		}
		files[entry.Name()] = content
	}
	return files
}

// However a program fails, prints, logs, encodes or profiles itself, with everything
// in its hands that holds a key, no form of a key is in it.
func TestNoKeyIsInWhatAProgramShows(t *testing.T) {
	t.Parallel()
	ring, kek, row := newRing(t), make([]byte, 32), plaintext()
	rand.Read(kek)
	secrets := append(keysOf(t, ring), secret{"the key-encryption key", kek}, row)
	for _, version := range ring.Versions() {
		use, passing := derivedFrom(t, ring, version)
		secrets = append(append(secrets, use...), passing...)
	}
	out := t.TempDir()
	environ := []string{
		keysVariable + "=" + document(t, ring), kekVariable + "=" + base64.StdEncoding.EncodeToString(kek), outVariable + "=" + out,
		dsnVariable + "=" + database(t, ring, &Customer{Email: "ada@example.org", TaxID: "4242", APIKey: encryptedtype.NewEncryptedString(string(row.bytes))}),
	}
	p := start(t, "careful", environ...)
	p.do(t, "show")
	shown := written(t, out)
	if len(shown) != len(places)-len(notByShow) {
		t.Fatalf("the program wrote %d files: %v", len(shown), slices.Sorted(maps.Keys(shown)))
	}
	for _, traceback := range []string{"single", "all", "system", "crash"} {
		output := crashes(t, "careful", "panic", traceback, environ...)
		inTrace := []string{"wrapping a key of 32 bytes", "memory_test.work("}
		if !erases { // which takes away what is above the call of Use
			inTrace = append(inTrace, "memory_test.lent(", "Wrap(")
		}
		for _, want := range inTrace {
			if !bytes.Contains(output, []byte(want)) {
				t.Errorf("GOTRACEBACK=%s: the trace is without %s", traceback, want)
			}
		}
		shown["a panic with GOTRACEBACK="+traceback] = output
	}
	for _, s := range secrets {
		for place, form := range s.shown(shown) {
			t.Errorf("%s shows %s, as %.12q", place, s.name, form)
		}
	}
	shows := map[string]string{"fmt": "keyring(1 enabled ", "slog text": "[encrypted]", "reflection": "gormcrypt.Plugin{", "goroutine profile 2": "memory_test.lent("}
	for place, want := range shows {
		if !bytes.Contains(shown[place], []byte(want)) {
			t.Errorf("%s is without %s: the program shows something else than it should", place, want)
		}
	}

	// A key in use is in memory, and a heap dump is all of that.
	p.do(t, "dump")
	dump := must(os.ReadFile(filepath.Join(out, "heap dump")))
	for _, s := range keysOf(t, ring) {
		if !bytes.Contains(dump, s.bytes) {
			t.Errorf("%s is not in the heap dump: the threat model says that it is", s.name)
		}
	}
}

// places are where a program shows itself, and whether the naive one shows its key
// there. Profiles hold call stacks and numbers, and no values, whoever wrote the
// program; only labels are values.
var places = map[string]bool{
	"fmt": true, "log": true, "slog text": true, "slog JSON": true, "JSON": true, "XML": true, "gob": true,
	"reflection": true, "environ": true, "os.Environ": true,
	"goroutine profile 0": true, "goroutine profile 1": true, "goroutine profile 2": true,
	"heap profile 0": false, "heap profile 1": false, "heap profile 2": false,
	"allocs profile 0": false, "allocs profile 1": false, "allocs profile 2": false,
	"a panic": true, "a panic's trace": true, "heap dump": true,
}

var notByShow = []string{"a panic", "a panic's trace", "heap dump"}

// The same search, in the same places, finds the key of a program that holds it in a
// field, in an argument, in a label and in the environment.
func TestTheSearchFindsANaiveKey(t *testing.T) {
	t.Parallel()
	key := secret{"the key", make([]byte, 32)}
	rand.Read(key.bytes)
	out := t.TempDir()
	environ := []string{kekVariable + "=" + base64.StdEncoding.EncodeToString(key.bytes), outVariable + "=" + out}
	p := start(t, "naive", environ...)
	p.do(t, "show")
	p.do(t, "dump")
	shown := written(t, out)
	for place, step := range map[string]string{"a panic": "panic", "a panic's trace": "trace"} {
		shown[place] = crashes(t, "naive", step, "all", environ...)
	}
	found := key.shown(shown)
	for place, want := range places {
		if form, ok := found[place]; ok != want {
			t.Errorf("%s: the key is found: %t, want %t", place, ok, want)
		} else if ok {
			t.Logf("%s: as %.16q", place, form)
		}
	}
}
