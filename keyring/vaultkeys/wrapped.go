package vaultkeys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// WrappedToken says where a one-time token is, and what it must be for. A one-time
// token is Vault's response-wrapping token: it stands for one answer of the server,
// and works once.
type WrappedToken struct {
	// Env is the environment variable that holds the token. It is removed before
	// the token is used, as keyring.TakeEnv does, so that later code and child processes
	// do not see it, nor who reads /proc/PID/environ.
	Env string
	// File is the file that holds it, instead of Env, and is deleted before the
	// token is used. A file that cannot be deleted is refused.
	File string
	// CreationPath is the path whose answer was wrapped, without v1/:
	// "secret/data/gormcrypt" in a kv store of version 2, "secret/gormcrypt" in one of
	// version 1. A token that somebody opened and wrapped anew has another, which
	// is how that is noticed, so it must be exactly this one.
	CreationPath string
	// Field is the field of the secret that holds the keyring document, as
	// keyring.WriteCleartext writes it. The default is "keyring".
	Field string
	// Server is the server that made the token.
	Server Server
	// OnSecurityEvent is called, once, with what is known of a token that is not
	// valid, before ErrTokenInvalid is returned.
	OnSecurityEvent func(SecurityEvent)
	// Logger gets a line for each outcome. The default is slog.Default().
	Logger *slog.Logger
}

// FromWrappedToken exchanges a one-time token for the keyring that it stands for.
// It takes two requests, each sent once: the server is asked what made the token,
// and only if that was CreationPath, for its content. The token goes first: from its
// variable or file, whatever comes of it.
//
// There are three outcomes: a keyring; ErrTokenInvalid, a security event; and
// ErrIndeterminate, when there was no answer. After the latter two a program must
// not start, and must not look for keys elsewhere: that is what an attacker would
// want it to do.
//
// Beside those it returns keyring.ErrNotFound when there is no token,
// keyring.ErrInvalid or keyring.ErrWrongKey when the secret is no keyring (the token
// is used up then), and other errors for a wrong configuration or a context that is
// done, with which the token was not touched.
func FromWrappedToken(ctx context.Context, token WrappedToken) (*keyring.Keyring, error) {
	ring, _, err := token.unwrap(ctx)
	return ring, err
}

// unwrap reports, beside the keyring, whether the token was taken.
func (w WrappedToken) unwrap(ctx context.Context) (ring *keyring.Keyring, taken bool, err error) {
	if err := errors.Join(ctx.Err(), w.check()); err != nil {
		return nil, false, err
	}
	client, err := w.Server.client()
	if err != nil {
		return nil, false, err
	}
	if w.Server.HTTPClient == nil {
		// On a connection that the server has just closed, a request may be lost.
		client.SetDisableKeepAlives(true)
	}
	text, taken, err := w.text(ctx, client, cmp.Or(w.Field, "keyring"))
	if err != nil {
		return nil, taken, err
	}
	defer clear(text)
	if ring, err = keyring.ReadCleartext(bytes.NewReader(text)); err != nil {
		return nil, true, w.unreadable(err)
	}
	return ring, true, nil
}

// text exchanges the token for one field of the secret, which the caller clears. The
// client must have no other use meanwhile.
func (w WrappedToken) text(ctx context.Context, client *api.Client, field string) (text secretText, taken bool, err error) {
	token, err := w.take()
	if err != nil {
		return nil, false, err
	}
	one := &oneTime{WrappedToken: w, token: token, client: client}
	content, err := one.exchange(ctx)
	if err != nil {
		return nil, true, err
	}
	defer content.wipe()
	if text, err = content.text(field); err != nil {
		return nil, true, w.unreadable(err)
	}
	return text, true, nil
}

func (w WrappedToken) unreadable(err error) error {
	if errors.Is(err, errNoField) {
		err = fmt.Errorf("%w: %w", keyring.ErrInvalid, err)
	}
	return fmt.Errorf("%s: the secret of %s was unwrapped, and cannot be used; correct it, and make a new token, for this one is used up: %w", w.place(), w.CreationPath, err)
}

// Wrapped returns a source that exchanges a one-time token at the first Load, as
// FromWrappedToken does, and gives the same keyring at every other. Once the token
// was taken, its outcome is final: a failed exchange fails every Load. It is not for
// keyring.First, which would go on to other keys when the token was taken away.
func Wrapped(token WrappedToken) keyring.Source {
	return &wrapped{token: token, turn: make(chan struct{}, 1)}
}

type wrapped struct {
	token WrappedToken
	turn  chan struct{} // holds one element while somebody loads
	done  bool
	ring  *keyring.Keyring
	err   error
}

func (w *wrapped) Load(ctx context.Context) (*keyring.Keyring, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.done {
		return w.ring, w.err
	}
	ring, taken, err := w.token.unwrap(ctx)
	if taken {
		w.done, w.ring, w.err = true, ring, err
	}
	return ring, err
}
