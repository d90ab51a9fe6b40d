package settings

import (
	"fmt"
	"os"
	"runtime"
)

// checkExposed refuses a settings file that everybody may change, who could then
// choose to which server a password goes, and one with a password that others may
// read.
func (s *Settings) checkExposed(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		return fmt.Errorf("%w: every user of this machine may change %s (mode %04o), and so decide where passwords and keys go; run: chmod o-w %[2]s", ErrInvalid, path, mode)
	case mode&0o077 != 0 && (HasPassword(s.Database) || HasPassword(s.KeysDatabase)):
		return fmt.Errorf("%w: %s has a password in it, and other users of this machine may read it (mode %04o); run: chmod 600 %[2]s", ErrInvalid, path, mode)
	}
	return nil
}
