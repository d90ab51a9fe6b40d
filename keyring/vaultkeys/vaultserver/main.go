// Vaultserver is a real Vault core, in memory and unsealed, for the tests of
// vaultkeys. It prints one line, the JSON of a Ready, serves until its
// standard input is closed, and forgets everything.
//
// It is a program in a module of its own because a Vault core brings more than
// two hundred modules along, which nobody else has to resolve, and v1.13.0 is the
// last version that builds outside of its own repository.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	auditfile "github.com/hashicorp/vault/builtin/audit/file"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
	"github.com/mitchellh/go-testing-interface"
)

// Ready is what the program prints when the server answers.
type Ready struct {
	Address    string // of the server, http://127.0.0.1:port
	RootToken  string
	UnsealKeys [][]byte // all are needed
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

func serve() error {
	// A core that fails panics: RuntimeT has no other way.
	core, shares, root := vault.TestCoreUnsealedWithConfig(&testing.RuntimeT{}, &vault.CoreConfig{
		Logger: hclog.NewNullLogger(),
		LogicalBackends: map[string]logical.Factory{
			"kv":      kv.Factory,
			"transit": transit.Factory,
		},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory},
		AuditBackends:      map[string]audit.Factory{"file": auditfile.Factory},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{Address: listener.Addr().String()},
	})
	go func() {
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "vaultserver: standard input:", err)
		}
		os.Exit(0)
	}()
	ready := Ready{Address: "http://" + listener.Addr().String(), RootToken: root, UnsealKeys: shares}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	return http.Serve(listener, handler)
}
