package cli_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// hostile has characters that drive a terminal, or turn a line around, and those that
// SQL and flags need quoting for.
const hostile = "odd\x1b[31m\u202etab,\"le"

// someone's plaintext in an encrypted column
const plaintext = "\x1b[31mplaintext-of-somebody"

// hostileDatabase makes a table of such names, with a ciphertext that does not open and
// plaintext, and its manifest.
func hostileDatabase(t *testing.T, where testdb.Database, dir string) {
	t.Helper()
	quoted := `"` + strings.ReplaceAll(hostile, `"`, `""`) + `"`
	pool := where.Plain(t)
	for _, statement := range []string{
		"CREATE TABLE " + quoted + " (id varchar(50) PRIMARY KEY, " + quoted + " text)",
		"INSERT INTO " + quoted + " VALUES ('" + hostile + "', 'gc1:1:" + strings.Repeat("A", 80) + "')",
		"INSERT INTO " + quoted + " VALUES ('plain', '" + plaintext + "')",
	} {
		if _, err := pool.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"format": 1, "tables": []any{map[string]any{
		"name": hostile, "primary_key": []string{"id"},
		"columns": []any{map[string]any{"name": hostile, "type": "string", "migrating": "write", "context": map[string]string{"table": hostile, "column": hostile}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	settled := strings.Replace(string(text), `"migrating":"write",`, "", 1)
	for name, text := range map[string]string{"migrating.json": string(text), "manifest.json": settled} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Names, keys, reasons and values in the database, in the manifest and in arguments do
// not drive the terminal, and no plaintext is shown with them.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	binaries := build(t)
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		dir := t.TempDir()
		hostileDatabase(t, where, dir)
		url := where.DSN
		if where.Name == "sqlite" {
			url = "sqlite:" + where.Path
		}
		column := hostile + "." + hostile
		for _, args := range [][]string{
			{"init", "--yes", "--manifest", "manifest.json"},
			{"status"}, {"status", "--json"}, {"status", "--table", hostile}, {"doctor"}, {"doctor", "--json"}, {"fsck"}, {"fsck", "--json"}, {"fsck", "--table", "no" + hostile},
			{"decrypt", hostile, hostile, hostile}, {"decrypt", hostile, hostile, hostile, "--json"}, {"decrypt", hostile, "plain", hostile}, {"decrypt", "no" + hostile, "1", hostile},
			{"decrypt", hostile, hostile, hostile, "--reveal", "--reason", hostile},
			{"keys", "add", "--yes"}, {"keys", "promote", "2", "--every-process-has", "2"},
			{"rotate", "--dry-run"}, {"rotate", "--dry-run", "--json", "--table", hostile}, {"rotate", "--yes"}, {"rotate", "--yes", "--json"}, {"rotate", "--cancel", "--job", hostile},
			{"migrate", "plan"}, {"migrate", "plan", column}, {"migrate", "plan", column, "--json"}, {"migrate", "forget", column, "--yes"},
			{"migrate", "expand", column, "--yes", "--manifest", "migrating.json"}, {"migrate", "plan", "--manifest", "migrating.json"},
			{"migrate", "backfill", column, "--yes", "--deployed", "write", "--manifest", "migrating.json"}, {"migrate", "verify", column, "--manifest", "migrating.json"},
			{"keys", "retire", "1", "--yes"}, {"inspect", hostile}, {hostile}, {"status", "--" + hostile},
		} {
			command := exec.Command(filepath.Join(binaries, "gormcrypt"), args...)
			command.Dir, command.Env = dir, append(os.Environ(), "GORMCRYPT_DATABASE="+url)
			out, err := command.CombinedOutput()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			for _, r := range string(out) {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("gormcrypt %q prints %U:\n%q", args, r, out)
					break
				}
			}
			if strings.Contains(string(out), "of-somebody") {
				t.Errorf("gormcrypt %q shows a plaintext:\n%s", args, out)
			}
		}
		log, err := os.ReadFile(filepath.Join(dir, "gormcrypt-audit.log"))
		if err != nil || strings.ContainsAny(string(log), "\x1b\u202e") {
			t.Errorf("the audit log, %v: %q", err, log)
		}
	})
}
