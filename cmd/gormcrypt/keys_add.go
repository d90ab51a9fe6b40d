package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const keysAddLong = `Makes a new key version. It is enabled: it opens, and seals nothing until it is
promoted. Keys in the database reach every process by themselves. A keyring in a file
has to be given to every process before; gormcrypt cannot see which have it.

For a keyring that comes from a variable, a secret, a credential or Vault, --cleartext
prints the new one, with its keys, for you to put there.`

func (a *app) keysAddCommand() *cobra.Command {
	var form keyringForm
	set := "data"
	cmd := &cobra.Command{
		Use: "add", Short: "Make a new key version, which does not seal yet", Long: keysAddLong,
		Example: "  gormcrypt keys add\n  gormcrypt keys add --set index",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch set {
			case keyring.DataKeys.String():
				return a.addKey(cmd.Context(), keyring.DataKeys, form)
			case keyring.IndexKeys.String():
				return a.addKey(cmd.Context(), keyring.IndexKeys, form)
			}
			return fmt.Errorf("%w: --set is data or index, and was %q", errUsage, set)
		},
	}
	cmd.Flags().StringVar(&set, "set", set, "of which kind: data or index")
	form.offer(cmd, "print the new keyring, with its keys, unencrypted, where gormcrypt cannot write it")
	a.offerYes(cmd)
	a.offerJSON(cmd)
	return cmd
}

func (a *app) addKey(ctx context.Context, set keyring.Set, form keyringForm) error {
	keys, err := a.openKeys(ctx)
	if err != nil {
		return err
	}
	if err := a.checkForm(keys, form); err != nil {
		return err
	}
	if _, err := keys.Look(ctx); err != nil {
		return err
	}
	if !form.cleartext {
		if err := a.errOut.Say("A new %s key will be made in %s. It opens, and seals nothing until it is promoted.", set, keys.Where); err != nil {
			return err
		}
		if err := a.confirm(ctx, fmt.Sprintf("make a new %s key", set)); err != nil {
			return err
		}
	}
	version, err := a.createKey(ctx, keys, set, form)
	if err != nil {
		return err
	}
	change := keyChange{Version: version, State: keyring.Enabled.String(), Changed: true, Next: "gormcrypt keys promote " + version.String()}
	if keys.Store != nil {
		change.Next += " --wait 5m"
		return a.sayChange(form, change, "Key %s is made. Processes load it by themselves, within seconds. Next:", version)
	}
	change.Next += " --every-process-has " + version.String()
	return a.sayChange(form, change, "Key %s is made. Every process must load the new keyring before the key can be promoted, and gormcrypt cannot see which have. When all have it:", version)
}

func (a *app) createKey(ctx context.Context, keys *keysource.Keys, set keyring.Set, form keyringForm) (version keyring.Version, err error) {
	if keys.Store != nil {
		return keys.Store.Create(ctx, set)
	}
	err = a.changeKeyring(ctx, keys, form, func(before *keyring.Keyring) (after *keyring.Keyring, err error) {
		after, version, err = before.Add(set)
		return after, err
	})
	return version, err
}
