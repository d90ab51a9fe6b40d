package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// shutdownTimeout is how long requests may go on after SIGTERM.
const shutdownTimeout = 20 * time.Second

// serve answers the application until ctx is done.
func serve(ctx context.Context, logger *slog.Logger, o options) (err error) {
	upstreams, err := parseUpstreams(o.upstreams)
	if err != nil {
		return err
	}
	app, err := lookUpUser(o.app)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.check(ctx); err != nil {
		return err
	}
	listener, err := listen(o.socket, app, logger)
	if err != nil {
		return err
	}
	if app == os.Getuid() {
		logger.Warn("the application is to run as the same user as the injector, and so can read its keyring and its memory; give it a user of its own, and name it by -app")
	}
	server := &http.Server{
		Handler:           &proxy{upstreams: upstreams, store: s, transport: newTransport(), timeout: o.timeout, log: logger},
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		// The handler's own timeout comes first. These are for an application that
		// does not send or read.
		ReadTimeout:  o.timeout + 10*time.Second,
		WriteTimeout: o.timeout + 10*time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	logger.Info("listening", "socket", o.socket, "app", app, "keys", s.crypt.Cipher().Keys())

	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			if err := s.reload(ctx); err != nil {
				logger.Error("the keyring was not loaded anew; the one before stays in use", "error", err)
			} else {
				logger.Info("loaded the keyring anew", "keys", s.crypt.Cipher().Keys())
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			logger.Info("stopping, once the requests under way are done")
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				return errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
			}
			return nil
		}
	}
}

// lookUpUser returns the user ID of a user that is given by name or number, and
// our own for "".
func lookUpUser(name string) (int, error) {
	if name == "" {
		return os.Getuid(), nil
	}
	if uid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(uid), nil
	}
	account, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("-app: %w", err)
	}
	return strconv.Atoi(account.Uid)
}
