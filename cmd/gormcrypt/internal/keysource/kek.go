package keysource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/vaultkeys"

	// The providers whose keys keys.wrapped_by may name.
	_ "github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms"
	_ "gocloud.dev/secrets/gcpkms"
)

// OpenKEK opens what wraps the keys by the settings, and nothing else. The caller calls
// close.
func OpenKEK(ctx context.Context, s *settings.Settings) (kek keyring.KEK, close func() error, err error) {
	k := &Keys{}
	if kek, err = k.openKEK(ctx, s); err != nil {
		return nil, nil, errors.Join(err, k.Close())
	}
	return kek, k.Close, nil
}

// openKEK opens what wraps the keys.
func (k *Keys) openKEK(ctx context.Context, s *settings.Settings) (keyring.KEK, error) {
	if s.WrappedBy == "" {
		return nil, s.Missing("keys.wrapped_by")
	}
	kek, err := k.namedKEK(ctx, s)
	if err != nil {
		return nil, err
	}
	k.KEK = keyring.Resilient(kek, keyring.CallConfig{Logger: quiet})
	return k.KEK, nil
}

func (k *Keys) namedKEK(ctx context.Context, s *settings.Settings) (keyring.KEK, error) {
	scheme, name, _ := strings.Cut(s.WrappedBy, ":")
	if name == "" {
		return nil, invalid(s, "keys.wrapped_by")
	}
	switch scheme {
	case "passphrase-file":
		text, err := readPassphrase(name)
		if err != nil {
			return nil, fmt.Errorf("%w: keys.wrapped_by: the file with the passphrase: %w", settings.ErrInvalid, err)
		}
		defer clear(text)
		return keyring.NewPassphrase(bytes.TrimRight(text, "\r\n"))
	case "passphrase-env":
		text, found := keyring.TakeEnv(name)
		if !found {
			return nil, fmt.Errorf("%w: keys.wrapped_by: the variable %s is not set; it holds the passphrase", settings.ErrInvalid, name)
		}
		return keyring.NewPassphrase([]byte(text))
	case "transit":
		return k.openTransit(ctx, s, name)
	}
	if scheme != "awskms" && scheme != "gcpkms" { // what is linked below; a base64key:// is a key, and is not to be shown
		return nil, invalid(s, "keys.wrapped_by")
	}
	kek, err := cloudkeys.Open(ctx, s.WrappedBy)
	if err != nil {
		return nil, err
	}
	k.closers = append(k.closers, kek.Close)
	return kek, nil
}

// openTransit opens a key of Vault, MOUNT/KEY.
func (k *Keys) openTransit(ctx context.Context, s *settings.Settings, name string) (keyring.KEK, error) {
	at := strings.LastIndex(name, "/")
	if at < 1 || at == len(name)-1 {
		return nil, fmt.Errorf("%w: keys.wrapped_by: write transit:MOUNT/KEY", settings.ErrInvalid)
	}
	client, err := k.connect(ctx, s)
	if err != nil {
		return nil, err
	}
	return vaultkeys.NewTransit(client, name[:at], name[at+1:])
}
