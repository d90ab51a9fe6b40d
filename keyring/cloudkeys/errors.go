package cloudkeys

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"gocloud.dev/gcerrors"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// ErrUnauthenticated: the keeper would decrypt what others have encrypted, so
// whoever can change the wrapped keys could put in a key that they know. Open
// refuses it; OpenUnauthenticated does not.
var ErrUnauthenticated = errors.New("this keeper does not show who has wrapped a key")

type operation int

const (
	wrapping operation = iota
	unwrapping
)

// permissions are what the operations need, by scheme.
var permissions = map[string][2]string{
	"awskms":        {"kms:Encrypt", "kms:Decrypt"},
	"gcpkms":        {"cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt"},
	"azurekeyvault": {"Microsoft.KeyVault/vaults/keys/encrypt/action", "Microsoft.KeyVault/vaults/keys/decrypt/action"},
}

func (k *KEK) permission(op operation) string {
	scheme, _, _ := strings.Cut(k.name, "://")
	if known, ok := permissions[scheme]; ok {
		return known[op]
	}
	return [2]string{"the permission to encrypt", "the permission to decrypt"}[op]
}

// describe returns the error that Wrap and Unwrap return for one of call. The key,
// if any, does not show in it.
func (k *KEK) describe(op operation, err error, key []byte) error {
	var context ended
	if errors.As(err, &context) {
		return context.error
	}
	cause := causeOf(err, key)
	if late := (timeout{}); errors.As(err, &late) {
		return fmt.Errorf("%w: no answer within %s: %s", keyring.ErrUnavailable, callTimeout, cause)
	}
	switch code := codeOf(err); {
	case code == gcerrors.InvalidArgument && op == unwrapping:
		return fmt.Errorf("%w: this key-encryption key has not wrapped it, or in another encryption context: %s", keyring.ErrWrongKey, cause)
	case code == gcerrors.NotFound:
		return fmt.Errorf("%w: there is no such key-encryption key, or the credentials may not see it: %s", gcerrors.ErrNotFound, cause)
	case code == gcerrors.PermissionDenied:
		return fmt.Errorf("%w: the credentials must be valid and have %s for this key-encryption key: %s", gcerrors.ErrPermissionDenied, k.permission(op), cause)
	case code == gcerrors.FailedPrecondition:
		return fmt.Errorf("%w: the key-encryption key cannot be used as it is; is it enabled, not about to be deleted, and for encryption? %s", gcerrors.ErrFailedPrecondition, cause)
	case code == gcerrors.InvalidArgument:
		return fmt.Errorf("%w: the key server does not take the request: %s", gcerrors.ErrInvalidArgument, cause)
	case code == gcerrors.Unimplemented:
		return fmt.Errorf("%w: the key server cannot do this: %s", gcerrors.ErrUnimplemented, cause)
	}
	return fmt.Errorf("%w: %s", keyring.ErrUnavailable, cause)
}

// apiError is what the AWS SDK returns for an answer that says no: smithy.APIError,
// without linking it.
type apiError interface {
	error
	ErrorCode() string
	ErrorMessage() string
}

// awsCodes are the codes of AWS for which gocloud.dev has none, or one that would
// send people the wrong way.
var awsCodes = map[string]gcerrors.ErrorCode{
	"IncorrectKeyException":       gcerrors.InvalidArgument,
	"AccessDenied":                gcerrors.PermissionDenied, // of STS, for ?role=
	"AccessDeniedException":       gcerrors.PermissionDenied,
	"InvalidClientTokenId":        gcerrors.PermissionDenied,
	"InvalidSignatureException":   gcerrors.PermissionDenied,
	"NotAuthorized":               gcerrors.PermissionDenied,
	"OptInRequired":               gcerrors.PermissionDenied,
	"UnrecognizedClientException": gcerrors.PermissionDenied,
	"DisabledException":           gcerrors.FailedPrecondition,
	"InvalidKeyUsageException":    gcerrors.FailedPrecondition,
	"ValidationException":         gcerrors.FailedPrecondition, // the name of the key, since lengths were checked
}

// codeOf returns the code of a keeper's error. Unknown is most of what was no
// answer.
func codeOf(err error) gcerrors.ErrorCode {
	var api apiError
	if errors.As(err, &api) {
		if code, ok := awsCodes[api.ErrorCode()]; ok {
			return code
		}
	}
	// The local keeper has no codes; all that its Decrypt reports is this.
	if strings.Contains(err.Error(), ": localsecrets: ") {
		return gcerrors.InvalidArgument
	}
	return gcerrors.Code(err)
}

// causeOf returns the text of an error in one line. It leaves out a body that stands
// in it, as in those of Azure, and everything if the key stands in it, because a
// server may echo what it was sent.
func causeOf(err error, key []byte) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	kept, rules := lines[:0], 0
	for _, line := range lines {
		if strings.HasPrefix(line, "-----") {
			rules++
		} else if rules < 2 {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	text := strings.Join(kept, "; ")
	if shows(text, key) {
		return "the answer is not shown, because it holds the key"
	}
	return text
}

// shows reports whether a key stands in a text, raw or in an encoding in which it
// was sent.
func shows(text string, key []byte) bool {
	if len(key) == 0 {
		return false
	}
	// Three bytes more or less change the last characters of base64 only.
	start := key[:len(key)/3*3]
	return strings.Contains(text, string(key)) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString(start)) ||
		strings.Contains(text, base64.URLEncoding.EncodeToString(start)) ||
		strings.Contains(strings.ToLower(text), hex.EncodeToString(key))
}
