package vaultkeys_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys/internal/vaulttest"
)

// The program that a user starts, in each way in which it may or may not get its
// keys: what it exits with, and what it says.
func TestQuickstartSaysHowItGotItsKeys(t *testing.T) {
	server := vaulttest.Shared(t)
	program := filepath.Join(t.TempDir(), "quickstart")
	build := exec.Command("go", "build", "-o", program, "./quickstart")
	build.Dir = "../../examples"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const path = "kv/data/quickstart"
	stored(t, server, path)
	stored(t, server, path+"-of-another")
	fresh := func(t *testing.T) string { return server.WrapRead(t, path, "60s") }
	again := func(t *testing.T) string {
		t.Helper()
		opened, err := server.Root.Logical().Unwrap(fresh(t))
		if err != nil {
			t.Fatal(err)
		}
		return server.WrapWrite(t, "sys/wrapping/wrap", "60s", opened.Data)
	}
	used := fresh(t)
	const (
		worked, failed, securityEvent, indeterminate = 0, 1, 3, 4

		doNotStart = "treat this as a security event"
	)
	for _, c := range []struct {
		name  string
		token func(t *testing.T) string
		lose  string // the path of an answer that is lost
		code  int
		says  string
	}{
		{"first use", func(*testing.T) string { return used }, "", worked, "Secrets found: 0"},
		{"second use", func(*testing.T) string { return used }, "", securityEvent, "used before"},
		{"expired", func(t *testing.T) string { return expired(t, server, path) }, "", securityEvent, "has expired"},
		{"wrapped anew", again, "", securityEvent, `made by "sys/wrapping/wrap", not by "kv/data/quickstart"`},
		{"of another wrapping", func(t *testing.T) string { return server.WrapRead(t, path+"-of-another", "60s") }, "", securityEvent, `made by "kv/data/quickstart-of-another"`},
		{"lost answer", fresh, "/v1/sys/wrapping/unwrap", indeterminate, "The exchange was sent and may have used the token up"},
		{"lost look", fresh, "/v1/sys/wrapping/lookup", indeterminate, "The exchange was not sent"},
		{"no token", func(*testing.T) string { return "" }, "", failed, "no keyring found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy, token := losing(t, server, c.lose), c.token(t)
			run := exec.Command(program, "-keys", "vault", "-vault-path", path, "-rows", "20")
			run.Env = append(os.Environ(), "VAULT_ADDR="+proxy.URL, "GORMCRYPT_VAULT_TOKEN="+token)
			var stdout, stderr bytes.Buffer
			run.Stdout, run.Stderr = &stdout, &stderr
			err := run.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			t.Logf("exit code %d\n%s", run.ProcessState.ExitCode(), stderr.String())
			if code := run.ProcessState.ExitCode(); code != c.code {
				t.Errorf("it exits with %d, want %d", code, c.code)
			}
			if out := stdout.String() + stderr.String(); !strings.Contains(out, c.says) || token != "" && strings.Contains(out, token) {
				t.Errorf("it does not say %q, or shows the token: %s", c.says, out)
			}
			if event := strings.Contains(stderr.String(), doNotStart); event != (c.code == securityEvent) {
				t.Errorf("it speaks of a security event: %v", event)
			}
			if c.code != worked && stdout.Len() > 0 {
				t.Errorf("it started: %s", stdout.String())
			}
			if asked := count(proxy, lookup); token != "" && asked != 1 {
				t.Errorf("it asked about the token %d times", asked)
			}
			if sent := count(proxy, unwrap); sent > 1 || sent == 1 && c.code == securityEvent {
				t.Errorf("it sent the exchange %d times", sent)
			}
		})
	}
}

// expired returns a token whose time is over.
func expired(t *testing.T, server *vaulttest.Server, path string) string {
	t.Helper()
	token := server.WrapRead(t, path, "1s")
	// The server forgets it some time after its second, by its own clock.
	for range 600 {
		if answer, err := server.Root.Logical().Write("sys/wrapping/lookup", map[string]any{"token": token}); err != nil || answer == nil {
			return token
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the token does not expire")
	return ""
}
