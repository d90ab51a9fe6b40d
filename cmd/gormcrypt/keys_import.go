package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
)

func (a *app) keysImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import SOURCE", Short: "Move the keyring from a file or a variable into the database",
		Long: `Moves the keys of another keyring into the database, with their versions and states, so
that values stay readable. SOURCE is of the form of keys.from, such as file:keys.json, and
keys.from is "database". There must be no keys in the database yet, unless they are the same.

Programs that load their keys from elsewhere are not seen: have all of them load the keys
from the database before a key is added or promoted there. Then move the old keyring to a
safe place.`,
		Example: "  gormcrypt keys import file:keys.json --keys database",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, given []string) error { return a.importKeys(cmd.Context(), given[0]) },
	}
	a.offerYes(cmd)
	return cmd
}

func (a *app) importKeys(ctx context.Context, source string) error {
	from := *a.settings
	from.KeysFrom = source
	if keysource.InDatabase(&from) {
		return fmt.Errorf("%w: SOURCE is where the keys are now, such as file:keys.json", errUsage)
	}
	old, err := keysource.Open(ctx, &from)
	if err != nil {
		return fmt.Errorf("the keyring to import: %w", err)
	}
	a.closers = append(a.closers, old.Close)
	ring, err := old.Load(ctx)
	if err != nil {
		return fmt.Errorf("the keyring to import: %w", err)
	}
	keys, err := a.openStored(ctx, `set keys.from to "database"`)
	if err != nil {
		return err
	}
	if err := a.out.Say("The keys of %s will be put into %s: %s.", old.Where, keys.Where, ring); err != nil {
		return err
	}
	if err := a.confirm(ctx, "import them"); err != nil {
		return err
	}
	if err := keys.Store.Import(ctx, ring); err != nil {
		return err
	}
	return a.out.Say("%d key versions are in the database. Next, have every program load its keys from there; then move the old keyring to a safe place.", len(ring.Versions()))
}
