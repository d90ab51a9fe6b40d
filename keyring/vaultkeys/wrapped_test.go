package vaultkeys_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys/internal/vaulttest"
)

const (
	lookup = "PUT /v1/sys/wrapping/lookup"
	unwrap = "PUT /v1/sys/wrapping/unwrap"
)

// outcome is what came of exchanging a token.
type outcome struct {
	ring   *keyring.Keyring
	err    error
	events []vaultkeys.SecurityEvent
	log    string
}

// exchange puts a token into a file and exchanges it.
func exchange(t *testing.T, address, token, creationPath string) outcome {
	t.Helper()
	var o outcome
	var log bytes.Buffer
	file := tokenFile(t, token)
	o.ring, o.err = vaultkeys.FromWrappedToken(t.Context(), vaultkeys.WrappedToken{
		File: file, CreationPath: creationPath, Server: vaultkeys.Server{Address: address},
		OnSecurityEvent: func(e vaultkeys.SecurityEvent) { o.events = append(o.events, e) },
		Logger:          slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	o.log = log.String()
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token's file is still there: %v", err)
	}
	for _, text := range []string{o.log, fmt.Sprintf("%v %+v %#v %+v", o.err, o.err, o.err, o.events)} {
		if strings.Contains(text, token) {
			t.Errorf("the token shows in %s", text)
		}
	}
	return o
}

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stored puts a new keyring at a path of the server.
func stored(t *testing.T, server *vaulttest.Server, path string) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	server.Store(t, path, "keyring", vaulttest.Document(t, ring))
	return ring
}

func requireRing(t *testing.T, o outcome, want *keyring.Keyring) {
	t.Helper()
	if o.err != nil {
		t.Fatal(o.err)
	}
	version := want.Versions()[0]
	got, gotErr := o.ring.Derive(version, "test", 32)
	wanted, wantErr := want.Derive(version, "test", 32)
	if gotErr != nil || wantErr != nil || !bytes.Equal(got, wanted) {
		t.Error("it is another keyring")
	}
	if len(o.events) > 0 {
		t.Errorf("it was a security event: %+v", o.events)
	}
}

// requireEvent checks a security event, its error, and what both say.
func requireEvent(t *testing.T, o outcome, says ...string) {
	t.Helper()
	if o.ring != nil || !errors.Is(o.err, vaultkeys.ErrTokenInvalid) || errors.Is(o.err, vaultkeys.ErrIndeterminate) || errors.Is(o.err, keyring.ErrUnavailable) {
		t.Fatalf("got %v, %v; want ErrTokenInvalid alone", o.ring, o.err)
	}
	if len(o.events) != 1 || strings.Count(o.log, `"level":"ERROR"`) != 1 {
		t.Fatalf("there were the events %+v and the log %s; want one of each", o.events, o.log)
	}
	for _, part := range append(says, "do not start") {
		if !strings.Contains(o.err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, o.err)
		}
	}
}

// requireIndeterminate checks an error of which nobody knows whether it is a
// security event.
func requireIndeterminate(t *testing.T, o outcome, says ...string) {
	t.Helper()
	if o.ring != nil || !errors.Is(o.err, vaultkeys.ErrIndeterminate) || errors.Is(o.err, vaultkeys.ErrTokenInvalid) || errors.Is(o.err, keyring.ErrUnavailable) {
		t.Fatalf("got %v, %v; want ErrIndeterminate alone", o.ring, o.err)
	}
	if len(o.events) > 0 {
		t.Errorf("it was a security event: %+v", o.events)
	}
	for _, part := range append(says, "do not start") {
		if !strings.Contains(o.err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, o.err)
		}
	}
}

func requireRequests(t *testing.T, proxy *vaulttest.Proxy, want ...string) {
	t.Helper()
	if got := proxy.Requests(); !slices.Equal(got, want) {
		t.Errorf("the requests were %q, want %q", got, want)
	}
}

func losing(t *testing.T, server *vaulttest.Server, path string) *vaulttest.Proxy {
	t.Helper()
	proxy := &vaulttest.Proxy{Lose: path}
	proxy.Start(t, server.Address)
	return proxy
}

func TestTokenGivesItsKeyring(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	for name, path := range map[string]string{"kv version 1": "secret/first", "kv version 2": "kv/data/first"} {
		t.Run(name, func(t *testing.T) {
			ring, proxy := stored(t, server, path), vaulttest.NewProxy(t, server.Address)
			o := exchange(t, proxy.URL, server.WrapRead(t, path, "60s"), path)
			requireRing(t, o, ring)
			requireRequests(t, proxy, lookup, unwrap)
			if !strings.Contains(o.log, `"creation_path":"`+path+`"`) {
				t.Errorf("the log does not name the path: %s", o.log)
			}
		})
	}
}

// With the policy of docs/vault.md, what makes the token cannot read what it stands
// for.
func TestDeploymentMayWrapAndNotRead(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	const path = "kv/data/deployed"
	ring := stored(t, server, path)
	client, err := server.Root.Clone()
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(server.Token(t, `path "`+path+`" {
		capabilities     = ["read"]
		min_wrapping_ttl = "1s"
		max_wrapping_ttl = "5m"
	}`, api.TokenCreateRequest{}))
	if secret, err := client.Logical().Read(path); err == nil || secret != nil {
		t.Errorf("it read the secret: %v", err)
	}
	client.SetWrappingLookupFunc(func(string, string) string { return "60s" })
	answer, err := client.Logical().Read(path)
	if err != nil {
		t.Fatal(err)
	}
	requireRing(t, exchange(t, server.Address, answer.WrapInfo.Token, path), ring)
}

func TestTokenThatWasUsedIsASecurityEvent(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	ring, proxy := stored(t, server, "kv/data/used"), vaulttest.NewProxy(t, server.Address)
	token := server.WrapRead(t, "kv/data/used", "60s")
	requireRing(t, exchange(t, server.Address, token, "kv/data/used"), ring)

	o := exchange(t, proxy.URL, token, "kv/data/used")
	sum := sha256.Sum256([]byte(token))
	requireEvent(t, o, "used before", hex.EncodeToString(sum[:8]))
	requireRequests(t, proxy, lookup)
	if event := o.events[0]; event.TokenHash != hex.EncodeToString(sum[:8]) || event.CreationPath != "kv/data/used" || event.FoundPath != "" || !strings.HasPrefix(event.Place, "file ") {
		t.Errorf("the event is %+v", event)
	}
}

func TestTokenThatHasExpiredIsASecurityEvent(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/expired")
	proxy := vaulttest.NewProxy(t, server.Address)
	token := expired(t, server, "kv/data/expired")
	requireEvent(t, exchange(t, proxy.URL, token, "kv/data/expired"), "has expired")
	requireRequests(t, proxy, lookup)
}

// Somebody in the middle opens the token, reads the keyring, and wraps it anew so
// that the program does not notice.
func TestTokenThatWasWrappedAnewIsASecurityEvent(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	const path = "kv/data/again"
	stored(t, server, path)
	opened, err := server.Root.Logical().Unwrap(server.WrapRead(t, path, "60s"))
	if err != nil {
		t.Fatal(err)
	}
	server.Root.Logical().Write("cubbyhole/again", opened.Data)
	for name, token := range map[string]string{
		"sys/wrapping/wrap": server.WrapWrite(t, "sys/wrapping/wrap", "60s", opened.Data),
		"cubbyhole/again":   server.WrapRead(t, "cubbyhole/again", "60s"),
	} {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			proxy := vaulttest.NewProxy(t, server.Address)
			o := exchange(t, proxy.URL, token, path)
			requireEvent(t, o, fmt.Sprintf("made by %q, not by %q", name, path))
			requireRequests(t, proxy, lookup)
			if event := o.events[0]; event.FoundPath != name || event.CreationPath != path || event.Expires.Sub(event.Created) != time.Minute {
				t.Errorf("the event is %+v", event)
			}
		})
	}
}

func TestTokenOfAnotherWrappingIsASecurityEvent(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/mine")
	stored(t, server, "kv/data/mine-too") // a path that begins like the other
	proxy := vaulttest.NewProxy(t, server.Address)
	requireEvent(t, exchange(t, proxy.URL, server.WrapRead(t, "kv/data/mine-too", "60s"), "kv/data/mine"), `made by "kv/data/mine-too", not by "kv/data/mine"`)
	requireEvent(t, exchange(t, proxy.URL, server.RootToken, "kv/data/mine"), "another server") // no wrapping token at all
	requireEvent(t, exchange(t, proxy.URL, "nonsense", "kv/data/mine"))
	requireRequests(t, proxy, lookup, lookup, lookup)
}

// Between the look and the exchange somebody else is quicker.
func TestTokenThatIsUsedMeanwhileIsASecurityEvent(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/race")
	token := server.WrapRead(t, "kv/data/race", "60s")
	proxy := &vaulttest.Proxy{Before: func(r *http.Request) {
		if r.URL.Path == "/v1/sys/wrapping/unwrap" {
			if _, err := server.Root.Logical().Unwrap(token); err != nil {
				t.Error(err)
			}
		}
	}}
	proxy.Start(t, server.Address)
	requireEvent(t, exchange(t, proxy.URL, token, "kv/data/race"), "valid a moment before")
	requireRequests(t, proxy, lookup, unwrap)
}

// The server has used the token up, and the connection ends before its answer
// arrives. A client that tries again reports a theft.
func TestAnswerThatIsLostIsIndeterminate(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/lost")
	token := server.WrapRead(t, "kv/data/lost", "60s")
	proxy := losing(t, server, "/v1/sys/wrapping/unwrap")
	requireIndeterminate(t, exchange(t, proxy.URL, token, "kv/data/lost"), "The exchange was sent", "make a new token", "audit log")
	requireRequests(t, proxy, lookup, unwrap)
	if _, err := server.Root.Logical().Unwrap(token); err == nil {
		t.Error("the token was not used up, so this is no test")
	}
}

func TestLookThatIsLostIsIndeterminate(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	ring := stored(t, server, "kv/data/looked")
	token := server.WrapRead(t, "kv/data/looked", "60s")
	proxy := losing(t, server, "/v1/sys/wrapping/lookup")
	requireIndeterminate(t, exchange(t, proxy.URL, token, "kv/data/looked"), "The exchange was not sent", "the same token")
	requireRequests(t, proxy, lookup)
	requireRing(t, exchange(t, server.Address, token, "kv/data/looked"), ring)
}

func TestServerThatIsDownIsIndeterminate(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	requireIndeterminate(t, exchange(t, gone.URL, "hvs.token", "kv/data/app"), "The exchange was not sent")
}

func TestServerThatIsSealedIsIndeterminate(t *testing.T) {
	t.Parallel()
	server := vaulttest.Own(t)
	stored(t, server, "kv/data/app")
	token := server.WrapRead(t, "kv/data/app", "60s")
	if err := server.Root.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	requireIndeterminate(t, exchange(t, server.Address, token, "kv/data/app"), "Vault is sealed")
}

// What answers is no Vault server, or not a healthy one. It gives the token back in
// its answer, as a careless proxy does.
func TestGarbageIsIndeterminate(t *testing.T) {
	t.Parallel()
	const good = `{"data": {"creation_path": "kv/data/app", "creation_time": "2030-01-01T00:00:00Z", "creation_ttl": 60}}`
	for name, answer := range map[string]struct {
		status       int
		look, unwrap string
	}{
		"HTML":                     {200, "<html>hvs.token</html>", ""},
		"an empty answer":          {200, "", ""},
		"a list":                   {200, "[]", ""},
		"no data":                  {200, "{}", ""},
		"no path":                  {200, `{"data": {"creation_time": "2030-01-01T00:00:00Z", "creation_ttl": 60}}`, ""},
		"no time":                  {200, `{"data": {"creation_path": "kv/data/app", "creation_ttl": 60}}`, ""},
		"a malformed time":         {200, `{"data": {"creation_path": "kv/data/app", "creation_time": "hvs.token", "creation_ttl": 60}}`, ""},
		"a proxy's 400":            {400, "<h1>Bad Request</h1> hvs.token", ""},
		"a firewall's 403":         {403, `{"message": "blocked hvs.token"}`, ""},
		"not found":                {404, `{"errors": []}`, ""},
		"busy":                     {429, `{"errors": ["rate limit quota exceeded hvs.token"]}`, ""},
		"a broken server":          {500, `{"errors": ["internal error hvs.token"]}`, ""},
		"HTML for the exchange":    {200, good, "<html>hvs.token</html>"},
		"nothing for the exchange": {200, good, `{"data": null}`},
		"a cut exchange":           {200, good, `{"data": {"keyring": "abc`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "unwrap") {
					fmt.Fprint(w, answer.unwrap)
					return
				}
				w.WriteHeader(answer.status)
				fmt.Fprint(w, answer.look)
			}))
			defer garbage.Close()
			proxy := vaulttest.NewProxy(t, garbage.URL)
			o := exchange(t, proxy.URL, "hvs.token", "kv/data/app")
			if answer.unwrap == "" {
				requireIndeterminate(t, o, "The exchange was not sent")
				requireRequests(t, proxy, lookup)
			} else {
				requireIndeterminate(t, o, "The exchange was sent")
				requireRequests(t, proxy, lookup, unwrap)
			}
		})
	}
}

// The content is what it is, and there is no second look at it.
func TestSecretThatIsNoKeyringIsInvalid(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	server.Store(t, "kv/data/nokeyring", "keyring", "MARKER")
	server.Store(t, "kv/data/nofield", "other", "MARKER")
	server.Write(t, "kv/data/notext", map[string]any{"data": map[string]any{"keyring": map[string]any{"MARKER": 1}}})
	for _, path := range []string{"kv/data/nokeyring", "kv/data/nofield", "kv/data/notext"} {
		o := exchange(t, server.Address, server.WrapRead(t, path, "60s"), path)
		if o.ring != nil || !errors.Is(o.err, keyring.ErrInvalid) || errors.Is(o.err, vaultkeys.ErrIndeterminate) || len(o.events) > 0 {
			t.Fatalf("%s: got %v, %v, %v; want ErrInvalid", path, o.ring, o.err, o.events)
		}
		if text := o.err.Error(); !strings.Contains(text, "used up") || strings.Contains(text, "MARKER") {
			t.Errorf("%s: the error is %v", path, o.err)
		}
	}
}

func TestConfigurationIsCheckedBeforeTheTokenIsTaken(t *testing.T) {
	const name = "VAULTKEYS_TEST_CONFIGURATION"
	for reason, change := range map[string]func(*vaultkeys.WrappedToken){
		"either Env or File":           func(w *vaultkeys.WrappedToken) { w.Env = "" },
		"set either Env or":            func(w *vaultkeys.WrappedToken) { w.File = "token" },
		"CreationPath is missing":      func(w *vaultkeys.WrappedToken) { w.CreationPath = "" },
		"wrapped anew":                 func(w *vaultkeys.WrappedToken) { w.CreationPath = "sys/wrapping/wrap" },
		"that somebody wrapped anew":   func(w *vaultkeys.WrappedToken) { w.CreationPath = "cubbyhole/response" },
		"without / at the ends":        func(w *vaultkeys.WrappedToken) { w.CreationPath = "/kv/data/app" },
		"as the server writes it":      func(w *vaultkeys.WrappedToken) { w.CreationPath = "v1/kv/data/app" },
		"no address of a Vault server": func(w *vaultkeys.WrappedToken) { w.Server.Address = "" },
		"certificates":                 func(w *vaultkeys.WrappedToken) { w.Server.CAFile = "missing.pem" },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Setenv(name, "hvs.token")
			for _, variable := range []string{"VAULT_ADDR", "BAO_ADDR", "VAULT_AGENT_ADDR"} {
				t.Setenv(variable, "")
			}
			config := vaultkeys.WrappedToken{Env: name, CreationPath: "kv/data/app", Server: vaultkeys.Server{Address: "http://127.0.0.1:1"}}
			change(&config)
			ring, err := vaultkeys.FromWrappedToken(t.Context(), config)
			if ring != nil || err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("got %v, %v", ring, err)
			}
			if errors.Is(err, vaultkeys.ErrIndeterminate) || os.Getenv(name) != "hvs.token" {
				t.Error("the token was taken")
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Setenv(name, "hvs.token")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := vaultkeys.FromWrappedToken(ctx, vaultkeys.WrappedToken{Env: name, CreationPath: "kv/data/app", Server: vaultkeys.Server{Address: "http://127.0.0.1:1"}})
		if !errors.Is(err, context.Canceled) || os.Getenv(name) != "hvs.token" {
			t.Errorf("got %v, and the variable holds %q", err, os.Getenv(name))
		}
	})
}

// The variable is gone whatever came of it, and the variables of the Vault client do
// not get in the way: with a token or a wrapping of their own, the server would count
// a second use, or wrap the keyring again.
func TestTokenIsTakenOutOfTheEnvironment(t *testing.T) {
	server := vaulttest.Shared(t)
	const name, path = "VAULTKEYS_TEST_TOKEN", "kv/data/environment"
	ring := stored(t, server, path)
	token := server.WrapRead(t, path, "60s")
	proxy := &vaulttest.Proxy{Before: func(r *http.Request) {
		if sent := r.Header.Get("X-Vault-Token"); sent != "" && r.URL.Path != "/v1/sys/wrapping/unwrap" {
			t.Errorf("%s is sent with a token", r.URL.Path)
		}
	}}
	proxy.Start(t, server.Address)
	for variable, value := range map[string]string{
		name: token + "\n", "VAULT_TOKEN": token, "VAULT_WRAP_TTL": "60s", "VAULT_MAX_RETRIES": "5",
		"BAO_ADDR": proxy.URL, "VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1",
	} {
		t.Setenv(variable, value)
	}
	config := vaultkeys.WrappedToken{Env: name, CreationPath: path}
	got, err := vaultkeys.FromWrappedToken(t.Context(), config)
	requireRing(t, outcome{ring: got, err: err}, ring)
	if value, ok := os.LookupEnv(name); ok {
		t.Errorf("the variable still holds %q", value)
	}

	_, err = vaultkeys.FromWrappedToken(t.Context(), config)
	if !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), name) {
		t.Errorf("without a token: %v, want ErrNotFound", err)
	}

	t.Setenv(name, "nonsense")
	if _, err = vaultkeys.FromWrappedToken(t.Context(), config); !errors.Is(err, vaultkeys.ErrTokenInvalid) {
		t.Errorf("with another: %v, want ErrTokenInvalid", err)
	}
	if value, ok := os.LookupEnv(name); ok {
		t.Errorf("the variable still holds %q", value)
	}
}

func TestFileThatCannotBeDeletedIsNotUsed(t *testing.T) {
	t.Parallel()
	const path = "/proc/version" // not even root deletes it
	if _, err := os.Stat(path); err != nil {
		t.Skip("there is no file here that cannot be deleted")
	}
	_, err := vaultkeys.FromWrappedToken(t.Context(), vaultkeys.WrappedToken{File: path, CreationPath: "kv/data/app", Server: vaultkeys.Server{Address: "http://127.0.0.1:1"}})
	if err == nil || errors.Is(err, vaultkeys.ErrIndeterminate) || !strings.Contains(err.Error(), "not used") {
		t.Errorf("got %v", err)
	}
}

// A server whose certificate nobody vouches for gets no token.
func TestServerMustHaveItsCertificate(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	const path = "kv/data/tls"
	ring, proxy := stored(t, server, path), new(vaulttest.Proxy)
	front := proxy.StartTLS(t, server.Address)
	requireIndeterminate(t, exchange(t, front.URL, server.WrapRead(t, path, "60s"), path), "certificate")
	requireRequests(t, proxy)

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]vaultkeys.Server{
		"by a file":   {Address: front.URL, CAFile: ca},
		"by a client": {Address: front.URL, HTTPClient: front.Client()},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := vaultkeys.FromWrappedToken(t.Context(), vaultkeys.WrappedToken{
				File: tokenFile(t, server.WrapRead(t, path, "60s")), CreationPath: path, Server: config, Logger: quiet(),
			})
			requireRing(t, outcome{ring: got, err: err}, ring)
		})
	}
}

// A token goes to the address that was configured, and not to where that points.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/redirect")
	proxy := vaulttest.NewProxy(t, server.Address)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, proxy.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	requireIndeterminate(t, exchange(t, front.URL, server.WrapRead(t, "kv/data/redirect", "60s"), "kv/data/redirect"), "the active node")
	requireRequests(t, proxy)
}

func TestSourceOfOneToken(t *testing.T) {
	server := vaulttest.Shared(t)
	paths := 0
	source := func(t *testing.T, text string) keyring.Source {
		paths++
		path := fmt.Sprintf("kv/data/source-%d", paths)
		server.Store(t, path, "keyring", text)
		return vaultkeys.Wrapped(vaultkeys.WrappedToken{
			File: tokenFile(t, server.WrapRead(t, path, "60s")), CreationPath: path,
			Server: vaultkeys.Server{Address: server.Address}, Logger: slog.New(slog.DiscardHandler),
		})
	}
	keyringtest.Run(t, keyringtest.Harness{
		Store: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return source(t, vaulttest.Document(t, ring))
		},
		Missing: func(t *testing.T) keyring.Source {
			return vaultkeys.Wrapped(vaultkeys.WrappedToken{Env: "VAULTKEYS_TEST_NOT_SET", CreationPath: "kv/data/app", Server: vaultkeys.Server{Address: server.Address}})
		},
		Malformed: source,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return source(t, damaged(t, ring))
		},
	})
}

// damaged returns the document of a keyring with the key of another under the check
// value.
func damaged(t *testing.T, ring *keyring.Keyring) string {
	t.Helper()
	other, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key := func(document string) string {
		_, rest, _ := strings.Cut(document, `"key": "`)
		return rest[:43]
	}
	document := vaulttest.Document(t, ring)
	return strings.Replace(document, key(document), key(vaulttest.Document(t, other)), 1)
}

func TestSourceKeepsItsOutcome(t *testing.T) {
	t.Parallel()
	server := vaulttest.Shared(t)
	stored(t, server, "kv/data/outcome")
	proxy := losing(t, server, "/v1/sys/wrapping/unwrap")
	source := vaultkeys.Wrapped(vaultkeys.WrappedToken{
		File: tokenFile(t, server.WrapRead(t, "kv/data/outcome", "60s")), CreationPath: "kv/data/outcome",
		Server: vaultkeys.Server{Address: proxy.URL},
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Load(cancelled); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	requireRequests(t, proxy)
	for range 3 {
		if ring, err := source.Load(t.Context()); ring != nil || !errors.Is(err, vaultkeys.ErrIndeterminate) {
			t.Fatalf("got %v, %v; want ErrIndeterminate", ring, err)
		}
	}
	requireRequests(t, proxy, lookup, unwrap)
	for range 20 { // it would be chance otherwise
		if _, err := source.Load(cancelled); !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled later: %v", err)
		}
	}
}
