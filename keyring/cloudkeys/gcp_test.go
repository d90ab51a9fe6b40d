package cloudkeys_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets/gcpkms"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// fakeGCP is Cloud KMS as far as a key-encryption key needs it, with real AES-GCM.
type fakeGCP struct {
	kmspb.UnimplementedKeyManagementServiceServer
	client *cloudkms.KeyManagementClient
	keys   map[string]cipher.AEAD
	calls  atomic.Int32
	// refuse, if any, answers instead.
	refuse atomic.Pointer[func(context.Context) error]
}

const (
	gcpKey   = "projects/p/locations/global/keyRings/r/cryptoKeys/app"
	gcpOther = "projects/p/locations/global/keyRings/r/cryptoKeys/other"
)

func newFakeGCP(t *testing.T) *fakeGCP {
	f := &fakeGCP{keys: map[string]cipher.AEAD{}}
	for _, name := range []string{gcpKey, gcpOther} {
		block, err := aes.NewCipher(newKey())
		if err != nil {
			t.Fatal(err)
		}
		if f.keys[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(server, f)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	f.client = gcpClient(t, listener.Addr().String())
	return f
}

func gcpClient(t *testing.T, address string) *cloudkms.KeyManagementClient {
	client, err := cloudkms.NewKeyManagementClient(t.Context(), option.WithEndpoint(address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (f *fakeGCP) kek(name, aad string) *cloudkeys.KEK {
	return cloudkeys.New(gcpkms.OpenKeeper(f.client, name, &gcpkms.KeeperOptions{AdditionalAuthenticatedData: []byte(aad)}), "gcpkms://"+name)
}

func (f *fakeGCP) key(ctx context.Context, name string) (cipher.AEAD, error) {
	f.calls.Add(1)
	if refuse := f.refuse.Load(); refuse != nil {
		return nil, (*refuse)(ctx)
	}
	if f.keys[name] == nil {
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	}
	return f.keys[name], nil
}

func (f *fakeGCP) Encrypt(ctx context.Context, request *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	key, err := f.key(ctx, request.Name)
	if err != nil {
		return nil, err
	}
	return &kmspb.EncryptResponse{Name: request.Name, Ciphertext: key.Seal(nil, nil, request.Plaintext, request.AdditionalAuthenticatedData)}, nil
}

func (f *fakeGCP) Decrypt(ctx context.Context, request *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	key, err := f.key(ctx, request.Name)
	if err != nil {
		return nil, err
	}
	plaintext, err := key.Open(nil, nil, request.Ciphertext, request.AdditionalAuthenticatedData)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	return &kmspb.DecryptResponse{Plaintext: plaintext}, nil
}

func TestGCPKEK(t *testing.T) {
	t.Parallel()
	f := newFakeGCP(t)
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(*testing.T) keyring.KEK { return f.kek(gcpKey, "shop") },
		Other: func(*testing.T) keyring.KEK { return f.kek(gcpOther, "shop") },
	})
}

func TestGCPAssociatedDataAndCalls(t *testing.T) {
	t.Parallel()
	f := newFakeGCP(t)
	key := newKey()
	wrapped, err := f.kek(gcpKey, "shop").Wrap(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.kek(gcpKey, "shop").Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("the key was not unwrapped: %v", err)
	}
	if calls := f.calls.Load(); calls != 2 {
		t.Errorf("%d calls for one Wrap and one Unwrap", calls)
	}
	if _, err := f.kek(gcpKey, "mail").Unwrap(t.Context(), wrapped); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("other associated data: %v", err)
	}
	if _, err := f.kek(gcpKey+"2", "shop").Unwrap(t.Context(), wrapped); !errors.Is(err, gcerrors.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestGCPErrors(t *testing.T) {
	t.Parallel()
	for code, test := range map[codes.Code]struct {
		want error
		says string
	}{
		codes.PermissionDenied:   {gcerrors.ErrPermissionDenied, "cloudkms.cryptoKeyVersions.useToDecrypt"},
		codes.FailedPrecondition: {gcerrors.ErrFailedPrecondition, "is it enabled"},
		codes.NotFound:           {gcerrors.ErrNotFound, "no such key"},
		codes.ResourceExhausted:  {keyring.ErrUnavailable, ""},
		codes.Internal:           {keyring.ErrUnavailable, ""},
		codes.Unauthenticated:    {keyring.ErrUnavailable, ""}, // also when the server of the tokens does not answer
		codes.Aborted:            {keyring.ErrUnavailable, ""},
		codes.Canceled:           {keyring.ErrUnavailable, ""},
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			f := newFakeGCP(t)
			refuse := func(context.Context) error { return status.Error(code, "the server's text") }
			f.refuse.Store(&refuse)
			_, err := f.kek(gcpKey, "").Unwrap(t.Context(), []byte("wrapped"))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "the server's text") {
				t.Errorf("error %v, want %v with %q", err, test.want, test.says)
			}
			if calls := f.calls.Load(); calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

// The client tries again while the service is not available.
func TestGCPUnavailable(t *testing.T) {
	t.Parallel()
	f := newFakeGCP(t)
	key := newKey()
	refuse := func(context.Context) error {
		if f.calls.Load() == 2 {
			f.refuse.Store(nil)
		}
		return status.Error(codes.Unavailable, "down")
	}
	f.refuse.Store(&refuse)
	if _, err := f.kek(gcpKey, "").Wrap(t.Context(), key); err != nil {
		t.Errorf("the third try should have worked: %v", err)
	}
	// Without end, until the context ends.
	refuse = func(context.Context) error { return status.Error(codes.Unavailable, "down") }
	f.refuse.Store(&refuse)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.kek(gcpKey, "").Wrap(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
}

func TestGCPContext(t *testing.T) {
	t.Parallel()
	f := newFakeGCP(t)
	called := make(chan struct{}, 1)
	block := func(ctx context.Context) error {
		called <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	f.refuse.Store(&block)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-called
		cancel()
	}()
	if _, err := f.kek(gcpKey, "").Wrap(ctx, newKey()); !errors.Is(err, context.Canceled) || errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
