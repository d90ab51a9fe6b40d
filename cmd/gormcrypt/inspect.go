package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const inspectLong = `Inspect says what a stored value says of itself, to anyone: its format, the
key version and the algorithm, lengths, and the names of a value that has
them. It reads terms of blind indexes too. Values are given as arguments, or
on standard input, one on a line. They may be as text columns have them, as
psql prints those of binary columns (\x6763...), as X'6763...', and in hex or
base64.

It needs no key, no database and no settings, so it cannot tell whether a
value opens: what a value says of itself is only checked when it is opened.
Nothing of the value itself is printed. With --json there is an object on a
line for each.

It ends with exit code 3 if something is not a whole value of gormcrypt, and
says where that goes wrong. A value may have up to 16 MiB.`

// longestValue bounds what is read of a line, in bytes.
const longestValue = 16 << 20

func (a *app) inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect [VALUE...]", Short: "What a ciphertext says of itself, without a key", Long: inspectLong,
		Example: `  gormcrypt inspect gc1:7:ATg3...
  psql -Atc "SELECT email FROM customers LIMIT 10" | gormcrypt inspect --json`,
		Annotations:       withoutSettings,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(_ *cobra.Command, given []string) error { return a.inspect(given) },
	}
	a.offerJSON(cmd)
	return cmd
}

// inspect inspects the values of the arguments or, if there are none, of standard input.
func (a *app) inspect(given []string) error {
	var seen, bad int
	var first inspection
	look := func(from string, stored []byte) error {
		i := inspectValue(from, stored)
		if seen++; !i.good() {
			if bad++; bad == 1 {
				first = i
			}
		}
		return a.printInspection(i, seen)
	}
	err := eachValue(given, a.in, look)
	switch {
	case err != nil:
		return err
	case seen == 0:
		return fmt.Errorf("%w: there is no value; give one as an argument, or on standard input", errUsage)
	case bad > 1:
		return fmt.Errorf("%w: %d of %d are not whole values of gormcrypt; the first is %s: %s", errDamage, bad, seen, first.From, first.Problem)
	case bad == 1:
		return fmt.Errorf("%w: %s: %s", errDamage, first.From, first.Problem)
	}
	return nil
}

// eachValue calls look with each argument or, if there are none, with each line that is
// not empty.
func eachValue(given []string, in io.Reader, look func(from string, stored []byte) error) error {
	for i, value := range given {
		if err := look(fmt.Sprintf("argument %d", i+1), []byte(value)); err != nil {
			return err
		}
	}
	if len(given) > 0 {
		return nil
	}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintln(os.Stderr, "values, one on a line; Ctrl-D ends it:")
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestValue)
	for n := 1; lines.Scan(); n++ {
		if value := bytes.TrimSpace(lines.Bytes()); len(value) > 0 {
			if err := look(fmt.Sprintf("line %d", n), value); err != nil {
				return err
			}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line of standard input has more than %d bytes", errDamage, longestValue)
	}
	return lines.Err()
}

func (a *app) printInspection(i inspection, nth int) error {
	if a.json {
		return a.event(i)
	}
	if nth > 1 {
		fmt.Fprintln(a.out)
	}
	for _, line := range i.lines() {
		if _, err := fmt.Fprintf(a.out, "%-12s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}
