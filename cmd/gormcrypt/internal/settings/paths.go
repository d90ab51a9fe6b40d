package settings

import (
	"path/filepath"
	"strings"
)

// references are how the values of settings name a file.
var references = map[string][]string{
	"database":        {"sqlite://", "sqlite:"},
	"keys.database":   {"sqlite://", "sqlite:"},
	"keys.from":       {"file:", "wrapped:"},
	"keys.wrapped_by": {"passphrase-file:"},
	"vault.login":     {"token-file:"},
}

// inPath changes the path that a value is or has, if there is one.
func (one Setting) inPath(value string, change func(path string) string) string {
	if one.isPath {
		return change(value)
	}
	for _, scheme := range references[one.Name] {
		if path, ok := strings.CutPrefix(value, scheme); ok && path != "" {
			return scheme + change(path)
		}
	}
	return value
}

// from takes a path in a value from the directory of the settings file, so that the
// command can be run from anywhere.
func (one Setting) from(file, value string) string {
	return one.inPath(value, func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(filepath.Dir(file), path)
	})
}

// beside is the reverse of from, for a value that was given elsewhere: its path is
// relative if that is below the directory of the file, and absolute otherwise.
func (one Setting) beside(file, value string) string {
	return one.inPath(value, func(path string) string {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return path
		}
		dir, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			return absolute
		}
		if relative, err := filepath.Rel(dir, absolute); err == nil && filepath.IsLocal(relative) {
			return relative
		}
		return absolute
	})
}
