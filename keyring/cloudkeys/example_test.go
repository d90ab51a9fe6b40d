package cloudkeys_test

import (
	"context"
	"fmt"

	_ "gocloud.dev/secrets/localsecrets" // base64key://

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
)

// The keys of a keyring are stored wrapped, by a key of this machine here. In a cloud
// only the URL and the import are others.
func Example() {
	ctx := context.Background()
	kek, err := cloudkeys.Open(ctx, "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kek.Close()
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}

	// Store these, anywhere.
	type stored struct {
		version keyring.Version
		check   string
		wrapped []byte
	}
	var table []stored
	for _, version := range keys.Versions() {
		wrapped, err := keys.Wrap(ctx, kek, version)
		if err != nil {
			fmt.Println(err)
			return
		}
		check, err := keys.CheckValue(version)
		if err != nil {
			fmt.Println(err)
			return
		}
		table = append(table, stored{version, check, wrapped})
	}

	// Load them in another process.
	var unwrapped []keyring.Key
	for _, s := range table {
		key, err := keyring.UnwrapKey(ctx, kek, s.version, keyring.Primary, s.check, s.wrapped)
		if err != nil {
			fmt.Println(err)
			return
		}
		unwrapped = append(unwrapped, key)
	}
	loaded, err := keyring.New(unwrapped...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(kek.Name(), "has wrapped", len(table), "keys:", loaded.Versions())
	// Output: base64key has wrapped 2 keys: [1 i1]
}
