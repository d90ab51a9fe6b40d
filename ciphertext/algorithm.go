package ciphertext

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
	"github.com/gormcrypt/gormcrypt/internal/wipe"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Algorithm names how a value is encrypted. Its number is the first byte of
// the value's body.
type Algorithm byte

const (
	// XChaCha20Poly1305 (draft-irtf-cfrg-xchacha-03) is the default: its
	// nonces of 192 bits can be random without a limit on the number of
	// messages.
	XChaCha20Poly1305 Algorithm = 1
	// AES256GCM (NIST SP 800-38D) is the default when Go runs in FIPS 140-3
	// mode. With random nonces of 96 bits a key is good for 2^32 messages;
	// keys are derived per column, so that is the limit for one column under
	// one key version. See Config.MaxSeals.
	AES256GCM Algorithm = 2
	// AESSIV (RFC 5297, with keys of 512 bits) is for deterministic columns:
	// equal values give equal ciphertexts within one key version.
	AESSIV Algorithm = 3
)

// String returns the name of the algorithm.
func (a Algorithm) String() string {
	switch a {
	case XChaCha20Poly1305:
		return "XChaCha20-Poly1305"
	case AES256GCM:
		return "AES-256-GCM"
	case AESSIV:
		return "AES-SIV"
	}
	return fmt.Sprintf("Algorithm(%d)", byte(a))
}

// set returns which set of keys the algorithm uses.
func (a Algorithm) set() keyring.Set {
	if a == AESSIV {
		return keyring.IndexKeys
	}
	return keyring.DataKeys
}

// primitive is one algorithm under one key. The key is reachable only through
// the functions, never as a field of a value that could be printed. When nobody
// has them any more, and no call is under way, it is overwritten.
type primitive struct {
	// seal encrypts buf[start:], replaces buf[head:] with nonce and
	// ciphertext, and returns the extended buf. The plaintext starts at
	// head plus nonceSize.
	seal func(buf []byte, head int, ad []byte) ([]byte, error)
	// open decrypts body, which is nonce and ciphertext, in place or not, and
	// returns the plaintext.
	open func(body, ad []byte) ([]byte, error)
}

// parameters of an algorithm that are known without a key.
type parameters struct {
	keySize   int
	nonceSize int // as the caller of seal and open sees it in front of the plaintext
	overhead  int // nonce and tag together
	// make returns the algorithm under a key, which the caller clears after.
	make func(key []byte) (primitive, error)
}

// algorithms has a key size of zero for numbers that are not assigned.
var algorithms = [...]parameters{
	XChaCha20Poly1305: {
		keySize:   chacha20poly1305.KeySize,
		nonceSize: chacha20poly1305.NonceSizeX,
		overhead:  chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead,
		make:      newXChaCha,
	},
	// The AEAD that FIPS mode admits draws its nonce itself and puts it in
	// front, so its caller leaves no room for one.
	AES256GCM: {keySize: 32, nonceSize: 0, overhead: 12 + 16, make: newGCM},
	AESSIV:    {keySize: subtle.AESSIVKeySize, nonceSize: 0, overhead: 16, make: newSIV},
}

func (a Algorithm) known() bool { return int(a) < len(algorithms) && algorithms[a].keySize > 0 }

// permitted returns an error for an algorithm that does not exist, or that
// the mode that the program runs in forbids.
func (a Algorithm) permitted() error {
	if !a.known() {
		return fmt.Errorf("%w: algorithm %d", ErrUnsupported, byte(a))
	}
	if a != AES256GCM && fips140.Enforced() {
		return fmt.Errorf("%w: %s is not approved, and FIPS 140-3 mode is enforced", ErrUnsupported, a)
	}
	return nil
}

// owned is a key, in whatever form, that some functions share. While one of them
// runs they have to keep it alive: a key must not be overwritten under a call.
type owned[T any] struct{ key T }

// own has wipe called when nothing refers to the result any more. wipe must not
// refer to it either.
func own[T any](key T, wipe func(T)) *owned[T] {
	owner := &owned[T]{key}
	runtime.AddCleanup(owner, wipe, key)
	return owner
}

func newXChaCha(key []byte) (primitive, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return primitive{}, err
	}
	owner := own(aead, func(aead cipher.AEAD) { wipe.At(aead) })
	const nonceSize = chacha20poly1305.NonceSizeX
	return primitive{
		seal: func(buf []byte, head int, ad []byte) ([]byte, error) {
			nonce := buf[head : head+nonceSize]
			rand.Read(nonce) // never fails; it ends the program instead
			sealed := owner.key.Seal(buf[:head+nonceSize], nonce, buf[head+nonceSize:], ad)
			runtime.KeepAlive(owner)
			return sealed, nil
		},
		open: func(body, ad []byte) ([]byte, error) {
			ciphertext := body[nonceSize:]
			plaintext, err := owner.key.Open(ciphertext[:0], body[:nonceSize], ciphertext, ad)
			runtime.KeepAlive(owner)
			return plaintext, err
		},
	}, nil
}

func newGCM(key []byte) (primitive, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return primitive{}, err
	}
	defer wipe.At(block) // the AEAD has a copy
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return primitive{}, err
	}
	owner := own(aead, func(aead cipher.AEAD) { wipe.At(aead, "GCM") })
	return primitive{
		seal: func(buf []byte, head int, ad []byte) ([]byte, error) {
			sealed := owner.key.Seal(buf[:head], nil, buf[head:], ad)
			runtime.KeepAlive(owner)
			return sealed, nil
		},
		open: func(body, ad []byte) ([]byte, error) {
			plaintext, err := owner.key.Open(body[:0], nil, body, ad)
			runtime.KeepAlive(owner)
			return plaintext, err
		},
	}, nil
}

func newSIV(key []byte) (primitive, error) {
	// AESSIV keeps slices of its key, which the caller clears.
	siv, err := subtle.NewAESSIV(slices.Clone(key))
	if err != nil {
		return primitive{}, err
	}
	owner := own(siv, wipeSIV)
	// Each call expands the second key into memory of its own, which nobody else
	// can reach to overwrite it.
	return primitive{
		seal: func(buf []byte, head int, ad []byte) (sealed []byte, err error) {
			secretly.Erase(func() { sealed, err = owner.key.EncryptDeterministically(buf[head:], ad) })
			runtime.KeepAlive(owner)
			return append(buf[:head], sealed...), err
		},
		open: func(body, ad []byte) (plaintext []byte, err error) {
			secretly.Erase(func() { plaintext, err = owner.key.DecryptDeterministically(body, ad) })
			runtime.KeepAlive(owner)
			return plaintext, err
		},
	}, nil
}

// wipeSIV overwrites the two keys, and what CMAC has of the first.
func wipeSIV(siv *subtle.AESSIV) {
	for _, path := range [][]string{{"k1"}, {"k2"}, {"cmac", "bc"}, {"cmac"}} {
		wipe.At(siv, path...)
	}
}
