package injector_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

func testEachUser(t *testing.T, w *world) {
	w.serve(t)
	w.client.Transport.(*http.Transport).DisableKeepAlives = false
	var group sync.WaitGroup
	for _, user := range []string{"ada", "bob", "cyd"} {
		for n := range 4 {
			group.Go(func() {
				for i := range 25 {
					requireAnswer(t, w.get(t, user, fmt.Sprintf("/demo/whoami?%d=%d", n, i)), http.StatusOK, user)
				}
			})
		}
	}
	group.Wait()
	w.log.waitFor(t, "msg=request user=", 300)
	w.log.waitFor(t, "msg=request user=ada upstream=demo method=GET path=/demo/whoami status=200 bytes=3 duration=", 100)
}

func testSetAndUnset(t *testing.T, w *world) {
	w.serve(t)
	requireAnswer(t, w.get(t, "nobody", "/demo/whoami"), http.StatusNotFound, "unknown user")
	w.set(t, "dee", newAPIKey())
	requireAnswer(t, w.get(t, "dee", "/demo/whoami"), http.StatusOK, "dee")
	w.set(t, "dee", newAPIKey())
	requireAnswer(t, w.get(t, "dee", "/demo/whoami"), http.StatusOK, "dee")
	w.must(t, "", "unset", "-user", "dee", "-upstream", "demo")
	requireAnswer(t, w.get(t, "dee", "/demo/whoami"), http.StatusFailedDependency, "no API key")
	if w.run("", "unset", "-user", "dee", "-upstream", "demo") == nil {
		t.Error("a key was forgotten twice")
	}
}

func testRefusedCommands(t *testing.T, w *world) {
	apiKey := newAPIKey()
	w.remember("refused", apiKey)
	set := []string{"set", "-user", "ada", "-upstream", "demo"}
	for name, test := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no key":                 {"", set, "must be 16 to 4096 bytes"},
		"a short key":            {"0123456789abcde", set, "must be 16 to 4096 bytes"},
		"a long key":             {strings.Repeat(apiKey, 4096/len(apiKey)+1), set, "must be 16 to 4096 bytes"},
		"two lines":              {apiKey + "\n" + apiKey, set, "one line"},
		"a header":               {apiKey + "\r\nX: y", set, "one line"},
		"a quotation mark":       {`"` + apiKey + `"`, set, "one line"},
		"a key as an argument":   {"", append(set, "-key", apiKey), "flag provided but not defined: -key"},
		"no user":                {apiKey, []string{"set", "-upstream", "demo"}, "-user must be"},
		"no upstream":            {apiKey, []string{"set", "-user", "ada"}, "needs -upstream"},
		"two upstreams":          {apiKey, append(set, "-upstream", "raw"), "one upstream"},
		"an upstream by URL":     {apiKey, []string{"set", "-user", "ada", "-upstream", "demo=https://example.com"}, "one upstream"},
		"an unknown command":     {"", []string{"start"}, "no command"},
		"a URL in clear":         {"", []string{"serve", "-upstream", "demo=http://example.com"}, "https://"},
		"a URL with a password":  {"", []string{"serve", "-upstream", "demo=https://u:p@example.com"}, "no user"},
		"a URL with a query":     {"", []string{"serve", "-upstream", "demo=https://example.com/?a=b"}, "no query"},
		"a URL that climbs":      {"", []string{"serve", "-upstream", "demo=https://example.com/a/../b"}, "no dot segments"},
		"a relative URL":         {"", []string{"serve", "-upstream", "demo=example.com"}, "a host"},
		"a name with a slash":    {"", []string{"serve", "-upstream", "de/mo=https://example.com"}, "NAME=URL"},
		"a name twice":           {"", []string{"serve", "-upstream", "demo=https://a.example", "-upstream", "demo=https://b.example"}, "twice"},
		"a user that is not":     {"", []string{"serve", "-upstream", "demo=https://example.com", "-app", "no-such-user"}, "no-such-user"},
		"a directory of all":     {"", []string{"serve", "-upstream", "demo=https://example.com", "-socket", os.TempDir() + "/injector-test-socket"}, "a directory of its own"},
		"no timeout":             {"", []string{"serve", "-upstream", "demo=https://example.com", "-timeout", "0s"}, "-timeout"},
		"a keyring by its name":  {"", []string{"init", "-keys", "keys.json"}, "file:PATH, env:NAME"},
		"a keyring that is none": {"", []string{"serve", "-upstream", "demo=https://example.com", "-keys", "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := w.command(test.args[0], test.args[1:]...)
			cmd.Stdin = strings.NewReader(test.stdin)
			printed := newOutput()
			cmd.Stdout, cmd.Stderr = printed, printed
			if err := cmd.Run(); err == nil || printed.count(test.want) == 0 {
				t.Errorf("it ended with %v, and printed %q; want %q", err, printed, test.want)
			}
			if test.args[0] == "set" && !strings.Contains(name, "argument") && printed.count(apiKey) > 0 {
				t.Errorf("the key was printed: %s", printed)
			}
		})
	}
}
