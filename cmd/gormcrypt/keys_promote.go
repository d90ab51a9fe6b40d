package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const keysPromoteLong = `Has a key version seal from now on. The one before stays enabled: it opens what it has
sealed.

A process that does not have the version cannot read what others write under it, so
every process has to have it before:

  keys in the database   every process says there which keys it has loaded, and
                         says so again three times in its lease (a minute by
                         default). As long as one that lives does not have the
                         latest keys, the command refuses and names it, or waits
                         for it with --wait.
  other keyrings         gormcrypt cannot see processes. Say that all have the
                         version by --every-process-has VERSION, which is also
                         the confirmation: it is known by your word.

While two index keys are live, a unique constraint does not see that equal values under
one and the other are equal. With a manifest, the columns are named.`

// promotion is what keys promote was told.
type promotion struct {
	form keyringForm
	wait time.Duration
	// has is the version that every process is said to have.
	has string
}

func (a *app) keysPromoteCommand() *cobra.Command {
	var p promotion
	cmd := &cobra.Command{
		Use: "promote VERSION", Short: "Have a key version seal, when every process has it", Long: keysPromoteLong,
		Example: "  gormcrypt keys promote 2 --wait 5m                # keys in the database\n" +
			"  gormcrypt keys promote 2 --every-process-has 2    # a keyring in a file",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			keys, err := a.openKeys(cmd.Context())
			if err != nil {
				return err
			}
			if keys.Store != nil {
				return a.promoteInStore(cmd.Context(), keys, p, given[0])
			}
			return a.promoteInRing(cmd.Context(), keys, p, given[0])
		},
	}
	p.form.offer(cmd, "print the new keyring, with its keys, unencrypted, where gormcrypt cannot write it")
	cmd.Flags().DurationVar(&p.wait, "wait", 0, "how long to wait for processes that do not have it yet, such as 5m; for keys in the database")
	cmd.Flags().StringVar(&p.has, "every-process-has", "", "the `VERSION` that every process has loaded, by your word; for other keyrings")
	a.offerYes(cmd)
	a.offerJSON(cmd)
	return cmd
}

// promoteInRing promotes in a keyring of whose processes nothing is known.
func (a *app) promoteInRing(ctx context.Context, keys *keysource.Keys, p promotion, text string) error {
	if p.wait != 0 {
		return fmt.Errorf("%w: --wait is for keys in the database, and these are in %s, where gormcrypt cannot see processes", errUsage, keys.Where)
	}
	if err := a.checkForm(keys, p.form); err != nil {
		return err
	}
	ring, err := keys.Load(ctx)
	if err != nil {
		return err
	}
	version, state, err := versionOf(ring, keys.Where, text)
	if err != nil {
		return err
	}
	switch {
	case state == keyring.Primary:
		return a.sayChange(p.form, promoted(version, false), "Key %s is primary already.", version)
	case state == keyring.Retired:
		return fmt.Errorf("%w: key %s is retired, and seals nothing any more; make another with gormcrypt keys add", errRefused, version)
	case p.has == "":
		return fmt.Errorf("%w: gormcrypt cannot see which processes have loaded key %s from %s, and one without it could not read what others write; when all have it, say so with --every-process-has %[2]s", errRefused, version, keys.Where)
	case p.has != version.String():
		return fmt.Errorf("%w: --every-process-has names another version than %s, which is to be promoted", errUsage, version)
	}
	if err := a.warnOfUnique(version); err != nil {
		return err
	}
	before, err := ring.Primary(version.Set())
	if err != nil {
		return err
	}
	if err := a.changeKeyring(ctx, keys, p.form, func(ring *keyring.Keyring) (*keyring.Keyring, error) { return ring.Promote(version) }); err != nil {
		return err
	}
	return a.sayChange(p.form, promoted(version, true), "Key %s seals in place of %s, in every process that loads the keyring from now on. That every process has it is known by your word. Next, have every process load the keyring again; then:", version, before)
}

// promoted is what has become of a primary version.
func promoted(version keyring.Version, changed bool) keyChange {
	change := keyChange{Version: version, State: keyring.Primary.String(), Changed: changed}
	if changed {
		change.Next = rotateCommand(version)
	}
	return change
}

// rotateCommand is what comes after a promotion.
func rotateCommand(version keyring.Version) string {
	if version.Set() == keyring.IndexKeys {
		return "gormcrypt rotate --set index"
	}
	return "gormcrypt rotate"
}

// warnOfUnique says which columns may have equal values while two index keys are live.
func (a *app) warnOfUnique(version keyring.Version) error {
	if version.Set() != keyring.IndexKeys {
		return nil
	}
	if a.settings.Manifest == "" {
		return a.errOut.Say("Without a manifest, gormcrypt does not know whether there are unique columns under index keys. Until gormcrypt rotate is done, their constraints miss equal values.")
	}
	m, err := a.readManifest()
	if err != nil {
		return err
	}
	for _, name := range uniqueColumns(m) {
		if err := a.errOut.Say("Warning: %s is unique. Until gormcrypt rotate is done, the constraint misses values that are equal under the old index key and the new one.", name); err != nil {
			return err
		}
	}
	return nil
}
