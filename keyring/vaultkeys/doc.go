// Package vaultkeys gets keys from HashiCorp Vault and OpenBao.
//
// [FromWrappedToken] is for a program that must have no credential of its own: its
// environment holds a one-time token, which it exchanges for the keyring when it
// starts. Whoever reads the environment later finds nothing, and whoever used the
// token before is noticed, because it works once.
//
// [Transit] is a key-encryption key that never leaves the server, for the keys of
// keyring/dbkeys, and [KV] is a source that reads a keyring document again and
// again. Both use a [Client], which logs in and stays logged in.
//
// Errors that wrap keyring.ErrUnavailable had no answer and may succeed later. No
// error, log or event holds a key or a token.
//
// It is tested against a Vault 1.13 core. OpenBao has the same calls, and has not
// been run.
package vaultkeys
