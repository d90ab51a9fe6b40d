// Upstream stands for a service on the internet, to try the injector without one.
// It answers with a fingerprint of the API key that it was called with.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "the address to listen on")
	flag.Parse()
	http.HandleFunc("GET /v1/account", func(w http.ResponseWriter, r *http.Request) {
		apiKey, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "no API key", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "the account of the API key with SHA-256 %.4x...\n", sha256.Sum256([]byte(apiKey)))
	})
	http.HandleFunc("GET /v1/echo", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, ", "))
		}
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}
