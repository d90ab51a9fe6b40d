package keyring

import (
	"context"
	"crypto/subtle"
	"fmt"
)

// KEK is a key-encryption key: it wraps the keys of a keyring, so that they can
// be stored where others read. Usually it lives in a key server and never leaves
// it. It must be safe for concurrent use.
//
// What Wrap returns must be authenticated: nobody without the KEK may be able to
// make something that Unwrap takes. An error that wraps ErrUnavailable says that
// there was no answer, and that the same call may succeed later; any other is
// final. No error may hold a part of a key.
type KEK interface {
	// Name says which key this is, for people and for what is stored beside the
	// keys that it has wrapped: "transit/keys/app", say. It is no secret, and does
	// not change when the key server makes a newer version of the key.
	Name() string
	// Wrap encrypts a key of KeySize bytes, which it does not keep or change.
	Wrap(ctx context.Context, key []byte) (wrapped []byte, err error)
	// Unwrap decrypts what Wrap returned. The caller clears the result. It
	// returns ErrWrongKey for what this KEK has not wrapped.
	Unwrap(ctx context.Context, wrapped []byte) (key []byte, err error)
}

// Generator is a KEK that makes keys itself.
type Generator interface {
	KEK
	// GenerateKey returns a new key of KeySize random bytes, and the same wrapped. The
	// caller clears the key.
	GenerateKey(ctx context.Context) (key, wrapped []byte, err error)
}

// Rewrapper is a KEK that has versions of its own.
type Rewrapper interface {
	KEK
	// Rewrap returns a key wrapped under the latest version of the KEK. The
	// key itself does not leave the key server.
	Rewrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// GenerateKey returns a new random key, and the same wrapped by a KEK, which
// makes the key itself if it is a Generator. It returns the errors of the KEK,
// and ErrInvalid for a version or a state that no key can have.
func GenerateKey(ctx context.Context, kek KEK, version Version, state State) (Key, []byte, error) {
	if state == Retired {
		return Key{}, nil, fmt.Errorf("%w: a new key cannot be retired", ErrInvalid)
	}
	if generator, ok := kek.(Generator); ok {
		material, wrapped, err := generator.GenerateKey(ctx)
		if err != nil {
			return Key{}, nil, fmt.Errorf("generating key %s by %s: %w", version, kek.Name(), err)
		}
		defer clear(material)
		key := makeKey(version, state, material)
		return key, wrapped, key.err
	}
	key := randomKey(version, state)
	if key.err != nil {
		return Key{}, nil, key.err
	}
	wrapped, err := key.Wrap(ctx, kek)
	return key, wrapped, err
}

// UnwrapKey returns the key that was wrapped, which has to have a check value. It
// returns ErrWrongKey when it has another, ErrInvalid when it is no key, and the
// errors of the KEK.
func UnwrapKey(ctx context.Context, kek KEK, version Version, state State, check string, wrapped []byte) (Key, error) {
	if state == Retired {
		return makeKey(version, Retired, nil), nil
	}
	material, err := kek.Unwrap(ctx, wrapped)
	if err != nil {
		return Key{}, fmt.Errorf("unwrapping key %s by %s: %w", version, kek.Name(), err)
	}
	defer clear(material)
	key := makeKey(version, state, material)
	switch {
	case key.err != nil:
		return Key{}, key.err
	case subtle.ConstantTimeCompare([]byte(check), []byte(key.check)) != 1:
		return Key{}, fmt.Errorf("key version %s: %w", version, ErrWrongKey)
	}
	return key, nil
}

// Wrap returns the key of a version, wrapped by a KEK: how the keys of a keyring
// move into a key server's care. It returns ErrUnknownVersion, ErrRetired, and the
// errors of the KEK.
func (r *Keyring) Wrap(ctx context.Context, kek KEK, version Version) ([]byte, error) {
	key, err := r.live(version)
	if err != nil {
		return nil, err
	}
	return key.Wrap(ctx, kek)
}

// Wrap returns the key wrapped by a KEK. It returns ErrRetired for a key that is
// gone, and the errors of the KEK.
func (k Key) Wrap(ctx context.Context, kek KEK) (wrapped []byte, err error) {
	if k.lend == nil {
		return nil, fmt.Errorf("wrapping key %s: %w", k.version, ErrRetired)
	}
	err = k.lend(func(secret []byte) error {
		wrapped, err = kek.Wrap(ctx, secret)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("wrapping key %s by %s: %w", k.version, kek.Name(), err)
	}
	return wrapped, nil
}
