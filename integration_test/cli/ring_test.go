package cli_test

import (
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// ring data|index [FILE] gives the keyring in keys.json, or another file, another version
// of these keys, which is primary then.
func ring(ts *testscript.TestScript, neg bool, args []string) {
	sets := map[string]keyring.Set{"data": keyring.DataKeys, "index": keyring.IndexKeys}
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: ring data|index [FILE]")
	}
	path := ts.MkAbs(append(args, "keys.json")[1])
	set, ok := sets[args[0]]
	if !ok {
		ts.Fatalf("there are no %s keys", args[0])
	}
	keys, err := keyring.FromFile(path)
	ts.Check(err)
	keys, version, err := keys.Add(set)
	ts.Check(err)
	keys, err = keys.Promote(version)
	ts.Check(err)
	ts.Check(keyring.WriteFile(path, keys))
}
