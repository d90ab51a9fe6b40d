package settings_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

// The file of init has every setting, and what was given; what is read from it again is
// the same, wherever the command runs.
func TestTemplate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "gormcrypt.toml")
	given := map[string]string{
		"GORMCRYPT_DATABASE": "sqlite:" + filepath.Join(dir, `odd "name" \ ü.db`), "GORMCRYPT_MANIFEST": filepath.Join(dir, "sub", "m.json"),
		"GORMCRYPT_ALGORITHM": "aes-256-gcm", "GORMCRYPT_AUDIT_LOG": "/var/log/audit", "GORMCRYPT_KEYS_FROM": "wrapped:" + filepath.Join(dir, "k.json"),
		"GORMCRYPT_KEYS_WRAPPED_BY": "passphrase-file:/run/secrets/pass", "GORMCRYPT_KEYS_DATABASE": "host=h dbname=d", "GORMCRYPT_KEYS_NAME": "a\nb",
		"GORMCRYPT_VAULT_ADDRESS": "https://vault", "GORMCRYPT_VAULT_NAMESPACE": "ns", "GORMCRYPT_VAULT_CA_FILE": "/etc/ca", "GORMCRYPT_VAULT_LOGIN": "token-env:T",
	}
	s, err := read(t, "", given)
	if err != nil {
		t.Fatal(err)
	}
	again := writeAndRead(t, s, path)
	for _, one := range settings.All {
		if got, want := one.Value(again), given[one.Variable]; got != want || want == "" {
			t.Errorf("%s is %q, want %q", one.Name, got, want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `manifest = "sub/m.json"`) {
		t.Errorf("a path below the directory of the file is not relative:\n%s", text)
	}
}

// A setting that nobody has given is a comment, with what it is and how to give it.
func TestEmptyTemplate(t *testing.T) {
	t.Parallel()
	s, err := read(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gormcrypt.toml")
	again := writeAndRead(t, s, path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range settings.All {
		name := one.Name[strings.LastIndex(one.Name, ".")+1:]
		if one.Value(again) != "" {
			t.Errorf("%s is %q", one.Name, one.Value(again))
		}
		if !regexp.MustCompile(`(?m)^# \(` + one.Variable + `.*\)\n# ` + name + ` = ""$`).Match(text) {
			t.Errorf("%s is not in the file:\n%s", one.Name, text)
		}
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if len([]rune(line)) > 90 {
			t.Errorf("a long line: %s", line)
		}
	}
}

// A password never gets into the file.
func TestTemplateHasNoPassword(t *testing.T) {
	t.Parallel()
	url := "postgres://me:" + secret + "@host/x"
	s, err := read(t, "", map[string]string{"GORMCRYPT_DATABASE": url, "GORMCRYPT_KEYS_DATABASE": url})
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Template("gormcrypt.toml")
	if err != nil || strings.Contains(text, secret) {
		t.Errorf("%v\n%s", err, text)
	}
	if !strings.Contains(text, "leave it in GORMCRYPT_DATABASE") || !strings.Contains(text, "leave it in GORMCRYPT_KEYS_DATABASE") {
		t.Errorf("nothing says where it is:\n%s", text)
	}
}

// writeAndRead writes the file of settings, and reads it again with nothing else.
func writeAndRead(t *testing.T, s *settings.Settings, path string) *settings.Settings {
	t.Helper()
	text, err := s.Template(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := read(t, "", nil, "--config", path)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return again
}
