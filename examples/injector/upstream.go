package main

import (
	"errors"
	"fmt"
	"net"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
)

// upstreamName is what an upstream may be called: it is a segment of a path, and
// reads the same however it is escaped.
var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// upstreams are the services that the application may reach: base URLs by name.
type upstreams map[string]*url.URL

// parseUpstreams reads options of the form NAME=URL.
func parseUpstreams(options []string) (upstreams, error) {
	parsed := upstreams{}
	for _, option := range options {
		name, text, _ := strings.Cut(option, "=")
		if !upstreamName.MatchString(name) {
			return nil, fmt.Errorf("-upstream must be NAME=URL, and NAME lower-case letters, digits and hyphens; not %q", option)
		}
		if _, ok := parsed[name]; ok {
			return nil, fmt.Errorf("-upstream %s is given twice", name)
		}
		base, err := parseBase(text)
		if err != nil {
			return nil, fmt.Errorf("-upstream %s: %w", name, err)
		}
		parsed[name] = base
	}
	return parsed, nil
}

func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("its URL is malformed")
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || climbs(base.EscapedPath()):
		return nil, errors.New("its URL must be a host and a path: no user, no query, no fragment, no dot segments")
	case base.Scheme != "https" && !(base.Scheme == "http" && isLoopback(base.Hostname())):
		return nil, errors.New("its URL must begin with https://, or the keys would cross the network in clear")
	}
	return base, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// destination is where a request goes: below the base URL of an upstream.
type destination struct {
	upstream string
	base     *url.URL
	// path is the rest of the path, as the application has escaped it.
	path string
}

var (
	errUnknownUpstream = errors.New("unknown upstream")
	errPath            = errors.New("the path must be /UPSTREAM/..., without . and .. segments")
)

// find reads the URL of a request, /NAME/path.
func (u upstreams) find(request *url.URL) (destination, error) {
	escaped := request.EscapedPath()
	if request.Host != "" || request.Opaque != "" || !strings.HasPrefix(escaped, "/") || climbs(escaped) {
		return destination{}, errPath
	}
	name, rest, _ := strings.Cut(escaped[1:], "/")
	base, ok := u[name]
	if !ok {
		return destination{}, errUnknownUpstream
	}
	return destination{upstream: name, base: base, path: "/" + rest}, nil
}

// rewrite sends a request there.
func (d destination) rewrite(r *httputil.ProxyRequest) {
	out := r.Out.URL
	out.RawPath = d.path
	out.Path, _ = url.PathUnescape(d.path) // net/http has parsed it before
	r.SetURL(d.base)
}

// unescape undoes what may hide a dot segment. Other escapes, and those that are
// malformed, stay.
var unescape = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%3b", ";", "%3B", ";", "%25", "%")

// climbs reports whether a path has a . or .. segment for anybody who reads it:
// escaped, escaped twice, with backslashes, or with a parameter, as in "..;/".
func climbs(path string) bool {
	for {
		for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
				return true
			}
		}
		unescaped := unescape.Replace(path)
		if unescaped == path {
			return false
		}
		path = unescaped
	}
}
