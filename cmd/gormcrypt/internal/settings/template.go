package settings

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

const templateHead = `# The settings of gormcrypt, the command line. A variable of the environment is stronger
# than this file, and a flag is stronger than both. Relative paths begin here, at the
# directory of this file. No key belongs into it.
`

// Template returns the text of a new settings file: every setting with a comment, and
// with its value where there is one. Path is where the file will be. The URL of a
// database that has a password is left out, and the comment says so.
func (s *Settings) Template(path string) (string, error) {
	var b strings.Builder
	b.WriteString(templateHead)
	table := ""
	for _, one := range All {
		prefix, name, nested := strings.Cut(one.Name, ".")
		if !nested {
			prefix, name = "", one.Name
		}
		if prefix != table {
			fmt.Fprintf(&b, "\n[%s]\n", prefix)
			table = prefix
		}
		ways := one.Variable
		if one.Flag != "" {
			ways += ", --" + one.Flag
		}
		fmt.Fprintf(&b, "\n# %s\n# (%s)\n", strings.Join(terminal.Wrap(capital(one.Usage)+".", 86), "\n# "), ways)
		line, err := s.line(one, name, path)
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}

// line returns the line of a setting, as a comment if it has no value.
func (s *Settings) line(one Setting, name, path string) (string, error) {
	value := one.Value(s)
	switch {
	case value == "":
		return "# " + name + ` = ""`, nil
	case (one.Name == "database" || one.Name == "keys.database") && HasPassword(value):
		return "# It has a password, so it is not written here: leave it in " + one.Variable + ",\n# or give the URL without it, and the password in PGPASSWORD or PGPASSFILE.\n# " + name + ` = "postgres://USER@HOST/NAME"`, nil
	}
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(map[string]string{name: one.beside(path, value)})
	return strings.TrimSpace(b.String()), err
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
