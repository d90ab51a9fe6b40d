package injector_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// world is a database, users with keys in it, an upstream that knows these keys,
// and injectors.
type world struct {
	programs, dir, socket string
	database              testdb.Database
	upstream              *httptest.Server
	raw                   net.Listener // see rawUpstream
	log                   *output
	client                *http.Client

	mu      sync.Mutex
	users   map[string]string // their API keys, by name
	handler http.HandlerFunc  // of the upstream
}

// newWorld makes one whose injector is yet to be started. When the test is over,
// nothing that it has written holds a key.
func newWorld(t *testing.T, programs string, database testdb.Database) *world {
	t.Helper()
	w := &world{programs: programs, dir: openDirectory(t), database: database, users: map[string]string{}, log: newOutput()}
	w.socket = filepath.Join(w.dir, "run", "socket")
	w.client = clientOf(w.socket)
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		user := w.userOf(r)
		if user == "" {
			rw.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(rw, user)
	})
	w.upstream = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		handler := w.handler
		w.mu.Unlock()
		handler(rw, r)
	}))
	t.Cleanup(func() {
		w.upstream.CloseClientConnections() // of handlers that wait
		w.upstream.Close()
	})
	w.must(t, "", "init")
	for _, user := range []string{"ada", "bob", "cyd"} {
		w.set(t, user, newAPIKey())
	}
	t.Cleanup(func() { w.searchFiles(t) }) // after the injector has stopped
	return w
}

// newAPIKey returns a key with each character that a URL or JSON may escape.
func newAPIKey() string {
	random := make([]byte, 24)
	rand.Read(random)
	return "sk_/+" + base64.StdEncoding.EncodeToString(random) + "=="
}

// answer has the upstream answer by a handler.
func (w *world) answer(handler http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = handler
}

// keyOf returns a user's API key.
func (w *world) keyOf(user string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.users[user]
}

// userOf returns whose key an upstream's request has.
func (w *world) userOf(r *http.Request) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for user, apiKey := range w.users {
		if values := r.Header.Values("Authorization"); len(values) == 1 && values[0] == "Bearer "+apiKey {
			return user
		}
	}
	return ""
}

func (w *world) apiKeys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.users))
}

// remember has the test look for a key.
func (w *world) remember(user, apiKey string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users[user] = apiKey
}

func (w *world) searchFiles(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "log"), []byte(w.log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	gormcrypttest.ScanFiles(t, w.dir, w.apiKeys()...)
	if w.database.Path != "" {
		gormcrypttest.ScanFiles(t, w.database.Path, w.apiKeys()...)
	}
	if t.Failed() {
		t.Logf("the injector's output:\n%s", w.log)
	}
}

// keyringPath is the file of the injector's keyring.
func (w *world) keyringPath() string { return filepath.Join(w.dir, "keys.json") }

func (w *world) keyring(t *testing.T) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.FromFile(w.keyringPath())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// command returns a call of the injector in this world.
func (w *world) command(name string, options ...string) *exec.Cmd {
	args := []string{name, "-keys", "file:" + w.keyringPath()}
	if w.database.Path != "" {
		args = append(args, "-db", w.database.Path)
	} else {
		args = append(args, "-dsn", w.database.DSN)
	}
	cmd := exec.Command(filepath.Join(w.programs, "injector"), append(args, options...)...)
	cmd.Stdout, cmd.Stderr = w.log, w.log
	return cmd
}

func (w *world) run(stdin, name string, options ...string) error {
	cmd := w.command(name, options...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd.Run()
}

func (w *world) must(t *testing.T, stdin, name string, options ...string) {
	t.Helper()
	if err := w.run(stdin, name, options...); err != nil {
		t.Fatalf("injector %s %v: %v\n%s", name, options, err, w.log)
	}
}

func (w *world) set(t *testing.T, user, apiKey string) {
	t.Helper()
	w.remember(user, apiKey)
	for _, upstream := range []string{"demo", "raw"} {
		w.must(t, apiKey+"\n", "set", "-user", user, "-upstream", upstream)
	}
}

// serve starts an injector, which is told to stop when the test is over.
func (w *world) serve(t *testing.T, options ...string) *exec.Cmd {
	t.Helper()
	options = append(options, "-socket", w.socket, "-upstream", "demo="+w.upstream.URL+"/v1")
	if w.raw != nil {
		options = append(options, "-upstream", "raw=http://"+w.raw.Addr().String())
	}
	cmd := w.command("serve", options...)
	started := w.log.count("msg=listening")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if cmd.Process.Signal(syscall.SIGTERM) != nil {
			return // it has ended
		}
		select {
		case err := <-exited:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
				return // by the test
			}
			if err != nil {
				t.Errorf("the injector ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the injector does not end")
			cmd.Process.Kill()
		}
	})
	w.log.waitFor(t, "msg=listening", started+1)
	return cmd
}

func clientOf(socket string) *http.Client {
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives:  true, // net/http would try again on another connection
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what the application gets. The error is that of reading the body.
type answer struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	err     error
}

// get asks for a path as a user, with headers in pairs.
func (w *world) get(t *testing.T, user, path string, headers ...string) answer {
	t.Helper()
	return w.send(t, w.request(t, "GET", user, path, headers...))
}

func (w *world) request(t *testing.T, method, user, path string, headers ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, "http://injector"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.Header.Set("Injector-User", user)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return request
}

// send returns the answer to a request, in which no key ever is.
func (w *world) send(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := w.client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	a := answer{response.StatusCode, response.Header, string(body), response.Trailer, err}
	for _, apiKey := range w.apiKeys() {
		if shown := fmt.Sprintf("%+v", a); strings.Contains(shown, apiKey) {
			t.Errorf("the answer holds a user's key: %s", shown)
		}
	}
	return a
}

// requireAnswer fails the test unless an answer has a status, and a text in its
// body.
func requireAnswer(t *testing.T, a answer, status int, body string) {
	t.Helper()
	if a.err != nil || a.status != status || !strings.Contains(a.body, body) {
		t.Errorf("the answer is %d %q, %v; want %d %q", a.status, a.body, a.err, status, body)
	}
}

// requireCut fails the test unless the answer ends too early.
func requireCut(t *testing.T, a answer) {
	t.Helper()
	if !errors.Is(a.err, io.ErrUnexpectedEOF) && !errors.Is(a.err, io.EOF) && !errors.Is(a.err, syscall.ECONNRESET) {
		t.Errorf("the answer is %d %q, %v; want one that is cut", a.status, a.body, a.err)
	}
}

// output is what processes print.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) count(text string) int { return strings.Count(o.String(), text) }

// waitFor waits until a text was printed a number of times.
func (o *output) waitFor(t *testing.T, text string, times int) {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		found, changed := strings.Count(o.text.String(), text), o.changed
		o.mu.Unlock()
		if found >= times {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%q was not printed %d times:\n%s", text, times, o)
		}
	}
}
