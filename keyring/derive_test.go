package keyring_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	mathrand "math/rand/v2"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Derive clears after HKDF what HKDF does not; its result is that of the standard
// library, for every length, and of every info: also one as long as a block of the
// hash, which is what a padded key is told by.
func TestDeriveIsHKDF(t *testing.T) {
	t.Parallel()
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	material := make([]byte, keyring.KeySize)
	rand.Read(material)
	ring, err := keyring.New(keyring.DataKey(1, keyring.Primary, material))
	if err != nil {
		t.Fatal(err)
	}
	version := keyring.MakeVersion(keyring.DataKeys, 1)
	for range 500 {
		info := string(bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(130)))
		length := 1 + random.IntN(200)
		want, err := hkdf.Key(sha256.New, material, nil, info, length)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ring.Derive(version, info, length)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes for an info of %d: %x, %v; want %x", length, len(info), got, err, want)
		}
	}
	if got, err := ring.Derive(version, "x", 8160); err != nil || len(got) != 8160 {
		t.Errorf("the longest has %d bytes, %v", len(got), err)
	}
}
