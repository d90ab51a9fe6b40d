package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const testKey = "sk_abab/abaabb+aab=="

// guarded reads a body through a guard, as it comes from the upstream in pieces of
// the given lengths, again and again.
func guarded(body, apiKey []byte, lengths []byte) ([]byte, error) {
	response := &http.Response{ContentLength: -1, Body: io.NopCloser(&pieces{body, lengths, 0})}
	return io.ReadAll(newGuard(response, makeNeedles(apiKey), func(error) {}))
}

type pieces struct {
	rest    []byte
	lengths []byte
	next    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	length := len(p.rest)
	if len(p.lengths) > 0 {
		length = min(length, int(p.lengths[p.next%len(p.lengths)]))
		p.next++
	}
	n := copy(b, p.rest[:length])
	p.rest = p.rest[n:]
	return n, nil
}

// A body passes as it is, or is cut before the last byte of a key, however it comes
// in pieces.
func FuzzGuard(f *testing.F) {
	for _, body := range []string{
		"", "nothing", testKey, "Authorization: Bearer " + testKey + "\n", testKey[1:], testKey[:len(testKey)-1],
		testKey[:10] + testKey, testKey[:10] + testKey[:19] + testKey, `sk_abab\/abaabb+aab==`, "sk_abab%2Fabaabb%2Baab%3D%3D",
		strings.Repeat("a", chunk-5) + testKey, strings.Repeat(testKey[:19], 4000),
	} {
		f.Add([]byte(body), []byte(testKey), []byte{1, 7, 0, 3})
	}
	f.Add([]byte("aaaaaaaaaaab"), []byte("aaaab"), []byte{1})
	f.Fuzz(func(t *testing.T, body, apiKey, lengths []byte) {
		if len(apiKey) == 0 || len(apiKey) > 64 || len(lengths) > 0 && !slices.ContainsFunc(lengths, func(b byte) bool { return b > 0 }) {
			return
		}
		passed, err := guarded(body, apiKey, lengths)
		holds := makeNeedles(apiKey).in(body)
		switch {
		case holds && !errors.Is(err, errKeyInResponse):
			t.Errorf("a key passes, with %v", err)
		case !holds && (err != nil || !bytes.Equal(passed, body)):
			t.Errorf("%q is changed to %q, %v", body, passed, err)
		case !bytes.HasPrefix(body, passed) || makeNeedles(apiKey).in(passed):
			t.Errorf("%q passes of %q", passed, body)
		}
	})
}

// What may begin a key waits for what follows, and nothing else does.
func TestGuardHoldsBackLittle(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"data: 1\n\n":              "data: 1\n\n",
		"data: " + testKey[:12]:    "data: ",
		testKey[:12] + "x":         testKey[:12] + "x",
		testKey[:4] + testKey[:10]: testKey[:4],
	} {
		reader, writer := io.Pipe()
		g := newGuard(&http.Response{Body: reader}, makeNeedles([]byte(testKey)), func(error) {})
		go writer.Write([]byte(body))
		passed := make([]byte, 100)
		n, err := g.Read(passed)
		if err != nil || string(passed[:n]) != want {
			t.Errorf("%q of %q passes at once, %v; want %q", passed[:n], body, err, want)
		}
		reader.Close()
	}
}

// An error of the upstream's connection is passed on, without what it quotes.
func TestGuardErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"connection reset", "malformed MIME header line: " + testKey} {
		var failed error
		body := io.NopCloser(iotest.ErrReader(errors.New(text)))
		_, err := io.ReadAll(newGuard(&http.Response{Body: body}, makeNeedles([]byte(testKey)), func(err error) { failed = err }))
		if err == nil || err != failed || strings.Contains(err.Error(), testKey) {
			t.Errorf("%q becomes %v, and the log is told %v", text, err, failed)
		}
	}
}
