//go:build !linux

package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
)

// checkPeers leaves it to the modes of the socket and its directory to let only one
// user in, who can only be ours.
func checkPeers(listener net.Listener, app int, _ *slog.Logger) (net.Listener, error) {
	if app != os.Getuid() {
		return nil, errors.New("-app: only on Linux can the application be another user than the injector")
	}
	return listener, nil
}
