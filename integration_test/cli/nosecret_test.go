package cli_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// planted are the plaintexts of the rows that app and kinds write.
var planted = regexp.MustCompile(`(?i)Person\d+@example|\+44 20 7946|DE0000\d+|\d Main Street|notes of|red\x1b|9007199254740993|hidden@example`)

// keyText finds keys in a file of a keyring.
var keyText = regexp.MustCompile(`[A-Za-z0-9+/_-]{40,}`)

// nosecret FILE... fails if a file, which may be stdout or stderr, holds a plaintext that
// was planted, or a key of a keyring in the directory of the script.
func nosecret(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: nosecret FILE...")
	}
	for _, name := range args {
		worldOf(ts).noSecret(ts, name, ts.ReadFile(name))
	}
}

func (w *world) noSecret(ts *testscript.TestScript, where, text string) {
	if found := planted.FindString(text); found != "" {
		ts.Fatalf("%s has a plaintext: %q", where, found)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*.json"))
	ts.Check(err)
	for _, file := range files {
		document, err := os.ReadFile(file)
		ts.Check(err)
		for _, key := range keyText.FindAllString(string(document), -1) {
			raw, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(key))
			if strings.Contains(text, key) || err == nil && (strings.Contains(text, string(raw)) || strings.Contains(text, hex.EncodeToString(raw))) {
				ts.Fatalf("%s has a key of %s", where, file)
			}
		}
	}
}
