package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// vaultCore is a Vault core in a process of its own.
type vaultCore struct {
	Address, RootToken string

	stop func()
}

const vaultKey = "vault"

// vault is a real Vault core, which is asked as root:
//
//	vault start                 starts one, whose address the settings have then
//	vault write PATH [JSON]     writes to a path of its API
//	vault store PATH FIELD FILE puts a file into the field of a secret
//	vault token VARIABLE POLICY has a variable hold a token with a policy
//	vault stop                  stops it
func vault(ts *testscript.TestScript, neg bool, args []string) {
	core := ts.Value(vaultKey).(*vaultCore)
	switch {
	case neg || len(args) == 0:
	case args[0] == "start" && len(args) == 1:
		core.start(ts)
		return
	case args[0] == "stop" && len(args) == 1:
		core.stop()
		return
	case args[0] == "write" && len(args) == 2:
		core.write(ts, args[1], "{}")
		return
	case args[0] == "write" && len(args) == 3:
		core.write(ts, args[1], args[2])
		return
	case args[0] == "store" && len(args) == 4:
		secret, err := json.Marshal(map[string]string{args[2]: ts.ReadFile(args[3])})
		ts.Check(err)
		core.write(ts, args[1], string(secret))
		return
	case args[0] == "token" && len(args) == 3:
		answer := core.write(ts, "auth/token/create", fmt.Sprintf(`{"policies": [%q], "no_parent": true}`, args[2]))
		var token struct {
			Auth struct {
				ClientToken string `json:"client_token"`
			}
		}
		ts.Check(json.Unmarshal(answer, &token))
		ts.Setenv(args[1], token.Auth.ClientToken)
		return
	}
	ts.Fatalf("usage: vault start|write|store|token|stop")
}

// vaultServer returns the path of the compiled core, which the go command keeps. It takes
// minutes the first time.
var vaultServer = sync.OnceValues(func() (string, error) {
	find := exec.Command("go", "tool", "-n", "vaultserver")
	find.Dir, find.Env = "../../keyring/vaultkeys/vaultserver", append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	find.Stderr = os.Stderr
	path, err := find.Output()
	return strings.TrimSpace(string(path)), err
})

func (v *vaultCore) start(ts *testscript.TestScript) {
	path, err := vaultServer()
	ts.Check(err)
	core := exec.Command(path)
	stdin, err := core.StdinPipe() // the core ends with it
	ts.Check(err)
	stdout, err := core.StdoutPipe()
	ts.Check(err)
	ts.Check(core.Start())
	v.stop = func() {
		stdin.Close()
		_ = core.Wait()
	}
	ts.Defer(v.stop)
	ts.Check(json.NewDecoder(stdout).Decode(v))
	ts.Setenv("GORMCRYPT_VAULT_ADDRESS", v.Address)
}

func (v *vaultCore) write(ts *testscript.TestScript, path, body string) []byte {
	request, err := http.NewRequest(http.MethodPut, v.Address+"/v1/"+path, bytes.NewReader([]byte(body)))
	ts.Check(err)
	request.Header.Set("X-Vault-Token", v.RootToken)
	response, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	ts.Check(err)
	if response.StatusCode >= 300 {
		ts.Fatalf("%s: %s: %s", path, response.Status, answer)
	}
	return answer
}
