package settings

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// readFile takes the settings of a file.
func (s *Settings) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: the settings file: %w; name another with --config, or make one with gormcrypt init", ErrInvalid, err)
	}
	s.File = path
	var all map[string]any
	if _, err := toml.Decode(string(text), &all); err != nil {
		return fmt.Errorf("%w: %s: %s", ErrInvalid, path, syntaxError(err))
	}
	if err := s.take(path, "", all); err != nil {
		return err
	}
	return s.checkExposed(path)
}

// syntaxError says where a file is wrong, without a line of it: that may have a
// password.
func syntaxError(err error) string {
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		return fmt.Sprintf("line %d is no TOML; strings stand in quotation marks", parse.Position.Line)
	}
	return "it is no TOML"
}

// take takes the members of a table of the file.
func (s *Settings) take(path, prefix string, table map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		name, value := prefix+key, table[key]
		if nested, ok := value.(map[string]any); ok && prefix == "" {
			if err := s.take(path, name+".", nested); err != nil {
				return err
			}
			continue
		}
		at := find(name)
		if at < 0 {
			return fmt.Errorf("%w: %s has %q, which is no setting; there are %s", ErrInvalid, path, name, names())
		}
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%w: %s: %s is not a string; put it into quotation marks", ErrInvalid, path, name)
		}
		if text != "" {
			s.set(All[at], All[at].from(path, text), path)
		}
	}
	return nil
}

func names() string {
	var all []string
	for _, one := range All {
		all = append(all, one.Name)
	}
	return strings.Join(all, ", ")
}
