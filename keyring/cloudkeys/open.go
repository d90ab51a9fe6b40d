package cloudkeys

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"gocloud.dev/secrets"

	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys/internal/pinned"
)

// packages are what a program imports for a scheme.
var packages = map[string]string{
	"awskms":        "github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms",
	"gcpkms":        "gocloud.dev/secrets/gcpkms",
	"azurekeyvault": "gocloud.dev/secrets/azurekeyvault",
	"base64key":     "gocloud.dev/secrets/localsecrets",
	"hashivault":    "gocloud.dev/secrets/hashivault",
}

// Open opens the key that a URL names, with the package for its scheme, which the
// program has to import, and with the credentials that the package finds by itself.
// It calls no key server. The context is for opening only.
//
//	awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234?region=eu-central-1&context_app=shop
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//	base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=
//
// It returns ErrUnauthenticated for azurekeyvault, and for awskms if the program
// imports only the package of gocloud.dev. Whether other keepers are what New says,
// it cannot know. No error shows the URL of a base64key, which is the key, or what in
// the query of another is long enough to be secret.
func Open(ctx context.Context, keyURL string) (*KEK, error) {
	return open(ctx, keyURL, refuseUnauthenticated)
}

// OpenUnauthenticated is Open for keepers that it refuses with ErrUnauthenticated:
// what they unwrap need not have been wrapped by this key's owner. It is safe only
// where nobody can change the wrapped keys who may not read what they encrypt:
// whoever puts in a key of their own choice reads what is encrypted from then on.
//
//   - azurekeyvault encrypts with an RSA key, whose public half everybody may have. The
//     URL must be azurekeyvault://VAULT.vault.azure.net/keys/NAME/VERSION: Key Vault
//     decrypts with no other version than it is asked for.
//   - awskms of gocloud.dev decrypts with every KMS key that the credentials may use.
func OpenUnauthenticated(ctx context.Context, keyURL string) (*KEK, error) {
	return open(ctx, keyURL, func(string) error { return nil })
}

func open(ctx context.Context, keyURL string, admit func(scheme string) error) (*KEK, error) {
	u, err := parse(keyURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a key-encryption key: %w", err)
	}
	openers := &pinned.Openers
	if !openers.ValidKeeperScheme(u.Scheme) {
		openers = secrets.DefaultURLMux()
	}
	if !openers.ValidKeeperScheme(u.Scheme) {
		return nil, notLinked(u.Scheme)
	}
	if openers == secrets.DefaultURLMux() {
		if err := admit(u.Scheme); err != nil {
			return nil, err
		}
	}
	name := nameOf(u)
	keeper, err := openKeeper(ctx, openers, u)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("opening %s: %w", name, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("opening %s: %s", name, redact(causeOf(err, nil), u))
	}
	return New(keeper, name), nil
}

func refuseUnauthenticated(scheme string) error {
	switch scheme {
	case "azurekeyvault":
		return fmt.Errorf("%w: Azure Key Vault encrypts with a public key, so others can wrap keys too; read what OpenUnauthenticated says before you call it instead", ErrUnauthenticated)
	case "awskms":
		return fmt.Errorf("%w: gocloud.dev/secrets/awskms decrypts with every KMS key that the credentials may use; import %s, which names the one", ErrUnauthenticated, packages[scheme])
	}
	return nil
}

// parse returns a URL that names a key. Its errors do not show it: a text that is
// not the URL that somebody meant may still be a key.
func parse(keyURL string) (*url.URL, error) {
	u, err := url.Parse(keyURL)
	switch {
	case err != nil || u.Scheme == "" || !strings.Contains(keyURL, "://"):
		return nil, errors.New("not a URL, so it is not shown; want a scheme and a key, like awskms://alias/app, and three slashes before an ARN")
	case u.User != nil:
		return nil, errors.New("it has a user in it; give credentials as the provider's client finds them")
	}
	u.Scheme = strings.TrimPrefix(strings.TrimPrefix(u.Scheme, "secrets+"), "keeper+") // gocloud.dev's long form
	switch scheme := u.Scheme; {
	case scheme == "base64key":
		return u, checkLocal(u)
	case keyOf(u) == "":
		return nil, fmt.Errorf("it names no key after %s://", scheme)
	case scheme == "azurekeyvault" && len(strings.Split(keyOf(u), "/")) != 4:
		return nil, errors.New("want azurekeyvault://VAULT.vault.azure.net/keys/NAME/VERSION: without the version, keys cannot be unwrapped any more once there is a newer one")
	}
	return u, nil
}

// checkLocal also refuses a URL without a key, by which gocloud.dev would make a
// random one, that no later process has.
func checkLocal(u *url.URL) error {
	key, err := base64.URLEncoding.DecodeString(u.Host)
	defer clear(key)
	if err != nil || len(key) != 32 || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("want base64key:// and 32 random bytes in URL-safe base64, which has - and _ and padding, and nothing after them")
	}
	return nil
}

func keyOf(u *url.URL) string { return strings.TrimPrefix(path.Join(u.Host, u.Path), "/") }

// nameOf returns the name of the key. The query is not in it: it has no more than
// where the key server is and what to authenticate, and may be secret.
func nameOf(u *url.URL) string {
	switch u.Scheme {
	case "awskms", "gcpkms", "azurekeyvault", "hashivault":
		return u.Scheme + "://" + keyOf(u)
	}
	return u.Scheme // where other schemes have their secrets is not known
}

func notLinked(scheme string) error {
	if pkg, ok := packages[scheme]; ok {
		return fmt.Errorf("no package for %s:// is linked; add this to the imports of the program: import _ %q", scheme, pkg)
	}
	known := slices.Sorted(maps.Keys(packages))
	return fmt.Errorf("no package for %s:// is linked; import the one that registers it with gocloud.dev/secrets, or is one of %s meant?", scheme, strings.Join(known, ", "))
}

// openKeeper minds a context without giving it away: some openers keep theirs to
// renew credentials with, for as long as the keeper lives.
func openKeeper(ctx context.Context, openers *secrets.URLMux, u *url.URL) (*secrets.Keeper, error) {
	type opened struct {
		keeper *secrets.Keeper
		err    error
	}
	done := make(chan opened, 1)
	go func() {
		keeper, err := openers.OpenKeeperURL(context.WithoutCancel(ctx), u)
		done <- opened{keeper, err}
	}()
	select {
	case o := <-done:
		return o.keeper, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.keeper != nil {
				_ = o.keeper.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// redact takes a URL and the values in its query out of a text, except those that
// are too short to be secret.
func redact(text string, u *url.URL) string {
	text = strings.ReplaceAll(text, u.String(), nameOf(u))
	for _, values := range u.Query() {
		for _, value := range values {
			if len(value) > 3 {
				text = strings.ReplaceAll(text, value, "...")
			}
		}
	}
	return text
}
