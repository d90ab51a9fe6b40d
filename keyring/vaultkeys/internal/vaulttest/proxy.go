package vaulttest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Proxy stands between a client and a server. The fields are set before it starts.
type Proxy struct {
	// Lose is a path whose answer is lost on its way: the server has acted, and the
	// client's connection ends.
	Lose string
	// Before is called before a request is passed on.
	Before func(*http.Request)
	// URL is its address, once it was started.
	URL string

	mu       sync.Mutex
	requests []string
}

// NewProxy starts a proxy that passes everything on.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := new(Proxy)
	p.Start(t, address)
	return p
}

// Start starts it in front of an address, until the test ends.
func (p *Proxy) Start(t testing.TB, address string) {
	t.Helper()
	server := httptest.NewServer(p.handler(t, address))
	t.Cleanup(server.Close)
	p.URL = server.URL
}

// StartTLS starts it with a certificate that no system trusts.
func (p *Proxy) StartTLS(t testing.TB, address string) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(p.handler(t, address))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse it
	server.StartTLS()
	t.Cleanup(server.Close)
	p.URL = server.URL
	return server
}

func (p *Proxy) handler(t testing.TB, address string) http.Handler {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if p.Before != nil {
			p.Before(r)
		}
		if r.URL.Path != p.Lose {
			forward.ServeHTTP(w, r)
			return
		}
		forward.ServeHTTP(httptest.NewRecorder(), r)
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = connection.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// Requests returns what was asked, in order: "PUT /v1/sys/wrapping/lookup".
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}
