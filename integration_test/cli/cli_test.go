// Package cli_test runs the built command line as its users do, by scripts, on SQLite
// and PostgreSQL. The scripts are in testdata/script; what they can call beside
// gormcrypt itself is in this package: app, sql, refused, process, vault, role, chmod,
// mode, envfile.
package cli_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// withRace is not the default with -race, because the SQLite engine of the command is in
// Go, and ten times slower then. The command's own unit tests have the detector.
var withRace = flag.Bool("cli.race", false, "build the command with the race detector")

// build returns a directory with the built command.
func build(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir}
	if *withRace {
		args = append(args, "-race")
	}
	command := exec.Command("go", append(args, ".")...)
	command.Dir = "../../cmd/gormcrypt"
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the command line: %v\n%s", err, out)
	}
	return dir
}

// Every script runs on both databases, with the URL of an empty one in
// GORMCRYPT_DATABASE, and the name of its kind in KIND.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts: ", err)
	}
	binaries := build(t)
	testdb.Each(t, func(t *testing.T, _ testdb.Database) {
		kind := filepath.Base(t.Name())
		for _, script := range scripts {
			testscript.Run(t, testscript.Params{
				Files: []string{script},
				Setup: func(env *testscript.Env) error { return setUp(env, kind, binaries) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"app": app, "kinds": kinds, "keyfile": keyfile, "ring": ring, "nosecret": nosecret, "role": role,
					"sql": runSQL, "until": until, "refused": refused, "start": start, "says": says, "signal": signal, "ended": ended,
					"process": processCommand, "vault": vault, "storekeys": storekeys, "unfinished": unfinished, "chmod": chmod, "mode": mode, "envfile": envfile,
				},
				Condition:           func(name string) (bool, error) { return name == kind, nil },
				RequireExplicitExec: true, RequireUniqueNames: true,
			})
		}
	})
}

// setUp gives a script an empty database and the command.
func setUp(env *testscript.Env, kind, binaries string) error {
	t := env.T().(testing.TB)
	where := testdb.Postgres
	if kind == "sqlite" {
		where = testdb.SQLite
	}
	w := &world{TB: t, where: where(t), dir: env.WorkDir, command: filepath.Join(binaries, "gormcrypt")}
	w.pool = w.where.Plain(t)
	url := w.where.DSN
	if kind == "sqlite" {
		url = "sqlite:" + w.where.Path
		w.exec("CREATE TABLE made (file integer)", "DROP TABLE made") // the file is there from the first statement on
	}
	env.Values[worldKey] = w
	env.Values[processKey] = &process{}
	env.Values[vaultKey] = &vaultCore{}
	env.Setenv("KIND", kind)
	env.Setenv("GORMCRYPT_DATABASE", url)
	env.Setenv("PATH", binaries+string(os.PathListSeparator)+env.Getenv("PATH"))
	return nil
}
