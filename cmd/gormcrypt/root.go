package main

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

const rootLong = `Gormcrypt runs a database with encrypted columns: it rotates keys, encrypts and
decrypts columns while applications use them, and looks for damage.

It needs a database, a keyring and the manifest that the application writes by
gormcrypt.Manifest. It is told of them by a settings file, by the environment, and by
flags; a flag is stronger than a variable, and that than the file. Begin with:

  gormcrypt init

Passwords and keys come from files, the environment or a key server, never from flags.

Exit codes:
  0    done
  1    failed; the message says what to do
  2    the command, a setting or the manifest is wrong
  3    values are not as they should be: damage, plaintext, rows in quarantine
  4    refused, because it would do harm now; nothing has changed
  5    the database or the key server did not answer; try again
  130  stopped by a signal; what was done is kept`

// root returns the command and all that are below it.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "gormcrypt", Short: "Keys, rotation, migration and damage of encrypted columns", Long: rootLong,
		Version: version(), SilenceUsage: true, SilenceErrors: true,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := cmd.ValidateFlagGroups(); err != nil {
				return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
			}
			if needsSettings(cmd) {
				a.settings, err = settings.Read(cmd.Flags(), a.lookup)
			}
			return err
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
	})
	settings.AddFlags(root.PersistentFlags())
	completeSettings(root)
	cobra.EnableCommandSorting = false
	for _, command := range a.commands() {
		root.AddCommand(command)
	}
	root.SetUsageTemplate(usageTemplate(root))
	fitHelp(root)
	return root
}

// withoutSettings are the annotations of a command that a broken settings file must not
// stop.
var withoutSettings = map[string]string{"settings": "none"}

// needsSettings says whether a command is to be stopped by settings that cannot be read:
// not the help, and not what a shell asks for completion.
func needsSettings(cmd *cobra.Command) bool {
	for ; cmd.HasParent(); cmd = cmd.Parent() {
		switch cmd.Name() {
		case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return false
		}
		if cmd.Annotations["settings"] == "none" {
			return false
		}
		if !cmd.Parent().HasParent() {
			return true
		}
	}
	return false // the command alone prints the help
}

// commands returns the commands, in the order of the help.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.initCommand(), a.keysCommand(), a.statusCommand(), a.rotateCommand(), a.migrateCommand(), a.fsckCommand(),
		a.inspectCommand(), a.decryptCommand(), a.doctorCommand(), a.manCommand(),
	}
}

// errUsage: the command line is wrong.
var errUsage = errors.New("usage")

// args has a check of arguments return errUsage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
		}
		return nil
	}
}

// version is that of the module, or of the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
