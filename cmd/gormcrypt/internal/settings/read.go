package settings

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"
)

// AddFlags adds the flags of the settings to those of a command, and --config.
func AddFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "the settings file (default "+DefaultFile+" here, if there is one)")
	for _, s := range All {
		if s.Flag != "" {
			flags.String(s.Flag, "", s.Usage)
		}
	}
}

// Read returns the settings by the file, the environment and the flags. It returns
// ErrInvalid for a file that is named and not there, for members that the file should
// not have, for a file that others may change, or read if it has a password, and for a
// password in a flag.
func Read(flags *pflag.FlagSet, lookup func(string) (string, bool)) (*Settings, error) {
	return read(flags, lookup, false)
}

// ReadToInit is Read where the file that is named need not be there yet. File is set
// if it is there.
func ReadToInit(flags *pflag.FlagSet, lookup func(string) (string, bool)) (*Settings, error) {
	return read(flags, lookup, true)
}

// Path returns where the settings file is, or would be, and whether it was named.
func Path(flags *pflag.FlagSet, lookup func(string) (string, bool)) (path string, named bool) {
	if flag := flags.Lookup("config"); flag.Changed {
		return flag.Value.String(), true
	}
	if value, ok := lookup(FileVariable); ok && value != "" {
		return value, true
	}
	return DefaultFile, false
}

func read(flags *pflag.FlagSet, lookup func(string) (string, bool), mayLack bool) (*Settings, error) {
	s := &Settings{origins: map[string]string{}}
	path, named := Path(flags, lookup)
	switch err := s.readFile(path); {
	case errors.Is(err, fs.ErrNotExist) && (mayLack || !named):
	case err != nil:
		return nil, err
	}
	for _, one := range All {
		if value, ok := lookup(one.Variable); ok && value != "" {
			s.set(one, value, one.Variable)
		}
		if one.Flag == "" || !flags.Changed(one.Flag) {
			continue
		}
		value := flags.Lookup(one.Flag).Value.String()
		if one.Name == "database" && HasPassword(value) {
			return nil, fmt.Errorf("%w: --database has a password in it, which every user of this machine sees in the list of processes; put the URL into GORMCRYPT_DATABASE or the settings file, or the password into PGPASSWORD or PGPASSFILE", ErrInvalid)
		}
		s.set(one, value, "--"+one.Flag)
	}
	return s, nil
}
