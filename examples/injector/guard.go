package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// errKeyInResponse: the upstream sends the API key back, as a page that shows the
// headers of a request does.
var errKeyInResponse = errors.New("the upstream's response holds the user's API key")

// needles are the forms of an API key that are not passed on to the application:
// as it is, as encoders of JSON write it that escape slashes, and in a URL.
type needles [][]byte

func makeNeedles(secret []byte) needles {
	apiKey := string(secret)
	forms := []string{apiKey, strings.ReplaceAll(apiKey, "/", `\/`), url.QueryEscape(apiKey)}
	slices.Sort(forms)
	var n needles
	for _, form := range slices.Compact(forms) {
		n = append(n, []byte(form))
	}
	return n
}

// in reports whether a form of the key is in a text.
func (n needles) in(text []byte) bool {
	return slices.ContainsFunc(n, func(needle []byte) bool { return bytes.Contains(text, needle) })
}

// begun returns the length of the longest end of a text with which a form of the
// key may begin. It is 0 for most, so that nothing waits for more to come.
func (n needles) begun(text []byte) int {
	for length := min(len(text), n.longest()-1); length > 0; length-- {
		end := text[len(text)-length:]
		if slices.ContainsFunc(n, func(needle []byte) bool { return bytes.HasPrefix(needle, end) }) {
			return length
		}
	}
	return 0
}

func (n needles) longest() int {
	longest := 0
	for _, needle := range n {
		longest = max(longest, len(needle))
	}
	return longest
}

func (n needles) inHeader(header http.Header) bool {
	for name, values := range header {
		inName := func(needle []byte) bool { // of which net/http has changed the case
			return strings.Contains(strings.ToLower(name), strings.ToLower(string(needle)))
		}
		inValue := func(value string) bool { return n.in([]byte(value)) }
		if slices.ContainsFunc(n, inName) || slices.ContainsFunc(values, inValue) {
			return true
		}
	}
	return false
}

// scrub replaces an error that quotes the key: those of net/http quote what they
// could not read.
func (n needles) scrub(err error) error {
	if n.in([]byte(err.Error())) {
		return fmt.Errorf("%w, malformed", errKeyInResponse)
	}
	return err
}

// chunk is how much of a response is searched at a time, in bytes.
const chunk = 32 << 10

// guard is the body of a response that fails with errKeyInResponse before the
// last byte of an API key would pass.
type guard struct {
	response *http.Response
	body     io.ReadCloser
	needles  needles
	// failed is told why the body is cut.
	failed func(error)

	buffer []byte
	ready  int // bytes of buffer that may pass
	err    error
}

func newGuard(response *http.Response, needles needles, failed func(error)) *guard {
	return &guard{response: response, body: response.Body, needles: needles, failed: failed}
}

// readShort reads the body to its end if it is short, so that the application can
// be given an answer in its place instead of a cut.
func (g *guard) readShort() error {
	if g.response.ContentLength < 0 || g.response.ContentLength > chunk {
		return nil
	}
	for g.err == nil {
		g.fill()
	}
	if g.err == io.EOF {
		return nil
	}
	return g.err
}

// Read returns what has been searched.
func (g *guard) Read(p []byte) (int, error) {
	for g.ready == 0 && g.err == nil {
		g.fill()
	}
	if g.ready == 0 {
		return 0, g.err
	}
	n := copy(p, g.buffer[:g.ready])
	g.buffer = slices.Delete(g.buffer, 0, n)
	g.ready -= n
	return n, nil
}

// fill reads once, and searches that together with what is in the buffer.
func (g *guard) fill() {
	before := len(g.buffer)
	g.buffer = slices.Grow(g.buffer, chunk)
	n, err := g.body.Read(g.buffer[before : before+chunk])
	g.buffer = g.buffer[:before+n]
	switch {
	case g.needles.in(g.buffer):
		g.fail(errKeyInResponse)
	case err == io.EOF && g.needles.inHeader(g.response.Trailer):
		g.fail(errKeyInResponse)
	case err == io.EOF:
		g.ready, g.err = len(g.buffer), io.EOF
	case err != nil:
		g.fail(g.needles.scrub(err))
	default:
		g.ready = len(g.buffer) - g.needles.begun(g.buffer)
	}
}

func (g *guard) fail(err error) {
	g.ready, g.err = 0, err
	g.failed(err)
}

// Close closes the upstream's body.
func (g *guard) Close() error { return g.body.Close() }
