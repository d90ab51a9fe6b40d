package wipe_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/internal/wipe"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func key(n int) []byte { return bytes.Repeat([]byte{0xa7}, n) }

// These are the paths that this module uses. One that a new Go or a new tink does
// not have any more fails here.
func TestOverwritesWhatLibrariesKeep(t *testing.T) {
	t.Parallel()
	block := must(aes.NewCipher(key(32)))
	siv := must(subtle.NewAESSIV(key(64)))
	mac := hmac.New(sha256.New, key(32))
	for _, c := range []struct {
		name   string
		object any
		path   []string
	}{
		{"XChaCha20-Poly1305", must(chacha20poly1305.NewX(key(32))), nil},
		{"AES", block, nil},
		{"AES-GCM", must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key(32))))), []string{"GCM"}},
		{"AES-SIV", siv, []string{"k1"}},
		{"AES-SIV", siv, []string{"k2"}},
		{"AES-SIV", siv, []string{"cmac", "bc"}},
		{"AES-SIV", siv, []string{"cmac"}},
		{"HMAC", mac, []string{"ipad"}},
		{"HMAC", mac, []string{"opad"}},
		{"HMAC", mac, []string{"inner"}},
		{"HMAC", mac, []string{"outer"}},
		{"SHA-256", sha256.New(), nil},
	} {
		end := reach(c.object, c.path)
		if zero(end) {
			t.Errorf("%s %v was zero before", c.name, c.path)
		}
		if !wipe.At(c.object, c.path...) || !zero(end) {
			t.Errorf("%s %v was not overwritten", c.name, c.path)
		}
	}
}

// reach returns what a path leads to, by nothing but the rules of reflection.
func reach(object any, path []string) reflect.Value {
	v := reflect.Indirect(reflect.ValueOf(object))
	for _, field := range path {
		if v = v.FieldByName(field); v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		v = reflect.Indirect(v)
	}
	return v
}

func zero(v reflect.Value) bool {
	if v.Kind() != reflect.Slice {
		return v.IsZero()
	}
	for i := range v.Len() {
		if !v.Index(i).IsZero() {
			return false
		}
	}
	return true
}

// Others that were made alike, before or after, are as they were.
func TestOverwritesNothingThatIsShared(t *testing.T) {
	t.Parallel()
	sum := func() []byte {
		mac := hmac.New(sha256.New, key(32))
		mac.Write([]byte("m"))
		return mac.Sum(nil)
	}
	seal := func() []byte {
		return must(must(subtle.NewAESSIV(key(64))).EncryptDeterministically([]byte("m"), nil))
	}
	wantSum, wantSeal := sum(), seal()
	mac, siv := hmac.New(sha256.New, key(32)), must(subtle.NewAESSIV(key(64)))
	mac.Reset()
	for _, field := range []string{"ipad", "opad", "inner", "outer"} {
		wipe.At(mac, field)
	}
	for _, path := range [][]string{{"k1"}, {"k2"}, {"cmac", "bc"}, {"cmac"}} {
		wipe.At(siv, path...)
	}
	if !bytes.Equal(sum(), wantSum) || !bytes.Equal(seal(), wantSeal) {
		t.Error("another object was changed")
	}
}

func TestFollowsNothingThatIsNotThere(t *testing.T) {
	t.Parallel()
	type inner struct{ n int }
	type object struct {
		kept  []byte
		null  *inner
		value inner
		empty any
		f     func()
	}
	o := &object{kept: []byte("kept"), null: nil, value: inner{7}, empty: nil, f: func() {}}
	for _, path := range [][]string{{"missing"}, {"null"}, {"null", "n"}, {"value", "n"}, {"empty"}, {"f"}, {"kept", "x"}} {
		if wipe.At(o, path...) {
			t.Errorf("%v was overwritten", path)
		}
	}
	if string(o.kept) != "kept" || o.value.n != 7 || wipe.At(nil) || wipe.At(7) || wipe.At(*o) {
		t.Error("something was changed")
	}
	if wipe.Bytes(o, "value") != nil || string(wipe.Bytes(o, "kept")) != "kept" {
		t.Error("Bytes gives something else")
	}
}
