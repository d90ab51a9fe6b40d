package injector_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// testEchoingUpstreams has upstreams send the key back wherever a response has
// room for it. That the answer does not hold it is checked by world.send, and the
// log at the end of the test.
func testEchoingUpstreams(t *testing.T, w *world) {
	raw := w.rawUpstream(t)
	w.serve(t)
	long := strings.Repeat("x", 100_000)
	for name, test := range map[string]struct {
		handler func(rw http.ResponseWriter, apiKey string)
		cut     bool // for 502 comes too late
	}{
		"in a header": {func(rw http.ResponseWriter, apiKey string) { rw.Header().Set("X-Authorization", "Bearer "+apiKey) }, false},
		"in a redirect": {func(rw http.ResponseWriter, apiKey string) {
			rw.Header().Set("Location", "/?key="+url.QueryEscape(apiKey))
			rw.WriteHeader(302)
		}, false},
		"in a short body": {func(rw http.ResponseWriter, apiKey string) { fmt.Fprintf(rw, `{"Authorization": "Bearer %s"}`, apiKey) }, false},
		"in escaped JSON": {func(rw http.ResponseWriter, apiKey string) {
			fmt.Fprintf(rw, `{"key": "%s"}`, strings.ReplaceAll(apiKey, "/", `\/`))
		}, false},
		"in an error": {func(rw http.ResponseWriter, apiKey string) {
			http.Error(rw, "wrong key "+apiKey, http.StatusUnauthorized)
		}, false},
		"in a long body": {func(rw http.ResponseWriter, apiKey string) { fmt.Fprint(rw, long+apiKey+long) }, true},
		"at the end":     {func(rw http.ResponseWriter, apiKey string) { fmt.Fprint(rw, long+apiKey) }, true},
		"byte by byte": {func(rw http.ResponseWriter, apiKey string) {
			for i := range apiKey {
				_, _ = io.WriteString(rw, apiKey[i:i+1])
				rw.(http.Flusher).Flush()
			}
		}, true},
		"in an announced trailer": {func(rw http.ResponseWriter, apiKey string) {
			rw.Header().Set("Trailer", "X-Key")
			fmt.Fprint(rw, "body")
			rw.Header().Set("X-Key", apiKey)
		}, true},
		"in another trailer": {func(rw http.ResponseWriter, apiKey string) {
			fmt.Fprint(rw, "body")
			rw.(http.Flusher).Flush()
			rw.Header().Set(http.TrailerPrefix+"X-Key", apiKey)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w.answer(func(rw http.ResponseWriter, r *http.Request) { test.handler(rw, w.keyOf(w.userOf(r))) })
			if a := w.get(t, "ada", "/demo/echo"); test.cut {
				requireCut(t, a)
			} else {
				requireAnswer(t, a, http.StatusBadGateway, "holds the user's API key")
			}
		})
	}
	t.Run("in a header's name", func(t *testing.T) {
		w.set(t, "eve", "sk-of-token-characters-"+rand.Text())
		w.answer(func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("X-"+w.keyOf(w.userOf(r)), "x") })
		requireAnswer(t, w.get(t, "eve", "/demo/echo"), http.StatusBadGateway, "holds the user's API key")
	})
	t.Run("before the response", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", r.Header.Get("Authorization"))
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			fmt.Fprint(rw, "body")
		})
		answers := w.sendRaw(t, 1, "GET /demo/hints HTTP/1.1\r\nHost: injector\r\nInjector-User: ada\r\nConnection: close\r\n\r\n")
		if len(answers) != 1 || answers[0].status != 200 || answers[0].body != "body" {
			t.Errorf("the answers are %+v, want the last one alone", answers)
		}
	})
	for name, template := range map[string]string{
		"as the status":             "HTTP/1.1 KEY Bad\r\n\r\n",
		"as the protocol":           "KEY 200 OK\r\n\r\n",
		"in what is no header":      "HTTP/1.1 200 OK\r\nKEY\r\n\r\n",
		"in what is no trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nKEY\r\n\r\n",
		"as a length":               "HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n",
		"as an encoding":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: KEY\r\n\r\n",
		"as the length of a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\nx\r\n",
		"as another protocol":       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: KEY\r\n\r\nKEY",
		"after the response":        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\nGET KEY",
		"as the reason":             "HTTP/1.1 200 KEY\r\nContent-Length: 0\r\n\r\n",
		"as what is not compressed": "HTTP/1.1 200 OK\r\nContent-Encoding: KEY\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			raw <- template
			w.get(t, "ada", "/raw/x")
		})
	}
}

func testMisbehavingUpstreams(t *testing.T, w *world) {
	raw := w.rawUpstream(t)
	w.serve(t)
	for name, test := range map[string]struct{ template, want string }{
		"no answer":              {"", "not available"},
		"no HTTP":                {"SSH-2.0-OpenSSH\r\n", "not available"},
		"a large header":         {"HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", "not available"},
		"compressed":             {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "compressed"},
		"compressed twice":       {"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "compressed"},
		"another protocol":       {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "another protocol"},
		"a part":                 {"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx", "a part"},
		"less than it announces": {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", "not available"},
	} {
		t.Run(name, func(t *testing.T) {
			raw <- test.template
			a := w.get(t, "ada", "/raw/x")
			requireAnswer(t, a, http.StatusBadGateway, test.want)
			if a.header.Get("Injector-Error") == "" {
				t.Error("the answer does not say that it is the injector's own")
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		w.upstream.Close()
		requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusBadGateway, "not available")
	})
}

func testAnswersThatPass(t *testing.T, w *world) {
	w.serve(t)
	t.Run("a redirect, which is not followed", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://example.com/", http.StatusFound)
		})
		a := w.get(t, "ada", "/demo/x")
		requireAnswer(t, a, http.StatusFound, "")
		if a.header.Get("Location") != "https://example.com/" {
			t.Errorf("the answer leads to %q", a.header.Get("Location"))
		}
	})
	t.Run("without the upstream's session", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Set-Cookie", "session=secret")
			rw.Header().Set("Injector-Error", "mine")
			rw.Header().Set("X-Limit", "10")
			fmt.Fprint(rw, "body")
		})
		a := w.get(t, "ada", "/demo/x")
		requireAnswer(t, a, http.StatusOK, "body")
		if a.header.Get("Set-Cookie") != "" || a.header.Get("Injector-Error") != "" || a.header.Get("X-Limit") != "10" {
			t.Errorf("the headers are %v", a.header)
		}
	})
	t.Run("the beginning of a key", func(t *testing.T) {
		begun := w.keyOf("ada")[:30]
		w.answer(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, begun) })
		requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusOK, begun)
	})
	t.Run("a trailer", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(rw, "body")
			rw.Header().Set("X-Sum", "42")
		})
		if a := w.get(t, "ada", "/demo/x"); a.body != "body" || a.trailer.Get("X-Sum") != "42" {
			t.Errorf("the answer is %+v", a)
		}
	})
	t.Run("an answer before all is asked", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(rw)
			if err := errors.Join(control.EnableFullDuplex(), control.Flush()); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(rw, r.Body)
		})
		reader, writer := io.Pipe()
		request := w.request(t, "PUT", "ada", "/demo/x")
		request.Body = reader
		client := clientOf(w.socket)
		client.Transport.(*http.Transport).DisableKeepAlives = false // net/http drops nothing of the last request
		defer client.CloseIdleConnections()
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		sent := strings.Repeat("0123456789abcdef", 1<<16)
		go func() {
			_, err := io.WriteString(writer, sent)
			writer.CloseWithError(err)
		}()
		if received, err := io.ReadAll(response.Body); err != nil || string(received) != sent {
			t.Errorf("the answer has %d bytes, %v; want the %d that were sent", len(received), err, len(sent))
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Length", "12345") })
		if a := w.send(t, w.request(t, "HEAD", "ada", "/demo/x")); a.status != 200 || a.header.Get("Content-Length") != "12345" {
			t.Errorf("the answer is %+v", a)
		}
	})
	t.Run("a file that is compressed", func(t *testing.T) {
		w.answer(func(rw http.ResponseWriter, _ *http.Request) {
			writer := gzip.NewWriter(rw)
			fmt.Fprint(writer, "file")
			writer.Close()
		})
		reader, err := gzip.NewReader(strings.NewReader(w.get(t, "ada", "/demo/x.gz").body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(reader); string(text) != "file" || err != nil {
			t.Errorf("the file holds %q, %v", text, err)
		}
	})
	t.Run("each event at once", func(t *testing.T) {
		received := make(chan struct{})
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(rw, "data: %d\n", i)
				rw.(http.Flusher).Flush()
				select {
				case <-received:
				case <-r.Context().Done():
				}
			}
		})
		response, err := w.client.Do(w.request(t, "GET", "ada", "/demo/events"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for i := range 3 {
			if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("received %q, %v", line, err)
			}
			received <- struct{}{}
		}
	})
}

func testHangingUpstream(t *testing.T, w *world) {
	left := make(chan struct{}, 1)
	w.serve(t, "-timeout", "500ms")
	w.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); left <- struct{}{} })
	requireAnswer(t, w.get(t, "ada", "/demo/x"), http.StatusGatewayTimeout, "did not answer in time")
	<-left
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "begun")
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
		left <- struct{}{}
	})
	requireCut(t, w.get(t, "ada", "/demo/x"))
	<-left
	w.log.waitFor(t, `status=200 bytes=5`, 1)
	w.log.waitFor(t, `error="context deadline exceeded"`, 2)
}

func testLeavingApplication(t *testing.T, w *world) {
	asked, left := make(chan struct{}, 1), make(chan struct{}, 1)
	w.serve(t)
	for name, handler := range map[string]func(http.ResponseWriter){
		"before the response": func(http.ResponseWriter) {},
		"in the response":     func(rw http.ResponseWriter) { fmt.Fprint(rw, "begun"); rw.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				handler(rw)
				asked <- struct{}{}
				<-r.Context().Done()
				left <- struct{}{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			if a := w.send(t, w.request(t, "GET", "ada", "/demo/x").WithContext(ctx)); a.err == nil {
				t.Errorf("the answer is %+v", a)
			}
			<-left
		})
	}
	w.log.waitFor(t, `error="context canceled"`, 2)
	w.log.waitFor(t, "status=499", 1)
	if w.log.count("level=ERROR") > 0 {
		t.Error("an application that leaves is logged as an error")
	}
}
