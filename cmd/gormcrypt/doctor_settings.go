package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

// checkSettings reads the settings, and says where each comes from.
func (e *examination) checkSettings(context.Context) []finding {
	read, err := settings.Read(e.cmd.Flags(), e.lookup)
	if err != nil {
		return failed(err)
	}
	e.settings = read
	var given []string
	for _, one := range settings.All {
		if origin := read.Origin(one.Name); origin != "" {
			given = append(given, one.Name+" from "+origin)
		}
	}
	if len(given) == 0 {
		return problem("run gormcrypt init", "there are none: no %s here, no variable, no flag", settings.DefaultFile)
	}
	if read.File == "" {
		return ok("%s; no settings file", strings.Join(given, ", "))
	}
	info, err := os.Stat(read.File)
	if err != nil {
		return failed(err)
	}
	if mode := info.Mode().Perm(); mode&0o020 != 0 {
		return warning("chmod g-w "+read.File+", unless that is only you", "its group may write to %s (mode %04o), and so choose the database and the keys of this command", read.File, mode)
	}
	return ok("%s", strings.Join(given, ", "))
}

// checkVariables finds variables that look like settings and are none: mistyped ones.
func (e *examination) checkVariables(context.Context) []finding {
	known := []string{settings.FileVariable, "GORMCRYPT_VAULT_SECRET_ID"}
	for _, one := range settings.All {
		known = append(known, one.Variable)
	}
	if e.settings != nil { // those that settings name
		for _, reference := range []string{e.settings.KeysFrom, e.settings.WrappedBy, e.settings.VaultLogin} {
			_, name, _ := strings.Cut(reference, ":")
			known = append(known, name)
		}
	}
	var unknown []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "GORMCRYPT_") && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return warning("correct the name, or leave it if it is the application's", "no setting is called %s", strings.Join(unknown, ", "))
	}
	return ok("all that begin with GORMCRYPT_ are known")
}

// checkAuditLog looks at who may read and change the log of decrypt.
func (e *examination) checkAuditLog(context.Context) []finding {
	path := auditLogPath(e.settings)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
			return warning("make the directory, or set audit_log", "%s is to be in a directory that is not there; decrypt --reveal refuses", path)
		}
		return ok("%s, which decrypt --reveal makes", path)
	case err != nil:
		return warning("let this user read it, or set audit_log", "%s", oneLine(err))
	case !info.Mode().IsRegular():
		return warning("set audit_log to a file", "%s is no file", path)
	case info.Mode().Perm()&0o022 != 0:
		return problem("chmod 600 "+path, "others may change %s (mode %04o)", path, info.Mode().Perm())
	case info.Mode().Perm()&0o044 != 0:
		return warning("chmod 600 "+path, "others may read %s (mode %04o): it says who looked at what", path, info.Mode().Perm())
	}
	return ok("%s", path)
}
