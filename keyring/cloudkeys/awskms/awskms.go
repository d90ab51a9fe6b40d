// Package awskms opens awskms URLs for package cloudkeys, by the keeper of
// gocloud.dev/secrets/awskms and the AWS SDK, but decrypts with the named KMS key and
// no other. The keeper alone decrypts with every KMS key that the credentials may
// use, and everybody with an AWS account can make one that they may.
//
// Import it for cloudkeys.Open:
//
//	import _ "github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms"
//
// URLs are those of gocloud.dev/secrets/awskms: the ID, ARN, alias or ARN of an alias
// of a KMS key, region=, profile=, role=, endpoint= and so on, and the encryption
// context as context_NAME=VALUE. AWS logs the encryption context; it is not secret.
// Prefer the ARN of a key to an alias: once an alias is moved to another KMS key, what
// was wrapped before is not unwrapped any more.
//
// A call that is throttled, or fails by a fault of the server or of the connection, is
// tried three times in all.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	"gocloud.dev/aws"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/awskms"

	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys/internal/pinned"
)

func init() { pinned.Openers.RegisterKeeper(awskms.Scheme, opener{}) }

// New returns a KEK that uses a client of the caller's: its credentials, region,
// retries and HTTP client. The key ID may be all that a URL may name. The encryption
// context may be nil.
func New(client *kms.Client, keyID string, encryptionContext map[string]string) *cloudkeys.KEK {
	return cloudkeys.New(open(client, keyID, maps.Clone(encryptionContext)), awskms.Scheme+"://"+keyID)
}

func open(client *kms.Client, keyID string, encryptionContext map[string]string) *secrets.Keeper {
	client = kms.New(client.Options(), func(o *kms.Options) {
		o.APIOptions = append(o.APIOptions, decryptWith(keyID))
	})
	return awskms.OpenKeeper(client, keyID, &awskms.KeeperOptions{EncryptionContext: encryptionContext})
}

// decryptWith names the key in every Decrypt, which the keeper leaves out.
func decryptWith(keyID string) func(*middleware.Stack) error {
	name := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		if decrypt, ok := in.Parameters.(*kms.DecryptInput); ok {
			named := *decrypt
			named.KeyId = &keyID
			in.Parameters = &named
		}
		return next.HandleInitialize(ctx, in)
	}
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("gormcrypt: decrypt with one key", name), middleware.Before)
	}
}

// contextPrefix is before the names of an encryption context in a URL.
const contextPrefix = "context_"

type opener struct{}

// OpenKeeperURL is that of awskms.URLOpener, which does not let its client be changed.
func (opener) OpenKeeperURL(ctx context.Context, u *url.URL) (*secrets.Keeper, error) {
	query, encryptionContext := u.Query(), map[string]string{}
	for name, values := range query {
		bare, ok := strings.CutPrefix(name, contextPrefix)
		if !ok {
			continue
		}
		if len(values) != 1 {
			return nil, fmt.Errorf("%s is there %d times; an encryption context has one value for a name", name, len(values))
		}
		encryptionContext[bare] = values[0]
		query.Del(name)
	}
	config, err := aws.V2ConfigFromURLParams(ctx, query)
	if err != nil {
		return nil, err
	}
	if config.Region == "" {
		return nil, errors.New("no region is known; add ?region= to the URL, or set AWS_REGION")
	}
	client, err := awskms.Dial(config)
	if err != nil {
		return nil, err
	}
	return open(client, strings.TrimPrefix(path.Join(u.Host, u.Path), "/"), encryptionContext), nil
}
