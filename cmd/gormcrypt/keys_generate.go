package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const keysGenerateLong = `Prints a first keyring, for places that gormcrypt cannot write: a variable, a secret of
a container, Vault. It needs no database and changes nothing. For keys in a file or in
the database, use gormcrypt init.

With --cleartext it prints the keys themselves, and whoever sees them reads every
value. With --wrapped it prints them wrapped by what keys.wrapped_by names.`

func (a *app) keysGenerateCommand() *cobra.Command {
	var form keyringForm
	var wrapped bool
	cmd := &cobra.Command{
		Use: "generate", Short: "Print a first keyring, for places that gormcrypt cannot write", Long: keysGenerateLong,
		Example: "  gormcrypt keys generate --cleartext | podman secret create gormcrypt -\n" +
			"  gormcrypt keys generate --wrapped --wrapped-by passphrase-file:pass > keys",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wrapped == form.cleartext {
				return fmt.Errorf("%w: say --cleartext to have the keys themselves printed, or --wrapped to have them wrapped by keys.wrapped_by", errUsage)
			}
			ring, err := keyring.Generate()
			if err != nil {
				return err
			}
			if wrapped {
				return a.printWrapped(cmd.Context(), ring)
			}
			return a.printCleartext(ring, form)
		},
	}
	form.offer(cmd, "print the keys themselves, unencrypted")
	cmd.Flags().BoolVar(&wrapped, "wrapped", false, "print the keys wrapped by keys.wrapped_by")
	return cmd
}

// keyringForm is how a keyring may be printed.
type keyringForm struct {
	cleartext, toTerminal bool
}

func (f *keyringForm) offer(cmd *cobra.Command, usage string) {
	cmd.Flags().BoolVar(&f.cleartext, "cleartext", false, usage)
	cmd.Flags().BoolVar(&f.toTerminal, "to-terminal", false, "print keys even where people see them")
}

// check refuses to show keys to people who did not ask for that.
func (f *keyringForm) check(a *app) error {
	if a.out.IsTerminal && !f.toTerminal {
		return fmt.Errorf("%w: the keys would be shown in this terminal; redirect the output to where they belong, or add --to-terminal", errRefused)
	}
	return nil
}

func (a *app) printCleartext(ring *keyring.Keyring, form keyringForm) error {
	if err := form.check(a); err != nil {
		return err
	}
	return keyring.WriteCleartext(a.out, ring)
}

func (a *app) printWrapped(ctx context.Context, ring *keyring.Keyring) error {
	kek, closeKEK, err := keysource.OpenKEK(ctx, a.settings)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, closeKEK)
	return keyring.WriteWrapped(ctx, a.out, ring, kek)
}
