package main

import (
	"log/slog"
	"net"
	"syscall"
)

// checkPeers returns a listener that accepts connections of one user only, whatever
// the modes of the socket: the kernel says who connects (SO_PEERCRED, unix(7)).
func checkPeers(listener net.Listener, app int, logger *slog.Logger) (net.Listener, error) {
	return &peerListener{listener, app, logger}, nil
}

type peerListener struct {
	net.Listener
	app    int
	logger *slog.Logger
}

// Accept closes connections of other users, and returns the next one that is not.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(conn.(*net.UnixConn))
		switch {
		case err != nil:
			l.logger.Warn("a connection was closed: it is not known who made it", "error", err)
		case int(peer.Uid) != l.app:
			l.logger.Warn("a connection was closed: another user made it", "uid", peer.Uid, "pid", peer.Pid)
		default:
			return conn, nil
		}
		conn.Close()
	}
}

func peerOf(conn *net.UnixConn) (peer *syscall.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if controlErr := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); controlErr != nil {
		return nil, controlErr
	}
	return peer, err
}
