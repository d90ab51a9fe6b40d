// Package injector_test runs examples/injector as its users do: the injector and
// the application are processes, between them is a socket, and behind them are a
// database and an upstream.
package injector_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) {
	if os.Getenv(naiveVariable) != "" {
		runNaively()
		return
	}
	testdb.Main(m)
}

func TestInjector(t *testing.T) {
	t.Parallel()
	programs := build(t)
	for name, test := range map[string]func(*testing.T, *world){
		"each user's own key goes out":              testEachUser,
		"a key can be replaced and forgotten":       testSetAndUnset,
		"the administrator's mistakes are refused":  testRefusedCommands,
		"the application holds nothing":             testApplicationHoldsNothing,
		"other users are refused":                   testOtherUsers,
		"one injector to a socket":                  testSocket,
		"requests that are refused":                 testRefusedRequests,
		"requests that are cleaned":                 testCleanedRequests,
		"requests as bytes":                         testSmuggling,
		"upstreams that send the key back":          testEchoingUpstreams,
		"upstreams that misbehave":                  testMisbehavingUpstreams,
		"answers that pass":                         testAnswersThatPass,
		"an upstream that hangs":                    testHangingUpstream,
		"an application that leaves":                testLeavingApplication,
		"a database that is away":                   testDatabaseAway,
		"a database that is locked":                 testDatabaseLocked,
		"keys that are moved in the database":       testMovedKeys,
		"another keyring than the one that sealed":  testWrongKeyring,
		"the keyring is rotated under the injector": testRotation,
		"requests under way are finished":           testShutdown,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.Each(t, func(t *testing.T, database testdb.Database) {
				test(t, newWorld(t, programs, database))
			})
		})
	}
}

// build compiles the injector and its application, and returns the directory that
// they are in, where every user can run them.
func build(t *testing.T) string {
	t.Helper()
	dir := openDirectory(t)
	out := exec.Command("go", "build", "-o", dir, "./injector", "./injector/app")
	out.Dir = "../../examples"
	if text, err := out.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return dir
}

// openDirectory returns a directory with a short path, for the path of a socket is
// limited to a hundred bytes, that other users may go through.
func openDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "injector-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}
