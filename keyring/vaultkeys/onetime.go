package vaultkeys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// SecurityEvent is what is known about a one-time token that was not valid. It
// holds no secret.
type SecurityEvent struct {
	// Reason is what was seen: that the server does not know the token, or that it
	// was made by another path.
	Reason string
	// Place is where the token was: "environment variable NAME" or "file PATH".
	Place string
	// TokenHash is the first 16 hexadecimal digits of the SHA-256 of the token, to
	// tell which one it was: printf %s "$TOKEN" | sha256sum.
	TokenHash string
	// CreationPath is the path that the token should have been made by, and
	// FoundPath the one that it was made by, empty if the server did not say.
	CreationPath, FoundPath string
	// Created is when the token was made, by the server's clock, and Expires until
	// when it would have worked. Both are zero if the server did not say.
	Created, Expires time.Time
}

// check refuses what could not work, or could work for an attacker, before the token
// is touched.
func (w WrappedToken) check() error {
	switch {
	case (w.Env == "") == (w.File == ""):
		return errors.New("the one-time token: set either Env or File")
	case w.CreationPath == "":
		return errors.New("the one-time token: CreationPath is missing; without it a token that somebody wrapped anew would be taken")
	case strings.HasPrefix(w.CreationPath, "sys/wrapping/"), strings.HasPrefix(w.CreationPath, "cubbyhole"):
		return fmt.Errorf("the one-time token: CreationPath %q is what a token has that somebody wrapped anew; wrap the answer of the secret's own path", w.CreationPath)
	case strings.Trim(w.CreationPath, "/ ") != w.CreationPath, strings.HasPrefix(w.CreationPath, "v1/"):
		return fmt.Errorf("the one-time token: CreationPath %q is not as the server writes it: without v1/, and without / at the ends", w.CreationPath)
	}
	return nil
}

func (w WrappedToken) place() string {
	if w.Env != "" {
		return "environment variable " + w.Env
	}
	return "file " + w.File
}

// take returns the token and removes it from where it was.
func (w WrappedToken) take() (string, error) {
	var token string
	if w.Env != "" {
		token, _ = keyring.TakeEnv(w.Env)
	} else {
		file, err := os.Open(w.File)
		if errors.Is(err, fs.ErrNotExist) {
			return "", w.missing()
		} else if err != nil {
			return "", err
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, 4096))
		if err != nil {
			return "", fmt.Errorf("%s: %w", w.place(), err)
		}
		if err := os.Remove(w.File); err != nil {
			return "", fmt.Errorf("the one-time token cannot be deleted, so it was not used: put it where the program may delete it: %w", err)
		}
		token = string(text)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", w.missing()
	}
	return token, nil
}

func (w WrappedToken) missing() error {
	return fmt.Errorf("%s: %w: it should hold a one-time token; if one was put there, find out who took it", w.place(), keyring.ErrNotFound)
}

// oneTime is a token on its way.
type oneTime struct {
	WrappedToken
	token            string
	client           *api.Client // used for nothing else
	found            string      // the path that it was made by
	created, expires time.Time
}

// exchange returns what was wrapped, which the caller wipes. Neither of its two
// requests is ever sent again: an answer that is lost on its way may have used the
// token up, and the second try would call that a theft.
func (o *oneTime) exchange(ctx context.Context) (secret, error) {
	if err := o.lookup(ctx); err != nil {
		return nil, err
	}
	if o.found != o.CreationPath {
		return nil, o.invalid(ctx, fmt.Sprintf("it was made by %q, not by %q: somebody may have opened it and wrapped its content anew; it was not used", o.found, o.CreationPath))
	}
	if left := time.Until(o.expires); left <= 0 {
		// The server says that it is valid, so a clock is wrong.
		o.logger().WarnContext(ctx, "the one-time token has expired by the clock of this machine, and is valid by that of the server", "expires", o.expires)
	}
	// The token is sent in one place: in two, the server would count two uses.
	o.client.SetToken(o.token)
	body, err := send(ctx, o.client, http.MethodPut, "sys/wrapping/unwrap", struct{}{})
	o.client.ClearToken()
	var content secret
	if err == nil {
		content, err = readSecret(body)
	}
	var refused *refusal
	switch {
	case err == nil:
	case isInvalid(err, &refused):
		return nil, o.invalid(ctx, fmt.Sprintf("%s, and it was valid a moment before: somebody may have used it in between", refused))
	default:
		return nil, fmt.Errorf("%s, token %s: %w. The exchange was sent and may have used the token up: look in the server's audit log for who got the answer, and make a new token: %w", o.place(), o.hash(), ErrIndeterminate, err)
	}
	o.logger().InfoContext(ctx, "one-time token exchanged", "creation_path", o.found, "token_hash", o.hash(), "created", o.created, "expires", o.expires)
	return content, nil
}

func (o *oneTime) lookup(ctx context.Context) error {
	body, err := send(ctx, o.client, http.MethodPut, "sys/wrapping/lookup", map[string]string{"token": o.token}, o.token)
	var refused *refusal
	var found struct {
		CreationPath string    `json:"creation_path"`
		CreationTime time.Time `json:"creation_time"`
		CreationTTL  int       `json:"creation_ttl"`
	}
	if err == nil {
		err = data(body, &found)
	}
	if err == nil && (found.CreationPath == "" || found.CreationTime.IsZero() || found.CreationTTL <= 0) {
		err = &noAnswer{errors.New("a creation path or time is missing")}
	}
	if isInvalid(err, &refused) {
		return o.invalid(ctx, fmt.Sprintf("%s: it was used before, has expired, or is of another server", refused))
	} else if err != nil {
		return fmt.Errorf("%s, token %s: %w. The exchange was not sent, so this program did not use the token up: once the server answers, start again with the same token while it is valid, or with a new one: %w", o.place(), o.hash(), ErrIndeterminate, err)
	}
	o.found, o.created = found.CreationPath, found.CreationTime
	o.expires = found.CreationTime.Add(time.Duration(found.CreationTTL) * time.Second)
	return nil
}

// isInvalid reports whether the server said that a token is none. A refusal of
// another kind, 404 say, comes from a wrong address.
func isInvalid(err error, refused **refusal) bool {
	return errors.As(err, refused) && ((*refused).status == http.StatusBadRequest || (*refused).status == http.StatusForbidden)
}

func (o *oneTime) invalid(ctx context.Context, reason string) error {
	event := SecurityEvent{
		Reason: reason, Place: o.place(), TokenHash: o.hash(),
		CreationPath: o.CreationPath, FoundPath: o.found, Created: o.created, Expires: o.expires,
	}
	o.logger().ErrorContext(ctx, "security event: a one-time token is not valid", "reason", event.Reason, "place", event.Place,
		"token_hash", event.TokenHash, "creation_path", event.CreationPath, "found_path", event.FoundPath)
	if o.OnSecurityEvent != nil {
		o.OnSecurityEvent(event)
	}
	return fmt.Errorf("%s, token %s: %s: %w", o.place(), o.hash(), reason, ErrTokenInvalid)
}

func (o *oneTime) hash() string {
	sum := sha256.Sum256([]byte(o.token))
	return hex.EncodeToString(sum[:8])
}

func (w WrappedToken) logger() *slog.Logger {
	if w.Logger == nil {
		return slog.Default()
	}
	return w.Logger
}
