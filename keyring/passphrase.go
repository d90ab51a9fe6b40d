package keyring

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// minPassphrase is the length of the shortest passphrase, in bytes: two words, or a
// dozen random letters. It stops accidents, not weak choices.
const minPassphrase = 12

// NewPassphrase returns a KEK whose key is derived from a passphrase, by Argon2id
// (RFC 9106) with its second recommended parameters: 64 MiB of memory, three passes
// and four lanes. It wraps with XChaCha20-Poly1305. Salt and parameters stand in what it
// wraps.
//
// The key is derived at the first use and then kept, whatever the number of keys: it
// took 0.16 s of processor time, and 64 MiB of memory meanwhile. What a hostile file
// can ask for is bounded: 3.4 s and 256 MiB. Callers wait for one
// derivation; a context that ends does not stop one that has begun.
//
// Who has what it wraps can guess passphrases, as fast as his machines derive keys:
// take one that was drawn at random, of six words or more. The passphrase is copied;
// the caller may clear it. It is taken as the bytes that it is, so letters that one
// system writes in two ways make two passphrases.
//
// It returns ErrInvalid for a passphrase of less than 12 bytes, and for one that ends
// in a line break, as a file or a prompt may have left it. In FIPS 140-3 mode it
// fails, because Argon2id is not approved.
func NewPassphrase(passphrase []byte) (KEK, error) {
	switch {
	case fips140.Enabled():
		return nil, errors.New("a passphrase is stretched by Argon2id, which FIPS 140-3 mode does not admit; wrap the keyring by a key server's key instead")
	case len(passphrase) < minPassphrase:
		return nil, fmt.Errorf("%w: the passphrase is shorter than %d bytes; take six random words", ErrInvalid, minPassphrase)
	case bytes.HasSuffix(passphrase, []byte("\n")), bytes.HasSuffix(passphrase, []byte("\r")):
		return nil, fmt.Errorf("%w: the passphrase ends in a line break; trim it", ErrInvalid)
	}
	secret := bytes.Clone(passphrase)
	return &passphraseKEK{
		passphrase: func() []byte { return secret },
		turn:       make(chan struct{}, 1),
	}, nil
}

// FromPassphrase returns the keyring in a file that was wrapped by a passphrase:
//
//	kek, err := keyring.NewPassphrase(passphrase)
//	err = keyring.WriteWrappedFile(ctx, path, keys, kek)
//
// It returns the errors of [NewPassphrase] and [WrappedFile].
func FromPassphrase(path string, passphrase []byte) (*Keyring, error) {
	kek, err := NewPassphrase(passphrase)
	if err != nil {
		return nil, err
	}
	return WrappedFile(path, kek).Load(context.Background())
}

type passphraseKEK struct {
	passphrase func() []byte
	// turn is held by the caller that uses the fields below, and derives what is
	// missing, so that others need not derive it again.
	turn chan struct{}
	// header and derived are those that wrapped or unwrapped last. All keys of a
	// document have the same header.
	header  stretch
	derived func() cipher.AEAD
}

// stretch is how a key is derived from the passphrase.
type stretch struct {
	passes, memory uint32 // memory in KiB
	lanes          uint8
	salt           string
}

// recommended is the second recommendation of RFC 9106, section 4, for where the
// first one's 2 GiB are too much.
var recommended = stretch{passes: 3, memory: 64 << 10, lanes: 4}

// greatest bounds what is derived before it is known who asks for it: four times
// the cost in time and four times the memory of today's parameters, so that later
// ones are read too.
var greatest = stretch{passes: 12, memory: 256 << 10, lanes: 16}

// The layout of what is wrapped, version 1:
//
//	1 | passes (4 bytes) | memory in KiB (4) | lanes (1) | salt (16) | nonce (24) | ciphertext and tag (48)
//
// Numbers are big endian. What stands before the nonce is the associated data.
const (
	passphraseFormat = 1
	saltSize         = 16
	headerSize       = 1 + 4 + 4 + 1 + saltSize
	wrappedSize      = headerSize + chacha20poly1305.NonceSizeX + KeySize + chacha20poly1305.Overhead
)

func (s stretch) encode() []byte {
	header := make([]byte, 0, wrappedSize)
	header = append(header, passphraseFormat)
	header = binary.BigEndian.AppendUint32(header, s.passes)
	header = binary.BigEndian.AppendUint32(header, s.memory)
	header = append(header, s.lanes)
	return append(header, s.salt...)
}

// parseStretch reads the header of what was wrapped. Whoever wrote it is not known
// yet, so it takes nothing that is too much.
func parseStretch(wrapped []byte) (stretch, bool) {
	if len(wrapped) != wrappedSize || wrapped[0] != passphraseFormat {
		return stretch{}, false
	}
	s := stretch{
		passes: binary.BigEndian.Uint32(wrapped[1:]),
		memory: binary.BigEndian.Uint32(wrapped[5:]),
		lanes:  wrapped[9],
		salt:   string(wrapped[10:headerSize]),
	}
	ok := 1 <= s.passes && s.passes <= greatest.passes &&
		1 <= s.lanes && s.lanes <= greatest.lanes &&
		8*uint32(s.lanes) <= s.memory && s.memory <= greatest.memory
	return s, ok
}

func (k *passphraseKEK) Name() string { return "passphrase" }

func (k *passphraseKEK) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	if err := k.lock(ctx); err != nil {
		return nil, err
	}
	defer k.unlock()
	if !k.header.sameCost(recommended) {
		header := recommended
		header.salt = string(randomBytes(saltSize))
		derived, err := k.derive(header)
		if err != nil {
			return nil, err
		}
		k.keep(header, derived)
	}
	header := k.header.encode()
	nonce := randomBytes(chacha20poly1305.NonceSizeX)
	return k.derived().Seal(append(header, nonce...), nonce, key, header), nil
}

func (k *passphraseKEK) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	header, ok := parseStretch(wrapped)
	if !ok {
		return nil, fmt.Errorf("this is nothing that a passphrase has wrapped: %w", ErrWrongKey)
	}
	if err := k.lock(ctx); err != nil {
		return nil, err
	}
	defer k.unlock()
	derived := k.derived
	if header != k.header {
		var err error
		if derived, err = k.derive(header); err != nil {
			return nil, err
		}
	}
	nonce, sealed := wrapped[headerSize:headerSize+chacha20poly1305.NonceSizeX], wrapped[headerSize+chacha20poly1305.NonceSizeX:]
	key, err := derived().Open(nil, nonce, sealed, wrapped[:headerSize])
	if err != nil {
		return nil, fmt.Errorf("the passphrase is another one, or what it wrapped was changed: %w", ErrWrongKey)
	}
	k.keep(header, derived) // now it is known to be one of ours
	return key, nil
}

func (k *passphraseKEK) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *passphraseKEK) unlock() { <-k.turn }

func (k *passphraseKEK) keep(header stretch, derived func() cipher.AEAD) {
	k.header, k.derived = header, derived
}

func (s stretch) sameCost(other stretch) bool {
	s.salt, other.salt = "", ""
	return s == other
}

// derive returns the cipher behind a function, where nothing prints its key.
func (k *passphraseKEK) derive(s stretch) (func() cipher.AEAD, error) {
	key := argon2.IDKey(k.passphrase(), []byte(s.salt), s.passes, s.memory, s.lanes, chacha20poly1305.KeySize)
	defer clear(key)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("the key of a passphrase: %w", err)
	}
	return func() cipher.AEAD { return aead }, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails; it ends the program instead
	return b
}
