package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// promoteInStore promotes keys in the database, whose processes are known.
func (a *app) promoteInStore(ctx context.Context, keys *keysource.Keys, p promotion, text string) error {
	if p.has != "" {
		return fmt.Errorf("%w: --every-process-has is for keyrings whose processes gormcrypt cannot see; these say what they have in %s", errUsage, keys.Where)
	}
	if err := a.checkForm(keys, p.form); err != nil {
		return err
	}
	record, err := a.recordOf(ctx, keys, text)
	if err != nil {
		return err
	}
	version := record.Version
	switch record.State {
	case dbkeys.Primary:
		return a.sayChange(p.form, promoted(version, false), "Key %s is primary already.", version)
	case dbkeys.Retiring, dbkeys.Retired:
		return fmt.Errorf("%w: key %s is %s, and seals nothing any more; make another with gormcrypt keys add", errRefused, version, record.State)
	}
	processes, err := processesOf(ctx, keys)
	if err != nil {
		return err
	}
	if waits := behind(processes); len(waits) > 0 && p.wait <= 0 {
		return refuseBehind(version, waits)
	}
	if err := a.printPromotePlan(version, processes); err != nil {
		return err
	}
	if err := a.confirm(ctx, fmt.Sprintf("have key %s seal", version)); err != nil {
		return err
	}
	if err := a.promoteWhenKnown(ctx, keys, version, p.wait); err != nil {
		return err
	}
	known := "Every process that was heard of within its lease has said in the database that it has the key."
	if len(processes) == 0 {
		known = "No process was heard of; one that starts loads it."
	}
	return a.sayChange(p.form, promoted(version, true), "Key %s seals from now on. %s Next:", version, known)
}

func (a *app) printPromotePlan(version keyring.Version, processes []processRecord) error {
	if err := a.errOut.Say("Key %s will seal in place of the primary %s key. The processes that say in the database which keys they have:", version, version.Set()); err != nil {
		return err
	}
	if err := printProcesses(a.errOut, processes); err != nil {
		return err
	}
	return a.warnOfUnique(version)
}

// recordOf returns what the database has of a version, after making sure that the keys
// can be loaded.
func (a *app) recordOf(ctx context.Context, keys *keysource.Keys, text string) (dbkeys.Record, error) {
	ring, err := keys.Look(ctx)
	if err != nil {
		return dbkeys.Record{}, err
	}
	version, _, err := versionOf(ring, keys.Where, text)
	if err != nil {
		return dbkeys.Record{}, err
	}
	records, err := keys.Store.List(ctx)
	if err != nil {
		return dbkeys.Record{}, err
	}
	for _, record := range records {
		if record.Version == version {
			return record, nil
		}
	}
	return dbkeys.Record{}, fmt.Errorf("key %s: %w", version, keyring.ErrUnknownVersion)
}

// promoteWhenKnown promotes a version, and waits for processes that do not have it.
func (a *app) promoteWhenKnown(ctx context.Context, keys *keysource.Keys, version keyring.Version, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	said := ""
	for {
		processes, err := processesOf(ctx, keys)
		if err != nil {
			return err
		}
		waits, refused := behind(processes), error(nil)
		if len(waits) == 0 {
			refused = keys.Store.Promote(ctx, version)
			if !errors.Is(refused, dbkeys.ErrBehind) { // as it is when one has come since, with an older keyring
				return refused
			}
		}
		if !time.Now().Before(deadline) {
			return cmp.Or(refused, refuseBehind(version, waits))
		}
		if line := fmt.Sprintf("Waiting for %d of %d processes: %s", len(waits), len(processes), namesOf(waits)); line != said {
			fmt.Fprintln(a.errOut, line)
			said = line
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing has changed: %w", ctx.Err())
		case <-time.After(min(time.Second, max(time.Until(deadline), 0))):
		}
	}
}

func refuseBehind(version keyring.Version, waits []processRecord) error {
	return fmt.Errorf("%w: key %s waits for %s that do not have the latest keys yet, and could not read what others write: %s; try again in some seconds, wait with --wait 5m, or stop them", dbkeys.ErrBehind, version, counted(int64(len(waits)), "process"), namesOf(waits))
}

func behind(processes []processRecord) (waits []processRecord) {
	for _, p := range processes {
		if p.Behind {
			waits = append(waits, p)
		}
	}
	return waits
}

// mostNames is how many processes are named in a line.
const mostNames = 5

func namesOf(processes []processRecord) string {
	var names []string
	for i, p := range processes {
		if i == mostNames {
			names = append(names, fmt.Sprintf("and %d more", len(processes)-i))
			break
		}
		names = append(names, terminal.Printable(p.Name))
	}
	return strings.Join(names, ", ")
}
