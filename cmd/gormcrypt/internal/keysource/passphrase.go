package keysource

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// mounted is where containers find their secrets, which everybody in them may read.
const mounted = "/run/secrets/"

// longestPassphrase bounds what is read of a file that may be another one, in bytes.
const longestPassphrase = 64 << 10

// readPassphrase reads a file that nobody else may read. It returns
// keyring.ErrExposed.
func readPassphrase(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" && !strings.HasPrefix(filepath.Clean(path), mounted) {
		return nil, fmt.Errorf("%w: %s has mode %#o; run: chmod 600 %[2]s", keyring.ErrExposed, path, mode)
	}
	text := make([]byte, longestPassphrase+1)
	n, err := io.ReadFull(file, text)
	switch {
	case err == nil:
		clear(text)
		return nil, fmt.Errorf("%s has more than %d bytes", path, longestPassphrase)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		clear(text)
		return nil, err
	}
	return text[:n], nil
}
