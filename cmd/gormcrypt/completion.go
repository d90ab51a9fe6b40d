package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// beginnings are what the values of flags begin with, for those that are not the name of
// a file alone.
var beginnings = map[string][]cobra.Completion{
	"database": {
		cobra.CompletionWithDesc("postgres://", "a server of PostgreSQL"),
		cobra.CompletionWithDesc("sqlite:", "a file of SQLite"),
	},
	"keys": {
		cobra.CompletionWithDesc("file:", "a file of this user alone"), cobra.CompletionWithDesc("wrapped:", "a file whose keys are wrapped"),
		cobra.CompletionWithDesc("env:", "a variable"), cobra.CompletionWithDesc("secret:", "a secret of a container"),
		cobra.CompletionWithDesc("credential:", "a credential of systemd"), cobra.CompletionWithDesc("vault:", "a kv store of Vault"),
		cobra.CompletionWithDesc("database", "the database, wrapped"),
	},
	"wrapped-by": {
		cobra.CompletionWithDesc("passphrase-file:", "a file with a passphrase"), cobra.CompletionWithDesc("passphrase-env:", "a variable with one"),
		cobra.CompletionWithDesc("transit:", "a key of Vault"), cobra.CompletionWithDesc("awskms://", "a key of AWS"), cobra.CompletionWithDesc("gcpkms://", "a key of Google Cloud"),
	},
}

// completeSettings completes the flags of the settings.
func completeSettings(root *cobra.Command) {
	for name, values := range beginnings {
		directive := cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		must(root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, directive)))
	}
	must(root.MarkPersistentFlagFilename("manifest", "json"))
	must(root.MarkPersistentFlagFilename("config", "toml"))
}

// must is for flags whose names are in this program.
func must(err error) {
	if err != nil {
		panic(fmt.Sprint("a flag that is not there: ", err))
	}
}

// manifestToComplete returns the manifest, and nil if it cannot be read: a shell that
// asks for names has no use for an error. It sends nothing to a database.
func (a *app) manifestToComplete(cmd *cobra.Command) *manifest.Manifest {
	var err error
	if a.settings, err = settings.Read(cmd.Flags(), a.lookup); err != nil {
		return nil
	}
	m, err := a.readManifest()
	if err != nil {
		return nil
	}
	return m
}

// completeTables completes the names of tables.
func (a *app) completeTables(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	m := a.manifestToComplete(cmd)
	if m == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, table := range m.Tables {
		names = append(names, table.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeColumns completes the encrypted columns of a table.
func (a *app) completeColumns(cmd *cobra.Command, tableName string) ([]cobra.Completion, cobra.ShellCompDirective) {
	m := a.manifestToComplete(cmd)
	if m == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, table := range m.Tables {
		for _, column := range table.Columns {
			if table.Name == tableName {
				names = append(names, cobra.CompletionWithDesc(column.Name, string(column.Type)))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeDecrypt completes TABLE and COLUMN. What keys there are only the database
// knows.
func (a *app) completeDecrypt(cmd *cobra.Command, given []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch len(given) {
	case 0:
		return a.completeTables(cmd, given, toComplete)
	case 2:
		return a.completeColumns(cmd, given[0])
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
