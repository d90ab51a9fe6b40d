// Package vaulttest runs a real Vault core beside a test, and a proxy in front of it
// that counts requests and loses answers.
package vaulttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Server is a Vault core in a process of its own. It has a kv store of version 1 at
// "secret", one of version 2 at "kv", the transit engine at "transit", and the
// methods token and AppRole.
type Server struct {
	Address    string
	RootToken  string
	UnsealKeys [][]byte
	Root       *api.Client // with the root token

	stop func() // also keeps its standard input open
}

// Shared returns a server that all tests of the process use. Nothing that it has
// may be taken away.
func Shared(t testing.TB) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("a Vault core takes minutes to compile")
	}
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// It ends with the process, when its standard input is closed.
var shared = sync.OnceValues(start)

// Own returns a server of its own, which ends with the test.
func Own(t testing.TB) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("a Vault core takes minutes to compile")
	}
	server, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	return server
}

// program returns the path of the compiled server. The go command keeps it in its
// build cache: the first time takes minutes, each other a second or two.
var program = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	build := exec.Command("go", "tool", "-n", "vaultserver")
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..", "vaultserver")
	// In its own module alone, and the same after each commit.
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("compiling the Vault core in %s: %w", build.Dir, err)
	}
	return strings.TrimSpace(string(out)), nil
})

func start() (*Server, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	command := exec.Command(path)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	server := &Server{stop: func() {
		stdin.Close()
		_ = command.Wait()
	}}
	if err := json.NewDecoder(stdout).Decode(server); err != nil {
		server.stop()
		return nil, fmt.Errorf("the Vault core did not start: %w\n%s", err, complaints.String())
	}
	go io.Copy(io.Discard, stdout)
	if err := server.mount(); err != nil {
		server.stop()
		return nil, err
	}
	return server, nil
}

func (s *Server) mount() (err error) {
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = s.Address, ""
	if s.Root, err = api.NewClient(config); err != nil {
		return err
	}
	s.Root.SetToken(s.RootToken)
	return errors.Join(
		s.Root.Sys().Mount("kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}),
		s.Root.Sys().Mount("transit", &api.MountInput{Type: "transit"}),
		s.Root.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}),
	)
}

// Write writes to a path as root, and returns what is answered.
func (s *Server) Write(t testing.TB, path string, body map[string]any) *api.Secret {
	t.Helper()
	// A store of version 2 that was just mounted answers that it is not ready.
	for range 50 {
		answer, err := s.Root.Logical().Write(path, body)
		if err == nil {
			return answer
		}
		if !strings.Contains(err.Error(), "Upgrading from non-versioned to versioned") {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: the store does not get ready", path)
	return nil
}

// Store puts a text into the field of a secret, at a path of the API.
func (s *Server) Store(t testing.TB, path, field, text string) {
	t.Helper()
	secret := map[string]any{field: text}
	if strings.HasPrefix(path, "kv/") {
		secret = map[string]any{"data": secret}
	}
	s.Write(t, path, secret)
}

// WrapRead reads a path and returns a one-time token for the answer.
func (s *Server) WrapRead(t testing.TB, path, ttl string) string {
	t.Helper()
	client := s.wrapping(t, ttl)
	answer, err := client.Logical().Read(path)
	if err != nil || answer == nil || answer.WrapInfo == nil {
		t.Fatalf("wrapping %s: %v", path, err)
	}
	return answer.WrapInfo.Token
}

// WrapWrite writes to a path and returns a one-time token for the answer.
func (s *Server) WrapWrite(t testing.TB, path, ttl string, body map[string]any) string {
	t.Helper()
	client := s.wrapping(t, ttl)
	answer, err := client.Logical().Write(path, body)
	if err != nil || answer == nil || answer.WrapInfo == nil {
		t.Fatalf("wrapping %s: %v", path, err)
	}
	return answer.WrapInfo.Token
}

func (s *Server) wrapping(t testing.TB, ttl string) *api.Client {
	t.Helper()
	client, err := s.Root.Clone()
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(s.RootToken)
	client.SetWrappingLookupFunc(func(string, string) string { return ttl })
	return client
}

// Token makes a token with one policy, which is given as text.
func (s *Server) Token(t testing.TB, policy string, options api.TokenCreateRequest) string {
	t.Helper()
	name := "test-" + strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")
	if err := s.Root.Sys().PutPolicy(name, policy); err != nil {
		t.Fatal(err)
	}
	options.Policies = append(options.Policies, name)
	answer, err := s.Root.Auth().Token().Create(&options)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Auth.ClientToken
}

// Document returns a keyring as the text that is kept.
func Document(t testing.TB, ring *keyring.Keyring) string {
	t.Helper()
	var text strings.Builder
	if err := keyring.WriteCleartext(&text, ring); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
