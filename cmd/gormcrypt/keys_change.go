package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// checkForm says whether a keyring that is not in the database can be changed: in its
// file, or, if something else writes it, by printing it.
func (a *app) checkForm(keys *keysource.Keys, form keyringForm) error {
	switch {
	case (keys.Store != nil || keys.Writable()) && form.cleartext:
		return fmt.Errorf("%w: --cleartext is for keyrings that gormcrypt cannot write, and this one is in %s", errUsage, keys.Where)
	case keys.Store != nil || keys.Writable():
		return nil
	case !form.cleartext:
		return fmt.Errorf("%w: it comes from %s; with --cleartext the changed keyring is printed instead, with its keys, for you to put there", keysource.ErrReadOnly, keys.Where)
	}
	return form.check(a)
}

// changeKeyring changes a keyring in its file, or prints what becomes of it.
func (a *app) changeKeyring(ctx context.Context, keys *keysource.Keys, form keyringForm, change func(*keyring.Keyring) (*keyring.Keyring, error)) error {
	if keys.Writable() {
		err := keys.Change(ctx, change)
		if errors.Is(err, keyring.ErrKeyLost) {
			err = fmt.Errorf("%w; somebody else has changed the keyring meanwhile, so look at it with gormcrypt keys list", err)
		}
		return err
	}
	before, err := keys.Load(ctx)
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return err
	}
	return a.printCleartext(after, form)
}

// say prints what a command has done.
func (a *app) say(form keyringForm, format string, values ...any) error {
	return a.results(form).Say(format, values...)
}

// sayNext prints the command that comes next.
func (a *app) sayNext(form keyringForm, command string) error {
	_, err := fmt.Fprintf(a.results(form), "\n  %s\n", command)
	return err
}

// results is standard output, unless a keyring is printed: then it is all there may be.
func (a *app) results(form keyringForm) *terminal.Output {
	if form.cleartext {
		return a.errOut
	}
	return a.out
}
