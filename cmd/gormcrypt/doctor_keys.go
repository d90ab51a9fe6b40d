package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

// checkKEK opens the place of the keyring and, if its keys are wrapped, has what wraps
// them wrap and unwrap a random key.
func (e *examination) checkKEK(ctx context.Context) []finding {
	keys, err := e.openKeysReadOnly(ctx)
	if err != nil {
		return failed(err)
	}
	e.keys = keys
	if keys.KEK == nil {
		return ok("the keys are not wrapped")
	}
	if err := probe(ctx, keys.KEK); err != nil {
		return failed(fmt.Errorf("%s: %w", keys.KEK.Name(), err))
	}
	return ok("%s wraps and unwraps", keys.KEK.Name())
}

// probe has a KEK wrap and unwrap a key that is thrown away.
func probe(ctx context.Context, kek keyring.KEK) error {
	key := make([]byte, keyring.KeySize)
	rand.Read(key)
	defer clear(key)
	wrapped, err := kek.Wrap(ctx, key)
	if err != nil {
		return fmt.Errorf("wrapping: %w", err)
	}
	back, err := kek.Unwrap(ctx, wrapped)
	defer clear(back)
	switch {
	case err != nil:
		return fmt.Errorf("unwrapping: %w", err)
	case !bytes.Equal(key, back):
		return errors.New("it unwraps to another key than it has wrapped")
	}
	return nil
}

// checkKeyring loads the keyring, and looks for a primary key of each set that is used.
func (e *examination) checkKeyring(ctx context.Context) []finding {
	if e.keys == nil {
		return []finding{{Status: notLookedAt, Detail: "it needs the place of the keyring"}}
	}
	if e.keys.Store != nil {
		return e.checkStore(ctx)
	}
	ring, err := e.keys.Load(ctx)
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return problem("gormcrypt init makes one; if there is one elsewhere, correct keys.from", "%s", oneLine(err))
	case err != nil:
		return failed(err)
	}
	e.opens = map[keyring.Version]bool{}
	var states []string
	for _, version := range ring.Versions() {
		if state, err := ring.State(version); err == nil {
			e.opens[version] = state != keyring.Retired
			states = append(states, fmt.Sprintf("%s %s", version, state))
		}
	}
	found := ok("%s: %s", e.keys.Where, strings.Join(states, ", "))
	if _, err := ring.Primary(keyring.IndexKeys); err != nil && e.wantsIndexKeys() {
		found = append(found, problem("run gormcrypt keys add for index keys", "there is no index key, and the manifest has deterministic columns or blind indexes")...)
	}
	return found
}

func (e *examination) wantsIndexKeys() bool {
	if e.encrypted == nil {
		return false
	}
	for _, table := range e.encrypted.Tables {
		if len(table.Indexes) > 0 {
			return true
		}
		for _, column := range table.Columns {
			if column.Deterministic {
				return true
			}
		}
	}
	return false
}

// checkStore looks at keys in a database, and loads them without being heard of.
func (e *examination) checkStore(ctx context.Context) []finding {
	records, err := e.keys.Store.List(ctx)
	if err != nil {
		return failed(err)
	}
	if len(records) == 0 {
		return problem("run gormcrypt init, or start the application", "there are no keys in the database")
	}
	var states, others []string
	primary := map[keyring.Set]bool{}
	e.opens = map[keyring.Version]bool{}
	for _, r := range records {
		e.opens[r.Version] = r.State != dbkeys.Retired
		states = append(states, fmt.Sprintf("%s %s", r.Version, r.State))
		primary[r.Version.Set()] = primary[r.Version.Set()] || r.State == dbkeys.Primary
		if r.KEK != e.keys.KEK.Name() {
			others = append(others, fmt.Sprintf("%s by %s", r.Version, r.KEK))
		}
	}
	found := ok("%s: %s", e.keys.Where, strings.Join(states, ", "))
	if len(others) == 0 {
		if _, err := e.keys.Look(ctx); err != nil {
			found = failed(err)
		}
	}
	if !primary[keyring.DataKeys] || e.wantsIndexKeys() && !primary[keyring.IndexKeys] {
		found = append(found, problem("run gormcrypt keys promote", "a set of keys that is used has no primary key")...)
	}
	if len(others) > 0 {
		found = append(found, problem("set keys.wrapped_by to that", "keys are wrapped by something else: %s", strings.Join(others, ", "))...)
	}
	return append(found, of("processes", e.checkProcesses(ctx))...)
}

func (e *examination) checkProcesses(ctx context.Context) []finding {
	processes, err := e.keys.Store.Processes(ctx)
	if err != nil {
		return failed(err)
	}
	var behind []string
	for _, p := range processes {
		if p.Behind {
			behind = append(behind, p.String())
		}
	}
	if len(behind) > 0 {
		return warning("wait until they have looked for new keys, or stop them; no key can be promoted before", "%d of %d: %s", len(behind), len(processes), strings.Join(behind, "; "))
	}
	return ok("%d have the keys, all of them the latest", len(processes))
}
