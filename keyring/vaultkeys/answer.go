package vaultkeys

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// refusal is an answer of the server itself, in its own form, which will not be
// another one when the same is asked again. (A noAnswer may hold one too, of a status
// that says to ask again.)
type refusal struct {
	status  int
	reasons string
}

func (r *refusal) Error() string {
	if r.reasons == "" {
		return fmt.Sprintf("the server answers %d", r.status)
	}
	return fmt.Sprintf("the server answers %d, %q", r.status, r.reasons)
}

// noAnswer is everything else: no connection, a server that is sealed or busy, and
// what something that is no Vault server answers.
type noAnswer struct{ err error }

func (n *noAnswer) Error() string { return "no answer: " + n.err.Error() }
func (n *noAnswer) Unwrap() error { return n.err }

// maxAnswer bounds what is read before it is known to be an answer, in bytes.
const maxAnswer = 4 << 20

// send makes one request, never a second, and returns the body of a successful
// answer, which the caller clears. The error is a *refusal or a *noAnswer, and holds
// none of the secrets.
func send(ctx context.Context, client *api.Client, method, path string, request any, secrets ...string) ([]byte, error) {
	var response *api.Response
	var err error
	if method == http.MethodGet {
		response, err = client.Logical().ReadRawWithContext(ctx, path)
	} else {
		body, encodeErr := json.Marshal(request)
		if encodeErr != nil {
			return nil, encodeErr
		}
		defer clear(body)
		response, err = client.Logical().WriteRawWithContext(ctx, path, body)
	}
	if response == nil {
		return nil, &noAnswer{err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		clear(body)
		return nil, &noAnswer{err}
	}
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNoContent {
		return body, nil
	}
	defer clear(body)
	return nil, refused(response.StatusCode, body, append(secrets, client.Token()))
}

// refused tells an answer of Vault from that of a proxy, a balancer, or another
// program: only Vault's has a list of errors, or for a deleted secret its metadata.
func refused(status int, body []byte, secrets []string) error {
	var answer struct {
		Errors   *[]string
		Warnings []string                      // of a wrong path in a versioned kv store
		Data     *struct{ Metadata *struct{} } // of a deleted version
	}
	err := json.Unmarshal(body, &answer)
	reasons := ""
	if err == nil && answer.Errors != nil {
		reasons = printable(strings.Join(*answer.Errors, "; "), secrets)
	} else if err == nil {
		reasons = printable(strings.Join(answer.Warnings, "; "), secrets)
	}
	missing := status == http.StatusNotFound && (len(answer.Warnings) > 0 || answer.Data != nil && answer.Data.Metadata != nil)
	final := status >= 400 && status < 500 && status != http.StatusRequestTimeout &&
		status != http.StatusPreconditionFailed && status != http.StatusTooManyRequests
	switch {
	case status >= 300 && status < 400:
		return &noAnswer{fmt.Errorf("status %d: it redirects, and that is not followed; use the address of the active node, or of a balancer that finds it", status)}
	case err != nil || answer.Errors == nil && !missing:
		return &noAnswer{fmt.Errorf("status %d, not in the form of a Vault server; is its address right, and does nothing answer in its place?", status)}
	case !final:
		return &noAnswer{&refusal{status, reasons}}
	}
	return &refusal{status, reasons}
}

// printable shortens what a server says, and takes out what it was told.
func printable(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return text
}

// data reads the part of an answer that is the secret's into a structure.
func data(body []byte, into any) error {
	answer := struct{ Data any }{into}
	if err := json.Unmarshal(body, &answer); err != nil {
		// The texts of encoding/json quote what they read.
		return &noAnswer{fmt.Errorf("%d bytes that are not in the form of a Vault server", len(body))}
	}
	return nil
}
