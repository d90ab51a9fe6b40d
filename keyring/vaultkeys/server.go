package vaultkeys

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/hashicorp/vault/api"
)

// Server is a Vault or OpenBao server. Fields that are empty have the value of
// BAO_ADDR, BAO_NAMESPACE and BAO_CACERT, or else of VAULT_ADDR, VAULT_NAMESPACE and
// VAULT_CACERT. The other variables of the Vault client count too, except
// VAULT_TOKEN, VAULT_WRAP_TTL and VAULT_MAX_RETRIES.
type Server struct {
	// Address is its URL, https://vault.example.org:8200. Without one, here or in the
	// environment, nothing is tried. Redirects are not followed: name the active node,
	// or what finds it, if standby nodes do not pass requests on.
	Address string
	// Namespace is for servers that have them.
	Namespace string
	// CAFile is a PEM file with the certificates that the server's must be signed
	// by. Without one those of the system count. An HTTPClient brings its own.
	CAFile string
	// HTTPClient makes the requests. The default waits for an answer for 60 s, or
	// VAULT_CLIENT_TIMEOUT.
	HTTPClient *http.Client
}

// client returns a client without a token that tries everything once.
func (s Server) client() (*api.Client, error) {
	address := cmp.Or(s.Address, os.Getenv("BAO_ADDR"), os.Getenv(api.EnvVaultAddress), os.Getenv(api.EnvVaultAgentAddr))
	if address == "" {
		return nil, errors.New("no address of a Vault server: set Server.Address, VAULT_ADDR or BAO_ADDR")
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("configuring the Vault client from the environment: %w", config.Error)
	}
	// A proxy on this machine that the environment names must not answer for a
	// server that was named here.
	config.Address, config.AgentAddress = address, ""
	config.MaxRetries = 0
	// The client would follow one, and leave out the request's body.
	config.DisableRedirects = true
	if s.HTTPClient != nil {
		own := *s.HTTPClient
		own.CheckRedirect = config.HttpClient.CheckRedirect
		config.HttpClient = &own
	} else if ca := cmp.Or(s.CAFile, os.Getenv("BAO_CACERT")); ca != "" {
		if err := config.ConfigureTLS(&api.TLSConfig{CACert: ca}); err != nil {
			return nil, fmt.Errorf("the certificates that the Vault server's must be signed by: %w", err)
		}
	}
	// The client's own timeout cancels a raw answer before it is read.
	config.HttpClient.Timeout = cmp.Or(config.HttpClient.Timeout, config.Timeout)
	config.Timeout = 0
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("the Vault client: %w", err)
	}
	client.ClearToken()
	// With VAULT_WRAP_TTL set, every answer would come wrapped.
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	if namespace := cmp.Or(s.Namespace, os.Getenv("BAO_NAMESPACE")); namespace != "" {
		client.SetNamespace(namespace)
	}
	return client, nil
}
