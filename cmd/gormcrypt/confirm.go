package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

// offerYes gives a command the flag --yes, for confirm.
func (a *app) offerYes(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do it without asking, which is needed where there is no terminal")
}

// confirm has somebody agree to what the command is about to do, such as "rewrite 10
// rows", after it has printed its plan. It returns errRefused if nobody does.
func (a *app) confirm(ctx context.Context, action string) error {
	if a.yes {
		return nil
	}
	if !a.asks() {
		return fmt.Errorf("%w: nothing has changed; to %s without a terminal, add --yes", errRefused, action)
	}
	fmt.Fprintf(a.errOut, "Go on, and %s? [y/N] ", terminal.Printable(action))
	answer := make(chan string, 1)
	go func() { // which nothing can stop; the process ends soon if nobody answers
		line, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil { // Ctrl-D
			fmt.Fprintln(a.errOut)
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.errOut)
		return fmt.Errorf("nothing has changed: %w", ctx.Err())
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return fmt.Errorf("%w: you did not say yes; nothing has changed", errRefused)
	}
}

// asks says whether there is somebody to ask.
func (a *app) asks() bool {
	in, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(in.Fd())) && a.errOut.IsTerminal
}
