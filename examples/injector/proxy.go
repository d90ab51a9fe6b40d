package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gormcrypt/gormcrypt"
)

const (
	// userHeader names the user. The application's word is taken for it.
	userHeader = "Injector-User"
	// errorHeader tells the injector's own answers from the upstream's.
	errorHeader = "Injector-Error"

	maxUser = 255
)

// methods are those that pass. TRACE would have the upstream send the key back,
// and CONNECT is a way to any host.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// proxy answers the application.
type proxy struct {
	upstreams upstreams
	store     *store
	transport http.RoundTripper
	timeout   time.Duration
	log       *slog.Logger
}

// newTransport returns a transport that sends each request once and leaves the
// response as it is.
func newTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // see exchange.rewrite
	transport.MaxResponseHeaderBytes = 64 << 10
	return transport
}

// refusal is an answer of the injector's own: what the application is told, and
// the cause, which is only logged.
type refusal struct {
	status int
	reason string
	cause  error
}

func (r *refusal) Error() string { return r.reason }

func refuse(status int, cause error) *refusal {
	return &refusal{status: status, reason: cause.Error(), cause: cause}
}

// ServeHTTP checks a request, finds the user's API key, and passes the request on
// with it.
func (p *proxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), p.timeout)
	defer cancel()
	r = r.WithContext(ctx)
	w := &recorder{ResponseWriter: rw}
	defer p.record(w, r, time.Now()) // also when the answer is cut

	user, to, refused := p.check(r)
	w.user, w.upstream = user, to.upstream
	if refused != nil {
		w.refuse(refused)
		return
	}
	apiKey, err := p.store.apiKey(ctx, user, to.upstream)
	if err != nil {
		w.refuse(lookupRefusal(err))
		return
	}
	// Otherwise net/http drops a part of a request whose upstream answers before it
	// has read all.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		w.refuse(&refusal{http.StatusInternalServerError, "the connection does not take answers meanwhile", err})
		return
	}
	x := &exchange{w: w, to: to}
	apiKey.Use(func(secret []byte) { x.authorization, x.needles = "Bearer "+string(secret), makeNeedles(secret) })
	(&httputil.ReverseProxy{
		Transport: p.transport, Rewrite: x.rewrite, ModifyResponse: x.inspect, ErrorHandler: x.fail,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // p.record logs what happened
	}).ServeHTTP(w, r)
}

// check finds out who and where, without looking at the database.
func (p *proxy) check(r *http.Request) (user string, to destination, refused *refusal) {
	if !slices.Contains(methods, r.Method) {
		return "", to, refuse(http.StatusMethodNotAllowed, errors.New("method not allowed"))
	}
	if users := r.Header.Values(userHeader); len(users) == 1 && validUser(users[0]) {
		user = users[0]
	} else {
		return "", to, refuse(http.StatusBadRequest, errors.New("one header "+userHeader+" must name the user"))
	}
	to, err := p.upstreams.find(r.URL)
	switch {
	case errors.Is(err, errUnknownUpstream):
		return user, to, refuse(http.StatusNotFound, err)
	case err != nil:
		return user, to, refuse(http.StatusBadRequest, err)
	}
	return user, to, nil
}

func validUser(user string) bool {
	return user != "" && len(user) <= maxUser && utf8.ValidString(user) && !strings.ContainsRune(user, 0)
}

func lookupRefusal(err error) *refusal {
	var unopened *gormcrypt.Error
	switch {
	case errors.Is(err, errUnknownUser):
		return refuse(http.StatusNotFound, err)
	case errors.Is(err, errNoAPIKey):
		return refuse(http.StatusFailedDependency, err)
	case errors.Is(err, context.Canceled):
		return gone(err)
	case errors.As(err, &unopened):
		return &refusal{http.StatusInternalServerError, "the user's API key does not open; see the injector's log", err}
	}
	return &refusal{http.StatusServiceUnavailable, "the database is not available; try again", err}
}

// gone is for an application that did not wait. It sees nothing of it; the status
// is for the log.
func gone(err error) *refusal { return &refusal{499, "the application has left", err} }

// exchange is one request to an upstream, and its response. It has the user's API
// key as long as it lasts.
type exchange struct {
	w             *recorder
	to            destination
	authorization string
	needles       needles
}

// rewrite makes the upstream's request. ReverseProxy has removed what is meant for
// one hop, and what Connection names, before; nothing can remove the key after.
func (x *exchange) rewrite(r *httputil.ProxyRequest) {
	x.to.rewrite(r)
	header := r.Out.Header
	for _, name := range []string{
		userHeader,
		"Cookie",            // no other credentials than the user's
		"Upgrade",           // what follows could not be searched
		"Range", "If-Range", // nor could a key that is fetched in two halves
	} {
		header.Del(name)
	}
	r.Out.Trailer = nil
	header.Set("Accept-Encoding", "identity") // nor what is compressed
	header.Set("Authorization", x.authorization)
}

var (
	errEncoded  = errors.New("the upstream's response is compressed, and was asked not to be")
	errUpgraded = errors.New("the upstream wants another protocol, and was not asked to")
	errPartial  = errors.New("the upstream's response is a part, and the whole was asked for")
)

// inspect keeps from the application what would make it hold a credential.
// Redirects are passed on: the injector does not follow them, and the application
// has to ask for them by the name of an upstream.
func (x *exchange) inspect(response *http.Response) error {
	response.Header.Del("Set-Cookie") // a session of the user's
	response.Header.Del(errorHeader)
	switch encoding := response.Header.Values("Content-Encoding"); {
	case x.needles.inHeader(response.Header) || x.needles.inHeader(response.Trailer): // as far as it is announced
		return errKeyInResponse
	case response.StatusCode == http.StatusSwitchingProtocols:
		return errUpgraded
	case response.StatusCode == http.StatusPartialContent:
		return errPartial
	case len(encoding) > 1 || len(encoding) == 1 && !strings.EqualFold(encoding[0], "identity"):
		return errEncoded
	}
	body := newGuard(response, x.needles, func(err error) { x.w.cause = err })
	response.Body = body
	return body.readShort()
}

// fail answers when there is no response to pass on.
func (x *exchange) fail(_ http.ResponseWriter, r *http.Request, err error) {
	err = x.needles.scrub(err)
	x.w.Header().Set("Connection", "close") // of what was asked, not all may have been read
	switch {
	case errors.Is(r.Context().Err(), context.DeadlineExceeded):
		x.w.refuse(&refusal{http.StatusGatewayTimeout, "the upstream did not answer in time", err})
	case r.Context().Err() != nil:
		x.w.refuse(gone(err))
	case slices.Contains([]error{errKeyInResponse, errEncoded, errUpgraded, errPartial}, err):
		x.w.refuse(refuse(http.StatusBadGateway, err))
	default:
		x.w.refuse(&refusal{http.StatusBadGateway, "the upstream is not available", fmt.Errorf("the upstream: %w", err)})
	}
}
