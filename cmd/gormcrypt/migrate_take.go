package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/migrations"
)

func (a *app) migrateTakeCommand() *cobra.Command {
	var flags migrateFlags
	cmd := &cobra.Command{
		Use: "take-for-plaintext TABLE.COLUMN KEY", Short: "Encrypt a value that reads like ciphertext, and is none",
		Long: `A plaintext that somebody has typed as ciphertext reads ("gc1:1:…") is left in quarantine
by backfill: it could as well be ciphertext of another key, and would be lost under a
second encryption. When you know that it is plaintext, this seals it. KEY is the primary key
of the row, its columns separated by commas.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			m, err := a.openMigration(cmd.Context(), given[0], flags)
			if err != nil {
				return err
			}
			keys, err := readKey(m.db.Name(), given[1], m.keys)
			if err != nil {
				return err
			}
			if err := m.Ready(cmd.Context(), "TakeForPlaintext", m.config); err != nil {
				return m.words(err)
			}
			if err := a.confirm(cmd.Context(), "take the value of "+given[0]+" in row "+given[1]+" for plaintext"); err != nil {
				return err
			}
			for _, key := range keys {
				if err = m.TakeForPlaintext(cmd.Context(), m.config, key...); !errors.Is(err, migrations.ErrNoRow) {
					break
				}
			}
			return m.words(err)
		},
	}
	flags.add(cmd.Flags())
	a.offerYes(cmd)
	return cmd
}

func (a *app) migrateForgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "forget TABLE.COLUMN", Short: "Forget the migration of a table that was dropped",
		Long: `Forget removes the record of a migration whose table is gone, and cancels its jobs. It
refuses while the table is there: revert goes back then, and forgets it in the end.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			table, column, err := splitColumn(given[0])
			if err != nil {
				return err
			}
			db, err := a.openDatabase(cmd.Context(), database.ReadWrite)
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), "forget the migration of "+given[0]); err != nil {
				return err
			}
			return migrations.Forget(cmd.Context(), db, table, column)
		},
	}
	a.offerYes(cmd)
	return cmd
}
