// App is an application that calls other services for its users, and holds
// nothing to do it with: no API key, no key for the database, no address, and no
// network. All it has is the injector's socket.
//
// It reads requests from standard input, a user and a path on each line, and
// prints the answers:
//
//	$ echo "ada demo/account" | go run ./examples/injector/app -socket injector/socket
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	socket := flag.String("socket", "injector/socket", "the injector's socket")
	flag.Parse()
	client := newClient(*socket)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		user, path, ok := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if !ok {
			fmt.Println("want: USER UPSTREAM/PATH")
			continue
		}
		answer, err := get(client, user, path)
		if err != nil {
			answer = err.Error()
		}
		fmt.Printf("%s: %s\n", user, answer)
	}
}

// newClient returns a client whose every request goes to the injector, whatever
// the host in its URL.
func newClient(socket string) *http.Client {
	return &http.Client{
		Timeout: 3 * time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
		// The injector knows upstreams by name, and not the URL of a redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get asks an upstream as a user: "github/user" is /user on the upstream github.
func get(client *http.Client, user, path string) (string, error) {
	request, err := http.NewRequest("GET", "http://injector/"+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Injector-User", user)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("the answer was cut: %w", err)
	}
	return response.Status + " " + strings.TrimSpace(string(body)), nil
}
