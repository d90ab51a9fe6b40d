package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzPath asks for paths. Those that pass stay below the upstream's base, for
// upstreams that take dot segments out, before or after they undo escapes.
func FuzzPath(f *testing.F) {
	for _, text := range []string{
		"/demo", "/demo/", "/demo/a/b", "/demo/a%2fb", "/demo/..", "/demo/%2e%2e/x", "/demo/..%2fx", "/demo/%252e%252e%252fx",
		`/demo/..\x`, "/demo/..%5cx", "/demo/..;/x", "/demo//x", "//demo/x", "/demo/%zz", "http://host/demo/x", "/demo/%25zz/%252e%252e/x",
		"/demo/.%2525252e/x", "/demo/%c0%ae%c0%ae/x", "*", "demo", "/demo?a=/../b",
	} {
		f.Add(text)
	}
	known, err := parseUpstreams([]string{"demo=https://example.com/v1/base"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request, err := url.ParseRequestURI(text)
		if err != nil {
			return
		}
		to, err := known.find(request)
		if err != nil {
			return
		}
		out := &http.Request{URL: new(*request), Header: http.Header{}}
		to.rewrite(&httputil.ProxyRequest{In: &http.Request{URL: request}, Out: out})
		if out.URL.Scheme != "https" || out.URL.Host != "example.com" || out.URL.User != nil {
			t.Fatalf("%q goes to %s", text, out.URL)
		}
		for seen := out.URL.EscapedPath(); ; {
			for _, read := range []string{seen, strings.ReplaceAll(seen, `\`, "/")} {
				if cleaned := path.Clean(read); cleaned != "/v1/base" && !strings.HasPrefix(cleaned, "/v1/base/") {
					t.Fatalf("%q goes to %s, which may be read as %s", text, out.URL, cleaned)
				}
			}
			decoded, err := url.PathUnescape(seen)
			if err != nil || decoded == seen {
				return
			}
			seen = decoded
		}
	})
}
