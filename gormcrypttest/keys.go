package gormcrypttest

import "github.com/gormcrypt/gormcrypt/keyring"

// Keyring returns a new keyring with a data key and an index key. What is
// sealed under it opens under no other one.
func Keyring(t TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatalf("gormcrypttest: %v", err)
	}
	return keys
}
