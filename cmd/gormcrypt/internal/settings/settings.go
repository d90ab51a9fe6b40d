// Package settings reads what the command line is told: by a file, by the environment
// and by flags, each stronger than the one before.
package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid: something that the command line was told cannot be.
var ErrInvalid = errors.New("invalid setting")

// DefaultFile is read from the working directory unless another file is named.
const DefaultFile = "gormcrypt.toml"

// FileVariable names the settings file, if no flag does.
const FileVariable = "GORMCRYPT_CONFIG"

// Settings are what the command line was told. None of them is a key; the URL of the
// database may hold a password, so Settings are not printed.
type Settings struct {
	// File is the settings file that was read, empty if there is none.
	File string

	Database  string
	Manifest  string
	Algorithm string
	AuditLog  string

	// KeysFrom says where the keyring is, and WrappedBy what wraps its keys. KeysDatabase
	// and KeysName are for keys in a database.
	KeysFrom     string
	WrappedBy    string
	KeysDatabase string
	KeysName     string

	VaultAddress   string
	VaultNamespace string
	VaultCAFile    string
	VaultLogin     string

	origins map[string]string
}

// Setting describes one setting.
type Setting struct {
	// Name is what it is called in the file, and Variable in the environment. Flag is
	// empty if there is none.
	Name, Variable, Flag string
	// Usage says what it is, in a line.
	Usage string

	// isPath says that the value is a path.
	isPath bool
	field  func(*Settings) *string
}

// Value returns what the setting is, empty if nobody has given it.
func (one Setting) Value(s *Settings) string { return *one.field(s) }

// All are the settings, in the order of the file.
var All = []Setting{
	{"database", "GORMCRYPT_DATABASE", "database", "the database: postgres://… or sqlite:PATH", false, func(s *Settings) *string { return &s.Database }},
	{"manifest", "GORMCRYPT_MANIFEST", "manifest", "the manifest of the application's encrypted columns", true, func(s *Settings) *string { return &s.Manifest }},
	{"algorithm", "GORMCRYPT_ALGORITHM", "", "what new values are sealed with: xchacha20-poly1305 or aes-256-gcm, as in the application", false, func(s *Settings) *string { return &s.Algorithm }},
	{"audit_log", "GORMCRYPT_AUDIT_LOG", "", "where decrypt writes who has seen what", true, func(s *Settings) *string { return &s.AuditLog }},
	{"keys.from", "GORMCRYPT_KEYS_FROM", "keys", "where the keyring is: file:PATH, env:NAME, secret:NAME, credential:NAME, wrapped:PATH, database or vault:PATH", false, func(s *Settings) *string { return &s.KeysFrom }},
	{"keys.wrapped_by", "GORMCRYPT_KEYS_WRAPPED_BY", "wrapped-by", "what wraps the keys: passphrase-file:PATH, passphrase-env:NAME, transit:MOUNT/KEY, or the URL of a cloud's key", false, func(s *Settings) *string { return &s.WrappedBy }},
	{"keys.database", "GORMCRYPT_KEYS_DATABASE", "", "the database of the keys, if it is not the one with the data", false, func(s *Settings) *string { return &s.KeysDatabase }},
	{"keys.name", "GORMCRYPT_KEYS_NAME", "", "what the keys in the database are for, as Name of dbkeys.Config in the application", false, func(s *Settings) *string { return &s.KeysName }},
	{"vault.address", "GORMCRYPT_VAULT_ADDRESS", "", "the URL of Vault or OpenBao; BAO_ADDR and VAULT_ADDR count too", false, func(s *Settings) *string { return &s.VaultAddress }},
	{"vault.namespace", "GORMCRYPT_VAULT_NAMESPACE", "", "the namespace there", false, func(s *Settings) *string { return &s.VaultNamespace }},
	{"vault.ca_file", "GORMCRYPT_VAULT_CA_FILE", "", "the certificates that the server's own must be signed by", true, func(s *Settings) *string { return &s.VaultCAFile }},
	{"vault.login", "GORMCRYPT_VAULT_LOGIN", "", "how to log in: token-env:NAME, token-file:PATH, kubernetes:ROLE, or approle:ROLE_ID with the secret ID in GORMCRYPT_VAULT_SECRET_ID", false, func(s *Settings) *string { return &s.VaultLogin }},
}

// Origin says where a setting comes from, for an error: "GORMCRYPT_DATABASE", say. It
// is empty for one that nobody has given.
func (s *Settings) Origin(name string) string { return s.origins[name] }

// Default gives a setting a value that nobody has given.
func (s *Settings) Default(name, value string) {
	s.set(All[find(name)], value, "the default")
}

func (s *Settings) set(one Setting, value, origin string) {
	*one.field(s) = value
	s.origins[one.Name] = origin
}

// find returns where a setting is in All, -1 if it is none.
func find(name string) int {
	return slices.IndexFunc(All, func(one Setting) bool { return one.Name == name })
}

// Missing returns the error for a setting that is needed and was not given.
func (s *Settings) Missing(name string) error {
	one := All[find(name)]
	ways := []string{one.Name + " in " + s.fileOrDefault(), one.Variable}
	if one.Flag != "" {
		ways = append(ways, "--"+one.Flag)
	}
	return fmt.Errorf("%w: there is no %s (%s); give it by %s, or begin with gormcrypt init", ErrInvalid, one.Name, one.Usage, strings.Join(ways, ", "))
}

func (s *Settings) fileOrDefault() string {
	if s.File != "" {
		return s.File
	}
	return DefaultFile
}
