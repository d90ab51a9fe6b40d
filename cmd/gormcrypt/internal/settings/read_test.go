package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

// read reads settings by a file of this text, if there is any, variables and flags.
func read(t *testing.T, text string, variables map[string]string, flags ...string) (*settings.Settings, error) {
	t.Helper()
	if text != "" {
		path := filepath.Join(t.TempDir(), "settings.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--config", path)
	}
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	settings.AddFlags(set)
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return settings.Read(set, lookup(variables))
}

func lookup(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// A variable is stronger than the file, and a flag is stronger than both; an empty
// variable counts for nothing.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		file         string
		variable     string
		flags        []string
		want, origin string
	}{
		{"nothing", "", "", nil, "", ""},
		{"file", `database = "sqlite:/file.db"`, "", nil, "sqlite:/file.db", "settings.toml"},
		{"variable", "", "sqlite:variable.db", nil, "sqlite:variable.db", "GORMCRYPT_DATABASE"},
		{"variable over file", `database = "sqlite:/file.db"`, "sqlite:variable.db", nil, "sqlite:variable.db", "GORMCRYPT_DATABASE"},
		{"flag over both", `database = "sqlite:/file.db"`, "sqlite:variable.db", []string{"--database", "sqlite:flag.db"}, "sqlite:flag.db", "--database"},
		{"empty in the file", `database = ""`, "", nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := read(t, test.file, map[string]string{"GORMCRYPT_DATABASE": test.variable}, test.flags...)
			if err != nil {
				t.Fatal(err)
			}
			if origin := filepath.Base(s.Origin("database")); s.Database != test.want || origin != test.origin && s.Origin("database") != test.origin {
				t.Errorf("database is %q from %q, want %q from %q", s.Database, s.Origin("database"), test.want, test.origin)
			}
		})
	}
}

// Every setting can be given in every way that it says, and ends up in a field of its
// own.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	for _, one := range settings.All {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			table, name, nested := strings.Cut(one.Name, ".")
			file := one.Name + ` = "/of-the-file"`
			if nested {
				file = "[" + table + "]\n" + name + ` = "/of-the-file"`
			}
			s, err := read(t, file, nil)
			if err != nil || one.Value(s) != "/of-the-file" {
				t.Errorf("in the file: %v", err)
			}
			if s, err = read(t, "", map[string]string{one.Variable: "of-the-variable"}); err != nil || one.Value(s) != "of-the-variable" {
				t.Errorf("%s: %v", one.Variable, err)
			}
			if one.Flag == "" {
				return
			}
			if s, err = read(t, "", nil, "--"+one.Flag, "of-the-flag"); err != nil || one.Value(s) != "of-the-flag" {
				t.Errorf("--%s: %v", one.Flag, err)
			}
			for _, other := range settings.All {
				if other.Name != one.Name && other.Value(s) != "" {
					t.Errorf("--%s also sets %s", one.Flag, other.Name)
				}
			}
		})
	}
}

// secret is what no error may have in it.
const secret = "hunter2"

// What is wrong in a file is said with its place, and never quoted: it may be a line
// with a password.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"no quotation marks", "manifest = \"m.json\"\ndatabase = postgres://me:" + secret + "@host/x", "line 2 is no TOML"},
		{"an open string", "database = \"postgres://me:" + secret, "line 1 is no TOML"},
		{"no key", "= \"" + secret + "\"", "line 1 is no TOML"},
		{"a wrong escape", `database = "` + secret + `\q"`, "line 1 is no TOML"},
		{"twice", "database = \"" + secret + "\"\ndatabase = \"x\"", "line 2 is no TOML"},
		{"an unknown member", `databse = "` + secret + `"`, `has "databse", which is no setting; there are database, manifest`},
		{"an unknown member of a table", "[keys]\nform = \"" + secret + "\"", `has "keys.form"`},
		{"a table too deep", "[keys.from]\nx = \"" + secret + "\"", "keys.from is not a string"},
		{"a table for a string", "[database]\nurl = \"" + secret + "\"", `has "database.url"`},
		{"a number", "database = 5", "database is not a string; put it into quotation marks"},
		{"a list", `keys = ["` + secret + `"]`, `has "keys"`},
		{"two wrong ones", "zzz = 1\naaa = 1", `has "aaa"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 5 { // whatever the order of a map
				_, err := read(t, test.text, nil)
				checkError(t, err, test.want)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case !errors.Is(err, settings.ErrInvalid):
		t.Errorf("%v is no ErrInvalid", err)
	case !strings.Contains(err.Error(), want):
		t.Errorf("%v, want %s", err, want)
	case strings.Contains(err.Error(), secret):
		t.Errorf("a secret is in %v", err)
	}
}

// A file that is named has to be there; the default one need not.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := read(t, "", nil, "--config", "none.toml")
	checkError(t, err, "none.toml: no such file or directory; name another with --config, or make one with gormcrypt init")
	_, err = read(t, "", map[string]string{settings.FileVariable: "none.toml"})
	checkError(t, err, "none.toml")

	set := pflag.NewFlagSet("init", pflag.ContinueOnError)
	settings.AddFlags(set)
	s, err := settings.ReadToInit(set, lookup(map[string]string{settings.FileVariable: "none.toml"}))
	if err != nil || s.File != "" {
		t.Errorf("init: %v, with the file %q", err, s.File)
	}
	if path, named := settings.Path(set, lookup(nil)); path != settings.DefaultFile || named {
		t.Errorf("without a name, the file is %s, named: %t", path, named)
	}
	if err := set.Parse([]string{"--config", "flag.toml"}); err != nil {
		t.Fatal(err)
	}
	if path, named := settings.Path(set, lookup(map[string]string{settings.FileVariable: "variable.toml"})); path != "flag.toml" || !named {
		t.Errorf("the flag is stronger than the variable, and the file is %s", path)
	}
}

// Paths in a file begin at its directory, those of variables and flags where the
// command runs.
func TestPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "settings.toml")
	for in, want := range map[string]string{
		`manifest = "m.json"`:                          dir + "/m.json",
		`manifest = "/etc/m.json"`:                     "/etc/m.json",
		`database = "sqlite:a.db"`:                     "sqlite:" + dir + "/a.db",
		`database = "sqlite://a.db"`:                   "sqlite://" + dir + "/a.db",
		`database = "sqlite:///a.db"`:                  "sqlite:///a.db",
		`database = "file:a.db"`:                       "file:a.db",
		`database = "host=h dbname=d"`:                 "host=h dbname=d",
		"[keys]\nfrom = \"file:sub/k.json\"":           "file:" + dir + "/sub/k.json",
		"[keys]\nfrom = \"wrapped:../k.json\"":         "wrapped:" + filepath.Dir(dir) + "/k.json",
		"[keys]\nfrom = \"env:file\"":                  "env:file",
		"[keys]\nfrom = \"secret:k\"":                  "secret:k",
		"[keys]\nfrom = \"database\"":                  "database",
		"[keys]\ndatabase = \"sqlite:k.db\"":           "sqlite:" + dir + "/k.db",
		"[keys]\nwrapped_by = \"passphrase-file:p\"":   "passphrase-file:" + dir + "/p",
		"[keys]\nwrapped_by = \"awskms://alias/k\"":    "awskms://alias/k",
		"[vault]\nlogin = \"token-file:/run/token\"":   "token-file:/run/token",
		"[vault]\nlogin = \"approle:some-id\"":         "approle:some-id",
		"[vault]\nca_file = \"ca.pem\"":                dir + "/ca.pem",
		"[keys]\nname = \"file:not-a-path\"":           "file:not-a-path",
		"audit_log = \"audit.log\"":                    dir + "/audit.log",
		"algorithm = \"aes-256-gcm\"":                  "aes-256-gcm",
		"[keys]\nwrapped_by = \"passphrase-env:file\"": "passphrase-env:file",
	} {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := read(t, "", nil, "--config", path)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		got := ""
		for _, one := range settings.All {
			got += one.Value(s)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	s, err := read(t, "", map[string]string{"GORMCRYPT_MANIFEST": "m.json"}, "--keys", "file:k.json", "--config", path)
	if err != nil || s.Manifest != "m.json" || s.KeysFrom != "file:k.json" {
		t.Errorf("variables and flags: %q, %q, %v", s.Manifest, s.KeysFrom, err)
	}
}

// A file with a password is for its owner only, and no file is for everybody to
// change.
func TestExposedFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	with := `database = "postgres://me:` + secret + `@host/x"`
	inKeys := "[keys]\ndatabase = \"host=h password=" + secret + "\""
	for _, test := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{with, 0o600, ""}, {with, 0o400, ""}, {with, 0o640, "chmod 600"}, {with, 0o604, "chmod 600"}, {inKeys, 0o644, "chmod 600"},
		{`database = "postgres://me@host/x"`, 0o644, ""}, {`manifest = "m"`, 0o664, ""}, {`manifest = "m"`, 0o646, "chmod o-w"},
	} {
		path := filepath.Join(t.TempDir(), "settings.toml")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := read(t, "", nil, "--config", path)
		if test.want != "" {
			checkError(t, err, test.want)
		} else if err != nil {
			t.Errorf("mode %o: %v", test.mode, err)
		}
	}
}

// A password in a flag is seen by every user of the machine.
func TestPasswordInFlag(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://me:" + secret + "@host/x", "host=h password=" + secret} {
		_, err := read(t, "", nil, "--database", url)
		checkError(t, err, "--database has a password in it")
		if _, err := read(t, "", map[string]string{"GORMCRYPT_DATABASE": url}); err != nil {
			t.Errorf("in a variable: %v", err)
		}
	}
}

// What is missing is said with all the ways to give it.
func TestMissing(t *testing.T) {
	t.Parallel()
	s, err := read(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, s.Missing("manifest"), "give it by manifest in gormcrypt.toml, GORMCRYPT_MANIFEST, --manifest, or begin with gormcrypt init")
	checkError(t, s.Missing("vault.login"), "give it by vault.login in gormcrypt.toml, GORMCRYPT_VAULT_LOGIN, or begin")
	if s, err = read(t, `manifest = "m"`, nil); err != nil {
		t.Fatal(err)
	}
	checkError(t, s.Missing("database"), "database in "+s.File)
}
