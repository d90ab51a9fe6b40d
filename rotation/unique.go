package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// checkNames refuses names of unique columns that are none.
func checkNames(m manifest.Manifest, names []string) error {
	var all []string
	for _, t := range m.Tables {
		all = append(all, t.UniqueUnderIndexKeys()...)
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("gormcrypt: Config.Unique names %s, which is no unique column under index keys; want \"table.column\", of %s", name, cmp.Or(strings.Join(all, ", "), "which there is none"))
		}
	}
	return nil
}

// checkUnique refuses to rotate a unique column in place, unless it is named.
func checkUnique(t manifest.Table, config Config) error {
	if config.Set != keyring.IndexKeys {
		return nil
	}
	for _, name := range t.UniqueUnderIndexKeys() {
		if !slices.Contains(config.Unique, name) {
			return fmt.Errorf("gormcrypt: %s is unique, and while two index keys are live the constraint does not see that values under one and the other are equal: the application could write a value twice; have it look before it writes, as docs/rotation.md says, and name the column in Config.Unique", name)
		}
	}
	return nil
}
