package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
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
	if a.json {
		return fmt.Errorf("%w: --cleartext prints the keyring, so there is no place for --json", errUsage)
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

// keyChange is what has become of a key version, as JSON.
type keyChange struct {
	Version keyring.Version `json:"version"`
	Set     string          `json:"set"`
	State   string          `json:"state"`
	// Changed is false if it was so already.
	Changed bool `json:"changed"`
	// Kept is the file with the keyring as it was.
	Kept string `json:"kept,omitempty"`
	// Next is the command that comes next.
	Next string `json:"next,omitempty"`
}

// sayChange prints what a command has done, and what comes next: in words, or, without
// them, as JSON.
func (a *app) sayChange(form keyringForm, change keyChange, format string, values ...any) error {
	if a.json {
		change.Set = change.Version.Set().String()
		return a.printJSON(change)
	}
	out := a.out
	if form.cleartext { // then the keyring is all there may be on standard output
		out = a.errOut
	}
	if err := out.Say(format, values...); err != nil || change.Next == "" {
		return err
	}
	_, err := fmt.Fprintf(out, "\n  %s\n", change.Next)
	return err
}
