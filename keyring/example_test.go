package keyring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// A new key version is added first, so that every process can open what it
// seals, and promoted when they all know it.
func ExampleKeyring_Promote() {
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, version, err := keys.Add(keyring.DataKeys)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("added key", version)
	keys, err = keys.Promote(version)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, version := range keys.Versions() {
		state, _ := keys.State(version)
		fmt.Println(version, state)
	}
	// Output:
	// added key 2
	// 1 enabled
	// 2 primary
	// i1 primary
}

func ExampleFromFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keyring.WriteFile(path, keys); err != nil {
		fmt.Println(err)
		return
	}

	loaded, err := keyring.FromFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Versions())

	_ = os.Chmod(path, 0o644)
	_, err = keyring.FromFile(path)
	fmt.Println(errors.Is(err, keyring.ErrExposed))
	// Output:
	// [1 i1]
	// true
}
