package cloudkeys_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
)

// driver is a driver of a provider that this project does not know. It answers as it
// is told.
type driver struct {
	answer func(context.Context) ([]byte, error)
	code   gcerrors.ErrorCode
}

func (d driver) Encrypt(ctx context.Context, _ []byte) ([]byte, error) { return d.answer(ctx) }
func (d driver) Decrypt(ctx context.Context, _ []byte) ([]byte, error) { return d.answer(ctx) }
func (d driver) Close() error                                          { return nil }
func (d driver) ErrorAs(error, any) bool                               { return false }
func (d driver) ErrorCode(error) gcerrors.ErrorCode                    { return d.code }

func newKEK(d driver) *cloudkeys.KEK { return cloudkeys.New(secrets.NewKeeper(d), "custom") }

// Every code, with what Wrap and Unwrap make of it.
func TestCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[gcerrors.ErrorCode]struct{ wrap, unwrap error }{
		gcerrors.Unknown:            {keyring.ErrUnavailable, keyring.ErrUnavailable},
		gcerrors.Internal:           {keyring.ErrUnavailable, keyring.ErrUnavailable},
		gcerrors.ResourceExhausted:  {keyring.ErrUnavailable, keyring.ErrUnavailable},
		gcerrors.DeadlineExceeded:   {keyring.ErrUnavailable, keyring.ErrUnavailable},
		gcerrors.Canceled:           {keyring.ErrUnavailable, keyring.ErrUnavailable},
		gcerrors.InvalidArgument:    {gcerrors.ErrInvalidArgument, keyring.ErrWrongKey},
		gcerrors.NotFound:           {gcerrors.ErrNotFound, gcerrors.ErrNotFound},
		gcerrors.PermissionDenied:   {gcerrors.ErrPermissionDenied, gcerrors.ErrPermissionDenied},
		gcerrors.FailedPrecondition: {gcerrors.ErrFailedPrecondition, gcerrors.ErrFailedPrecondition},
		gcerrors.Unimplemented:      {gcerrors.ErrUnimplemented, gcerrors.ErrUnimplemented},
	} {
		kek := newKEK(driver{func(context.Context) ([]byte, error) { return nil, errors.New("the provider's text") }, code})
		_, wrapErr := kek.Wrap(t.Context(), newKey())
		_, unwrapErr := kek.Unwrap(t.Context(), []byte("wrapped"))
		for _, outcome := range []struct{ got, want error }{{wrapErr, want.wrap}, {unwrapErr, want.unwrap}} {
			if !errors.Is(outcome.got, outcome.want) || !strings.Contains(fmt.Sprint(outcome.got), "the provider's text") {
				t.Errorf("code %v: error %v, want %v", code, outcome.got, outcome.want)
			}
			if errors.Is(outcome.want, keyring.ErrUnavailable) != errors.Is(outcome.got, keyring.ErrUnavailable) {
				t.Errorf("code %v: %v", code, outcome.got)
			}
		}
	}
}

func TestAnswersWithoutAKey(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]byte{"nil": nil, "empty": {}} {
		kek := newKEK(driver{answer: func(context.Context) ([]byte, error) { return answer, nil }})
		if _, err := kek.Wrap(t.Context(), newKey()); !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("%s: Wrap: %v", name, err)
		}
		if _, err := kek.Unwrap(t.Context(), []byte("wrapped")); !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("%s: Unwrap: %v", name, err)
		}
	}
	huge := newKEK(driver{answer: func(context.Context) ([]byte, error) { return make([]byte, 4097), nil }})
	if _, err := huge.Wrap(t.Context(), newKey()); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("what would not be unwrapped was taken: %v", err)
	}
}

// A call without a deadline ends after 15 seconds, and a shorter deadline is the
// caller's.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kek := newKEK(driver{answer: func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("three tries, last: connection refused: %w", ctx.Err())
		}})
		start := time.Now()
		_, err := kek.Unwrap(t.Context(), []byte("wrapped"))
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("it took %s", took)
		}
		if !errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want ErrUnavailable only", err)
		}
		for _, want := range []string{"within 15s", "connection refused"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
		for _, after := range []time.Duration{time.Second, 15*time.Second - 1} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			_, err := kek.Wrap(ctx, newKey())
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, keyring.ErrUnavailable) {
				t.Errorf("error %v, want context.DeadlineExceeded only", err)
			}
		}
	})
}

// A client whose connection has the deadline of the context may give up before the
// context itself has ended.
func TestDeadlineOfTheConnection(t *testing.T) {
	t.Parallel()
	kek := newKEK(driver{answer: func(context.Context) ([]byte, error) { return nil, errors.New("read tcp: i/o timeout") }})
	if _, err := kek.Wrap(due{t.Context()}, newKey()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	if _, err := kek.Wrap(t.Context(), newKey()); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// due is a context whose deadline is now, and which has not ended yet.
type due struct{ context.Context }

func (due) Deadline() (time.Time, bool) { return time.Now(), true }

// opener notes the context that it is given, as one that renews credentials would.
type opener struct {
	given  chan context.Context
	goOn   chan struct{}
	closed atomic.Bool
}

func (o *opener) OpenKeeperURL(ctx context.Context, u *url.URL) (*secrets.Keeper, error) {
	o.given <- ctx
	<-o.goOn
	if u.Query().Has("fail") {
		return nil, fmt.Errorf("opening %v with %s: no such thing\nand more", u, u.Query().Get("pin"))
	}
	return secrets.NewKeeper(closing{driver{}, o}), nil
}

type closing struct {
	driver
	opener *opener
}

func (c closing) Close() error {
	c.opener.closed.Store(true)
	return nil
}

// The mux of gocloud.dev is for registering before a program starts.
var contextKeeping, slow, failing = register("keepscontext"), register("slowly"), register("failing")

func register(scheme string) *opener {
	o := &opener{}
	secrets.DefaultURLMux().RegisterKeeper(scheme, o)
	return o
}

// reset makes an opener ready for a test.
func (o *opener) reset() {
	o.given, o.goOn = make(chan context.Context, 1), make(chan struct{})
	o.closed.Store(false)
}

// Credentials are renewed for as long as the program runs, also when it was opened
// with a context that ends.
func TestOpenKeepsNoContext(t *testing.T) {
	t.Parallel()
	o := contextKeeping
	o.reset()
	close(o.goOn)
	ctx, cancel := context.WithCancel(t.Context())
	kek, err := cloudkeys.Open(ctx, "keepscontext://secret/as/far/as/known?pin=1234")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if given := <-o.given; given.Err() != nil || given.Done() != nil {
		t.Error("the context of Open ends the keeper's")
	}
	if kek.Name() != "keepscontext" {
		t.Errorf("its name is %s: who knows what is secret in it?", kek.Name())
	}
	if err := kek.Close(); err != nil || !o.closed.Load() {
		t.Errorf("the keeper is not closed: %v", err)
	}
}

func TestOpenMindsItsContext(t *testing.T) {
	t.Parallel()
	o := slow
	synctest.Test(t, func(t *testing.T) {
		o.reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cloudkeys.Open(ctx, "slowly://key"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want context.DeadlineExceeded", err)
		}
		close(o.goOn)
		synctest.Wait()
		if !o.closed.Load() {
			t.Error("a keeper that was opened too late is not closed")
		}
	})
}

func TestOpenErrorsHideTheQuery(t *testing.T) {
	t.Parallel()
	failing.reset()
	close(failing.goOn)
	_, err := cloudkeys.Open(t.Context(), "failing://MARKER/path?fail=1&pin=MARKER-9")
	if err == nil || strings.Contains(err.Error(), "MARKER") || !strings.Contains(err.Error(), "no such thing; and more") {
		t.Errorf("error %v", err)
	}
}

func TestOpenNamesTheImport(t *testing.T) {
	t.Parallel()
	for keyURL, want := range map[string]string{
		"hashivault://app": `import _ "gocloud.dev/secrets/hashivault"`,
		"nosuch://app":     "is one of awskms, azurekeyvault, base64key, gcpkms, hashivault meant?",
	} {
		if _, err := cloudkeys.Open(t.Context(), keyURL); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", keyURL, err, want)
		}
	}
}

// The keeper of gocloud.dev for AWS is linked here, and not the one that decrypts with
// one key.
func TestOpenRefusesAWSWithAnyKey(t *testing.T) {
	t.Parallel()
	const keyURL = "awskms://alias/app?region=eu-central-1"
	_, err := cloudkeys.Open(t.Context(), keyURL)
	if !errors.Is(err, cloudkeys.ErrUnauthenticated) || !strings.Contains(err.Error(), "import github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms") {
		t.Errorf("error %v", err)
	}
	kek, err := cloudkeys.OpenUnauthenticated(t.Context(), keyURL)
	if err != nil || kek.Name() != "awskms://alias/app" {
		t.Errorf("opened %v, %v", kek, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for keyURL, says := range map[string]string{
		"": "not a URL", "://": "not a URL", "\x00://x": "not a URL", "gcpkms": "not a URL", "gcpkms:projects/p": "not a URL",
		"MARKER:projects/p": "not a URL", "MARKER/x://y": "not a URL", "//MARKER": "not a URL", "secrets+://MARKER": "no package",
		"gcpkms://": "names no key", "gcpkms:///": "names no key", "gcpkms://?additional_authenticated_data=MARKER": "names no key",
		"gcpkms://u:MARKER@projects/p": "it has a user in it", "gcpkms://MARKER@projects/p": "it has a user in it",
		"hashivault://app?token=MARKER": "no package",
	} {
		_, err := cloudkeys.Open(t.Context(), keyURL)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%q: error %v, want %q", keyURL, err, says)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cloudkeys.Open(cancelled, localURL(newKey())); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
}

// A program links no provider that it does not import.
func TestLinksNoProvider(t *testing.T) {
	t.Parallel()
	deps := func(pkg string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	provider := func(pkg string) bool {
		return slices.ContainsFunc([]string{
			"github.com/aws/", "github.com/Azure/", "cloud.google.com/", "golang.org/x/oauth2",
			"gocloud.dev/secrets/awskms", "gocloud.dev/secrets/gcpkms", "gocloud.dev/secrets/azurekeyvault", "gocloud.dev/secrets/localsecrets",
		}, func(prefix string) bool { return strings.HasPrefix(pkg, prefix) })
	}
	own := deps("github.com/gormcrypt/gormcrypt/keyring/cloudkeys")
	if !slices.Contains(own, "gocloud.dev/secrets") {
		t.Fatalf("the list is not that of the package: %v", own)
	}
	if i := slices.IndexFunc(own, provider); i >= 0 {
		t.Errorf("it links %s", own[i])
	}
	if !slices.ContainsFunc(deps("github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms"), provider) {
		t.Error("this test would not see a provider")
	}
}
