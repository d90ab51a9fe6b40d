package injector_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"
)

func testRefusedRequests(t *testing.T, w *world) {
	w.answer(func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") })
	w.serve(t)
	for name, test := range map[string]struct {
		method, user, path string
		status             int
	}{
		"TRACE":                         {"TRACE", "ada", "/demo/x", 405},
		"CONNECT":                       {"CONNECT", "ada", "/demo/x", 405},
		"an unknown method":             {"TRACK", "ada", "/demo/x", 405},
		"no user":                       {"GET", "", "/demo/x", 400},
		"an unknown user":               {"GET", "eve", "/demo/x", 404},
		"a user in another case":        {"GET", "Ada", "/demo/x", 404},
		"a pattern of users":            {"GET", "%", "/demo/x", 404},
		"SQL":                           {"GET", "' OR 1=1 --", "/demo/x", 404},
		"a user that is not UTF-8":      {"GET", "\xff", "/demo/x", 400},
		"a long user":                   {"GET", strings.Repeat("a", 256), "/demo/x", 400},
		"no upstream":                   {"GET", "ada", "/", 404},
		"an unknown upstream":           {"GET", "ada", "/example.com/x", 404},
		"an escaped upstream":           {"GET", "ada", "/%64emo/x", 404},
		"an upstream in another case":   {"GET", "ada", "/Demo/x", 404},
		"an upstream that is empty":     {"GET", "ada", "//demo/x", 404},
		"above the base":                {"GET", "ada", "/demo/../admin", 400},
		"above, escaped":                {"GET", "ada", "/demo/%2e%2E/admin", 400},
		"above, with its slash":         {"GET", "ada", "/demo/..%2fadmin", 400},
		"above, all escaped":            {"GET", "ada", "/demo/x%2F%2e%2e%2F%2e%2e%2fadmin", 400},
		"above, escaped twice":          {"GET", "ada", "/demo/%252e%252e%252fadmin", 400},
		"above, escaped thrice":         {"GET", "ada", "/demo/%25252e%25252e/admin", 400},
		"above, beside a false escape":  {"GET", "ada", "/demo/%25zz/%252e%252e/%252e%252e/admin", 400},
		"above, with a backslash":       {"GET", "ada", `/demo/..%5cadmin`, 400},
		"above, with a parameter":       {"GET", "ada", "/demo/..;a=b/admin", 400},
		"above, at the end":             {"GET", "ada", "/demo/x/../..", 400},
		"above, without an upstream":    {"GET", "ada", "/../demo/x", 400},
		"where it is":                   {"GET", "ada", "/demo/./x", 400},
		"a user without a key for this": {"GET", "fay", "/demo/x", 424},
	} {
		t.Run(name, func(t *testing.T) {
			if test.user == "fay" {
				w.set(t, "fay", newAPIKey())
				w.must(t, "", "unset", "-user", "fay", "-upstream", "demo")
			}
			a := w.sendRaw(t, 1, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: injector\r\nInjector-User: %s\r\n\r\n", test.method, test.path, test.user))
			if len(a) != 1 || a[0].status != test.status || a[0].header.Get("Injector-Error") == "" {
				t.Errorf("the answer is %+v, want %d, by the injector", a, test.status)
			}
		})
	}
	t.Run("two users", func(t *testing.T) {
		requireAnswer(t, w.get(t, "ada", "/demo/x", "Injector-User", "bob"), 400, "Injector-User")
	})
	t.Run("a large header", func(t *testing.T) {
		requireAnswer(t, w.get(t, "ada", "/demo/x", "X-Large", strings.Repeat("a", 64<<10)), 431, "")
	})
	t.Run("many headers", func(t *testing.T) {
		requireAnswer(t, w.get(t, "ada", "/demo/x", slices.Repeat([]string{"X-Many", "a"}, 10_000)...), 431, "")
	})
}

func testCleanedRequests(t *testing.T, w *world) {
	seen := make(chan *http.Request, 1)
	w.answer(func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	w.serve(t)
	for name, test := range map[string]struct {
		path    string
		headers []string
		want    string // the URL
	}{
		"the path is below the base":     {"/demo/a/b?c=d&c=%20", nil, "/v1/a/b?c=d&c=%20"},
		"an escaped slash stays":         {"/demo/a%2fb/..c/.../d..", nil, "/v1/a%2fb/..c/.../d.."},
		"a percent sign stays":           {"/demo/100%25", nil, "/v1/100%25"},
		"the upstream alone":             {"/demo", nil, "/v1/"},
		"what looks like another host":   {"/demo//example.com/x", nil, "/v1//example.com/x"},
		"other credentials":              {"/demo/x", []string{"Authorization", "Bearer mine", "Authorization", "Basic mine", "Proxy-Authorization", "Basic mine", "Cookie", "session=mine"}, "/v1/x"},
		"the key is not for one hop":     {"/demo/x", []string{"Connection", "Authorization, Injector-User, Accept-Encoding"}, "/v1/x"},
		"headers for one hop":            {"/demo/x", []string{"Connection", "keep-alive, X-Mine", "X-Mine", "mine", "Keep-Alive", "mine", "Proxy-Connection", "mine"}, "/v1/x"},
		"another host":                   {"/demo/x", []string{"Forwarded", "host=mine", "X-Forwarded-For", "mine", "X-Forwarded-Host", "mine", "X-Forwarded-Proto", "mine"}, "/v1/x"},
		"a part":                         {"/demo/x", []string{"Range", "bytes=0-9", "If-Range", "mine"}, "/v1/x"},
		"compression":                    {"/demo/x", []string{"Accept-Encoding", "gzip, mine"}, "/v1/x"},
		"another protocol":               {"/demo/x", []string{"Connection", "Upgrade", "Upgrade", "mine"}, "/v1/x"},
		"a header that looks like a key": {"/demo/x", []string{"Authorization_", "x", "X-Authorization", "x"}, "/v1/x"},
	} {
		t.Run(name, func(t *testing.T) {
			requireAnswer(t, w.get(t, "ada", test.path, test.headers...), http.StatusOK, "")
			r := <-seen
			if r.RequestURI != test.want {
				t.Errorf("the upstream was asked for %s, want %s", r.RequestURI, test.want)
			}
			if "http://"+r.Host != w.upstream.URL || w.userOf(r) != "ada" || r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("the upstream was asked as %q at %s, with %v", w.userOf(r), r.Host, r.Header)
			}
			for name, values := range r.Header {
				if strings.Contains(fmt.Sprint(values), "mine") || name == "Injector-User" {
					t.Errorf("the upstream was sent %s: %q", name, values)
				}
			}
		})
	}
}

// testSmuggling sends what no HTTP library would. Whatever the injector makes of
// it, each request that reaches the upstream is a whole one, for a user's own
// path.
func testSmuggling(t *testing.T, w *world) {
	seen := make(chan *http.Request, 10)
	w.answer(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			seen <- r.Clone(context.Background()) // net/http goes on using r
		}
	})
	w.serve(t)
	const start = "POST /demo/x HTTP/1.1\r\nHost: injector\r\nInjector-User: ada\r\n"
	const second = "GET /demo/smuggled HTTP/1.1\r\nHost: injector\r\nInjector-User: bob\r\n\r\n"
	for name, test := range map[string]struct {
		request  string
		statuses []int
		requests int // that the upstream sees
	}{
		"one after another":             {start + "Content-Length: 3\r\n\r\nabc" + second, []int{200, 200}, 2},
		"two lengths":                   {start + "Content-Length: 3\r\nContent-Length: 80\r\n\r\nabc" + second, []int{400}, 0},
		"a length with a sign":          {start + "Content-Length: +3\r\n\r\nabc", []int{400}, 0},
		"a length and chunks":           {start + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(second)) + second, []int{200, 200}, 2}, // the chunks count, and what follows is a request
		"two encodings":                 {start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", []int{501}, 0},
		"an unknown encoding":           {start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{501}, 0},
		"a chunk with a wrong length":   {start + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", []int{502}, 0},
		"a space before the colon":      {start + "Authorization : Bearer mine\r\n\r\n", []int{400}, 0},
		"a folded header":               {start + "X-A: b\r\n Authorization: Bearer theirs\r\n\r\n", []int{200}, 1},
		"a line end in a header":        {start + "X-A: b\rAuthorization: Bearer mine\r\n\r\n", []int{400}, 0},
		"a zero byte":                   {start + "X-A: b\x00\r\n\r\n", []int{400}, 0},
		"no host":                       {"GET /demo/x HTTP/1.1\r\nInjector-User: ada\r\n\r\n", []int{400}, 0},
		"a URL with a host":             {"GET http://example.com/demo/x HTTP/1.1\r\nHost: example.com\r\nInjector-User: ada\r\n\r\n", []int{400}, 0},
		"CONNECT to a host":             {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nInjector-User: ada\r\n\r\n", []int{405}, 0},
		"a path that does not start":    {"GET demo/x HTTP/1.1\r\nHost: injector\r\nInjector-User: ada\r\n\r\n", []int{400}, 0},
		"a false escape":                {"GET /demo/%zz HTTP/1.1\r\nHost: injector\r\nInjector-User: ada\r\n\r\n", []int{400}, 0},
		"a key in the trailer":          {start + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer mine\r\n\r\n", []int{200}, 1},
		"HTTP/2 without asking":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{405}, 0},
		"a version that there is not":   {"GET /demo/x HTTP/3.7\r\nHost: injector\r\nInjector-User: ada\r\n\r\n", []int{505}, 0},
		"the oldest version":            {"GET /demo/x\r\n\r\n", []int{400}, 0},
		"no HTTP":                       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}, 0},
		"a name that is an application": {"GET /demo/x HTTP/1.1\r\nHost: injector\r\nInjector_User: ada\r\n\r\n", []int{400}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			answers := w.sendRaw(t, len(test.statuses), test.request)
			var statuses []int
			for _, a := range answers {
				statuses = append(statuses, a.status)
			}
			if !slices.Equal(statuses, test.statuses) {
				t.Errorf("the answers are %v, want %v: %+v", statuses, test.statuses, answers)
			}
			var requests []*http.Request
			for len(seen) > 0 {
				requests = append(requests, <-seen)
			}
			if len(requests) != test.requests {
				t.Errorf("the upstream got %d requests, want %d", len(requests), test.requests)
			}
			for _, r := range requests {
				user := map[string]string{"/v1/x": "ada", "/v1/smuggled": "bob"}[r.URL.Path]
				if dumped, _ := httputil.DumpRequest(r, false); w.userOf(r) != user || bytes.Contains(dumped, []byte("mine")) {
					t.Errorf("the upstream got, as %q:\n%s", w.userOf(r), dumped)
				}
			}
		})
	}
}

// sendRaw writes bytes to the socket, and returns the answers to them. Once it has
// as many as are expected it ends its side of the connection, and takes what else
// comes.
func (w *world) sendRaw(t *testing.T, expected int, request string) (answers []answer) {
	t.Helper()
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, request) // the injector may have answered and left before
	reader := bufio.NewReader(conn)
	for {
		if len(answers) == expected {
			_ = conn.(*net.UnixConn).CloseWrite()
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(response.Body)
		answers = append(answers, answer{status: response.StatusCode, header: response.Header, body: string(body), err: err})
	}
}
