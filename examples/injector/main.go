// Injector is a reverse proxy that holds the users' API keys for other services,
// so that the application does not. The application connects to a Unix socket,
// names a user and an upstream, and needs no key, no secret and no network; the
// injector adds that user's key on the way out. See docs/injector.md.
//
//	go run ./examples/injector -h
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `Injector is a reverse proxy that holds the users' API keys, so that the application does not.

  injector init   [options]                           make the keyring file and the tables
  injector set    [options] -user U -upstream NAME    store the API key that is on standard input
  injector unset  [options] -user U -upstream NAME    forget it; the user stays known
  injector serve  [options] -upstream NAME=URL ...    answer the application

The application sends GET /NAME/path?query to the socket, with the header Injector-User: U, and the
injector sends GET URL/path?query with the header Authorization: Bearer KEY. SIGHUP loads the keyring
anew; SIGTERM finishes the requests under way.

Options of all commands:
  -keys KIND:PLACE          where the keyring is: file:PATH, env:VARIABLE, credential:NAME (systemd), or
                            secret:NAME (Docker, Podman); file:keys.json if not given
  -db PATH                  the SQLite file of the users and their sealed keys (injector.db)
  -dsn DSN                  a PostgreSQL database instead; give its password in PGPASSFILE, not here

Options of serve:
  -upstream NAME=URL        a service that the application may reach, and its base URL; may be repeated
  -socket PATH              the socket, in a directory that is the injector's (injector/socket)
  -app USER                 the user, by name or number, that the application runs as, and the only one
                            that may connect (the injector's own user; another one only on Linux)
  -timeout DURATION         the longest time for one request with its whole answer (2m)
`

func main() {
	// net/http's transport prints what an upstream sends unasked, which may be the
	// key. What there is to say is said through slog, on standard error.
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log.SetOutput(io.Discard)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, logger, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
	case err != nil:
		fmt.Fprintln(os.Stderr, "injector:", err)
		os.Exit(1)
	}
}

// options are the flags of all commands. Each command takes those that it needs.
type options struct {
	keys, file, dsn string
	user            string
	upstreams       []string
	socket, app     string
	timeout         time.Duration
}

func run(ctx context.Context, logger *slog.Logger, args []string) error {
	commands := map[string]func(context.Context, *slog.Logger, options) error{
		"init": initialize, "set": set, "unset": unset, "serve": serve,
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		return flag.ErrHelp
	}
	command, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("there is no command %q; see injector -h", args[0])
	}
	o, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	return command(ctx, logger, o)
}

func parse(command string, args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error that Parse returns says it all
	flags.StringVar(&o.keys, "keys", "file:keys.json", "")
	flags.StringVar(&o.file, "db", "injector.db", "")
	flags.StringVar(&o.dsn, "dsn", "", "")
	switch command {
	case "set", "unset":
		flags.StringVar(&o.user, "user", "", "")
	case "serve":
		flags.StringVar(&o.socket, "socket", "injector/socket", "")
		flags.StringVar(&o.app, "app", "", "")
		flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "")
	}
	if command != "init" {
		flags.Func("upstream", "", func(s string) error { o.upstreams = append(o.upstreams, s); return nil })
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%s takes options only; see injector -h", command)
	case command != "init" && len(o.upstreams) == 0:
		return o, fmt.Errorf("%s needs -upstream; see injector -h", command)
	case command == "serve" && o.timeout <= 0:
		return o, errors.New("-timeout must be longer than nothing")
	}
	return o, nil
}
