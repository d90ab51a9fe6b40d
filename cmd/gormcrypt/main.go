// Gormcrypt is the command line of gormcrypt, for the people who run a database with
// encrypted columns: it needs the database, a keyring and the manifest, and not the
// application.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() { os.Exit(run()) }

// run runs the command, and returns its exit code. After a first signal the command
// comes to its end; a second one ends it at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	context.AfterFunc(ctx, stop)

	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	err := a.execute(ctx, os.Args[1:])
	if err == nil {
		return exitOK
	}
	code, message := explain(ctx, err)
	if message != "" {
		_ = a.errOut.Say("gormcrypt: %s", message)
	}
	return code
}

// endings are the signals that end a command in order: those of people, of a service
// manager, and of a terminal that is closed. What the caller ignores, as nohup does,
// stays ignored.
func endings() []os.Signal {
	return slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
}
