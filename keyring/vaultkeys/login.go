package vaultkeys

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// The methods are plain calls. The Vault client's own AppRole method unwraps a secret
// ID without a look at what made it, and tries again; its Kubernetes method reads the
// service account's token once, although Kubernetes replaces it.

// Token logs in with a token that exists: it is looked up, and from then on renewed
// while that may be done. When it ends, From is asked for another. The token needs
// the policy "default", or another that lets it look itself up and renew itself.
type Token struct {
	From Credential
}

// Login looks the token up.
func (t Token) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	token, err := t.From.get(ctx, client, "the token")
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	defer client.ClearToken()
	body, err := send(ctx, client, http.MethodGet, "auth/token/lookup-self", nil)
	if isForbidden(err) {
		return nil, fmt.Errorf("%w: the server does not know the token, it has expired, or it has no policy that lets it look itself up: %w", ErrLogin, err)
	} else if err != nil {
		return nil, err
	}
	defer clear(body)
	var found struct {
		Accessor  string
		Policies  []string
		TTL       int
		Renewable bool
	}
	if err := data(body, &found); err != nil {
		return nil, err
	}
	return &api.Secret{Auth: &api.SecretAuth{
		ClientToken: token, Accessor: found.Accessor, Policies: found.Policies,
		LeaseDuration: found.TTL, Renewable: found.Renewable,
	}}, nil
}

// AppRole logs in as a role of the AppRole method.
type AppRole struct {
	// Mount is where the method is mounted. The default is "approle".
	Mount string
	// RoleID names the role. It is no secret.
	RoleID string
	// SecretID is the role's secret, Unwrapped from a one-time token at best. Nil for
	// roles that need none.
	SecretID Credential
}

// Login logs in.
func (a AppRole) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	request := map[string]string{"role_id": a.RoleID}
	if a.SecretID != nil {
		secretID, err := a.SecretID.get(ctx, client, "the secret ID of the AppRole")
		if err != nil {
			return nil, err
		}
		request["secret_id"] = secretID
	}
	answer, err := login(ctx, client, cmp.Or(a.Mount, "approle"), request, request["secret_id"])
	if err != nil && strings.Contains(err.Error(), "invalid secret id") {
		// Some versions of Vault answer that with a status of 500.
		return nil, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return answer, err
}

// Kubernetes logs in with the token of the pod's service account.
type Kubernetes struct {
	// Mount is where the method is mounted. The default is "kubernetes".
	Mount string
	// Role is the role to log in as.
	Role string
	// TokenFile holds the service account's token. It is read at each login, for
	// Kubernetes replaces it before it expires. The default is
	// /var/run/secrets/kubernetes.io/serviceaccount/token.
	TokenFile string
}

// Login logs in.
func (k Kubernetes) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	file := cmp.Or(k.TokenFile, "/var/run/secrets/kubernetes.io/serviceaccount/token")
	jwt, err := FromFile(file).get(ctx, client, "the token of the service account")
	if err != nil {
		return nil, err
	}
	return login(ctx, client, cmp.Or(k.Mount, "kubernetes"), map[string]string{"role": k.Role, "jwt": jwt}, jwt)
}

func login(ctx context.Context, client *api.Client, mount string, request map[string]string, secret string) (*api.Secret, error) {
	body, err := send(ctx, client, http.MethodPut, "auth/"+mount+"/login", request, secret)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	var answer api.Secret
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, &noAnswer{fmt.Errorf("%d bytes that are not in the form of a Vault server", len(body))}
	}
	return &answer, nil
}
