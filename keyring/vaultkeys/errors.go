package vaultkeys

import "errors"

// The errors of this package, to be tested with errors.Is, beside those of package
// keyring.
var (
	// ErrTokenInvalid: the server does not know the one-time token, or it is for
	// something else than was expected. It was used before, has expired, was opened
	// and wrapped anew by somebody in between, or is another token. Somebody else may
	// have what it stood for: this is a security event.
	ErrTokenInvalid = errors.New("the one-time token is not valid; do not start, and treat this as a security event: somebody else may have what the token stood for. Find its use in the server's audit log, and if that was not you, replace the secret")
	// ErrIndeterminate: there was no answer for the one-time token. When the message
	// says that the exchange was sent, the token may have been used up, and the
	// answer may have gone elsewhere.
	ErrIndeterminate = errors.New("no answer for the one-time token, which is not tried again; do not start")
	// ErrPermission: the server refuses what was asked, because no policy of the
	// token admits it. The message says which line is missing.
	ErrPermission = errors.New("permission denied")
	// ErrLogin: the server refuses the login, or the token that it once gave.
	ErrLogin = errors.New("not logged in")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
)
