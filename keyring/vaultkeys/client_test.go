package vaultkeys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys/internal/vaulttest"
)

const mayUseApp = `path "transit/+/roles" { capabilities = ["update"] }`

// lines is a log handler that passes each message on.
type lines struct {
	slog.Handler
	messages chan string
}

func (l lines) Handle(ctx context.Context, r slog.Record) error {
	select {
	case l.messages <- r.Message:
	default:
	}
	return l.Handler.Handle(ctx, r)
}

func listen() (*slog.Logger, chan string) {
	messages := make(chan string, 100)
	return slog.New(lines{slog.NewTextHandler(io.Discard, nil), messages}), messages
}

// await waits for a message of the log.
func await(t *testing.T, messages chan string, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case message := <-messages:
			if strings.Contains(message, want) {
				return
			}
		case <-deadline:
			t.Fatalf("the log never said %q", want)
		}
	}
}

// role makes an AppRole that may use a transit key, and returns its ID.
func role(t *testing.T, server *vaulttest.Server, name string, options map[string]any) string {
	t.Helper()
	server.Write(t, "transit/keys/roles", nil)
	if err := server.Root.Sys().PutPolicy("roles", mayUseApp); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{"token_policies": "roles", "token_ttl": "1h"}
	for k, v := range options {
		config[k] = v
	}
	server.Write(t, "auth/approle/role/"+name, config)
	answer, err := server.Root.Logical().Read("auth/approle/role/" + name + "/role-id")
	if err != nil {
		t.Fatal(err)
	}
	return answer.Data["role_id"].(string)
}

func secretID(t *testing.T, server *vaulttest.Server, name string) string {
	t.Helper()
	return server.Write(t, "auth/approle/role/"+name+"/secret-id", nil).Data["secret_id"].(string)
}

func requireWraps(t *testing.T, client *vaultkeys.Client) {
	t.Helper()
	if _, err := transit(t, client, "roles").Wrap(t.Context(), make([]byte, keyring.KeySize)); err != nil {
		t.Fatal(err)
	}
}

func TestAppRoleLogsIn(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	login := vaultkeys.AppRole{RoleID: role(t, server, "plain", nil), SecretID: vaultkeys.Given(secretID(t, server, "plain"))}
	client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: server.Address}, Login: login, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	requireWraps(t, client)
	for range 2 {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := transit(t, client, "roles").Wrap(t.Context(), make([]byte, keyring.KeySize)); !errors.Is(err, vaultkeys.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}

	login.SecretID = vaultkeys.Given("wrong")
	_, err = vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: server.Address}, Login: login, Logger: quiet()})
	if !errors.Is(err, vaultkeys.ErrLogin) || errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), "invalid secret id") {
		t.Errorf("with a wrong secret ID: %v", err)
	}
}

// The secret ID itself comes in a one-time token, with the same checks.
func TestAppRoleUnwrapsItsSecretID(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	id := role(t, server, "wrapped", nil)
	const path = "auth/approle/role/wrapped/secret-id"
	connect := func(token string, address string) (*vaultkeys.Client, []vaultkeys.SecurityEvent, error) {
		var events []vaultkeys.SecurityEvent
		client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{
			Server: vaultkeys.Server{Address: address}, Logger: quiet(),
			Login: vaultkeys.AppRole{RoleID: id, SecretID: vaultkeys.Unwrapped(vaultkeys.WrappedToken{
				File: tokenFile(t, token), CreationPath: path, Logger: quiet(),
				OnSecurityEvent: func(e vaultkeys.SecurityEvent) { events = append(events, e) },
			})},
		})
		return client, events, err
	}
	token := server.WrapWrite(t, path, "60s", nil)
	client, events, err := connect(token, server.Address)
	if err != nil || len(events) > 0 {
		t.Fatal(err, events)
	}
	defer client.Close()
	requireWraps(t, client)
	revoke(t, server, "wrapped")
	requireWraps(t, client) // logged in anew, with the secret ID of then

	if _, events, err = connect(token, server.Address); !errors.Is(err, vaultkeys.ErrTokenInvalid) || len(events) != 1 {
		t.Errorf("the second use: %v, %v", err, events)
	}
	proxy := losing(t, server, "/v1/sys/wrapping/unwrap")
	if _, events, err = connect(server.WrapWrite(t, path, "60s", nil), proxy.URL); !errors.Is(err, vaultkeys.ErrIndeterminate) || len(events) > 0 {
		t.Errorf("an answer that is lost: %v, %v", err, events)
	}
	requireRequests(t, proxy, lookup, unwrap)
}

func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/roles", nil)
	renewable := true
	token := server.Token(t, mayUseApp, api.TokenCreateRequest{TTL: "3s", Renewable: &renewable})
	logger, messages := listen()
	client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: server.Address}, Login: vaultkeys.Token{From: vaultkeys.Given(token)}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	start := time.Now()
	for time.Since(start) < 5*time.Second { // longer than it would live
		await(t, messages, "vault token renewed")
	}
	requireWraps(t, client)
}

// A token that cannot be renewed for longer is replaced before it ends, by a login.
func TestLoginIsMadeAnewBeforeTheTokenEnds(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	id := role(t, server, "short", map[string]any{"token_ttl": "2s", "token_max_ttl": "4s"})
	logger, messages := listen()
	client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: server.Address}, Logger: logger,
		Login: vaultkeys.AppRole{RoleID: id, SecretID: vaultkeys.Given(secretID(t, server, "short"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	await(t, messages, "logged in")
	for range 2 {
		await(t, messages, "logged in")
		requireWraps(t, client)
	}
}

// The server forgets the token all of a sudden, as one that was restored does.
func TestTokenThatIsRevokedIsReplaced(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	id := role(t, server, "revoked", nil)
	proxy := vaulttest.NewProxy(t, server.Address)
	client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: proxy.URL}, Logger: quiet(),
		Login: vaultkeys.AppRole{RoleID: id, SecretID: vaultkeys.Given(secretID(t, server, "revoked"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	requireWraps(t, client)
	revoke(t, server, "revoked")
	var group sync.WaitGroup
	for range 8 { // that find out at the same time
		group.Go(func() { requireWraps(t, client) })
	}
	group.Wait()
	if logins := count(proxy, "PUT /v1/auth/approle/login"); logins != 2 {
		t.Errorf("it logged in %d times, want 2", logins)
	}

	// And when the role is gone, it says so.
	if _, err := server.Root.Logical().Delete("auth/approle/role/revoked"); err != nil {
		t.Fatal(err)
	}
	revoke(t, server, "revoked")
	_, err = transit(t, client, "roles").Wrap(t.Context(), make([]byte, keyring.KeySize))
	if !errors.Is(err, vaultkeys.ErrLogin) || errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, vaultkeys.ErrPermission) {
		t.Errorf("without its role: %v, want ErrLogin", err)
	}
}

// revoke ends every token that a role gave.
func revoke(t *testing.T, server *vaulttest.Server, role string) {
	t.Helper()
	accessors, err := server.Root.Logical().List("auth/token/accessors")
	if err != nil {
		t.Fatal(err)
	}
	for _, accessor := range accessors.Data["keys"].([]any) {
		found, err := server.Root.Auth().Token().LookupAccessor(accessor.(string))
		if err != nil {
			continue // of another test, and gone by now
		}
		if meta, _ := found.Data["meta"].(map[string]any); meta["role_name"] == role {
			if err := server.Root.Auth().Token().RevokeAccessor(accessor.(string)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTokenThatEndedIsAnErrorOfTheLogin(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Write(t, "transit/keys/roles", nil)
	token := server.Token(t, mayUseApp, api.TokenCreateRequest{TTL: "1h"})
	client := connect(t, server.Address, token)
	requireWraps(t, client)
	if err := server.Root.Auth().Token().RevokeTree(token); err != nil {
		t.Fatal(err)
	}
	_, err := transit(t, client, "roles").Wrap(t.Context(), make([]byte, keyring.KeySize))
	if !errors.Is(err, vaultkeys.ErrLogin) || errors.Is(err, vaultkeys.ErrPermission) || strings.Contains(err.Error(), token) {
		t.Errorf("got %v, want ErrLogin", err)
	}
}

// kubernetes is Vault's method as far as a login goes: the core has it only
// together with a cluster.
func kubernetes(t *testing.T, jwt *atomic.Pointer[string]) (server *httptest.Server, logins *atomic.Int64) {
	t.Helper()
	logins = new(atomic.Int64)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path != "/v1/auth/kubernetes/login":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors": ["permission denied"]}`)
		case string(body) == `{"jwt":"`+*jwt.Load()+`","role":"app"}` && r.Header.Get("X-Vault-Token") == "":
			fmt.Fprintf(w, `{"auth": {"client_token": "hvs.login-%d", "lease_duration": 3600}}`, logins.Add(1))
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors": ["permission denied: %s"]}`, strings.ReplaceAll(string(body), `"`, ``))
		}
	}))
	t.Cleanup(server.Close)
	return server, logins
}

// Kubernetes replaces the token of the service account while the program runs.
func TestKubernetesLogsInWithTheTokenOfTheMoment(t *testing.T) {
	t.Parallel()
	jwt := new(atomic.Pointer[string])
	first, second := "eyJ.first", "eyJ.second"
	jwt.Store(&first)
	server, logins := kubernetes(t, jwt)
	file := tokenFile(t, first)
	config := vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: server.URL}, Login: vaultkeys.Kubernetes{Role: "app", TokenFile: file}, Logger: quiet()}
	client, err := vaultkeys.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	jwt.Store(&second)
	if err := os.WriteFile(file, []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	// The server refuses every token, so the client logs in once more.
	if _, err := transit(t, client, "app").Wrap(t.Context(), make([]byte, keyring.KeySize)); !errors.Is(err, vaultkeys.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if logins.Load() != 2 {
		t.Errorf("there were %d logins, want 2", logins.Load())
	}

	if err := os.WriteFile(file, []byte("eyJ.stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vaultkeys.Connect(t.Context(), config); !errors.Is(err, vaultkeys.ErrLogin) || strings.Contains(err.Error(), "eyJ.stale") {
		t.Errorf("with a stale token: %v", err)
	}
	config.Login = vaultkeys.Kubernetes{Role: "app", TokenFile: filepath.Join(t.TempDir(), "none")}
	if _, err := vaultkeys.Connect(t.Context(), config); !errors.Is(err, vaultkeys.ErrLogin) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a token: %v", err)
	}
}

func TestConnectSaysWhyItFailed(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"errors": ["rate limit quota exceeded"]}`)
	}))
	defer busy.Close()
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{}`) }))
	defer empty.Close()
	t.Setenv("VAULTKEYS_TEST_LOGIN", "")
	for name, c := range map[string]struct {
		config vaultkeys.ClientConfig
		want   error
	}{
		"down":            {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: gone.URL}, Login: vaultkeys.AppRole{RoleID: "r"}}, keyring.ErrUnavailable},
		"busy":            {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: busy.URL}, Login: vaultkeys.AppRole{RoleID: "r"}}, keyring.ErrUnavailable},
		"no token in it":  {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: empty.URL}, Login: vaultkeys.AppRole{RoleID: "r"}}, keyring.ErrUnavailable},
		"no credential":   {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: empty.URL}, Login: vaultkeys.Token{From: vaultkeys.FromEnv("VAULTKEYS_TEST_LOGIN")}}, vaultkeys.ErrLogin},
		"none configured": {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: empty.URL}, Login: vaultkeys.Token{}}, vaultkeys.ErrLogin},
		"foreign, busy":   {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: busy.URL}, Login: foreign{}}, keyring.ErrUnavailable},
		"foreign, down":   {vaultkeys.ClientConfig{Server: vaultkeys.Server{Address: gone.URL}, Login: foreign{}}, keyring.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Logger = quiet()
			client, err := vaultkeys.Connect(t.Context(), c.config)
			if client != nil || !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{}); client != nil || err == nil {
		t.Error("connected without a login")
	}
}

// foreign is a login method of another module, made with the Vault client's own
// calls.
type foreign struct{}

func (foreign) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	return client.Logical().WriteWithContext(ctx, "auth/ldap/login/somebody", nil)
}

// memory is a server without a network, for a fake clock.
type memory struct {
	mu    sync.Mutex
	calls map[string]int
	down  bool
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[r.URL.Path]++
	if m.down {
		return nil, errors.New("connection refused")
	}
	answer := httptest.NewRecorder()
	switch r.URL.Path {
	case "/v1/auth/approle/login":
		fmt.Fprintf(answer, `{"auth": {"client_token": "hvs.%d", "lease_duration": 600, "renewable": false}}`, m.calls[r.URL.Path])
	default:
		fmt.Fprint(answer, `{"data": {"ciphertext": "vault:v1:AAAA"}}`)
	}
	result := answer.Result()
	result.Body = body{result.Body, r.Context()}
	return result, nil
}

// body is on its way as long as its request's context lasts, as one from a network is.
type body struct {
	io.ReadCloser
	ctx context.Context
}

func (b body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

func (m *memory) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

func (m *memory) count(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[path]
}

// For ten hours nobody answers. The client tries again, ever less often, and is back
// within the longest pause.
func TestLoginsGetRarerWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &memory{calls: map[string]int{}}
		client, err := vaultkeys.Connect(t.Context(), vaultkeys.ClientConfig{
			Server: vaultkeys.Server{Address: "http://vault.test", HTTPClient: &http.Client{Transport: server}},
			Login:  vaultkeys.AppRole{RoleID: "r"}, Logger: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server.set(true)
		time.Sleep(10 * time.Hour)
		tried := server.count("/v1/auth/approle/login")
		// Ten minutes of a token's life, then pauses of up to five minutes, give or
		// take half.
		if tried < 70 || tried > 250 {
			t.Errorf("it tried %d times in ten hours", tried)
		}
		server.set(false)
		time.Sleep(8 * time.Minute)
		if again := server.count("/v1/auth/approle/login"); again < tried+1 || again > tried+2 {
			t.Errorf("then it logged in %d times", again-tried)
		}
	})
}

// A call waits for the server no longer than its context.
func TestCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	hang := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/auth/token/lookup-self" {
			fmt.Fprint(w, `{"data": {"ttl": 0}}`)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is noticed
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer hang.Close()
	kek := transit(t, connect(t, hang.URL, "hvs.token"), "app")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := kek.Unwrap(ctx, []byte("vault:v1:AAAA")); !errors.Is(err, context.Canceled) || !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// Whatever prints a client, prints no token.
func TestClientShowsNoToken(t *testing.T) {
	t.Parallel()
	const token = "hvs.very-secret-token"
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := &memory{calls: map[string]int{}}
	config := vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: "http://vault.test", HTTPClient: &http.Client{Transport: server}},
		Login:  vaultkeys.Token{From: vaultkeys.Given(token)}, Logger: logger,
	}
	client, err := vaultkeys.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	kek := transit(t, client, "app")
	if _, err := kek.Wrap(t.Context(), make([]byte, keyring.KeySize)); err != nil {
		t.Fatal(err)
	}
	logger.Info("all", "config", config, "client", client, "kek", kek)
	text := log.String() + fmt.Sprintf("%+v %#v %+v %#v %+v %#v %+v", config, config, client, client, kek, kek, vaultkeys.KV{Client: client})
	if !strings.Contains(text, "logged in") || !strings.Contains(text, "vaultkeys.Transit(transit/keys/app)") || strings.Contains(text, token) || strings.Contains(text, "very-secret") {
		t.Errorf("it shows the token, or nothing: %s", text)
	}
}
