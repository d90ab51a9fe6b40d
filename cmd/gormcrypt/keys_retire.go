package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

const keysRetireLong = `Gives a key version up. It needs the database and the manifest, and goes through every
table with encrypted columns twice: there must be no value under the version, no row in
quarantine, and no unfinished job. Otherwise it lists what there is, and exits with 4.

The database refuses values under the version from then on, by constraints (in SQLite,
triggers) on the columns, for which the role needs the right to alter the tables. A
process that still seals under it gets an error when it writes.

Then the key leaves the keyring. Backups, replicas and exports may still need it: keys
in the database stay there, wrapped, and gormcrypt keys restore has them open again; of
a keyring in a file, a copy with the key is kept beside it. Move that to a safe place.`

// retiring is what keys retire works with.
type retiring struct {
	keys     *keysource.Keys
	form     keyringForm
	data     *gorm.DB
	manifest *manifest.Manifest
	version  keyring.Version
	state    dbkeys.State
	// ring is nil for keys in the database.
	ring *keyring.Keyring
}

// change is what has become of the version.
func (r *retiring) change(changed bool) keyChange {
	return keyChange{Version: r.version, State: string(dbkeys.Retired), Changed: changed}
}

func (a *app) keysRetireCommand() *cobra.Command {
	var form keyringForm
	cmd := &cobra.Command{
		Use: "retire VERSION", Short: "Give a key version up, when no value is under it", Long: keysRetireLong,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			keys, err := a.openKeys(cmd.Context())
			if err != nil {
				return err
			}
			return a.retireKey(cmd.Context(), &retiring{keys: keys, form: form}, given[0])
		},
	}
	form.offer(cmd, "print the new keyring, with its keys, unencrypted, where gormcrypt cannot write it")
	a.offerYes(cmd)
	a.offerJSON(cmd)
	return cmd
}

func (a *app) retireKey(ctx context.Context, r *retiring, text string) (err error) {
	if err := a.checkForm(r.keys, r.form); err != nil {
		return err
	}
	if err := a.findRetiring(ctx, r, text); err != nil {
		return err
	}
	if r.state == dbkeys.Retired {
		return a.sayChange(r.form, r.change(false), "Key %s is retired already.", r.version)
	}
	if r.manifest, err = a.readManifest(); err != nil {
		return err
	}
	if len(r.manifest.Tables) == 0 {
		return fmt.Errorf("%w: the manifest %s has no tables, so nothing says whether the key is needed; give the one of this database", settings.ErrInvalid, a.settings.Manifest)
	}
	if r.data, err = a.openDatabase(ctx, database.ReadWrite); err != nil {
		return err
	}
	if err := a.checkUnused(ctx, r); err != nil {
		return err
	}
	if err := a.printRetirePlan(r); err != nil {
		return err
	}
	if err := a.confirm(ctx, "give up key "+r.version.String()); err != nil {
		return err
	}
	// If somebody has promoted it meanwhile, applications could not write any more.
	if err := a.findRetiring(ctx, r, text); err != nil {
		return err
	}
	if r.keys.Store != nil {
		return a.retireInStore(ctx, r)
	}
	return a.retireInRing(ctx, r)
}

// findRetiring finds the version and its state, which must not be primary, after making
// sure that the keys can be loaded. In the database, a version is retired while processes
// still have the key.
func (a *app) findRetiring(ctx context.Context, r *retiring, text string) error {
	if err := a.loadRetiring(ctx, r, text); err != nil {
		return err
	}
	if r.state == dbkeys.Primary {
		return fmt.Errorf("%w: key %s is primary; promote another before, with gormcrypt keys promote", errRefused, r.version)
	}
	return nil
}

func (a *app) loadRetiring(ctx context.Context, r *retiring, text string) error {
	if r.keys.Store != nil {
		record, err := a.recordOf(ctx, r.keys, text)
		r.version, r.state = record.Version, record.State
		return err
	}
	ring, err := r.keys.Load(ctx)
	if err != nil {
		return err
	}
	version, state, err := versionOf(ring, r.keys.Where, text)
	r.ring, r.version, r.state = ring, version, dbkeys.State(state.String())
	return err
}

// checkUnused counts before anything is changed. Retire counts again.
func (a *app) checkUnused(ctx context.Context, r *retiring) error {
	census, err := rotation.Census(ctx, r.data, rotation.CensusConfig{Manifest: r.manifest})
	if err != nil {
		return err
	}
	var uses []rotation.Use
	for _, column := range census.Columns {
		for _, count := range column.Versions {
			if count.Version == r.version && count.Rows > 0 {
				uses = append(uses, rotation.Use{Table: column.Table, Column: column.Column, Rows: count.Rows})
			}
		}
	}
	jobs, err := unfinishedJobs(ctx, r.data)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		uses = append(uses, rotation.Use{Job: job.ID})
	}
	if len(uses) == 0 {
		return nil
	}
	return a.refuseInUse(r.version, uses, "nothing has changed")
}

// useJSON is what uses a version, as JSON: a column, by values or by those in the
// quarantine of a job, or a job that is not finished.
type useJSON struct {
	Table  string `json:"table,omitempty"`
	Column string `json:"column,omitempty"`
	Rows   int64  `json:"rows"`
	Job    string `json:"job,omitempty"`
}

// refuseInUse prints what uses a version, and returns the error.
func (a *app) refuseInUse(version keyring.Version, uses []rotation.Use, changed string) error {
	if err := a.printUses(version, uses); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s, as listed; seal them anew with %s, and then retire it; %s", rotation.ErrInUse, version, rotateCommand(version), changed)
}

func (a *app) printUses(version keyring.Version, uses []rotation.Use) error {
	if a.json {
		refused := struct {
			Version keyring.Version `json:"version"`
			Uses    []useJSON       `json:"uses"`
		}{Version: version}
		for _, use := range uses {
			refused.Uses = append(refused.Uses, useJSON(use))
		}
		return a.printJSON(refused)
	}
	table := terminal.NewTable(terminal.Column{Title: "column", Wrap: true}, terminal.Column{Title: "rows", Right: true}, terminal.Column{Title: "", Wrap: true})
	for _, use := range uses {
		switch {
		case use.Table == "":
			table.Add("any", "", "job "+use.Job+" is not finished")
		case use.Job != "":
			table.Add(use.Table+"."+use.Column, fmt.Sprint(use.Rows), "in the quarantine of job "+use.Job)
		default:
			table.Add(use.Table+"."+use.Column, fmt.Sprint(use.Rows), "")
		}
	}
	return table.Print(a.out)
}

func (a *app) printRetirePlan(r *retiring) error {
	then := "the keyring is printed without the key."
	switch {
	case r.keys.Store != nil:
		then = "processes drop the key, which stays in the database, wrapped."
	case r.keys.Writable():
		then = "the key is taken out of " + r.keys.Where + ", of which a copy is made before."
	}
	err := a.errOut.Say("No value was found under key %s. They will be counted once more while the database refuses them, as it does from then on. Then %s", r.version, then)
	if r.keys.Store == nil {
		err = errors.Join(err, a.errOut.Say("Processes that still have an older keyring, in which this key seals, get errors from the database when they write. Gormcrypt cannot see whether there are any."))
	}
	return err
}

func (a *app) retireInStore(ctx context.Context, r *retiring) error {
	done, err := r.keys.Store.Retire(ctx, r.data, rotation.RetireConfig{Manifest: r.manifest}, r.version)
	switch {
	case errors.Is(err, rotation.ErrInUse) && len(done.Uses) > 0:
		return a.refuseInUse(r.version, done.Uses, "the key opens, and is retiring: it will not be promoted again")
	case err != nil:
		return fmt.Errorf("%w; the key still opens", err)
	}
	change := r.change(true)
	change.Next = "gormcrypt keys restore " + r.version.String()
	return a.sayChange(r.form, change, "Key %s is retired. Processes drop it within minutes, and the database refuses values under it. For a backup that needs it:", r.version)
}

func (a *app) retireInRing(ctx context.Context, r *retiring) error {
	done, err := rotation.Retire(ctx, r.data, rotation.RetireConfig{Manifest: r.manifest, Keys: r.ring}, r.version)
	switch {
	case errors.Is(err, rotation.ErrInUse) && len(done.Uses) > 0:
		return a.refuseInUse(r.version, done.Uses, "nothing has changed")
	case err != nil:
		return err
	}
	kept, change := "Keep the old keyring in a safe place.", r.change(true)
	if r.keys.Writable() {
		path, err := r.keys.Keep("retiring-" + r.version.String())
		if err != nil {
			return fmt.Errorf("keeping a copy of the keyring: %w; the database refuses values under key %s already, and the keyring still has it: see to the file, and run the command again", err, r.version)
		}
		kept, change.Kept = "The keyring as it was is in "+path+": move that to a safe place.", path
	}
	retire := func(ring *keyring.Keyring) (*keyring.Keyring, error) { return ring.Retire(r.version) }
	if err := a.changeKeyring(ctx, r.keys, r.form, retire); err != nil {
		return fmt.Errorf("%w; the database refuses values under key %s already, and the keyring still has it: run the command again", err, r.version)
	}
	return a.sayChange(r.form, change, "Key %s is retired, and the database refuses values under it. Backups may need it. %s Next, have every process load the keyring again.", r.version, kept)
}
