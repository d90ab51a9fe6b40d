package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
)

// listen makes the socket, for one user. It makes the directory too if there is
// none, in which nobody else may put a socket of their own in the place of ours.
func listen(path string, app int, logger *slog.Logger) (net.Listener, error) {
	// If the application runs as another user, the system's word on who connects is
	// what keeps others out, and not the mode.
	directoryMode, socketMode := fs.FileMode(0o700), fs.FileMode(0o600)
	if app != os.Getuid() {
		directoryMode, socketMode = 0o711, 0o666
	}
	if err := makeDirectory(filepath.Dir(path), directoryMode); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	checked, err := checkPeers(listener, app, logger)
	if err == nil {
		err = os.Chmod(path, socketMode)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return checked, nil
}

func makeDirectory(dir string, mode fs.FileMode) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		return os.Chmod(dir, mode) // whatever the umask
	case err != nil:
		return err
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write to %s, and so replace the socket; give it a directory of its own", dir)
	}
	return nil
}

// removeStale removes the socket of an injector that was killed, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and not a socket", path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		return errors.Join(fmt.Errorf("another injector answers on %s", path), conn.Close())
	}
	return os.Remove(path)
}
