package keysource

import (
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

// CheckForms refuses what wraps the keys, and how to log in, if they are of no form that
// is known, also where they are not used: they may be a key or a token themselves, and
// are not to be written down.
func CheckForms(s *settings.Settings) error {
	for _, one := range []struct {
		name, value string
		schemes     []string
	}{
		{"keys.wrapped_by", s.WrappedBy, []string{"passphrase-file", "passphrase-env", "transit", "awskms", "gcpkms"}},
		{"vault.login", s.VaultLogin, []string{"token-file", "token-env", "kubernetes", "approle"}},
	} {
		scheme, rest, _ := strings.Cut(one.value, ":")
		if one.value != "" && (rest == "" || !slices.Contains(one.schemes, scheme)) {
			return invalid(s, one.name)
		}
	}
	return nil
}
