// Package cloudkeys wraps the keys of a keyring by a key that stays in the key
// server of a cloud: AWS KMS, Google Cloud KMS, Azure Key Vault, and whatever else
// has a keeper for gocloud.dev/secrets.
//
// A program links the providers that it imports, and no other:
//
//	import _ "github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms" // awskms://
//	import _ "gocloud.dev/secrets/gcpkms"                              // gcpkms://
//	import _ "gocloud.dev/secrets/localsecrets"                        // base64key://, for tests
//	import _ "gocloud.dev/secrets/azurekeyvault"                       // azurekeyvault://, see OpenUnauthenticated
package cloudkeys

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gocloud.dev/secrets"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// callTimeout is the longest that a call to a key server takes, with what its
// client tries again: some clients would wait, or try again, forever.
const callTimeout = 15 * time.Second

// maxWrapped is the length of the longest wrapped key in bytes. Wrapped by a 4096
// bit RSA key it has 512.
const maxWrapped = 4096

// KEK is a key-encryption key in the care of a gocloud.dev keeper. It is safe for
// concurrent use.
//
// Wrap and Unwrap are one call to the key server each, which its client may try
// again. A call ends after 15 seconds, or when its context does. The errors of both
// can be tested for:
//
//   - the error of the context, if that has ended;
//   - [keyring.ErrUnavailable], when there was no answer, or none that can be
//     understood: no connection, no credentials yet, too many calls, a fault in the
//     server;
//   - [keyring.ErrWrongKey], from Unwrap, for what this key has not wrapped;
//   - all others are final until somebody changes something in the key server, and
//     say what: a permission that is missing, a key that is disabled or not there.
//     They wrap the error of their code in gocloud.dev/gcerrors, such as
//     gcerrors.ErrPermissionDenied.
//
// No error of a provider's client is wrapped, only its text is given: such errors
// hold requests and answers, and those hold keys and credentials.
type KEK struct {
	name string
	// The keeper is inside function values, where nothing prints it: that of a
	// base64key URL is the key itself.
	encrypt, decrypt func(context.Context, []byte) ([]byte, error)
	close            func() error
}

var _ keyring.KEK = (*KEK)(nil)

// New returns a KEK by a keeper that the caller has opened, with a client of the
// caller's own, say. The name says which key it is, preferably as Open would name
// it, and must not be secret. Close closes the keeper.
//
// What the keeper decrypts must be authenticated, as [keyring.KEK] demands: New
// cannot tell. The keeper of gocloud.dev/secrets/azurekeyvault does not do so, see
// OpenUnauthenticated. That of gocloud.dev/secrets/awskms decrypts with every KMS
// key that the credentials may use; New in package cloudkeys/awskms makes one that
// does not.
func New(keeper *secrets.Keeper, name string) *KEK {
	return &KEK{name: name, encrypt: keeper.Encrypt, decrypt: keeper.Decrypt, close: keeper.Close}
}

// Name returns the URL of the key without its query, and for base64key, and
// schemes that this package does not know, only the scheme. It implements
// [keyring.KEK].
func (k *KEK) Name() string { return k.name }

// Wrap encrypts a key of keyring.KeySize bytes.
func (k *KEK) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	if len(key) != keyring.KeySize {
		return nil, fmt.Errorf("%w: a key of %d bytes; want %d", keyring.ErrInvalid, len(key), keyring.KeySize)
	}
	wrapped, err := call(ctx, k.encrypt, key)
	switch {
	case err != nil:
		return nil, k.describe(wrapping, err, key)
	case len(wrapped) == 0 || len(wrapped) > maxWrapped:
		return nil, fmt.Errorf("%w: it answered with a wrapped key of %d bytes", keyring.ErrUnavailable, len(wrapped))
	}
	return wrapped, nil
}

// Unwrap decrypts what Wrap returned. The caller clears the result.
func (k *KEK) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, fmt.Errorf("%w: no wrapped key has %d bytes", keyring.ErrWrongKey, len(wrapped))
	}
	key, err := call(ctx, k.decrypt, wrapped)
	switch {
	case err != nil:
		return nil, k.describe(unwrapping, err, nil)
	case len(key) == 0: // no key server encrypts nothing
		return nil, fmt.Errorf("%w: it answered without a key", keyring.ErrUnavailable)
	case len(key) != keyring.KeySize:
		clear(key)
		return nil, fmt.Errorf("%w: it unwraps to %d bytes, and a key has %d", keyring.ErrWrongKey, len(key), keyring.KeySize)
	}
	return key, nil
}

// Close closes the keeper, after the calls that are under way. Every call after it
// fails, a second Close too.
func (k *KEK) Close() error {
	if err := k.close(); err != nil {
		return fmt.Errorf("closing %s: %s", k.name, causeOf(err, nil))
	}
	return nil
}

// call calls a keeper. It returns an ended, when the context has ended, and a
// timeout, when the keeper took too long.
func call(parent context.Context, do func(context.Context, []byte) ([]byte, error), message []byte) ([]byte, error) {
	if err := parent.Err(); err != nil {
		return nil, ended{err}
	}
	ctx, cancel := context.WithTimeout(parent, callTimeout)
	defer cancel()
	answer, err := do(ctx, message)
	if err == nil {
		return answer, nil
	}
	deadline, limited := parent.Deadline()
	switch {
	case parent.Err() != nil:
		return nil, ended{parent.Err()}
	case limited && !time.Now().Before(deadline): // connections have its deadline too, and may be first
		return nil, ended{context.DeadlineExceeded}
	case ctx.Err() != nil:
		return nil, timeout{err}
	}
	return nil, err
}

// ended is the error of a context that the caller has ended.
type ended struct{ error }

// timeout is the error of a keeper that took longer than callTimeout.
type timeout struct{ error }

// String returns the name.
func (k *KEK) String() string { return k.name }

// Format writes the name, whatever the verb and its flags.
func (k *KEK) Format(f fmt.State, _ rune) { io.WriteString(f, k.name) }

// LogValue returns the name.
func (k *KEK) LogValue() slog.Value { return slog.StringValue(k.name) }

// MarshalJSON returns the name, as a JSON string.
func (k *KEK) MarshalJSON() ([]byte, error) { return json.Marshal(k.name) }
