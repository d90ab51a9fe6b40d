package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

func (a *app) keysRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore VERSION", Short: "Have a retired version of keys in the database open values again",
		Long: `Has processes open values under a retired version again, such as those from a backup.
It seals nothing, and the database goes on refusing new values under it. It is for keys
in the database. With a keyring in a file, put the copy back that keys retire has made,
which is called like the file, with .before-retiring-VERSION behind.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error { return a.restoreKey(cmd.Context(), given[0]) },
	}
	a.offerYes(cmd)
	a.offerJSON(cmd)
	return cmd
}

func (a *app) restoreKey(ctx context.Context, text string) error {
	keys, err := a.openStored(ctx, "put back the copy that was kept when the key was retired, such as keys.json.before-retiring-1")
	if err != nil {
		return err
	}
	record, err := a.recordOf(ctx, keys, text)
	if err != nil {
		return err
	}
	switch record.State {
	case dbkeys.Retiring:
		return a.sayChange(keyringForm{}, keyChange{Version: record.Version, State: string(record.State)}, "Key %s opens values already.", record.Version)
	case dbkeys.Enabled, dbkeys.Primary:
		return fmt.Errorf("%w: key %s is %s, and opens values already", errRefused, record.Version, record.State)
	}
	if err := a.errOut.Say("Key %s, which was retired at %s, will open values again, and seal none.", record.Version, when(record.RetiredAt)); err != nil {
		return err
	}
	if err := a.confirm(ctx, "restore key "+record.Version.String()); err != nil {
		return err
	}
	if err := keys.Store.Restore(ctx, record.Version); err != nil {
		return err
	}
	restored := keyChange{Version: record.Version, State: string(dbkeys.Retiring), Changed: true, Next: "gormcrypt keys retire " + record.Version.String()}
	return a.sayChange(keyringForm{}, restored, "Key %s opens values again, in every process within seconds. When it is not needed any more:", record.Version)
}

// openStored opens keys in a database, and refuses others with what to do instead.
func (a *app) openStored(ctx context.Context, instead string) (*keysource.Keys, error) {
	keys, err := a.openKeys(ctx)
	if err != nil {
		return nil, err
	}
	if keys.Store == nil {
		return nil, fmt.Errorf("%w: this is for keys in the database, and these are in %s; %s", errRefused, keys.Where, instead)
	}
	return keys, nil
}
