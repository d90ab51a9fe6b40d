package awskms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"gocloud.dev/gcerrors"
	gocloud "gocloud.dev/secrets/awskms"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func TestMain(m *testing.M) {
	// The credentials as a program finds them, and nothing of this machine's.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

// urlOf is the URL of a key of the fake, as a user would write it otherwise.
func urlOf(f *fakeKMS, key string, query ...string) string {
	return "awskms:///" + key + "?region=eu-central-1&endpoint=" + url.QueryEscape(f.URL) + strings.Join(append([]string{""}, query...), "&")
}

func open(t *testing.T, f *fakeKMS, key string, query ...string) *cloudkeys.KEK {
	t.Helper()
	kek, err := cloudkeys.Open(t.Context(), urlOf(f, key, query...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kek.Close(); err != nil {
			t.Error(err)
		}
	})
	return kek
}

func newKey() []byte {
	key := make([]byte, keyring.KeySize)
	rand.Read(key) // never fails
	return key
}

func wrap(t *testing.T, kek keyring.KEK, key []byte) []byte {
	t.Helper()
	wrapped, err := kek.Wrap(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func requireUnwraps(t *testing.T, kek keyring.KEK, wrapped, key []byte) {
	t.Helper()
	if got, err := kek.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, key) {
		t.Fatalf("the key was not unwrapped: %v", err)
	}
}

func requireWrongKey(t *testing.T, kek keyring.KEK, wrapped []byte) {
	t.Helper()
	if key, err := kek.Unwrap(t.Context(), wrapped); key != nil || !errors.Is(err, keyring.ErrWrongKey) {
		t.Fatalf("unwrapped %d bytes with the error %v, want ErrWrongKey", len(key), err)
	}
}

// The other key is one that the credentials may use too, so KMS itself would
// decrypt.
func TestKEK(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return open(t, f, appKey, "context_app=shop") },
		Other: func(t *testing.T) keyring.KEK { return open(t, f, otherKey, "context_app=shop") },
	})
}

func TestKEKOfOwnClient(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	client := clientOf(f.URL, nil)
	encryptionContext := map[string]string{"app": "shop"}
	kek := awskms.New(client, appKey, encryptionContext)
	clear(encryptionContext) // the caller's own
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(*testing.T) keyring.KEK { return kek },
		Other: func(*testing.T) keyring.KEK { return awskms.New(client, otherKey, map[string]string{"app": "shop"}) },
	})
	key := newKey()
	requireUnwraps(t, open(t, f, appKey, "context_app=shop"), wrap(t, kek, key), key)
	if kek.Name() != open(t, f, appKey).Name() {
		t.Errorf("its name is %s", kek.Name())
	}
}

// Why this package is there: gocloud.dev's keeper decrypts with any key.
func TestKeeperOfGocloudTakesAnyKey(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	client := clientOf(f.URL, nil)
	bare := cloudkeys.New(gocloud.OpenKeeper(client, appKey, nil), "bare")
	key := newKey()
	forged := wrap(t, awskms.New(client, otherKey, nil), key)
	requireUnwraps(t, bare, forged, key)
	requireWrongKey(t, awskms.New(client, appKey, nil), forged)
}

func TestEncryptionContext(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	shop := []string{"context_app=shop", "context_env=live"}
	key := newKey()
	wrapped := wrap(t, open(t, f, appKey, shop...), key)
	requireUnwraps(t, open(t, f, appKey, shop[1], shop[0]), wrapped, key)
	for name, query := range map[string][]string{
		"another value": {"context_app=mail", shop[1]}, "another name": {"context_ap=shop", shop[1]}, "one less": {shop[0]},
		"one more": {shop[0], shop[1], "context_x=y"}, "none": nil, "another case": {"context_app=Shop", shop[1]},
	} {
		t.Run(name, func(t *testing.T) { requireWrongKey(t, open(t, f, appKey, query...), wrapped) })
	}
	_, err := cloudkeys.Open(t.Context(), urlOf(f, appKey, "context_app=shop", "context_app=mail"))
	if err == nil || !strings.Contains(err.Error(), "context_app is there 2 times") {
		t.Errorf("one name with two values: %v", err)
	}
}

// An alias stands for a key: what one wraps the other unwraps, until it is moved.
func TestAlias(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	alias, err := cloudkeys.Open(t.Context(), "awskms://alias/app?region=eu-central-1&endpoint="+url.QueryEscape(f.URL))
	if err != nil {
		t.Fatal(err)
	}
	if alias.Name() != "awskms://alias/app" {
		t.Errorf("its name is %s", alias.Name())
	}
	key := newKey()
	wrapped := wrap(t, alias, key)
	requireUnwraps(t, open(t, f, appKey), wrapped, key)
	requireUnwraps(t, alias, wrap(t, open(t, f, appKey), key), key)

	f.mu.Lock()
	f.keys[appAlias] = f.keys[otherKey]
	f.mu.Unlock()
	requireWrongKey(t, alias, wrapped)
	requireUnwraps(t, open(t, f, appKey), wrapped, key)
}

// One call for each Wrap and Unwrap, none for Open, and none for what cannot be
// right.
func TestCalls(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	kek, key := open(t, f, appKey), newKey()
	wrapped := wrap(t, kek, key)
	for range 3 {
		requireUnwraps(t, kek, wrapped, key)
	}
	requireWrongKey(t, kek, nil)
	requireWrongKey(t, kek, make([]byte, 4097))
	if _, err := kek.Wrap(t.Context(), key[:31]); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("half a key was wrapped: %v", err)
	}
	if got, want := f.count(), []string{"Encrypt", "Decrypt", "Decrypt", "Decrypt"}; !slices.Equal(got, want) {
		t.Errorf("the calls were %v, want %v", got, want)
	}
}

// A process that starts calls KMS once for each key, and then no more.
func TestCallsOfAKeyring(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	kek := open(t, f, appKey, "context_app=shop")
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var keys []keyring.Key
	for _, version := range ring.Versions() {
		wrapped, err := ring.Wrap(t.Context(), kek, version)
		if err != nil {
			t.Fatal(err)
		}
		check, err := ring.CheckValue(version)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keyring.UnwrapKey(t.Context(), kek, version, keyring.Primary, check, wrapped)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	loaded, err := keyring.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range ring.Versions() {
		for range 1000 {
			if _, err := loaded.Derive(version, "a column", 32); err != nil {
				t.Fatal(err)
			}
		}
	}
	if calls, want := f.count(), []string{"Encrypt", "Decrypt", "Encrypt", "Decrypt"}; !slices.Equal(calls, want) {
		t.Errorf("the calls were %v, want %v", calls, want)
	}
}

// What is final, and what it says.
func TestRefusals(t *testing.T) {
	t.Parallel()
	denied := func(operation string) func(*fakeKMS) {
		return func(f *fakeKMS) {
			f.refuse(appKey, operation, "User: arn:aws:iam::111122223333:user/shop is not authorized to perform: kms:"+operation)
		}
	}
	state := func(exception string) func(*fakeKMS) {
		return func(f *fakeKMS) { f.setState(appKey, exception) }
	}
	answer := func(exception string) func(*fakeKMS) {
		return func(f *fakeKMS) {
			f.answerWith(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, exception, "") })
		}
	}
	gone := func(f *fakeKMS) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.keys[appKey] = nil
	}
	for name, test := range map[string]struct {
		setup        func(*fakeKMS)
		wrap, unwrap error  // nil: works
		says         string // both
	}{
		"may not decrypt":          {denied("Decrypt"), nil, gcerrors.ErrPermissionDenied, "must be valid and have kms:Decrypt"},
		"may not encrypt":          {denied("Encrypt"), gcerrors.ErrPermissionDenied, nil, "must be valid and have kms:Encrypt"},
		"unknown credentials":      {answer("UnrecognizedClientException"), gcerrors.ErrPermissionDenied, gcerrors.ErrPermissionDenied, "credentials must be valid"},
		"disabled":                 {state("DisabledException"), gcerrors.ErrFailedPrecondition, gcerrors.ErrFailedPrecondition, "is it enabled"},
		"pending deletion":         {state("KMSInvalidStateException"), gcerrors.ErrFailedPrecondition, gcerrors.ErrFailedPrecondition, "about to be deleted"},
		"for signatures":           {state("InvalidKeyUsageException"), gcerrors.ErrFailedPrecondition, gcerrors.ErrFailedPrecondition, "for encryption"},
		"malformed key ID":         {answer("ValidationException"), gcerrors.ErrFailedPrecondition, gcerrors.ErrFailedPrecondition, "ValidationException"},
		"not there":                {answer("NotFoundException"), gcerrors.ErrNotFound, gcerrors.ErrNotFound, "no such key"},
		"wrapped by a deleted key": {gone, gcerrors.ErrNotFound, keyring.ErrWrongKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeKMS(t)
			kek, key := open(t, f, appKey), newKey()
			wrapped := wrap(t, kek, key)
			f.count()
			test.setup(f)
			_, wrapErr := kek.Wrap(t.Context(), key)
			_, unwrapErr := kek.Unwrap(t.Context(), wrapped)
			for _, outcome := range []struct{ got, want error }{{wrapErr, test.wrap}, {unwrapErr, test.unwrap}} {
				if !errors.Is(outcome.got, outcome.want) {
					t.Errorf("error %v, want %v", outcome.got, outcome.want)
				}
				if outcome.got != nil && !strings.Contains(outcome.got.Error(), test.says) {
					t.Errorf("%v does not say %q", outcome.got, test.says)
				}
				if errors.Is(outcome.got, keyring.ErrUnavailable) {
					t.Errorf("%v asks to try again", outcome.got)
				}
			}
			if calls := f.count(); len(calls) != 2 {
				t.Errorf("the calls were %v: what is final was tried again", calls)
			}
		})
	}
}

// All the ways in which AWS says that it does not know, or does not let, the caller.
func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	for _, exception := range []string{
		"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "InvalidSignatureException",
		"NotAuthorized", "OptInRequired", "UnrecognizedClientException", "InvalidGrantTokenException",
	} {
		t.Run(exception, func(t *testing.T) {
			t.Parallel()
			f := newFakeKMS(t)
			f.answerWith(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, exception, "") })
			_, err := open(t, f, appKey).Unwrap(t.Context(), []byte("wrapped"))
			if !errors.Is(err, gcerrors.ErrPermissionDenied) || !strings.Contains(err.Error(), "kms:Decrypt") {
				t.Errorf("error %v, want ErrPermissionDenied", err)
			}
		})
	}
}

// What may succeed later, and how often the client tries.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	exception := func(status int, name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, name, "Rate exceeded") }
	}
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		calls  int // of one Unwrap
	}{
		"throttled":           {exception(400, "ThrottlingException"), 3},
		"limit exceeded":      {exception(400, "LimitExceededException"), 3},
		"internal":            {exception(500, "KMSInternalException"), 3},
		"dependency timeout":  {exception(503, "DependencyTimeoutException"), 3},
		"key unavailable":     {exception(500, "KeyUnavailableException"), 3},
		"expired credentials": {exception(400, "ExpiredTokenException"), 1},
		"unheard of":          {exception(400, "BrandNewException"), 1},
		"502":                 {text(502, "<html>Bad Gateway</html>"), 3},
		"503, empty":          {text(503, ""), 3},
		"429":                 {text(429, "slow down"), 1},
		"a proxy's 403":       {text(403, "<html>Forbidden</html>"), 1},
		"another page":        {text(200, "<html>Sign in to the hotel</html>"), 1},
		"empty":               {text(200, ""), 1},
		"an empty object":     {text(200, "{}"), 1},
		"null":                {text(200, "null"), 1},
		"a list":              {text(200, "[]"), 1},
		"cut off":             {text(200, `{"KeyId":"app","Plaintext":"QUJDREVGR0hJSktMTU5PUFFS`), 1},
		"not base64":          {text(200, `{"KeyId":"app","Plaintext":"&&&&","CiphertextBlob":"&&&&"}`), 1},
		"numbers":             {text(200, `{"KeyId":"app","Plaintext":1234,"CiphertextBlob":1234}`), 1},
		"empty strings":       {text(200, `{"KeyId":"app","Plaintext":"","CiphertextBlob":""}`), 1},
		"dropped":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3},
		"dropped half way": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"KeyId":"app","Pl`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeKMS(t)
			kek := awskms.New(clientOf(f.URL, func(o *kms.Options) { o.Retryer = impatient() }), appKey, nil)
			key := newKey()
			wrapped := wrap(t, kek, key)
			f.answerWith(test.answer)
			f.count()
			requireUnavailable(t, kek, wrapped, key)
			if calls := len(f.count()) / 2; calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
			f.answerWith(nil)
			requireUnwraps(t, kek, wrapped, key)
		})
	}
}

func requireUnavailable(t *testing.T, kek keyring.KEK, wrapped, key []byte) {
	t.Helper()
	got, err := kek.Wrap(t.Context(), key)
	if got != nil || !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("Wrap: error %v, want ErrUnavailable", err)
	}
	got, err = kek.Unwrap(t.Context(), wrapped)
	if got != nil || !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("Unwrap: error %v, want ErrUnavailable", err)
	}
	if errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("Unwrap: %v is two things at once", err)
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	for name, endpoint := range map[string]string{"refused": "http://" + listener.Addr().String(), "no such host": "http://kms.invalid"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kek := awskms.New(clientOf(endpoint, func(o *kms.Options) { o.Retryer = impatient() }), appKey, nil)
			requireUnavailable(t, kek, []byte("wrapped"), newKey())
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		t.Parallel()
		failing := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("the metadata service does not answer")
		})
		kek := awskms.New(clientOf("http://127.0.0.1:1", func(o *kms.Options) { o.Credentials = failing }), appKey, nil)
		requireUnavailable(t, kek, []byte("wrapped"), newKey())
	})
}

// The error of the context is told from that of the server.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	kek, key := open(t, f, appKey), newKey()
	wrapped := wrap(t, kek, key)
	ctx, cancel := context.WithCancel(t.Context())
	f.answerWith(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server see that the client is gone
		cancel()
		<-r.Context().Done()
	})
	if _, err := kek.Wrap(ctx, key); !errors.Is(err, context.Canceled) || errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := kek.Unwrap(short, wrapped); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
}

// A client of a URL tries three times too.
func TestRetries(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	kek, key := open(t, f, appKey), newKey()
	failures := 2
	f.answerWith(func(w http.ResponseWriter, r *http.Request) {
		if failures--; failures == 0 {
			f.answerWith(nil)
		}
		refuse(w, http.StatusInternalServerError, "KMSInternalException", "")
	})
	requireUnwraps(t, kek, wrap(t, kek, key), key)
	if calls := f.count(); !slices.Equal(calls, []string{"Encrypt", "Encrypt", "Encrypt", "Decrypt"}) {
		t.Errorf("the calls were %v", calls)
	}
	f.answerWith(func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "KMSInternalException", "") })
	if _, err := kek.Wrap(t.Context(), key); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if calls := f.count(); len(calls) != 3 {
		t.Errorf("the calls were %v, want three", calls)
	}
}

// A server, or a proxy before it, may echo what it is sent. No error shows the key,
// the credentials, or leads to the request or the answer that hold them.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	f := newFakeKMS(t)
	kek, key := open(t, f, appKey), newKey()
	wrapped := wrap(t, kek, key)
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		refuse(w, http.StatusBadRequest, "ValidationException", string(body)+r.Header.Get("Authorization"))
	}
	partly := func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"Plaintext":"`+base64.StdEncoding.EncodeToString(key)+`"`)
	}
	for name, answer := range map[string]http.HandlerFunc{"an echo": echo, "half an answer": partly} {
		f.answerWith(answer)
		_, wrapErr := kek.Wrap(t.Context(), key)
		_, unwrapErr := kek.Unwrap(t.Context(), wrapped)
		for _, err := range []error{wrapErr, unwrapErr} {
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			shown := fmt.Sprintf("%v %+v %#v", err, err, err)
			for _, form := range keyringtest.Forms(key) {
				if strings.Contains(shown, form) {
					t.Errorf("%s: a key shows in %s", name, shown)
				}
			}
			requireFlat(t, err)
		}
	}
}

// requireFlat fails if an error leads to more than texts and sentinels.
func requireFlat(t *testing.T, err error) {
	t.Helper()
	switch typ := fmt.Sprintf("%T", err); typ {
	case "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors":
	default:
		t.Errorf("the error leads to a %s", typ)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		requireFlat(t, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			requireFlat(t, inner)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ url, says string }{
		"no region":          {"awskms://alias/app", "no region is known"},
		"an unknown option":  {"awskms://alias/app?region=eu-central-1&regoin=MARKER", `unknown query parameter "regoin"`},
		"a role by its name": {"awskms://alias/app?region=eu-central-1&role=MARKER", "invalid value for role"},
		"fips, but how":      {"awskms://alias/app?region=eu-central-1&fips=MARKER", "invalid value for fips"},
		"an ARN as a host":   {"awskms://arn:aws:kms:eu-central-1:111122223333:key/MARKER", "three slashes before an ARN"},
		"no key":             {"awskms://?region=eu-central-1", "names no key"},
		"credentials in it":  {"awskms://AKIA:MARKER@alias/app", "it has a user in it"},
		"one slash too few":  {"awskms:alias/app", "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := cloudkeys.Open(t.Context(), test.url)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v does not say %q", err, test.says)
			}
			if strings.Contains(err.Error(), "MARKER") {
				t.Errorf("%v shows what it should not", err)
			}
		})
	}
}

func clientOf(endpoint string, with func(*kms.Options)) *kms.Client {
	options := kms.Options{
		Region: "eu-central-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	}
	if with == nil {
		return kms.New(options)
	}
	return kms.New(options, with)
}

// impatient is the SDK's retryer without the time between two tries.
func impatient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}
