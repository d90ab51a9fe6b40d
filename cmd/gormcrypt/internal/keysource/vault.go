package keysource

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"
)

// secretIDVariable holds the secret ID of an AppRole.
const secretIDVariable = "GORMCRYPT_VAULT_SECRET_ID"

// quiet is for what returns its errors too.
var quiet = slog.New(slog.DiscardHandler)

// openVault reads the keyring from a kv store.
func (k *Keys) openVault(ctx context.Context, s *settings.Settings, path string) error {
	client, err := k.connect(ctx, s)
	if err != nil {
		return err
	}
	k.Source, k.Where = vaultkeys.KV{Client: client, Path: path}, "Vault, at "+path
	return nil
}

// connect logs in to Vault.
func (k *Keys) connect(ctx context.Context, s *settings.Settings) (*vaultkeys.Client, error) {
	login, err := loginOf(s)
	if err != nil {
		return nil, err
	}
	client, err := vaultkeys.Connect(ctx, vaultkeys.ClientConfig{
		Server: vaultkeys.Server{Address: s.VaultAddress, Namespace: s.VaultNamespace, CAFile: s.VaultCAFile},
		Login:  login, Logger: quiet,
	})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	k.closers = append(k.closers, client.Close)
	return client, nil
}

func loginOf(s *settings.Settings) (api.AuthMethod, error) {
	if s.VaultLogin == "" {
		return nil, s.Missing("vault.login")
	}
	scheme, name, _ := strings.Cut(s.VaultLogin, ":")
	if name == "" {
		return nil, invalid(s, "vault.login")
	}
	switch scheme {
	case "token-env":
		return vaultkeys.Token{From: vaultkeys.FromEnv(name)}, nil
	case "token-file":
		return vaultkeys.Token{From: vaultkeys.FromFile(name)}, nil
	case "kubernetes":
		return vaultkeys.Kubernetes{Role: name}, nil
	case "approle":
		return vaultkeys.AppRole{RoleID: name, SecretID: vaultkeys.FromEnv(secretIDVariable)}, nil
	}
	return nil, invalid(s, "vault.login")
}
