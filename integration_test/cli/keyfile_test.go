package cli_test

import (
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// keyfile FILE... writes new keyrings, each of one data key and one index key.
func keyfile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: keyfile FILE...")
	}
	for _, name := range args {
		ring, err := keyring.Generate()
		ts.Check(err)
		ts.Check(keyring.WriteFile(ts.MkAbs(name), ring))
	}
}
