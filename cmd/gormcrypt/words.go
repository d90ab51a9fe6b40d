package main

import "strings"

// words has errors of the library say what to do at the command line, and not in Go.
var words = strings.NewReplacer(
	"gormcrypt: ", "",
	"context canceled", "stopped by a signal",
	"make one with Generate and WriteFile", "make one with gormcrypt init",
	"make one with WriteWrappedFile", "make one with gormcrypt init",
	"call Store.Init once for new keys, or Store.Import for those of another keyring", "make them with gormcrypt init",
	"call Store.Init for the first ones", "make them with gormcrypt init",
	"a role with the right to create tables has to call migrations.Upgrade once", "a role with the right to create tables has to run gormcrypt init once",
	"build it with the newer version, or have a newer program call migrations.Downgrade", "install a newer gormcrypt",
	"read it with FromFile or FromEnv", "give keys.from as file:PATH or env:NAME",
	"read it with WrappedFile or FromPassphrase", "give keys.from as wrapped:PATH",
	"; configure the former, or move the keys by Store.MoveTo", "; give the former",
	"dbkeys.Config.KEK", "keys.wrapped_by",
	"another Config.Name", "another keys.name",
	"; see Quarantine", "",
	"say so by TakeForPlaintext", "say so by gormcrypt migrate take-for-plaintext",
	"say by TakeForPlaintext", "say by gormcrypt migrate take-for-plaintext",
	"run Revert with Config.Deployed, or Backfill to go on after all", "run gormcrypt migrate revert with --deployed read, or gormcrypt migrate backfill to go on after all",
	"list a struct for it in Config.Models, with context=", "have the application list a struct for it among its models, with context=",
	"set Config.Deployed to Settled", "add --deployed settled",
	"run Backfill again", "run gormcrypt migrate backfill again",
	"run Backfill", "run gormcrypt migrate backfill",
	"run Revert", "run gormcrypt migrate revert",
	"; Backfill seals it", "; gormcrypt migrate backfill seals it",
	"set Config.Unique", "add --unique-ok",
	"Config.LockWait", "--lock-wait",
	"name another directory in Config.TempDir, or give Config.Memory more", "name another directory by --temp-dir, or give it more by --memory",
)
