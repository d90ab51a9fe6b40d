package main

import (
	"errors"
	"fmt"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
)

// keysFrom is where the keys come from.
type keysFrom struct {
	kind      string // generate or vault
	vaultPath string
}

// tokenVariable is all that the environment of a program with Vault's keys holds,
// until it has started.
const tokenVariable = "GORMCRYPT_VAULT_TOKEN"

// loadKeys returns the keys, before anything else is opened: a program that cannot
// have them must not start.
func (a *app) loadKeys() (*keyring.Keyring, error) {
	switch a.from.kind {
	case "generate":
		keys, err := keyring.Generate()
		if err != nil {
			return nil, err
		}
		if err := keyring.WriteFile(a.keys, keys); err != nil {
			return nil, err
		}
		return keyring.FromFile(a.keys)
	case "vault":
		return vaultkeys.FromWrappedToken(a.ctx, vaultkeys.WrappedToken{
			Env:          tokenVariable,
			CreationPath: a.from.vaultPath,
			// In your program, OnSecurityEvent wakes somebody up.
		})
	}
	return nil, fmt.Errorf("-keys %s: want generate or vault", a.from.kind)
}

// exitCode tells a supervisor what to do: not to start the program again after a
// security event, nor before somebody has looked when it may have been one.
func exitCode(err error) int {
	switch {
	case errors.Is(err, vaultkeys.ErrTokenInvalid):
		return 3
	case errors.Is(err, vaultkeys.ErrIndeterminate):
		return 4
	}
	return 1
}
