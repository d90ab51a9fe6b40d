package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) keysRewrapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rewrap", Short: "Wrap keys in the database anew, by the latest version of their KEK",
		Long: `Wraps all keys in the database anew under the latest version of the key that
keys.wrapped_by names, so that the key server can give its older versions up. No row of
the data is touched, and no process has to know.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.rewrapKeys(cmd.Context()) },
	}
	a.offerYes(cmd)
	return cmd
}

func (a *app) rewrapKeys(ctx context.Context) error {
	keys, err := a.openStored(ctx, "write a wrapped keyring to another path, and give the old file up")
	if err != nil {
		return err
	}
	if _, err := keys.Look(ctx); err != nil {
		return err
	}
	if err := a.errOut.Say("All keys in the database will be wrapped anew by %s.", keys.KEK.Name()); err != nil {
		return err
	}
	if err := a.confirm(ctx, "wrap the keys anew"); err != nil {
		return err
	}
	n, err := keys.Store.Rewrap(ctx)
	if err != nil {
		return fmt.Errorf("%w; nothing has changed", err)
	}
	return a.out.Say("Wrapped anew by %s: %s.", keys.KEK.Name(), counted(int64(n), "key"))
}
