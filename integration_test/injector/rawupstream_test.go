package injector_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
)

// rawUpstream is an upstream that speaks its own HTTP: it answers each connection
// with the bytes in a template, in which KEY stands for the key that it got. It
// has to be made before the injector is started.
func (w *world) rawUpstream(t *testing.T) (answer chan<- string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w.raw = listener
	templates := make(chan string, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			request, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				apiKey := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
				_, _ = conn.Write([]byte(strings.ReplaceAll(<-templates, "KEY", apiKey)))
			}
			conn.Close()
		}
	}()
	return templates
}
