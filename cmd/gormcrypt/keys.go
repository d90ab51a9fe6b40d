package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/keyring"
)

const keysLong = `The keyring has data keys (1, 2, ...), which seal what is not searched, and index keys
(i1, i2, ...), which seal deterministic columns and blind indexes. One of each kind is
primary: it seals. The others open what they sealed before. To replace a key:

  gormcrypt keys add          a new version, which opens and does not seal yet
  gormcrypt keys promote 2    it seals, when every process has it
  gormcrypt rotate            old values are sealed anew
  gormcrypt keys retire 1     the old version goes, when nothing is under it

None of these prints a key unless it is asked to by --cleartext.`

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Key versions: make, list, add, promote and retire them", Long: keysLong,
		Args: args(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.keysGenerateCommand(), a.keysListCommand(), a.keysAddCommand(), a.keysPromoteCommand(),
		a.keysRetireCommand(), a.keysRestoreCommand(), a.keysRewrapCommand(), a.keysImportCommand(),
	)
	return cmd
}

// versionOf returns the version of a keyring that an argument names.
func versionOf(ring *keyring.Keyring, where, text string) (keyring.Version, keyring.State, error) {
	version, err := parseVersion(text)
	if err != nil {
		return version, 0, err
	}
	state, err := ring.State(version)
	if err != nil {
		var all []string
		for _, one := range ring.Versions() {
			all = append(all, one.String())
		}
		return version, 0, fmt.Errorf("%w: there is no key version %s in %s; there are %s", errUsage, version, where, strings.Join(all, ", "))
	}
	return version, state, nil
}

// parseVersion reads a version. An argument may be a key that was pasted, so it is not
// shown.
func parseVersion(text string) (keyring.Version, error) {
	version, err := keyring.ParseVersion(text)
	if err != nil {
		return version, fmt.Errorf("%w: that is no key version; write 2 for a data key, and i2 for an index key", errUsage)
	}
	return version, nil
}
