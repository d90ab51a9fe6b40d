package vaultkeys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/vault/api"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// ClientConfig configures Connect.
type ClientConfig struct {
	Server Server
	// Login says how the client gets its token: Token, AppRole or Kubernetes, or
	// a method of the Vault client's own modules.
	Login api.AuthMethod
	// Logger gets logins, renewals and their failures, and at debug level every call. The
	// default is slog.Default().
	Logger *slog.Logger
}

// Client is logged in to a server, and stays so: it renews its token, and logs in
// anew when that ends or is revoked. It is safe for concurrent use.
type Client struct {
	config ClientConfig
	api    *api.Client // with the token
	logins *api.Client // without one, for one login at a time
	turn   chan struct{}
	stop   context.CancelFunc
	done   chan struct{} // closed when nothing is renewed any more

	mu      sync.Mutex
	session *session
}

// Format writes what the client is, and nothing of what is in it, which other
// goroutines change.
func (c *Client) Format(f fmt.State, _ rune) { io.WriteString(f, "vaultkeys.Client") }

// session is what a login gave.
type session struct {
	auth *api.Secret
	over chan struct{} // closed when there is a later one
}

// Connect logs in. The caller closes the client. It returns ErrLogin when the server
// refuses the login, keyring.ErrUnavailable when there was no answer, and for an
// AppRole whose secret ID comes in a one-time token the errors of FromWrappedToken.
func Connect(ctx context.Context, config ClientConfig) (*Client, error) {
	if config.Login == nil {
		return nil, errors.New("a Vault client needs a Login: Token, AppRole, Kubernetes, or another api.AuthMethod")
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	calls, err := config.Server.client()
	if err != nil {
		return nil, err
	}
	logins, err := config.Server.client()
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{
		config: config, api: calls, logins: logins, stop: stop,
		turn: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := c.login(ctx, nil); err != nil {
		stop()
		return nil, err
	}
	go c.stayLoggedIn(background)
	return c, nil
}

// Close ends the renewal of the token, which is left to expire, and every later
// call with ErrClosed. It always returns nil, and may be called again.
func (c *Client) Close() error {
	c.stop()
	<-c.done
	c.api.ClearToken()
	if c.config.Server.HTTPClient == nil {
		for _, client := range []*api.Client{c.api, c.logins} {
			client.CloneConfig().HttpClient.CloseIdleConnections()
		}
	}
	return nil
}

// call makes a call that may be repeated, up to two times more, while there is no
// answer, and returns the data of the answer.
func (c *Client) call(ctx context.Context, method, path string, request any, secrets ...string) (secret, error) {
	soon := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200 * time.Millisecond))
	content, err := backoff.RetryWithData(func() (secret, error) {
		content, err := c.callOnce(ctx, method, path, request, secrets...)
		if err != nil && !errors.Is(err, keyring.ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return content, err
	}, backoff.WithContext(backoff.WithMaxRetries(soon, 2), ctx))
	if err != nil && err == ctx.Err() {
		err = fmt.Errorf("%s: %w: %w", path, keyring.ErrUnavailable, err)
	}
	return content, err
}

// callOnce makes one call, and a second one only if the token turned out to be
// over.
func (c *Client) callOnce(ctx context.Context, method, path string, request any, secrets ...string) (secret, error) {
	before := c.current()
	content, err := c.send(ctx, method, path, request, secrets...)
	if isForbidden(err) {
		if c.current() == before && c.tokenIsOver(ctx) {
			if err := c.login(ctx, before); err != nil {
				return nil, err
			}
		}
		if c.current() != before { // by this call or by another
			content, err = c.send(ctx, method, path, request, secrets...)
		}
	}
	var none *noAnswer
	switch {
	case errors.As(err, &none):
		return nil, fmt.Errorf("%s: %w: %w", path, keyring.ErrUnavailable, err)
	case isForbidden(err):
		capability := "update"
		if method == http.MethodGet {
			capability = "read"
		}
		return nil, fmt.Errorf("%w: the token needs a policy with: path %q { capabilities = [%q] }: %w", ErrPermission, path, capability, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

func (c *Client) send(ctx context.Context, method, path string, request any, secrets ...string) (secret, error) {
	select {
	case <-c.done:
		return nil, ErrClosed
	default:
	}
	start := time.Now()
	body, err := send(ctx, c.api, method, path, request, secrets...)
	c.config.Logger.DebugContext(ctx, "vault call", "method", method, "path", path, "duration", time.Since(start), "error", err)
	if err != nil {
		return nil, err
	}
	return readSecret(body)
}

// isForbidden reports whether the server itself answered 403.
func isForbidden(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && refused.status == http.StatusForbidden
}

// tokenIsOver tells a token that the server does not know any more from one that
// may not do something: both are answered 403.
func (c *Client) tokenIsOver(ctx context.Context) bool {
	_, err := c.send(ctx, http.MethodGet, "auth/token/lookup-self", nil)
	return isForbidden(err)
}

func (c *Client) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// login logs in, unless that was done since a session began.
func (c *Client) login(ctx context.Context, since *session) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.current() != since {
		return nil
	}
	auth, err := c.config.Login.Login(ctx, c.logins)
	if err == nil && (auth == nil || auth.Auth == nil || auth.Auth.ClientToken == "") {
		err = &noAnswer{errors.New("the login gave no token")}
	}
	if err != nil {
		return loginError(err)
	}
	c.config.Logger.InfoContext(ctx, "logged in to vault", "accessor", auth.Auth.Accessor, "policies", auth.Auth.Policies,
		"ttl", time.Duration(auth.Auth.LeaseDuration)*time.Second, "renewable", auth.Auth.Renewable)
	c.api.SetToken(auth.Auth.ClientToken)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = &session{auth: auth, over: make(chan struct{})}
	if since != nil {
		close(since.over)
	}
	return nil
}

// loginError says whether another try may help. A method of another module returns
// the Vault client's own errors.
func loginError(err error) error {
	var foreign *api.ResponseError
	if errors.As(err, &foreign) {
		err = &refusal{foreign.StatusCode, ""}
		if foreign.StatusCode >= 500 || foreign.StatusCode == http.StatusTooManyRequests || foreign.RawError {
			err = &noAnswer{err}
		}
	}
	var none *noAnswer
	var refused *refusal
	var network *url.Error
	switch {
	case errors.Is(err, ErrTokenInvalid), errors.Is(err, ErrIndeterminate), errors.Is(err, ErrLogin):
		return fmt.Errorf("logging in to vault: %w", err)
	case errors.As(err, &none), errors.As(err, &network),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("logging in to vault: %w: %w", keyring.ErrUnavailable, err)
	case errors.As(err, &refused):
		return fmt.Errorf("logging in to vault: %w: %w; see whether the role and its credentials still exist", ErrLogin, err)
	}
	return fmt.Errorf("logging in to vault: %w: %w", ErrLogin, err)
}

// stayLoggedIn renews the token while that can be done, and logs in anew, with
// growing pauses, when it cannot.
func (c *Client) stayLoggedIn(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		current := c.current()
		c.renew(ctx, current)
		if ctx.Err() != nil || c.current() != current {
			continue
		}
		pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second),
			backoff.WithMaxInterval(5*time.Minute), backoff.WithMaxElapsedTime(0))
		_ = backoff.RetryNotify(func() error { return c.login(ctx, current) }, backoff.WithContext(pauses, ctx),
			func(err error, pause time.Duration) {
				c.config.Logger.WarnContext(ctx, "not logged in to vault; keys that are loaded go on working", "error", err, "next_try_in", pause)
			})
	}
}

// renew renews the token of a session until the session is over, or that cannot be
// done any more.
func (c *Client) renew(ctx context.Context, current *session) {
	if current.auth.Auth.LeaseDuration == 0 { // it never ends
		select {
		case <-ctx.Done():
		case <-current.over:
		}
		return
	}
	watcher, err := c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: current.auth})
	if err != nil {
		c.config.Logger.WarnContext(ctx, "the vault token is not renewed", "error", err)
		return
	}
	go watcher.Start()
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-current.over:
			return
		case renewed := <-watcher.RenewCh():
			c.config.Logger.InfoContext(ctx, "vault token renewed", "accessor", current.auth.Auth.Accessor,
				"ttl", time.Duration(renewed.Secret.Auth.LeaseDuration)*time.Second)
		case err := <-watcher.DoneCh():
			c.config.Logger.InfoContext(ctx, "the vault token ends; logging in anew", "accessor", current.auth.Auth.Accessor, "error", cmp.Or(err, errEnding))
			return
		}
	}
}

// errEnding stands for the usual reason: the server does not prolong it.
var errEnding = errors.New("it cannot be renewed for longer")
