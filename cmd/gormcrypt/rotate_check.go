package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// checkTables refuses tables and columns in flags that the manifest does not have.
func (r *rotateRun) checkTables() error {
	if err := checkTables(r.manifest, r.flags.tables); err != nil {
		return err
	}
	all := uniqueColumns(r.manifest)
	for _, name := range r.flags.uniqueOK {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%w: --unique-ok names %s, which is no unique column under index keys; there are: %s", errUsage, name, cmp.Or(strings.Join(all, ", "), "none"))
		}
	}
	return nil
}

// checkTables refuses names of tables that are not in the manifest.
func checkTables(m *manifest.Manifest, names []string) error {
	var all []string
	for _, table := range m.Tables {
		all = append(all, table.Name)
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%w: --table names %s, which is not in the manifest; there are %s", errUsage, name, strings.Join(all, ", "))
		}
	}
	return nil
}

// checkMigrating refuses tables with a column that holds plaintext still.
func (r *rotateRun) checkMigrating() error {
	for _, table := range r.manifest.Tables {
		if len(r.flags.tables) > 0 && !slices.Contains(r.flags.tables, table.Name) {
			continue
		}
		for _, column := range table.Columns {
			if column.Migrating != "" {
				return fmt.Errorf("%w: %s.%s is migrating, so it may hold plaintext, which a rotation leaves alone; finish its migration first and take the manifest of the program without migrating=, or rotate the other tables by --table", errRefused, table.Name, column.Name)
			}
		}
	}
	return nil
}

// uniqueColumns returns the columns that are unique, and under index keys.
func uniqueColumns(m *manifest.Manifest) []string {
	var all []string
	for _, table := range m.Tables {
		all = append(all, table.UniqueUnderIndexKeys()...)
	}
	return all
}

// liveKeys is how many keys of a set open.
func (r *rotateRun) liveKeys(set keyring.Set) (n int) {
	for _, version := range r.ring.Versions() {
		if state, err := r.ring.State(version); err == nil && version.Set() == set && state != keyring.Retired {
			n++
		}
	}
	return n
}

// checkUnique refuses to rotate unique columns that nobody has looked at.
func (r *rotateRun) checkUnique() error {
	unique := uniqueColumns(r.manifest)
	for _, turn := range r.turns {
		if turn.set != keyring.IndexKeys || r.liveKeys(keyring.IndexKeys) < 2 {
			continue
		}
		for _, table := range turn.plan.Tables {
			for _, column := range table.Columns {
				name := table.Table + "." + column.Column
				if column.Stale > 0 && slices.Contains(unique, name) && !slices.Contains(r.flags.uniqueOK, name) {
					return fmt.Errorf("%w: %s is unique, and while two index keys are live the database does not see that values under one and the other are equal: the application could write a value twice; have it look before it writes, as docs/rotation.md says, and add --unique-ok %[2]s; or rotate the rest by --set data", errRefused, name)
				}
			}
		}
	}
	return nil
}

// checkOpens refuses a keyring that opens nothing of what was tried: every value would
// be put into quarantine. A few that are left of an earlier run say nothing.
func (r *rotateRun) checkOpens() error {
	for _, turn := range r.turns {
		tried, failed := 0, map[string]bool{}
		var rows, stale int64
		for _, table := range turn.plan.Tables {
			tried, rows = tried+table.Tried, rows+table.Rows
			var most int64
			for _, column := range table.Columns {
				most = max(most, column.Stale)
			}
			stale += most
			for _, value := range table.Failed {
				failed[table.Table+" "+value.Key] = true
			}
		}
		if tried > 1 && len(failed) >= tried && stale*2 >= rows {
			return errOtherKeyring(r.where)
		}
	}
	return nil
}

func errOtherKeyring(where string) error {
	return fmt.Errorf("%w: no value that was tried opens, so %s is another keyring than the one that sealed them; give that of the application; gormcrypt fsck looks at all values", errRefused, where)
}
