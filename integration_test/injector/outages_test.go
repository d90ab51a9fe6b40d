package injector_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

func (w *world) execute(t *testing.T, statement string) {
	t.Helper()
	if _, err := w.database.Plain(t).Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func testDatabaseAway(t *testing.T, w *world) {
	w.serve(t)
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
	w.execute(t, "ALTER TABLE injector_credentials RENAME TO elsewhere")
	a := w.get(t, "ada", "/demo/x")
	requireAnswer(t, a, http.StatusServiceUnavailable, "the database is not available")
	if strings.Contains(a.body, "injector_credentials") {
		t.Errorf("the answer shows the database: %q", a.body)
	}
	w.log.waitFor(t, "injector_credentials", 1) // in the error of the database
	if err := w.run("", "serve", "-socket", filepath.Join(w.dir, "second"), "-upstream", "demo=https://example.com"); err == nil {
		t.Error("an injector has started without its tables")
	}
	w.log.waitFor(t, "which injector init prepares", 1)
	w.execute(t, "ALTER TABLE elsewhere RENAME TO injector_credentials")
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
}

// testDatabaseLocked has somebody else hold the whole table. In SQLite, that keeps
// nobody from reading.
func testDatabaseLocked(t *testing.T, w *world) {
	w.serve(t)
	conn, err := w.database.Plain(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin, locked := "BEGIN EXCLUSIVE", http.StatusOK
	if w.database.Name == "postgres" {
		begin, locked = "BEGIN; LOCK TABLE injector_credentials IN ACCESS EXCLUSIVE MODE", http.StatusServiceUnavailable
	}
	if _, err := conn.ExecContext(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	requireAnswer(t, w.get(t, "ada", "/demo/x"), locked, "")
	if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
}

// testMovedKeys has somebody write to the database who wants another user's key
// used, or one sent to another upstream.
func testMovedKeys(t *testing.T, w *world) {
	w.serve(t)
	requireAnswer(t, w.get(t, "bob", "/demo/x"), http.StatusOK, "bob")
	w.execute(t, `UPDATE injector_credentials SET api_key = (SELECT api_key FROM injector_credentials WHERE user_id = 'ada' AND upstream = 'demo')
		WHERE user_id = 'bob' AND upstream = 'demo'`)
	w.execute(t, "UPDATE injector_credentials SET upstream = 'other' WHERE user_id = 'cyd' AND upstream = 'demo'")
	w.execute(t, "UPDATE injector_credentials SET upstream = 'demo' WHERE user_id = 'cyd' AND upstream = 'raw'")
	for _, user := range []string{"bob", "cyd"} {
		requireAnswer(t, w.get(t, user, "/demo/x"), http.StatusInternalServerError, "does not open")
	}
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
	w.log.waitFor(t, "injector_credentials.api_key", 2)

	w.execute(t, "UPDATE injector_credentials SET api_key = 'sk_plaintext_in_the_database' WHERE user_id = 'bob'")
	requireAnswer(t, w.get(t, "bob", "/demo/x"), http.StatusInternalServerError, "does not open")
	if w.log.count("sk_plaintext_in_the_database") > 0 {
		t.Error("the log shows what is stored")
	}
}

func testWrongKeyring(t *testing.T, w *world) {
	other, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "other.json")
	if err := keyring.WriteFile(path, other); err != nil {
		t.Fatal(err)
	}
	w.serve(t, "-keys", "file:"+path)
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusInternalServerError, "does not open; see the injector's log")
	w.log.waitFor(t, "injector_credentials.api_key", 1)
	w.log.waitFor(t, "key version 1", 1)
}

// testRotation replaces the keyring's file while the application calls, and shows
// the injector a file that is none.
func testRotation(t *testing.T, w *world) {
	injector := w.serve(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
			}
		}
	}()
	hangUp := func() {
		if err := injector.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	keys, version, err := w.keyring(t).Add(keyring.DataKeys)
	if err == nil {
		keys, err = keys.Promote(version)
	}
	if err == nil {
		err = keyring.WriteFile(w.keyringPath(), keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	hangUp()
	w.log.waitFor(t, `msg="loaded the keyring anew" keys="keyring(1 enabled `, 1)
	w.set(t, "new", newAPIKey()) // sealed by another process, under the new version
	requireAnswer(t, w.get(t, "new", "/demo/x"), http.StatusOK, "new")

	if err := os.WriteFile(w.keyringPath(), []byte(`{"format": "gormcrypt-keyring-1", "keys": [{"version": "1", "state": "primary", "key": "MARKER"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp()
	w.log.waitFor(t, "the one before stays in use", 1)
	if err := os.Remove(w.keyringPath()); err != nil {
		t.Fatal(err)
	}
	hangUp()
	w.log.waitFor(t, "the one before stays in use", 2)
	if w.log.count("MARKER") > 0 {
		t.Error("the log quotes the keyring's file")
	}
	requireAnswer(t, w.get(t, "new", "/demo/x"), http.StatusOK, "new")
	close(stop)
	<-stopped
}

func testShutdown(t *testing.T, w *world) {
	asked, finish := make(chan struct{}, 1), make(chan struct{})
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "begun ")
		rw.(http.Flusher).Flush()
		asked <- struct{}{}
		select {
		case <-finish:
			io.WriteString(rw, "and finished")
		case <-r.Context().Done():
		}
	})
	injector := w.serve(t)
	answers := make(chan answer, 1)
	go func() { answers <- w.get(t, "ada", "/demo/x") }()
	<-asked
	if err := injector.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.log.waitFor(t, "stopping", 1)
	close(finish)
	requireAnswer(t, <-answers, http.StatusOK, "begun and finished")
}

func testSocket(t *testing.T, w *world) {
	injector := w.serve(t)
	info, err := os.Stat(w.socket)
	directory, err2 := os.Stat(filepath.Dir(w.socket))
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || directory.Mode().Perm() != 0o700 {
		t.Errorf("the socket is %v, %v, in %v, %v; want them for nobody else", info, err, directory, err2)
	}
	serve := func(socket string) error {
		return w.run("", "serve", "-socket", socket, "-upstream", "demo=https://example.com")
	}
	if serve(w.socket) == nil {
		t.Error("two injectors share a socket")
	}
	w.log.waitFor(t, "another injector answers", 1)
	if serve(w.keyringPath()) == nil {
		t.Error("a file was taken for a socket")
	}
	w.log.waitFor(t, "and not a socket", 1)
	w.keyring(t) // is still there

	if err := injector.Process.Kill(); err != nil { // and leaves its socket behind
		t.Fatal(err)
	}
	for conn, err := net.Dial("unix", w.socket); err == nil; conn, err = net.Dial("unix", w.socket) {
		conn.Close()
	}
	w.serve(t)
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, "ada")
}
