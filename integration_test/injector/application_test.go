package injector_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

// application is a process that reads lines and answers each with one.
type application struct {
	cmd     *exec.Cmd
	stdin   io.Writer
	answers *bufio.Scanner
	printed *output
}

func startApplication(t *testing.T, cmd *exec.Cmd) *application {
	t.Helper()
	a := &application{cmd: cmd, printed: newOutput()}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = a.printed
	a.stdin, a.answers = stdin, bufio.NewScanner(io.TeeReader(stdout, a.printed))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the application ended with %v: %s", err, a.printed)
		}
	})
	return a
}

func (a *application) send(t *testing.T, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(a.stdin, line); err != nil {
		t.Fatal(err)
	}
}

func (a *application) receive(t *testing.T) string {
	t.Helper()
	if !a.answers.Scan() {
		t.Fatalf("the application printed no more: %s, %v", a.printed, a.answers.Err())
	}
	return a.answers.Text()
}

// testApplicationHoldsNothing looks for the keys in the memory, the environment
// and the output of the application, while it waits for an answer and afterwards.
// It finds a user's name there, which shows that it looks into the right places.
func testApplicationHoldsNothing(t *testing.T, w *world) {
	user := newAPIKey()
	w.set(t, user, newAPIKey())
	asked, answer := make(chan string, 1), make(chan struct{})
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		name := w.userOf(r)
		asked <- name
		select {
		case <-answer:
			fmt.Fprint(rw, "the account of "+name)
		case <-r.Context().Done():
		}
	})
	cmd := exec.Command(filepath.Join(w.programs, "app"), "-socket", w.socket)
	uid, isolated := isolate(cmd)
	w.serve(t, "-app", fmt.Sprint(uid))
	app := startApplication(t, cmd)
	secrets := append(w.keyringSecrets(t), w.apiKeys()...)

	for range 3 {
		app.send(t, user+" demo/account")
		if name := <-asked; name != user {
			t.Fatalf("the upstream was asked by %q", name)
		}
		search(t, app, secrets, user)
		answer <- struct{}{}
		if got := app.receive(t); got != user+": 200 OK the account of "+user {
			t.Fatalf("the application printed %q", got)
		}
		search(t, app, secrets, user)
	}

	t.Run("without a network", func(t *testing.T) {
		if isolated != nil {
			t.Skip("this system does not give the application a network of its own: ", isolated)
		}
		requireNoNetwork(t, app.cmd.Process.Pid)
	})

	naive := exec.Command(os.Args[0])
	naive.Env = append(os.Environ(), naiveVariable+"="+w.upstream.URL+"/v1/account")
	held := startApplication(t, naive)
	held.send(t, w.keyOf(user))
	<-asked
	answer <- struct{}{}
	if got := held.receive(t); got != "the account of "+user {
		t.Fatalf("the naive application printed %q", got)
	}
	found := &findings{TB: t}
	gormcrypttest.ScanFiles(found, dump(t, held.cmd.Process.Pid), w.keyOf(user))
	if len(found.texts) == 0 {
		t.Error("the key is not found in the memory of a process that holds it")
	}
}

// search fails the test if a secret is in what a process holds or has printed, or
// if something is not that is there.
func search(t *testing.T, app *application, secrets []string, there string) {
	t.Helper()
	held := dump(t, app.cmd.Process.Pid)
	gormcrypttest.ScanFiles(t, held, secrets...)
	if err := os.WriteFile(filepath.Join(held, "printed"), []byte(app.printed.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	found := &findings{TB: t}
	gormcrypttest.ScanFiles(found, filepath.Join(held, "memory"), there)
	if len(found.texts) == 0 {
		t.Error("not even the user's name was found in the application's memory")
	}
}

// keyringSecrets returns the keys of the keyring, and as texts in its file.
func (w *world) keyringSecrets(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(w.keyringPath())
	if err != nil {
		t.Fatal(err)
	}
	var secrets []string
	for line := range strings.Lines(string(text)) {
		if _, value, ok := strings.Cut(line, `"key": "`); ok {
			encoded, _, _ := strings.Cut(value, `"`)
			secrets = append(secrets, encoded, decode(t, encoded))
		}
	}
	if len(secrets) != 4 {
		t.Fatalf("found %d forms of keys in the keyring; want those of two keys", len(secrets))
	}
	return secrets
}

// decode returns the bytes behind a text in base64url.
func decode(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// findings are the failures that ScanFiles would report.
type findings struct {
	gormcrypttest.TB
	texts []string
}

func (f *findings) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

// naiveVariable makes this program an application that holds the users' keys: it
// reads one from standard input, and uses it at the URL in the variable.
const naiveVariable = "GORMCRYPT_TEST_NAIVE"

func runNaively() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		request, err := http.NewRequest("GET", os.Getenv(naiveVariable), nil)
		if err != nil {
			panic(err)
		}
		request.Header.Set("Authorization", "Bearer "+lines.Text())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Printf("%s\n", body)
	}
}
