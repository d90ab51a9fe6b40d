package cloudkeys_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func newKey() []byte {
	key := make([]byte, keyring.KeySize)
	rand.Read(key) // never fails
	return key
}

func localURL(key []byte) string { return "base64key://" + base64.URLEncoding.EncodeToString(key) }

func open(t *testing.T, keyURL string) *cloudkeys.KEK {
	t.Helper()
	kek, err := cloudkeys.Open(t.Context(), keyURL)
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func TestLocalKEK(t *testing.T) {
	t.Parallel()
	one, other := localURL(newKey()), localURL(newKey())
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return open(t, one) },
		Other: func(t *testing.T) keyring.KEK { return open(t, other) },
	})
}

func TestKEKOfOwnKeeper(t *testing.T) {
	t.Parallel()
	one, other := [32]byte(newKey()), [32]byte(newKey())
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(*testing.T) keyring.KEK { return cloudkeys.New(localsecrets.NewKeeper(one), "one") },
		Other: func(*testing.T) keyring.KEK { return cloudkeys.New(localsecrets.NewKeeper(other), "other") },
	})
}

// Only a key of the right length is one that Wrap has wrapped.
func TestOnlyKeysAreUnwrapped(t *testing.T) {
	t.Parallel()
	keeper := localsecrets.NewKeeper([32]byte(newKey()))
	kek := cloudkeys.New(keeper, "mine")
	for _, length := range []int{1, 16, 31, 33, 64} {
		sealed, err := keeper.Encrypt(t.Context(), make([]byte, length))
		if err != nil {
			t.Fatal(err)
		}
		if key, err := kek.Unwrap(t.Context(), sealed); key != nil || !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("%d bytes were unwrapped: %v", length, err)
		}
		if _, err := kek.Wrap(t.Context(), make([]byte, length)); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("%d bytes were wrapped: %v", length, err)
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	kek := open(t, localURL(newKey()))
	wrapped, err := kek.Wrap(t.Context(), newKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := kek.Close(); err != nil {
		t.Fatal(err)
	}
	_, wrapErr := kek.Wrap(t.Context(), newKey())
	_, unwrapErr := kek.Unwrap(t.Context(), wrapped)
	for _, err := range []error{wrapErr, unwrapErr, kek.Close()} {
		if err == nil || !strings.Contains(err.Error(), "has been closed") {
			t.Errorf("error %v does not say that it is closed", err)
		}
		if errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("%v says what it should not", err)
		}
	}
}

// A base64key URL is the key: neither the name nor anything that is printed shows
// it.
func TestLocalKeyIsNotShown(t *testing.T) {
	t.Parallel()
	key := newKey()
	kek := open(t, localURL(key))
	if kek.Name() != "base64key" {
		t.Errorf("its name is %s", kek.Name())
	}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&shown, verb+"\n", kek)
		fmt.Fprintf(&shown, verb+"\n", *kek)
		fmt.Fprintf(&shown, verb+"\n", struct{ inside *cloudkeys.KEK }{kek})
	}
	text, err := json.Marshal(kek)
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(text)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "kek", kek, "in", struct{ KEK any }{*kek})
	requireHidden(t, key, shown.String())
}

// Tools that print all that is behind pointers do not come to the key either.
func TestLocalKeyIsNotReachable(t *testing.T) {
	t.Parallel()
	key := newKey()
	keeper := localsecrets.NewKeeper([32]byte(key))
	if !reaches(reflect.ValueOf(keeper), key, map[uintptr]bool{}) {
		t.Fatal("the search would not find it")
	}
	if reaches(reflect.ValueOf(cloudkeys.New(keeper, "local")), key, map[uintptr]bool{}) {
		t.Error("the key can be reached")
	}
}

// reaches follows pointers to a secret.
func reaches(v reflect.Value, secret []byte, seen map[uintptr]bool) bool {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return false
		}
		seen[v.Pointer()] = true
		return reaches(v.Elem(), secret, seen)
	case reflect.Interface:
		return !v.IsNil() && reaches(v.Elem(), secret, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if reaches(v.Field(i), secret, seen) {
				return true
			}
		}
	case reflect.Array, reflect.Slice:
		var text []byte
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.Uint8 {
				text = append(text, byte(v.Index(i).Uint()))
			} else if reaches(v.Index(i), secret, seen) {
				return true
			}
		}
		return bytes.Contains(text, secret)
	}
	return false
}

// Whatever is wrong with a URL, its error does not show what may be a key.
func TestOpenRefusesLocalURLs(t *testing.T) {
	t.Parallel()
	for range 20 { // keys with and without the letters that differ
		key := newKey()
		good := base64.URLEncoding.EncodeToString(key)
		std := base64.StdEncoding.EncodeToString(key)
		for name, keyURL := range map[string]string{
			"only the key": good, "standard base64, only": std, "hex": "base64key://" + fmt.Sprintf("%x", key),
			"three slashes": "base64key:///" + good, "one slash": "base64key:/" + good, "no slash": "base64key:" + good,
			"a path": "base64key://" + good + "/" + good, "an option": "base64key://" + good + "?name=" + good,
			"as an option": "base64key://" + good + "?" + good,
			"cut off":      "base64key://" + good[:40], "twice": "base64key://" + good + good, "raw": "base64key://" + string(key),
			"without padding": "base64key://" + strings.TrimRight(good, "="), "a user": "base64key://" + good + "@" + good,
			"a port": "base64key://" + good + ":" + good, "a space": "base64key://" + good + " ", "a newline": "base64key://" + good + "\n",
			"as a user": "base64key://" + good + "@x", "another scheme": "base64://" + good, "no scheme": "://" + good, "empty scheme": "//" + good,
			"a percent": "base64key://%zz" + good, "a bracket": "base64key://[" + good,
		} {
			kek, err := cloudkeys.Open(t.Context(), keyURL)
			if err == nil {
				t.Fatalf("%s: it was opened as %s", name, kek.Name())
			}
			requireHidden(t, key, fmt.Sprintf("%v %+v %#v", err, err, err))
		}
		for _, keyURL := range []string{"base64key://" + good, "BASE64KEY://" + good, "secrets+keeper+base64key://" + good, "secrets+base64key://" + good, "base64key://" + good + "/"} {
			if _, err := cloudkeys.Open(t.Context(), keyURL); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// gocloud.dev takes a URL without a key for the wish for a new random one, which
// the next process does not have.
func TestOpenMakesNoKey(t *testing.T) {
	t.Parallel()
	for _, keyURL := range []string{"base64key://", "base64key:///", "base64key://?", "secrets+keeper+base64key://"} {
		if keeper, err := secrets.OpenKeeper(t.Context(), keyURL); err != nil {
			t.Errorf("gocloud.dev itself does not open %s any more: %v", keyURL, err)
		} else {
			keeper.Close()
		}
		if _, err := cloudkeys.Open(t.Context(), keyURL); err == nil || !strings.Contains(err.Error(), "32 random bytes") {
			t.Errorf("%s: %v", keyURL, err)
		}
	}
}

func requireHidden(t *testing.T, secret []byte, text string) {
	t.Helper()
	for _, form := range keyringtest.Forms(secret) {
		if strings.Contains(text, form) {
			t.Errorf("a key shows as %.6q... in %q", form, text)
		}
	}
}
