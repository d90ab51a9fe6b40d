package awskms_test

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeKMS is AWS KMS as far as a key-encryption key needs it: the calls Encrypt and
// Decrypt of symmetric keys, with real AES-GCM, the encryption context as associated
// data, aliases, permissions, and disabled keys. Its errors are those of the service.
type fakeKMS struct {
	*httptest.Server

	mu    sync.Mutex
	keys  map[string]*masterKey // by ARN and by alias
	calls []string
	// answer, if any, answers instead of KMS.
	answer http.HandlerFunc
}

type masterKey struct {
	arn     string
	aead    cipher.AEAD
	state   string            // "" or the exception for every use
	refused map[string]string // operations that the caller may not do, with KMS's message
}

const (
	arnPrefix = "arn:aws:kms:eu-central-1:111122223333:key/"
	appKey    = arnPrefix + "app"
	otherKey  = arnPrefix + "other"
	appAlias  = "alias/app"
)

// newFakeKMS starts one for a test.
func newFakeKMS(t *testing.T) *fakeKMS {
	f := startFakeKMS()
	t.Cleanup(f.Close)
	return f
}

// startFakeKMS serves KMS with the keys appKey, which is appAlias too, and otherKey.
// The caller may use both, which is what a policy with "Resource": "*" allows.
func startFakeKMS() *fakeKMS {
	f := &fakeKMS{keys: map[string]*masterKey{}}
	for _, arn := range []string{appKey, otherKey} {
		f.keys[arn] = newMasterKey(arn)
	}
	f.keys[appAlias] = f.keys[appKey]
	f.Server = httptest.NewServer(f)
	return f
}

func newMasterKey(arn string) *masterKey {
	material := make([]byte, 32)
	rand.Read(material) // never fails
	block, err := aes.NewCipher(material)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &masterKey{arn: arn, aead: aead, refused: map[string]string{}}
}

// setState makes every use of a key the given exception.
func (f *fakeKMS) setState(arn, exception string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[arn].state = exception
}

// refuse takes a permission of the caller away.
func (f *fakeKMS) refuse(arn, operation, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[arn].refused[operation] = message
}

// answerWith answers every call.
func (f *fakeKMS) answerWith(answer http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// count returns the calls since the last count.
func (f *fakeKMS) count() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

type kmsRequest struct {
	KeyID             string `json:"KeyId"`
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

type kmsAnswer struct {
	KeyID          string `json:"KeyId"`
	Plaintext      []byte `json:",omitempty"`
	CiphertextBlob []byte `json:",omitempty"`
}

func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	f.mu.Lock()
	f.calls = append(f.calls, operation)
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	var request kmsRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &request) != nil {
		refuse(w, http.StatusBadRequest, "SerializationException", "")
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIATEST/") {
		refuse(w, http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch operation {
	case "Encrypt":
		f.encrypt(w, request)
	case "Decrypt":
		f.decrypt(w, request)
	default:
		refuse(w, http.StatusBadRequest, "UnknownOperationException", "")
	}
}

func (f *fakeKMS) encrypt(w http.ResponseWriter, request kmsRequest) {
	key := f.usable(w, "Encrypt", request.KeyID)
	if key == nil {
		return
	}
	blob := append([]byte(key.arn+"|"), key.aead.Seal(nil, nil, request.Plaintext, associated(key.arn, request.EncryptionContext))...)
	answerJSON(w, kmsAnswer{KeyID: key.arn, CiphertextBlob: blob})
}

func (f *fakeKMS) decrypt(w http.ResponseWriter, request kmsRequest) {
	arn, sealed, _ := strings.Cut(string(request.CiphertextBlob), "|")
	if f.keys[arn] == nil {
		refuse(w, http.StatusBadRequest, "InvalidCiphertextException", "")
		return
	}
	// Without a key ID the ciphertext says which key it is, as in KMS.
	key := f.usable(w, "Decrypt", cmp.Or(request.KeyID, arn))
	if key == nil {
		return
	}
	if key.arn != arn {
		refuse(w, http.StatusBadRequest, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
		return
	}
	plaintext, err := key.aead.Open(nil, nil, []byte(sealed), associated(key.arn, request.EncryptionContext))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidCiphertextException", "")
		return
	}
	answerJSON(w, kmsAnswer{KeyID: key.arn, Plaintext: plaintext})
}

// usable returns a key that the caller may use, or writes why there is none.
func (f *fakeKMS) usable(w http.ResponseWriter, operation, id string) *masterKey {
	key := f.keys[id]
	if key == nil {
		refuse(w, http.StatusBadRequest, "NotFoundException", "Key '"+id+"' does not exist")
		return nil
	}
	if message, refused := key.refused[operation]; refused {
		refuse(w, http.StatusBadRequest, "AccessDeniedException", message)
		return nil
	}
	if key.state != "" {
		refuse(w, http.StatusBadRequest, key.state, key.arn+" is not usable.")
		return nil
	}
	return key
}

// associated is the canonical form of the key and its encryption context.
func associated(arn string, encryptionContext map[string]string) []byte {
	pairs := [][2]string{}
	for name, value := range encryptionContext {
		pairs = append(pairs, [2]string{name, value})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	text, err := json.Marshal(struct {
		ARN   string
		Pairs [][2]string
	}{arn, pairs})
	if err != nil {
		panic(err)
	}
	return text
}

func answerJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, status int, exception, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"__type": exception, "message": message})
}
